"""Which bytes does a Range header ask for (RFC 9110 section 14)?

One range only: a header with several, in other units or malformed is ignored, as the RFC allows, and the whole is
sent. Pure.
"""

from __future__ import annotations

import re
from typing import Final

_ONE_RANGE: Final = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.ASCII | re.IGNORECASE)


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
