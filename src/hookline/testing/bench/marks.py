"""The mark that every measured event carries, so that its receiver can tell which it was and how long it
took.

``"k":"PPPP-NNNNNNNN-TTTTTTTTTTTTTTTTTTTT"``: phase, number within it, and CLOCK_MONOTONIC in nanoseconds at
the send. Fixed width and plain digits, so that one ``find`` and three slices read it out of any body that
words it.
"""

from __future__ import annotations

from typing import Final

PREFIX: Final = b'"k":"'
LENGTH: Final = 34
PHASE: Final = slice(0, 4)
NUMBER: Final = slice(5, 13)
SENT: Final = slice(14, 34)

BODY_BYTES: Final = 700
"""Size of one request's body: the figure everything published is measured with."""


def padded(head: bytes, tail: bytes) -> tuple[bytes, bytes]:
    """Return what stands before and after the mark, so that the whole body has BODY_BYTES.

    head, tail: JSON around an object's members, such as ``{"type":"x","data":{`` and ``}}``.
    """
    before = head + PREFIX
    room = BODY_BYTES - len(before) - LENGTH - len(b'","pad":""') - len(tail)
    words = b"The quick brown fox jumps over the lazy dog. " * 20
    return before, b'","pad":"' + words[:room] + b'"' + tail


def mark(phase: int, number: int, sent_ns: int) -> bytes:
    return b"%04d-%08d-%020d" % (phase, number, sent_ns)
