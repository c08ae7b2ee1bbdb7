"""Carry bytes through JSON, so that nothing a caller sent can pass for bytes.

Bytes are written ``{"$base64": "…"}``. An object of a caller's that has exactly such a form is written inside
``{"$plain": …}``, and comes out as the object that it is.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any, Final

BYTES: Final = "$base64"
PLAIN: Final = "$plain"
_OURS: Final = frozenset({BYTES, PLAIN})


def wrapped(value: Any) -> Any:
    """Return a value of JSON's types and bytes as one of JSON's types alone."""
    if isinstance(value, bytes | bytearray):
        return {BYTES: b64encode(value).decode("ascii")}
    if isinstance(value, dict):
        found = {name: wrapped(item) for name, item in value.items()}
        return {PLAIN: found} if len(found) == 1 and not _OURS.isdisjoint(found) else found
    if isinstance(value, list | tuple):
        return [wrapped(item) for item in value]
    return value


def unwrapped(value: Any) -> Any:
    """Return what ``wrapped`` was given. Raises ValueError for what it never returns."""
    if isinstance(value, dict):
        if len(value) == 1:
            ((name, item),) = value.items()
            if name == BYTES and isinstance(item, str):
                return b64decode(item, validate=True)
            if name == PLAIN and isinstance(item, dict):
                return {key: unwrapped(inner) for key, inner in item.items()}
        return {name: unwrapped(item) for name, item in value.items()}
    if isinstance(value, list):
        return [unwrapped(item) for item in value]
    return value


def must_be_wrapped(value: Any) -> bool:
    """Say whether a value of JSON's types holds an object that would be read as something else."""
    if isinstance(value, dict):
        return (len(value) == 1 and not _OURS.isdisjoint(value)) or any(map(must_be_wrapped, value.values()))
    return isinstance(value, list) and any(map(must_be_wrapped, value))
