"""Rows of configuration documents: JSON beside the columns that every one has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from hookline.model.configuration import Document, Stored
from hookline.stores.rows.values import from_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

D = TypeVar("D", bound=Document)

STORED: Final = ("id", "organization_id", "revision", "created_at", "updated_at", "document")

_decoders: dict[type[Document], msgspec.json.Decoder[Any]] = {}


def document_json(document: Document) -> bytes:
    return msgspec.json.encode(document)


def document_from(kind: type[D], data: bytes) -> D:
    """Fields that this version does not know are left out, those it adds take their defaults."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    document: D = decoder.decode(data)
    return document


def stored_from(kind: type[D], row: Sequence[Any]) -> Stored[D]:
    return Stored(
        id=row[0],
        organization_id=row[1],
        revision=row[2],
        created_at=from_ms(row[3]),
        updated_at=from_ms(row[4]),
        document=document_from(kind, row[5]),
    )
