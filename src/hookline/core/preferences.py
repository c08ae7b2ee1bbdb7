"""Read a Prefer header (RFC 7240): what a caller would like, and need not get.

Pure. What cannot be read is as good as absent: a preference is never a reason to refuse a request.
"""

from __future__ import annotations

import re
from typing import Final

_ITEM: Final = re.compile(
    r"""\s*([!#$%&'*+.^_`|~0-9a-z-]+)\s*      # token
        (?:=\s*("(?:[^"\\]|\\.)*"|[^\s",;]*)\s*)?  # = word, quoted or not
        (?:;(?:[^",]|"(?:[^"\\]|\\.)*")*)?    # parameters, of which none is ours
    """,
    re.IGNORECASE | re.VERBOSE | re.ASCII,
)
_MOST_CHARACTERS: Final = 1_000


def preferences(header: str) -> dict[str, str]:
    """Return each preference with its value, names in lower case; the first of two of a name counts (section 2).

    A preference without a value has the empty one. A header that is malformed or too long has none.
    """
    found: dict[str, str] = {}
    place = 0
    if len(header) > _MOST_CHARACTERS:
        return found
    while place < len(header):
        item = _ITEM.match(header, place)
        if item is None or (item.end() < len(header) and header[item.end()] != ","):
            return {}
        found.setdefault(item[1].lower(), (item[2] or "").strip('"'))
        place = item.end() + 1
    return found


def whole_seconds(text: str) -> int | None:
    """Return delay-seconds (RFC 7240 section 4.3), None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
