"""Search a long list by what no index serves, window by window; between two of them the loop serves others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from hookline.stores.rows import listed, to_ms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hookline.model.ids import Key
    from hookline.stores.rows import Row
    from hookline.stores.sqlite.database import Database

_WINDOW: Final = 5_000
"""Rows looked at in one step of a filtered list: some 10 ms when none matches."""

_LAST_KEY: Final = b"\xff" * 17
"""Sorts after every key."""


class Where:
    """Conditions that come with their values; an absent one asks nothing."""

    def __init__(self) -> None:
        self.conditions: list[str] = []
        self.values: list[Any] = []

    def __repr__(self) -> str:
        return f"Where({' AND '.join(self.conditions)!r})"

    def add(self, condition: str, *values: Any) -> None:
        self.conditions.append(condition)
        self.values += values

    def equals(self, column: str, value: Any) -> None:
        if value is not None:
            self.add(f"{column} = ?", value)

    def one_of(self, column: str, values: Sequence[str]) -> None:
        if values:
            self.add(f"{column} IN ({', '.join('?' * len(values))})", *values)

    def between(self, column: str, since: datetime | None, until: datetime | None) -> None:
        """Since is included, until is not."""
        if since is not None:
            self.add(f"{column} >= ?", to_ms(since))
        if until is not None:
            self.add(f"{column} < ?", to_ms(until))


class Search:
    """A list by id inside one index: what is asked of the index, and of each row."""

    def __init__(self, source: str, columns: tuple[str, ...], where: Where, *, id_column: str = "id") -> None:
        self.source = source
        self.columns = columns
        self.where = where
        self.condition = ""
        self._is_ascending = False
        self._id = id_column
        self._key = ""
        self._key_value: Any = None

    def __repr__(self) -> str:
        return f"Search({self.source!r}, {self._key!r}, {self.where!r})"

    def key(self, column: str, value: Any) -> None:
        """The column that the index begins with."""
        self._key, self._key_value = column, value

    async def run(
        self, db: Database, before: Key | None, limit: int, *, after: Key | None = None
    ) -> list[Row]:
        """Newest first, or oldest first those behind ``after``. A filter that no index serves is searched window by
        window.
        """
        self._is_ascending = after is not None
        start = (before or _LAST_KEY) if after is None else after
        if not self.where.conditions:
            return db.read(*self._page(start, limit))
        found: list[Row] = []
        while len(found) < limit:
            end = db.read_one(*self._window(start))
            found += db.read(*self._page(start, limit - len(found), up_to=end[0] if end else None))
            if end is None:
                break
            start = end[0]
            await asyncio.sleep(0)
        return found

    def _window(self, start: Key) -> tuple[str, Row]:
        """Asks for the id that ends the window beyond ``start``."""
        beyond, order = (">", "ASC") if self._is_ascending else ("<", "DESC")
        sql = f"""
            SELECT {self._id} FROM {self.source} WHERE {self._key} = ? AND {self._id} {beyond} ?{self.condition}
            ORDER BY {self._id} {order} LIMIT 1 OFFSET {_WINDOW - 1}
        """
        return sql, (self._key_value, start)

    def _page(self, start: Key, limit: int, *, up_to: Key | None = None) -> tuple[str, Row]:
        """Asks for the rows beyond ``start``, the one with ``up_to`` at the furthest; None for as far as they go."""
        conditions = "".join(f" AND {condition}" for condition in self.where.conditions)
        beyond, end, order = (">", "<=", "ASC") if self._is_ascending else ("<", ">=", "DESC")
        furthest = up_to or (_LAST_KEY if self._is_ascending else b"")
        sql = f"""
            SELECT {listed(self.columns)} FROM {self.source}
            WHERE {self._key} = ? AND {self._id} {beyond} ? AND {self._id} {end} ?{self.condition}{conditions}
            ORDER BY {self._id} {order} LIMIT ?
        """
        return sql, (self._key_value, start, furthest, *self.where.values, limit)
