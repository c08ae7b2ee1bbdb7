"""Robots that really run, against a site on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from programs import chromium
from robot_site import Site, robot_site

from hookline.runners.robot.host import RobotRunner, RobotSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    chromium()
    with robot_site() as found:
        yield found


@pytest_asyncio.fixture
async def runner() -> AsyncIterator[RobotRunner]:
    made = RobotRunner(RobotSettings(networks=("127.0.0.1/32",)))
    await made.start()
    yield made
    await made.close(0)
