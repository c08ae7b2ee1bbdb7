"""Say what an event that somebody publishes must be: its type, its own id, its ordering key. Pure."""

from __future__ import annotations

import re
from typing import Final

from hookline.core.canonical import type_name
from hookline.errors import InputError
from hookline.model.ids import OWN_EVENT_ID

# Patterns match printable types without spaces; "*" belongs to patterns.
EVENT_TYPE: Final = re.compile(r"[!-)+-~]{1,200}", re.ASCII)
_ORDERING_KEY: Final = re.compile(r"[^\x00-\x1f\x7f]{1,200}")

_RULES: Final = (
    ("type", EVENT_TYPE, "1 to 200 visible ASCII characters without *"),
    ("id", OWN_EVENT_ID, "1 to 128 of A-Z a-z 0-9 . _ : -"),
    ("ordering_key", _ORDERING_KEY, "1 to 200 characters, none of them a control character"),
)


def check_own_event(type_: str, *, id: str | None, ordering_key: str | None, at: str = "") -> None:
    """Raise InputError for the first text that does not fit. at: the event's path in what the caller sent."""
    for (name, pattern, expected), value in zip(_RULES, (type_, id, ordering_key), strict=True):
        if value is not None and pattern.fullmatch(value) is None:
            raise InputError(
                f"Field '{name}' must be {expected}",
                field=f"{at}.{name}" if at else name,
                expected=expected,
                received=type_name(value),
            )
