"""Who is alive. The file's lock admits one process, so the newest epoch lives and all before it are dead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.stores import rows
from hookline.stores.rows import to_ms
from hookline.stores.sqlite.batch import INSERT_ATTEMPT

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    import apsw

    from hookline.model.ids import Key
    from hookline.ports import Epoch
    from hookline.stores.sqlite.database import Database

_RECOVER_AT_ONCE: Final = 1_000
_MOST_PACES: Final = 10_000
"""Webhooks whose time is remembered before those that have none reserved are forgotten."""

_VOID: Final = "UPDATE nodes SET closed_at = ? WHERE closed_at IS NULL"
_OPEN: Final = "INSERT INTO nodes (name, seen_at, lease_ms) VALUES (?, ?, ?) RETURNING epoch"
_RENEW: Final = "UPDATE nodes SET seen_at = ? WHERE epoch = ? AND closed_at IS NULL RETURNING 1"
_CLOSE: Final = "UPDATE nodes SET closed_at = ? WHERE epoch = ? AND closed_at IS NULL"
_IS_OPEN: Final = "SELECT 1 FROM nodes WHERE epoch = ? AND closed_at IS NULL"

_ORPHANS: Final = """
    SELECT rowid, id, attempts_made, lane FROM deliveries
    WHERE epoch IS NOT NULL AND epoch < ? ORDER BY epoch LIMIT ?
"""
_RELEASE: Final = """
    UPDATE deliveries SET
        state = 'pending', state_reason = NULL, next_attempt_at = ?, epoch = NULL,
        attempts_made = attempts_made + 1, interruptions = interruptions + 1, last_status = NULL, last_ms = 0
    WHERE rowid = ?
"""


class SqliteLeases:
    """ports.Leases."""

    _db: Database
    _paces: dict[Key, tuple[float, float]]
    """Of a webhook with a rate: until when its time is given out, and the interval by which it was."""

    async def open_node(self, name: str, *, lease: timedelta) -> Epoch:
        now_ms = self._db.now_ms()
        lease_ms = round(lease.total_seconds() * 1000)

        def work(cursor: apsw.Cursor) -> Epoch:
            cursor.execute(_VOID, (now_ms,))
            opened: list[rows.Row] = cursor.execute(_OPEN, (name, now_ms, lease_ms)).fetchall()
            return int(opened[0][0])

        return await self._db.write(work)

    async def renew(self, epoch: Epoch) -> bool:
        now_ms = self._db.now_ms()
        return await self._db.write(lambda cursor: bool(cursor.execute(_RENEW, (now_ms, epoch)).fetchall()))

    async def close_node(self, epoch: Epoch) -> None:
        now_ms = self._db.now_ms()
        await self._db.write(lambda cursor: cursor.execute(_CLOSE, (now_ms, epoch)))

    async def recover(self, epoch: Epoch) -> int:
        if self._db.read_one(_IS_OPEN, (epoch,)) is None:
            return 0
        if self._db.read_one(_ORPHANS, (epoch, 1)) is None:
            return 0  # asked every two seconds: nothing to do must cost nothing
        now = self._db.clock.now()
        return await self._db.write(lambda cursor: _release(cursor, epoch, now))

    async def reserve_time(self, webhook_id: Key, count: int, interval: float) -> float:
        # One process is the whole system, and what it promised a second ago is of no use after a restart.
        now = self._db.clock.elapsed()
        free_at, known = self._paces.get(webhook_id, (now, interval))
        begins = max(now, free_at) if known == interval else now
        if len(self._paces) >= _MOST_PACES:
            self._paces = {id_: pace for id_, pace in self._paces.items() if pace[0] > now}
        self._paces[webhook_id] = (begins + count * interval, interval)
        return begins - now


def _release(cursor: apsw.Cursor, epoch: Epoch, now: datetime) -> int:
    found: list[rows.Row] = cursor.execute(_ORPHANS, (epoch, _RECOVER_AT_ONCE)).fetchall()
    cursor.executemany(_RELEASE, [(to_ms(now), rowid) for rowid, _, _, _ in found])
    cursor.executemany(
        INSERT_ATTEMPT,
        [
            rows.attempt_row(rows.interrupted_attempt(id_, number=made + 1, lane=lane, at=now))
            for _, id_, made, lane in found
        ],
    )
    return len(found)
