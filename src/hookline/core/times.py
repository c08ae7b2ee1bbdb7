"""Write and read instants as people and programs see them: RFC 3339, UTC, milliseconds, ``Z``.

This module never reads a clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from hookline.errors import InputError

_SHAPE: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:)(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)


@lru_cache(maxsize=1024)  # what happens in one millisecond has one instant, written several times
def rfc3339(instant: datetime) -> str:
    """Return ``2024-01-15T10:30:00.000Z``; below a millisecond is cut off. instant: aware, else ValueError."""
    if instant.tzinfo is not UTC:
        if instant.tzinfo is None:
            raise ValueError("an instant must be aware of its time zone")
        instant = instant.astimezone(UTC)
    # Slicing off "+00:00" is three times as fast as strftime.
    return instant.isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_rfc3339(text: str, *, field: str | None = None) -> datetime:
    """Return the instant in UTC, cut to whole milliseconds. Raises InputError for anything but RFC 3339 section 5.6.

    A leap second is the first instant of the next minute: our clocks have no name for it.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise _bad(field)
    day, minute, second, fraction, sign, hours, minutes = match.groups()
    milliseconds = int((fraction or "0")[:3].ljust(3, "0"))
    offset = timedelta(hours=int(hours), minutes=int(minutes)) if sign else timedelta()
    if second == "60":
        second, milliseconds = "59", 1000
    try:
        local = datetime.fromisoformat(f"{day}T{minute}{second}+00:00") + timedelta(milliseconds=milliseconds)
        return local + offset if sign == "-" else local - offset
    except (ValueError, OverflowError) as exc:
        raise _bad(field) from exc


def _bad(field: str | None) -> InputError:
    return InputError(
        "The time must look like 2024-01-15T10:30:00.000Z.",
        field=field,
        expected="RFC 3339 time",
        received="string",
    )
