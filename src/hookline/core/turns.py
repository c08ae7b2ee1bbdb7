"""Which executions take turns, and which one a later request means: names of gates and marks.

A gate or a mark is a digest of where it counts (one trigger, one flow of one instance) and of the value that the
request gave for it, so equal values of different places never meet.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

import msgspec

MODES = ("queue", "skip", "replace")
"""What a trigger may ask for when its gate is full."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """The place of one new execution among others.

    gate, limit: at most ``limit`` of one gate run at once, None for no gate.  when_full: one of MODES.
    mark, same_mark: see ``ports.Accept``; None for no mark.
    delay: how long it waits before it begins, in case another of its mark comes (debounce); None begins at once.
    most_delay: the longest that later ones can put it off, from the first on; None for no end.
    """

    gate: bytes | None = None
    limit: int = 1
    when_full: str = "queue"
    mark: bytes | None = None
    same_mark: str = "merge"
    delay: timedelta | None = None
    most_delay: timedelta | None = None


def digest(*parts: str | bytes) -> bytes:
    """Return 16 bytes that name these parts in this order; no two lists of parts read the same."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        hashed.update(len(data).to_bytes(8))
        hashed.update(data)
    return hashed.digest()
