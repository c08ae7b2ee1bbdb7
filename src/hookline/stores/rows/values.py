"""What every row is made of: instants as integer milliseconds since 1970 UTC, header pairs as msgpack, column lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookline.model.ids import Key

Row = tuple[Any, ...]
"""Values in the order of the column list they belong to."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)

MINUTE_MS: Final = 60_000


@lru_cache(maxsize=1024)  # the rows of one event hold the same few instants
def to_ms(at: datetime) -> int:
    """Milliseconds since 1970 UTC. Exact: no float in between."""
    return (at - _EPOCH) // _MS


def from_ms(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def maybe_ms(at: datetime | None) -> int | None:
    return None if at is None else to_ms(at)


def maybe_at(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def first_key(at: datetime) -> Key:
    """The least key that can have been made at this instant: keys begin with their milliseconds (RFC 9562)."""
    return to_ms(at).to_bytes(6, "big") + bytes(10)


def listed(columns: Iterable[str], *, of: str | None = None) -> str:
    """Columns as SQL lists them. of: the table's alias, or None."""
    return ", ".join(columns if of is None else [f"{of}.{column}" for column in columns])


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(tuple[tuple[str, str], ...]).decode
_NO_HEADERS: Final = _pack(())


def pack_headers(headers: tuple[tuple[str, str], ...]) -> bytes:
    return _pack(headers) if headers else _NO_HEADERS


def unpack_headers(packed: bytes) -> tuple[tuple[str, str], ...]:
    return _unpack(packed)
