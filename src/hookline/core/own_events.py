"""Say what an event that somebody publishes must be: its type, its own id, its ordering key. Pure."""

from __future__ import annotations

import re
from typing import Final

from hookline.errors import InputError
from hookline.model.ids import OWN_EVENT_ID

# Patterns match printable types without spaces; "*" belongs to patterns.
EVENT_TYPE: Final = re.compile(r"[!-)+-~]{1,200}", re.ASCII)
_ORDERING_KEY: Final = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


def check_own_event(type_: str, *, id: str | None, ordering_key: str | None, at: str = "") -> None:
    """Raise InputError for the first text that does not fit. at: the event's path in what the caller sent."""
    if EVENT_TYPE.fullmatch(type_) is None:
        raise _unfit("type", "1 to 200 visible ASCII characters without *", at)
    if id is not None and OWN_EVENT_ID.fullmatch(id) is None:
        raise _unfit("id", "1 to 128 of A-Z a-z 0-9 . _ : -", at)
    if ordering_key is not None and _ORDERING_KEY.fullmatch(ordering_key) is None:
        raise _unfit("ordering_key", "1 to 200 characters, none of them a control character", at)


def _unfit(name: str, expected: str, at: str) -> InputError:
    return InputError(
        f"Field '{name}' must be {expected}",
        field=f"{at}.{name}" if at else name,
        expected=expected,
        received="string",
    )
