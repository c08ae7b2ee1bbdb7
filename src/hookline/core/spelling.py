"""Read what strangers spell, in its one canonical spelling only.

A lax decoder takes many texts for the same bytes, and Python's ``int()`` takes ``+1``, ``1_0`` and Arabic digits:
whoever may choose among spellings can slip past a cache, a log search or another parser. Here there is one, or None.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from datetime import UTC, datetime
from typing import Final

from hookline.errors import InputError

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 -- the public prefix, not a secret
PUBLIC_KEY_PREFIX: Final = "whpk_"
PRIVATE_KEY_PREFIX: Final = "whsk_"

_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*", re.ASCII)
_SECONDS: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_MILLISECONDS: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


def strict_base64(text: str) -> bytes | None:
    """Decode padded base64 of the standard alphabet, else None."""
    try:
        decoded = a2b_base64(text.encode("ascii"), strict_mode=True)
    except (Base64Error, ValueError):
        return None
    return decoded if b2a_base64(decoded, newline=False).decode() == text else None


def strict_hex(text: str) -> bytes | None:
    """Decode lower-case hex, else None."""
    return bytes.fromhex(text) if _HEX.fullmatch(text) else None


def strict_instant(text: str, unit: str) -> float | None:
    """Read a time as seconds since 1970, else None.

    unit: ``s`` (1 to 12 digits), ``ms`` (1 to 15 digits) or ``iso8601`` (date, ``T``, time to the second at least,
    and ``Z`` or an offset).
    """
    if unit == "iso8601":
        if _INSTANT.fullmatch(text) is None:
            return None
        try:
            return datetime.fromisoformat(text).astimezone(UTC).timestamp()
        except (ValueError, OverflowError):
            return None
    if unit == "ms":
        return int(text) / 1000 if _MILLISECONDS.fullmatch(text) else None
    return float(text) if _SECONDS.fullmatch(text) else None


def text_key(secret: str) -> bytes:
    """Return the UTF-8 of a secret; a terminal may hand over bytes that are none, which then match nothing."""
    return secret.encode("utf-8", "surrogatepass")


def standard_key(secret: str, *, field: str = "secret") -> bytes:
    """Return the Standard Webhooks key: what ``whsec_`` stands before, decoded; without it the secret's UTF-8.

    Raises InputError, which never repeats the secret.
    """
    if not secret.startswith(SECRET_PREFIX):
        return text_key(secret)
    key = strict_base64(secret.removeprefix(SECRET_PREFIX))
    if not key:
        raise InputError(
            "After whsec_ a secret must be padded base64.",
            field=field,
            expected="whsec_ + padded base64",
            received="another text",
        )
    return key
