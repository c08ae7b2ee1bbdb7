"""docs/how-to/receive-webhooks.md: its commands run as printed; no setting or credential is missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from world import World, world

from hookline.engine.manage.credentials import AUTH_TYPES
from hookline.engine.manage.trigger_settings import SETTINGS
from hookline.testing.nodes import ADMIN_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "receive-webhooks.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^<!-- (?:run|keep|call): native -->\n```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[World]:
    with world(f"sqlite:///{tmp_path}/docs.db", tmp_path) as found:
        yield found


def typed(commands: list[str], folder: Path, **names: str) -> list[dict[str, str]]:
    """Type them into one shell; return each JSON object that was printed."""
    done = subprocess.run(
        ["bash", "-ec", "\n".join(commands)],
        env={**names, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "no_proxy": "*"},
        capture_output=True,
        check=True,
        cwd=folder,
        text=True,
    )
    return [json.loads(text) for text in done.stdout.replace("}{", "}\n{").splitlines()]


@pytest.mark.needs("curl")
def test_the_printed_commands_start_an_execution(one: World, tmp_path: Path) -> None:
    origin = f"http://127.0.0.1:{one.nodes[0].port}"
    made, told = typed(FENCE.findall(PAGE), tmp_path, HOOKLINE_URL=origin, HOOKLINE_API_KEY=ADMIN_KEY)
    ended = one.ended(told["execution_id"])

    assert told.keys() == {"execution_id", "status"}
    assert made["url"].endswith("==")
    assert (ended["status"], ended["input"]) == ("succeeded", {"order_id": 17})


def test_every_setting_is_there_and_no_other() -> None:
    table = PAGE.partition("## Settings")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)

    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == SETTINGS


def test_every_way_of_knowing_callers_is_there() -> None:
    assert set(re.findall(r'^\| `\{"type": "(\w+)"', PAGE, re.MULTILINE)) == set(AUTH_TYPES["native"])
