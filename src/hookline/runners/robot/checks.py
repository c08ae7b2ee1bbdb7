"""Whether robots can run on this machine: Playwright, a browser, and a way for the browser to be somebody else."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from hookline.ports.runner import Check
from hookline.runners.sandbox.husk import free_uid

HOW_TO_GET_PLAYWRIGHT: Final = "pip install 'hookline[robot]'"
HOW_TO_GET_CHROMIUM: Final = (
    "apt-get install chromium, or playwright install chromium, or name one in HOOKLINE_CHROMIUM"
)

_PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
"""Looked for in this order; then Playwright's own."""

_HELPER_FOLDERS: Final = (Path("/usr/lib/chromium"), Path("/opt/google/chrome"))
"""Where packages put the setuid helper of their browser, when it is not beside the program's own name."""

_CLOSED: Final = {
    "user/max_user_namespaces": 0,
    "kernel/unprivileged_userns_clone": 0,
    "kernel/apparmor_restrict_unprivileged_userns": 1,
}
"""Settings of kernels that keep ordinary users from user namespaces, each with the value that does."""


def look(named: str | None) -> list[Check]:
    """Say what robots need and whether it is here: a few looks at the file system. named: the operator's browser."""
    has_playwright = find_spec("playwright") is not None
    playwright = Check(
        name="playwright",
        told="installed" if has_playwright else "not installed",
        remedy=None if has_playwright else HOW_TO_GET_PLAYWRIGHT,
    )
    return [playwright, _look_at_chromium(find_chromium(named))]


def _look_at_chromium(chromium: str | None) -> Check:
    if chromium is None:
        return Check(name="chromium", told="Chromium was not found", remedy=HOW_TO_GET_CHROMIUM)
    if free_uid() is None:
        return Check(name="chromium", told=chromium)
    if not _is_open_to_all(Path(chromium)):
        told = f"{chromium} cannot be read by other users, and as root Hookline runs it as one"
        return Check(name="chromium", told=told, remedy=HOW_TO_GET_CHROMIUM)
    folder = tempfile.gettempdir()
    if not _is_open_to_all(Path(folder)):
        told = f"other users cannot enter {folder}, and as root Hookline runs the browser as one"
        return Check(name="chromium", told=told, remedy="let TMPDIR name a folder like /tmp")
    return Check(name="chromium", told=chromium)


def look_at_sandbox(named: str | None) -> Check:
    """Say whether the browser can have its own sandbox. Without one robots run all the same, behind one wall less."""
    folders = [Path(find_chromium(named) or "/").resolve().parent, *_HELPER_FOLDERS]
    # Who became another user gains no privileges any more, so the helper is of use to ordinary users alone.
    has_helper = free_uid() is None and any(_is_setuid(folder / "chrome-sandbox") for folder in folders)
    is_closed = any(_number(Path("/proc/sys") / name) == value for name, value in _CLOSED.items())
    if is_closed and not has_helper:
        told = "this machine lets Chromium have no sandbox of its own"
        return Check(name="sandbox", told=told, remedy="let ordinary users make user namespaces (sysctl)")
    return Check(name="sandbox", told="Chromium can have its own")


def _is_setuid(path: Path) -> bool:
    return path.is_file() and bool(path.stat().st_mode & stat.S_ISUID)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None


def find_chromium(named: str | None) -> str | None:
    """The operator's, the system's or Playwright's own browser, in this order; None when there is none."""
    if named is not None:
        return shutil.which(named)
    found = (shutil.which(name) for name in _PROGRAMS)
    return next((path for path in found if path is not None), None) or _own_of_playwright()


def _own_of_playwright() -> str | None:
    """What ``playwright install chromium`` has put there."""
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    return next(
        (str(path) for path in sorted(folder.glob("chromium-*/chrome-linux*/chrome"), reverse=True)), None
    )


def _is_open_to_all(path: Path) -> bool:
    """Say whether any user may run it: it and every folder on the way."""
    real = path.resolve()
    return all(each.stat().st_mode & 0o001 for each in (real, *real.parents))
