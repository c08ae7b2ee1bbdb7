"""A place in the events feed as opaque text, and back."""

from __future__ import annotations

import base64
import binascii

from hookline.errors import InputError


def cursor_text(position: bytes) -> str:
    """A place in the feed as opaque text."""
    return base64.urlsafe_b64encode(position).rstrip(b"=").decode("ascii")


def cursor_bytes(cursor: str) -> bytes:
    """Raises InputError for text that ``cursor_text`` did not make."""
    try:
        raw = cursor.encode("ascii")
        position = base64.b64decode(raw + b"=" * (-len(raw) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError) as exc:
        raise wrong_cursor() from exc
    if cursor_text(position) != cursor:
        raise wrong_cursor()
    return position


def wrong_cursor() -> InputError:
    return InputError(
        "The cursor is not one of ours.", field="after", expected="`next` of a page", received="string"
    )
