"""The folder of one run: its browser's profile, screenshots, whatever it writes. Nothing of it outlives the run.

The node and the robot's process both hold a lock on it, so that a folder whose holders were both killed is known by
being free, and is taken away when robots start again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = "hookline-robot-"
_LOCK: Final = "lock"


class RunFolder:
    """Made when this is. lock: a descriptor to be inherited by who else uses it. Raises OSError."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # The browser may be another user: it can go through to what is its own, and read nothing on the way.
        self.path.chmod(0o711)
        self.lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def home(self, user: int | None) -> None:
        """Make the browser's home in it."""
        home = self.path / "home"
        home.mkdir(mode=0o700)
        if user is not None:
            os.chown(home, user, user)

    def remove(self) -> None:
        """Take all of it away; its processes must be gone."""
        remove(self.path)
        os.close(self.lock)


def remove(path: Path) -> None:
    """Delete a folder with what is in it. A process that is just dying may write once more, so twice."""
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        shutil.rmtree(path, ignore_errors=True)


def sweep() -> int:
    """Delete folders of ours that nobody holds any more; return how many."""
    swept = 0
    for path in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        with suppress(OSError):
            if path.stat(follow_symlinks=False).st_uid != os.geteuid():
                continue
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(path)
                swept += 1
            finally:
                os.close(lock)
    return swept
