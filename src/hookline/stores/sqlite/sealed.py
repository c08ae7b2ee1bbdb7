"""Sealed values, rewritten row by row in bounded transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookline.ports import Resealed
from hookline.stores.sealed import TABLES, place_bytes, place_from

if TYPE_CHECKING:
    from collections.abc import Callable

    import apsw

    from hookline.stores.rows import Row
    from hookline.stores.sqlite.database import Database


class SqliteSealed:
    """ports.Sealed."""

    _db: Database

    async def reseal(
        self, table: str, *, after: bytes | None, limit: int, change: Callable[[bytes], bytes | None]
    ) -> Resealed:
        key, column = TABLES[table]
        place = place_from(after)
        keys, marks = ", ".join(key), ", ".join("?" * len(key))
        behind = "" if place is None else f"AND ({keys}) > ({marks})"
        select = f"SELECT {keys}, {column} FROM {table} WHERE {column} IS NOT NULL {behind} ORDER BY {keys} LIMIT ?"
        update = f"UPDATE {table} SET {column} = ? WHERE {' AND '.join(f'{name} = ?' for name in key)}"

        def work(cursor: apsw.Cursor) -> Resealed:
            rows: list[Row] = cursor.execute(select, (*(place or ()), limit)).fetchall()
            changed = 0
            for *found, value in rows:
                fresh = change(value)
                if fresh is not None:
                    cursor.execute(update, (fresh, *found))
                    changed += 1
            last = place_bytes(tuple(rows[-1][:-1])) if len(rows) == limit else None
            return Resealed(seen=len(rows), changed=changed, after=last)

        return await self._db.write(work)
