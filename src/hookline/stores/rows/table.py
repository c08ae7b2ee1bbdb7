"""Say once how a model type is kept: its columns, in their order, and how the value of each is written and read.

``Table(LogLine, position=AS_IS, at=INSTANT, …)`` is the column list, the way to a row and the way back, so none of the
three can disagree with another. Both ways are written once as an expression, as dataclasses write an ``__init__``, so a
row costs what it would cost written out by hand.
"""

from __future__ import annotations

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
        fields = [(named or {}).get(name, name) for name in kept]
        writes = [way.write for way in kept.values()]
        reads = [way.read for way in kept.values()]
        self.row: Callable[[T], Row] = _function(
            "value", "({})", [f"{{}}(value.{field})" for field in fields], writes
        )
        """The value in the order of ``columns``."""
        self.value: Callable[[Sequence[Any]], T] = _function(
            "row",
            "made({})",
            [f"{field}={{}}(row[{place}])" for place, field in enumerate(fields)],
            reads,
            made,
        )
        """The value of a row, which may have more columns behind its own."""

    def __repr__(self) -> str:
        return f"Table({self._made.__name__}, {len(self.columns)} columns)"


def _function(
    argument: str,
    whole: str,
    parts: Sequence[str],
    ways: Sequence[Callable[[Any], Any] | None],
    made: type[Any] | None = None,
) -> Callable[[Any], Any]:
    """A function of one argument that joins parts, each put through its way.

    All of the text is ours: names of fields, which were names in a class before.
    """
    names: dict[str, Any] = {f"way_{place}": way for place, way in enumerate(ways) if way is not None}
    texts = [
        part.format("" if way is None else f"way_{place}")
        for place, (part, way) in enumerate(zip(parts, ways, strict=True))
    ]
    written = f"lambda {argument}: {whole.format(', '.join(texts) + ',')}"
    function: Callable[[Any], Any] = eval(written, names | {"made": made})  # noqa: S307 -- as the docstring says
    return function
