"""The node's end of ``leavings.py``: the files that a program left behind, taken one at a time.

They wait in the socket until they are asked for, so however many runs end at once, each holds one descriptor here.
"""

from __future__ import annotations

import socket
from typing import Final

import msgspec

_MOST_MESSAGE: Final = 8_192
"""Bytes. A name has 255 at most, each perhaps an escape of six."""


class LeftFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file, or why there is none.

    name: as the program gave it, None for a word about all of them.  descriptor: open for reading, to be closed by who
    takes it; None where ``why`` says the reason.
    """

    name: str | None
    descriptor: int | None = None
    why: str | None = None


class LeftFiles:
    """Of one program. Take from it once the program and all that it started are gone."""

    def __init__(self, taking: socket.socket) -> None:
        self._taking = taking
        self._taking.setblocking(False)

    def __repr__(self) -> str:
        return f"<LeftFiles {self._taking.fileno()}>"

    def take(self) -> LeftFile | None:
        """Return the next, None when there is none any more."""
        try:
            told, numbers, _, _ = socket.recv_fds(self._taking, _MOST_MESSAGE, 1)
        except OSError:
            return None
        if not told:
            return None
        left = msgspec.json.decode(told, type=LeftFile)
        return msgspec.structs.replace(left, descriptor=numbers[0] if numbers else None)

    def close(self) -> None:
        """Let go of those that were not taken."""
        self._taking.close()
