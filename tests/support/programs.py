"""Programs that tests run beside Python. ``.ci/run`` installs them all and then lets none be missing."""

from __future__ import annotations

import os
import shutil
from typing import Final

import pytest

from hookline.runners.robot.checks import find_chromium

ALL_ARE_HERE: Final = "HOOKLINE_TEST_PROGRAMS"
"""Set to ``all`` where every program was installed: a missing one is then a failure."""


def program(name: str) -> str:
    """Return the path of a program. Without it the test is skipped, with what would change that."""
    return _path_of(name, shutil.which(name), is_owed=False)


def chromium() -> str:
    """Return the path of the browser that robots would use. An administrator can install it, so it is owed by one."""
    return _path_of("chromium", find_chromium(None), is_owed=os.geteuid() == 0)


def _path_of(name: str, path: str | None, *, is_owed: bool) -> str:
    if path is not None:
        return path
    reason = f"{name} is not installed: `.ci/run` as an administrator installs it, or your package manager"
    if is_owed or os.environ.get(ALL_ARE_HERE) == "all":
        pytest.fail(reason)
    pytest.skip(reason)
