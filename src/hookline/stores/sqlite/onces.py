"""Answers of cold routes that must not be given twice: reserve, act, finish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.ports import Once, Repeat
from hookline.stores.rows import to_ms

if TYPE_CHECKING:
    import apsw

    from hookline.ports import Epoch
    from hookline.stores.rows import Row
    from hookline.stores.sqlite.database import Database

_FIND: Final = """
    SELECT o.digest, o.answer, n.epoch IS NOT NULL
    FROM onces AS o LEFT JOIN nodes AS n ON n.epoch = o.epoch AND n.closed_at IS NULL
    WHERE o.scope = ? AND o.name = ? AND o.expires_at > ?
"""
_RESERVE: Final = """
    INSERT OR REPLACE INTO onces (scope, name, digest, answer, epoch, expires_at) VALUES (?, ?, ?, NULL, ?, ?)
"""
_FINISH: Final = """
    UPDATE onces SET answer = ?, digest = ?, expires_at = ?
    WHERE scope = ? AND name = ? AND epoch = ? AND answer IS NULL
"""
_FORGET: Final = "DELETE FROM onces WHERE scope = ? AND name = ? AND epoch = ? AND answer IS NULL"


class SqliteOnces:
    """ports.Onces."""

    _db: Database

    async def reserve(self, once: Once, epoch: Epoch) -> Repeat | bool:
        now_ms = self._db.now_ms()

        def work(cursor: apsw.Cursor) -> Repeat | bool:
            found: list[Row] = cursor.execute(_FIND, (once.scope, once.name, now_ms)).fetchall()
            if found:
                digest, answer, is_holder_alive = found[0]
                if answer is not None:
                    return Repeat(answer=answer, is_same=digest == once.digest)
                if is_holder_alive:
                    return False
            cursor.execute(_RESERVE, (once.scope, once.name, once.digest, epoch, to_ms(once.expires_at)))
            return True

        return await self._db.write(work)

    async def finish(self, once: Once, epoch: Epoch) -> None:
        row = (once.answer, once.digest, to_ms(once.expires_at), once.scope, once.name, epoch)
        await self._db.write(lambda cursor: cursor.execute(_FINISH, row))

    async def forget(self, once: Once, epoch: Epoch) -> None:
        await self._db.write(lambda cursor: cursor.execute(_FORGET, (once.scope, once.name, epoch)))
