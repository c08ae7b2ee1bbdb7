"""docs/how-to/receive.md: its call starts an execution, and its tables are complete."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from pages import follow, source

from hookline.engine.manage.credentials import AUTH_TYPES
from hookline.engine.manage.trigger_settings import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

PAGE = source("how-to/receive")


@pytest.mark.needs("curl")
def test_the_printed_commands_start_an_execution(tmp_path: Path) -> None:
    followed = follow("how-to/receive", tmp_path, then="hookline executions list --json")
    (listed,) = json.loads(followed.said["then"])

    assert (listed["automation"]["id"], listed["trigger"]["source"]) == ("orders", "trigger")


def test_every_setting_is_there_and_no_other() -> None:
    table = PAGE.partition("## Settings")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)

    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == SETTINGS


def test_every_way_of_knowing_callers_is_there() -> None:
    assert set(re.findall(r'^\| `\{"type": "(\w+)"', PAGE, re.MULTILINE)) == set(AUTH_TYPES["native"])
