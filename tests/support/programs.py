"""Programs that tests run beside Python. ``.ci/run`` installs them all and then lets none be missing."""

from __future__ import annotations

import os
import shutil
from typing import Final

import pytest

ALL_ARE_HERE: Final = "HOOKLINE_TEST_PROGRAMS"
"""Set to ``all`` where every program was installed: a missing one is then a failure."""


def program(name: str) -> str:
    """Return the path of a program. Without it the test is skipped, with what would change that."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is not None:
        return path
    reason = f"{name} is not installed: `.ci/run` as an administrator installs it, or your package manager"
    if os.environ.get(ALL_ARE_HERE) == "all":
        pytest.fail(reason)
    pytest.skip(reason)
