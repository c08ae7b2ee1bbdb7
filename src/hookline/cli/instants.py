"""Options that name a time, as people say it: ``2h``, ``yesterday``, a date, or RFC 3339."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final

from cyclopts import Parameter, Token

from hookline.core.times import parse_rfc3339, rfc3339
from hookline.errors import InputError

_BACK: Final = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DAYS_AGO: Final = {"today": 0, "yesterday": 1}
_FORMS: Final = (
    "a time is written 2026-07-28T09:00:00Z, 2026-07-28 (midnight UTC), today, yesterday, or how long ago: 30s, 10m, "
    "2h, 7d, 1w"
)


def instant_of(text: str, *, now: datetime) -> str:
    """Return what was typed as RFC 3339; what is that already stays as it is. now: in UTC.

    Raises ValueError that names the forms.
    """
    try:
        if text in _DAYS_AGO:
            return _midnight(now.date() - timedelta(days=_DAYS_AGO[text]))
        if _DATE.fullmatch(text):
            return _midnight(date.fromisoformat(text))
        if back := _BACK.fullmatch(text):
            return rfc3339(now - timedelta(**{_UNITS[back[2]]: int(back[1])}))
        parse_rfc3339(text)
    except (ValueError, OverflowError, InputError) as error:
        raise ValueError(_FORMS) from error
    return text


def _midnight(day: date) -> str:
    return rfc3339(datetime.combine(day, time(), UTC))


def _read(_: Any, tokens: Sequence[Token]) -> str:
    return instant_of(tokens[0].value, now=datetime.now(UTC))


Instant = Annotated[str, Parameter(converter=_read)]
"""RFC 3339, whatever of the forms was typed."""
