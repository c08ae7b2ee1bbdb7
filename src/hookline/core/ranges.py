"""Which bytes of an object does a request ask for (RFC 9110 sections 13 and 14)?

One range only: a header with several, in other units or malformed is ignored, as the RFC allows, and the whole is
sent. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

_ONE_RANGE: Final = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.ASCII | re.IGNORECASE)


class Part(msgspec.Struct, frozen=True):
    """What is sent of an object. status: 200, 206, 304 or 416.  positions: of its bytes, empty for the last two.

    content_range: the header of that name, None without one.
    """

    status: int
    positions: range = range(0)
    content_range: bytes | None = None


class UnsatisfiableError(ValueError):
    """The range begins where there is nothing: 416."""


def byte_range(header: str, size: int) -> range | None:
    """Return the positions asked for, at least one, or None for all of ``size`` bytes. Raises UnsatisfiableError."""
    match = _ONE_RANGE.fullmatch(header)
    if match is None or match.group(1, 2) == ("", ""):
        return None
    first, last = match.group(1, 2)
    if first == "":
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), size if last == "" else min(int(last) + 1, size)
        if last != "" and int(last) < start:
            return None  # malformed, section 14.1.1
    if start >= stop:
        raise UnsatisfiableError(f"there are {size} bytes")
    return range(start, stop)


def part_asked(asked: Mapping[bytes, bytes], *, tag: bytes, date: bytes, size: int) -> Part:
    """Decide what of an object is sent. asked: headers by lower-case name.  tag: its strong entity tag, in quotes.

    date: its Last-Modified, as it is told.
    """
    if _matches(asked.get(b"if-none-match"), tag):
        return Part(304)
    wanted = asked.get(b"range")
    if wanted is None or asked.get(b"if-range", tag) not in (tag, date):
        return Part(200, range(size))
    try:
        positions = byte_range(wanted.decode("latin-1"), size)
    except UnsatisfiableError:
        return Part(416, content_range=b"bytes */%d" % size)
    if positions is None:
        return Part(200, range(size))
    shown = b"bytes %d-%d/%d" % (positions.start, positions.stop - 1, size)
    return Part(206, positions, content_range=shown)


def _matches(header: bytes | None, tag: bytes) -> bool:
    """If-None-Match, compared weakly (RFC 9110 section 13.1.2)."""
    if header is None:
        return False
    known = [one.strip().removeprefix(b"W/") for one in header.split(b",")]
    return known == [b"*"] or tag in known
