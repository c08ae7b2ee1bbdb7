"""Failpoints: named, armed only on purpose, and acting at the passing that was asked for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hookline import failpoints
from hookline.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


def test_unarmed_points_do_nothing() -> None:
    failpoints.arm(None)

    for name in failpoints.FAILPOINTS:
        failpoints.hit(name)


def test_a_point_acts_at_its_passing_and_never_again() -> None:
    failpoints.arm("after_commit:raise@3, before_send:sleep(0)")
    failpoints.hit("after_commit")
    failpoints.hit("after_commit")
    failpoints.hit("before_send")

    with pytest.raises(failpoints.FailpointError):
        failpoints.hit("after_commit")
    failpoints.hit("after_commit")


def test_kill_is_a_kill() -> None:
    code = "from hookline import failpoints as f; f.arm('in_settle:kill'); f.hit('in_settle')"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9


@pytest.mark.parametrize(
    "text", ["nowhere:kill", "after_commit", "after_commit:explode", "after_commit:kill@x"]
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(SettingError):
        failpoints.arm(text)


def test_every_point_stands_somewhere_in_the_code_and_every_one_that_stands_there_is_known() -> None:
    source = Path(failpoints.__file__).parent
    placed = {
        name
        for file in source.rglob("*.py")
        for name in re.findall(r'failpoints\.hit\("([a-z_]+)"\)', file.read_text(encoding="utf-8"))
    }

    assert placed == set(failpoints.FAILPOINTS)
