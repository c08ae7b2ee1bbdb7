"""Where sealed values stand, for both stores, and how far a walk through them has come.

A place is the primary key of the row that was read last, as opaque bytes: whoever walks keeps it, so a walk that was
ended by a crash goes on where it was.
"""

from __future__ import annotations

from typing import Final

import msgspec

TABLES: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "documents": (("kind", "id"), "document"),
    "document_revisions": (("kind", "id", "revision"), "document"),
    "onces": (("scope", "name"), "answer"),
}
"""Table to its primary key and the column that holds sealed values, or text with sealed values in it."""

Place = tuple[str | bytes | int, ...]


def place_from(after: bytes | None) -> Place | None:
    """Return the primary key of a place. Raises ValueError for what is none."""
    return None if after is None else tuple(msgspec.msgpack.decode(after))


def place_bytes(place: Place) -> bytes:
    return msgspec.msgpack.encode(place)
