"""``hookline demo``, as a stranger runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


WITHOUT_ROBOTS = """
import sys
from hookline.cli import main
from hookline.cli.demo import story
from hookline.cli.demo.kinds import Part
story.PARTS = (Part("robot", "A robot", lambda: "install a browser", None),)
main(sys.argv[1:])
"""


def demo(*arguments: str, folder: Path, code: int, start: tuple[str, ...] = ("-m", "hookline")) -> str:
    done = subprocess.run(
        [sys.executable, *start, "demo", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "HOOKLINE_PORT": "not read here"},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_demo_kills_the_server_and_nothing_is_missing(tmp_path: Path) -> None:
    told = demo("--all", folder=tmp_path, code=0)

    assert "kill -9" in told
    assert "Nothing is missing" in told
    assert "\x1b[" not in told
    assert re.search(r"script\.execution\.ended +phantombuster +words +verified", told)
    assert "counting 26 characters" in told
    assert re.search(r"render\.job\.completed +phantomflow +movie +verified", told)
    assert re.search(r"robot\.run\.completed +maxun +laptops +verified", told)
    assert "the robot's picture: PNG" in told
    assert "the video behind output_url: MP4" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_all_fails_for_what_cannot_be_shown(tmp_path: Path) -> None:
    told = demo("--all", folder=tmp_path, code=1, start=("-c", WITHOUT_ROBOTS))

    assert "robot: install a browser" in told
    assert "--all: robot cannot be shown" in told
