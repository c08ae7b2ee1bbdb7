"""Say once how a model type is kept: its columns, in their order, and how the value of each is written and read.

``Table(LogLine, position=AS_IS, at=INSTANT, …)`` is the column list, the way to a row and the way back, so none of the
three can disagree with another. It costs about half a microsecond a row more than to write all three out by hand.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from hookline.stores.rows.values import Row, from_ms, maybe_at, maybe_ms, pack_headers, to_ms, unpack_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from enum import Enum

T = TypeVar("T")


class Kept(NamedTuple):
    """How a kind of value is kept. write: to the column.  read: from it. None where both are the same."""

    write: Callable[[Any], Any] | None = None
    read: Callable[[Any], Any] | None = None


AS_IS: Final = Kept()
FLAG: Final = Kept(read=bool)
"""SQLite has no truth values; PostgreSQL's pass through unchanged."""
INSTANT: Final = Kept(to_ms, from_ms)
MAYBE_INSTANT: Final = Kept(maybe_ms, maybe_at)
HEADERS: Final = Kept(pack_headers, unpack_headers)


def one_of(enum: type[Enum]) -> Kept:
    """A member of a text or number enumeration, which is written as it is."""
    return Kept(read={member.value: member for member in enum}.__getitem__)


def maybe_json(made: type[Any]) -> Kept:
    """A value as JSON text, or None."""
    decode = msgspec.json.Decoder(made).decode
    return Kept(
        lambda value: None if value is None else msgspec.json.encode(value),
        lambda text: None if text is None else decode(text),
    )


class Table(Generic[T]):
    """columns: the names, which are those of the fields unless ``named`` says otherwise: column to field."""

    def __init__(self, made: type[T], *, named: dict[str, str] | None = None, **kept: Kept) -> None:
        self._made = made
        self.columns = tuple(kept)
        self._fields = tuple((named or {}).get(name, name) for name in kept)
        self._values = attrgetter(*self._fields)
        ways = list(zip(self._fields, kept.values(), strict=True))
        self._writes = [(place, way.write) for place, (_, way) in enumerate(ways) if way.write is not None]
        self._reads = [(field, way.read) for field, way in ways if way.read is not None]

    def __repr__(self) -> str:
        return f"Table({self._made.__name__}, {len(self.columns)} columns)"

    def row(self, value: T) -> Row:
        """The value in the order of ``columns``."""
        row = list(self._values(value))
        for place, write in self._writes:
            row[place] = write(row[place])
        return tuple(row)

    def value(self, row: Sequence[Any]) -> T:
        """The value of a row, which may have more columns behind its own."""
        fields = dict(zip(self._fields, row, strict=False))
        for field, read in self._reads:
            fields[field] = read(fields[field])
        return self._made(**fields)
