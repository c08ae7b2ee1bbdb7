"""The tutorial and the README, followed word by word: they end with a verified event, and with a paid order."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from pages import follow

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(120)
def test_the_tutorial_ends_with_a_verified_event_that_was_sent_again(tmp_path: Path) -> None:
    """P9: the same ids come again, and nothing was refused."""
    followed = follow("tutorial/first-webhook", tmp_path)
    received = (tmp_path / "background.log").read_text(encoding="utf-8")
    ids = re.findall(r"^evt_\S+", received, re.MULTILINE)

    assert "2 handed over" in followed.said["replay"]
    assert followed.said["lists"].count("succeeded") == 3
    assert len(ids) == 4
    assert len(set(ids)) == 2
    assert "refused" not in received


def test_the_readmes_example_runs(tmp_path: Path) -> None:
    followed = follow("README", tmp_path, then="hookline executions list --json")
    (execution,) = json.loads(followed.said["then"])

    assert execution["status"] == "succeeded"
    assert '{"paid": true, "receipt": "receipt-17"}' in followed.said["used"]
