"""Find and end every process of one run: its own session, and those of its browser and the browser's helpers.

A browser starts a session of its own, and its crash handlers detach themselves into more; what runs in its pages can
do neither. Linux only, as this reads ``/proc``.
"""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_PROC: Final = Path("/proc")
_PR_SET_CHILD_SUBREAPER: Final = 36
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")

_MOST_ROUNDS: Final = 20
"""Looks for what was started while its parent was being killed."""


class Process(msgspec.Struct, frozen=True):
    """state: ``Z`` for one that is dead and only waits to be noticed."""

    pid: int
    state: str
    parent: int
    session: int


def processes() -> Iterator[Process]:
    """Every process that can be seen."""
    for entry in os.scandir(_PROC):
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                # The name stands in brackets and may hold anything, brackets too.
                fields = (
                    (_PROC / entry.name / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
                )
                yield Process(int(entry.name), fields[0], int(fields[1]), int(fields[3]))


def alive_in(sessions: Collection[int]) -> list[int]:
    """The living processes of these sessions."""
    return [each.pid for each in processes() if each.session in sessions and each.state != "Z"]


def end_sessions(sessions: Collection[int]) -> None:
    """Kill every process of these sessions, and what they start meanwhile."""
    for _ in range(_MOST_ROUNDS):
        found = alive_in(sessions)
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def sessions_under(pid: int) -> set[int]:
    """The sessions that descendants of a process lead, its own not among them."""
    seen = list(processes())
    own = next((each.session for each in seen if each.pid == pid), 0)
    family = {pid}
    while more := {each.pid for each in seen if each.parent in family} - family:
        family |= more
    return {each.session for each in seen if each.pid in family} - {own}


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends: helpers that detach themselves are still found."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def private_bytes(sessions: Collection[int]) -> int:
    """Memory that the processes of these sessions do not share, together: what ending them would give back."""
    total = 0
    for pid in alive_in(sessions):
        with suppress(OSError, ValueError, IndexError):
            _, resident, shared = (_PROC / str(pid) / "statm").read_text("ascii").split()[:3]
            total += (int(resident) - int(shared)) * _PAGE
    return total
