"""One suite, two stores. What a store cannot do is declared in its ``Backend``, never skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from store_bed import LEASE, Backend, ManualClock

from hookline.model.ids import Key, new_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from hookline.ports import Epoch, Store
    from hookline.testing.postgres import PostgresServer

BACKENDS = ["sqlite", "postgres"]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    from hookline.testing.postgres import PostgresServer

    with PostgresServer() as server:
        yield server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Backend:
    """An empty database."""
    if request.param == "sqlite":
        return Backend(name="sqlite", place=tmp_path / "hookline.db", clock=clock)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return Backend(name="postgres", place=server.fresh_database(), clock=clock)


@pytest_asyncio.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = backend.store()
    await opened.open()
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def epoch(store: Store) -> Epoch:
    """The epoch of this process."""
    return await store.open_node("one", lease=LEASE)


@pytest.fixture
def org() -> Key:
    return new_key()


@pytest.fixture
def hook() -> Key:
    """The id of a webhook."""
    return new_key()
