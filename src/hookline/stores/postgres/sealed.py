"""Sealed values, rewritten row by row in bounded transactions. Rows are locked while they are rewritten, so a change by
another node waits and is not lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookline.ports import Resealed
from hookline.stores.postgres.connected import Connected
from hookline.stores.sealed import TABLES, place_bytes, place_from

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class PostgresSealed(Connected):
    """``hookline.ports.Sealed``."""

    async def reseal(
        self, table: str, *, after: bytes | None, limit: int, change: Callable[[bytes], bytes | None]
    ) -> Resealed:
        key, column = TABLES[table]
        place = place_from(after) or ()
        keys = ", ".join(key)
        marks = ", ".join(f"${number}" for number in range(2, 2 + len(key)))
        behind = f"AND ({keys}) > ({marks})" if place else ""
        # FOR UPDATE would lock in the order of the plan; by key, two walks cannot wait for each other.
        select = (
            f"SELECT {keys}, {column} FROM {table} WHERE {column} IS NOT NULL {behind} "
            f"ORDER BY {keys} LIMIT $1 FOR UPDATE"
        )
        where = " AND ".join(f"{name} = ${number}" for number, name in enumerate(key, 2))
        async with self._control.use() as connection, connection.transaction():
            rows: Sequence[Any] = await connection.fetch(select, limit, *place)
            fresh = [(change(row[-1]), *tuple(row)[:-1]) for row in rows]
            changed = [values for values in fresh if values[0] is not None]
            await connection.executemany(f"UPDATE {table} SET {column} = $1 WHERE {where}", changed)
        last = place_bytes(tuple(rows[-1])[:-1]) if len(rows) == limit else None
        return Resealed(seen=len(rows), changed=len(changed), after=last)
