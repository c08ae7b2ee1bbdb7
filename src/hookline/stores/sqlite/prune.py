"""Delete what is old and ended, in steps so small that nobody who publishes notices (P16).

Freed pages are used again by SQLite; the file itself does not shrink. A delivery that waits, is held or is in flight
keeps its event however old it is. Places reached are remembered between calls, so that what must stay is not looked
at again and again; a sweep that came to its end begins anew with the next call. What an organization keeps shorter than
the others is found in the order of its own keys.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline import failpoints
from hookline.model.ids import Key
from hookline.stores.sqlite.ledger import EVENT_SEQ

if TYPE_CHECKING:
    from collections.abc import Callable

    import apsw

    from hookline.stores.rows import Row
    from hookline.stores.sqlite.database import Database

_LOOKED_AT: Final = 200
"""Events, executions or requests looked at in one transaction."""

_ROWS_AT_ONCE: Final = 500
"""Rows deleted in one transaction, give or take one object's: some 5 ms. What hangs on one object may take several."""

_KEEP_SEQ: Final = f"""
    INSERT OR REPLACE INTO meta (name, value)
    SELECT '{EVENT_SEQ}', CAST(CAST(max(seq) AS TEXT) AS BLOB) FROM events HAVING max(seq) IS NOT NULL
"""
_EVENTS: Final = "SELECT seq, received_at, seq, key FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
_OWN_EVENTS: Final = """
    SELECT key, received_at, seq, key FROM events WHERE key > ?1 AND organization_id = ?3 ORDER BY key LIMIT ?2
"""
IS_OWED: Final = """
    SELECT EXISTS (
            SELECT 1 FROM batch_items AS i LEFT JOIN deliveries AS d ON d.id = i.batch_id
            WHERE i.event_key = ?1
                AND (i.batch_id IS NULL OR (d.id IS NOT NULL AND (d.ended_at IS NULL OR d.ended_at >= ?2)))
        )
        OR EXISTS (SELECT 1 FROM deliveries WHERE event_key = ?1 AND (ended_at IS NULL OR ended_at >= ?2))
        OR EXISTS (SELECT 1 FROM fanouts WHERE event_key = ?1)
"""
_DELIVERIES: Final = "SELECT rowid, id FROM deliveries WHERE event_key = ? LIMIT ?"
_DELETE_ATTEMPTS: Final = "DELETE FROM attempts WHERE delivery_id = ?"
_DELETE_DELIVERY: Final = "DELETE FROM deliveries WHERE rowid = ?"
_DELETE_ITEMS: Final = "DELETE FROM batch_items WHERE event_key = ?"
_EMPTY_BATCHES: Final = """
    SELECT rowid, id FROM deliveries INDEXED BY deliveries_batches
    WHERE batch_id IS NOT NULL AND ended_at < ?
        AND NOT EXISTS (SELECT 1 FROM batch_items WHERE batch_items.batch_id = deliveries.batch_id)
    LIMIT ?
"""
_OWN_BATCHES: Final = """
    SELECT id, created_at, rowid, batch_id IS NOT NULL AND ended_at IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM batch_items WHERE batch_items.batch_id = deliveries.batch_id) AS is_empty,
        ended_at
    FROM deliveries WHERE id > ?1 AND organization_id = ?3 ORDER BY id LIMIT ?2
"""
_DELETE_EVENT: Final = "DELETE FROM events WHERE seq = ?"

_EXECUTIONS: Final = """
    SELECT id, created_at, completed_at, request_id, conversation_id FROM executions WHERE id > ? ORDER BY id LIMIT ?
"""
_OWN_EXECUTIONS: Final = """
    SELECT id, created_at, completed_at, request_id, conversation_id FROM executions
    WHERE id > ?1 AND organization_id = ?3 ORDER BY id LIMIT ?2
"""
_DELETE_ENTRIES: Final = """
    DELETE FROM journal WHERE position IN (SELECT position FROM journal WHERE execution_id = ? LIMIT ?)
"""
_DELETE_LINES: Final = """
    DELETE FROM logs WHERE execution_id = ?1
    AND position IN (SELECT position FROM logs WHERE execution_id = ?1 ORDER BY position LIMIT ?2)
"""
_DROP_BLOBS: Final = """
    INSERT OR IGNORE INTO dropped_blobs (blob_id) SELECT blob_id FROM artifacts WHERE execution_id = ?
"""
_DELETE_ARTIFACTS: Final = "DELETE FROM artifacts WHERE execution_id = ?"
_DELETE_EXECUTION: Final = "DELETE FROM executions WHERE id = ?"
_DELETE_MARKS: Final = "DELETE FROM onces WHERE scope = ?"
"""Of what it called (engine/calls.py)."""
_DELETE_REQUEST: Final = "DELETE FROM trigger_requests WHERE id = ?"
_DELETE_CONVERSATION: Final = """
    DELETE FROM conversations
    WHERE id = ?1 AND completed_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM executions WHERE conversation_id = ?1)
"""

_DELETE_CONVERSATIONS: Final = """
    DELETE FROM conversations WHERE id IN (
        SELECT id FROM conversations AS c INDEXED BY conversations_ended
        WHERE completed_at < ?1 AND NOT EXISTS (SELECT 1 FROM executions WHERE conversation_id = c.id)
            AND organization_id = coalesce(?3, organization_id) LIMIT ?2
    )
"""

_REQUESTS: Final = """
    SELECT id, received_at, EXISTS (SELECT 1 FROM executions WHERE executions.id = trigger_requests.execution_id)
    FROM trigger_requests WHERE id > ? ORDER BY id LIMIT ?
"""
_OWN_REQUESTS: Final = """
    SELECT id, received_at, EXISTS (SELECT 1 FROM executions WHERE executions.id = trigger_requests.execution_id)
    FROM trigger_requests WHERE id > ?1 AND organization_id = ?3 ORDER BY id LIMIT ?2
"""
_DELETE_ONCES: Final = """
    DELETE FROM onces WHERE (scope, name) IN (SELECT scope, name FROM onces WHERE expires_at <= ? LIMIT ?)
"""
_DELETE_ALERTS: Final = """
    DELETE FROM alerts WHERE rowid IN (
        SELECT rowid FROM alerts WHERE closed_at < ?1 AND organization_id = coalesce(?3, organization_id) LIMIT ?2
    )
"""
_DELETE_MAILS: Final = """
    DELETE FROM mails WHERE rowid IN (
        SELECT rowid FROM mails WHERE ended_at < ?1 AND organization_id = coalesce(?3, organization_id) LIMIT ?2
    )
"""
_NEXT_COUNTED: Final = "SELECT min(webhook_id) FROM webhook_minutes WHERE webhook_id > ?"
_DELETE_MINUTES: Final = """
    DELETE FROM webhook_minutes WHERE webhook_id = ?1 AND minute IN (
        SELECT DISTINCT minute FROM webhook_minutes WHERE webhook_id = ?1 AND minute < ?2 ORDER BY minute LIMIT ?3
    )
"""
_MINUTES_AT_ONCE: Final = 100
"""Each has some five counters a node."""


class _Step(msgspec.Struct):
    """What one transaction did. objects: whole ones deleted.  is_end: nothing old was left to look at."""

    objects: int = 0
    rows: int = 0
    is_end: bool = False


class _Walk(msgspec.Struct):
    """Goes over a table, oldest first. Its rows begin with their place and the instant that says how old they are.

    place: the latest that was looked at; begin: before the first.  organization_id: None for the rows of all.
    """

    sql: str
    begin: int | bytes
    organization_id: Key | None
    place: Any = None

    def page(self, cursor: apsw.Cursor, before_ms: int) -> list[Row] | None:
        """The next rows; None, and the walk begins anew, when none of them is old."""
        own = () if self.organization_id is None else (self.organization_id,)
        place = self.begin if self.place is None else self.place
        found: list[Row] = cursor.execute(self.sql, (place, _LOOKED_AT, *own)).fetchall()
        if any(row[1] < before_ms for row in found):
            return found
        self.place = None
        return None


class Pruner:
    """One per store, and one for each organization that keeps its own things shorter.

    organization_id: None for what is old whoever it is of. Its places are of no worth to another process: a restart
    begins anew.
    """

    def __init__(self, db: Database, organization_id: Key | None) -> None:
        self._db = db
        self._organization_id = own = organization_id
        self._events_walk = _Walk(_EVENTS, 0, own) if own is None else _Walk(_OWN_EVENTS, b"", own)
        self._executions_walk = _Walk(_EXECUTIONS if own is None else _OWN_EXECUTIONS, b"", own)
        self._requests_walk = _Walk(_REQUESTS if own is None else _OWN_REQUESTS, b"", own)
        self._batches_walk = _Walk(_OWN_BATCHES, b"", own)
        self._webhook_id: Key = b""

    def __repr__(self) -> str:
        return f"Pruner(events={self._events_walk.place})"

    async def prune(self, before_ms: int, limit: int) -> int:
        """Delete up to ``limit`` events, as many executions, requests and keys. Returns rows deleted."""
        is_of_all = self._organization_id is None
        deleted = 0
        for step in (
            self._events,
            _batches if is_of_all else self._own_batches,
            self._executions,
            self._conversations,
            self._requests,
            self._told,
        ):
            deleted += await self._sweep(step, before_ms, limit)
        if is_of_all:
            deleted += await self._sweep(self._minutes, before_ms, limit)
            deleted += await self._sweep(_onces, self._db.now_ms(), limit)
        return deleted

    async def _sweep(self, step: Callable[[apsw.Cursor, int, int], _Step], before_ms: int, limit: int) -> int:
        objects = deleted = 0
        while objects < limit:
            left = limit - objects
            done = await self._db.write(lambda cursor, left=left: step(cursor, before_ms, left))  # type: ignore[misc]
            objects += done.objects
            deleted += done.rows
            if done.is_end:
                break
            await asyncio.sleep(0)
        return deleted

    # --- events, with deliveries and attempts ---

    def _events(self, cursor: apsw.Cursor, before_ms: int, left: int) -> _Step:
        step = _Step()
        found = self._events_walk.page(cursor, before_ms)
        if found is None:
            step.is_end = True
            return step
        cursor.execute(_KEEP_SEQ)
        for place, received_at, seq, key in found:
            if step.objects >= left or step.rows >= _ROWS_AT_ONCE:
                break
            if received_at < before_ms and not cursor.execute(IS_OWED, (key, before_ms)).fetchall()[0][0]:
                step.rows += _delete_deliveries(cursor, key)
                if step.rows >= _ROWS_AT_ONCE:
                    break  # perhaps not all of them: look again
                step.rows += _delete(cursor, _DELETE_ITEMS, key)
                step.rows += _delete(cursor, _DELETE_EVENT, seq)
                step.objects += 1
            self._events_walk.place = place
        failpoints.hit("in_checkpoint")
        return step

    def _own_batches(self, cursor: apsw.Cursor, before_ms: int, left: int) -> _Step:
        """Deliveries of batches whose events are gone."""
        step = _Step()
        found = self._batches_walk.page(cursor, before_ms)
        if found is None:
            step.is_end = True
            return step
        for id_, _, rowid, is_empty, ended_at in found:
            if step.objects >= left or step.rows >= _ROWS_AT_ONCE:
                break
            if is_empty and ended_at < before_ms:
                step.rows += _delete_found(cursor, [(rowid, id_)])
                step.objects += 1
            self._batches_walk.place = id_
        return step

    # --- executions, with journal, logs, artifacts, marks, request and conversation ---

    def _executions(self, cursor: apsw.Cursor, before_ms: int, left: int) -> _Step:
        step = _Step()
        found = self._executions_walk.page(cursor, before_ms)
        if found is None:
            step.is_end = True
            return step
        for id_, _, completed_at, request_id, conversation_id in found:
            if step.objects >= left or step.rows >= _ROWS_AT_ONCE:
                break
            if completed_at is not None and completed_at < before_ms:
                step.rows += _delete(cursor, _DELETE_ENTRIES, id_, _ROWS_AT_ONCE)
                step.rows += _delete(cursor, _DELETE_LINES, id_, _ROWS_AT_ONCE)
                if step.rows >= _ROWS_AT_ONCE:
                    break  # perhaps not all of them: look again
                cursor.execute(_DROP_BLOBS, (id_,))
                step.rows += _delete(cursor, _DELETE_ARTIFACTS, id_)
                step.rows += _delete(cursor, _DELETE_MARKS, id_)
                step.rows += _delete(cursor, _DELETE_EXECUTION, id_)
                step.rows += _delete(cursor, _DELETE_REQUEST, request_id)
                step.rows += _delete(cursor, _DELETE_CONVERSATION, conversation_id)
                step.objects += 1
            self._executions_walk.place = id_
        return step

    def _conversations(self, cursor: apsw.Cursor, before_ms: int, left: int) -> _Step:
        """Delete those that ended and have no turn: what is left of turns goes with the last one."""
        most = min(left, _ROWS_AT_ONCE)
        deleted = _delete(cursor, _DELETE_CONVERSATIONS, before_ms, most, self._organization_id)
        return _Step(objects=deleted, rows=deleted, is_end=deleted == 0)

    # --- refused requests, counters, keys ---

    def _requests(self, cursor: apsw.Cursor, before_ms: int, left: int) -> _Step:
        """Requests that started something go with that execution, those that it stood for after it."""
        step = _Step()
        found = self._requests_walk.page(cursor, before_ms)
        if found is None:
            step.is_end = True
            return step
        for id_, received_at, is_of_one in found:
            if step.objects >= left:
                break
            if not is_of_one and received_at < before_ms:
                step.rows += _delete(cursor, _DELETE_REQUEST, id_)
                step.objects += 1
            self._requests_walk.place = id_
        return step

    def _told(self, cursor: apsw.Cursor, before_ms: int, left: int) -> _Step:
        """Delete alerts that were closed, and mails that ended."""
        deleted = 0
        for sql in (_DELETE_ALERTS, _DELETE_MAILS):
            deleted += _delete(cursor, sql, before_ms, min(left, _ROWS_AT_ONCE), self._organization_id)
        return _Step(objects=deleted, rows=deleted, is_end=deleted == 0)

    def _minutes(self, cursor: apsw.Cursor, before_ms: int, _left: int) -> _Step:
        """Counters of minutes that are over, one webhook after the other; the totals stay."""
        step = _Step()
        while step.rows < _ROWS_AT_ONCE:
            row = cursor.execute(_NEXT_COUNTED, (self._webhook_id,)).fetchall()[0]
            if row[0] is None:
                self._webhook_id = b""
                step.is_end = True
                break
            deleted = _delete(cursor, _DELETE_MINUTES, row[0], before_ms, _MINUTES_AT_ONCE)
            step.rows += deleted
            if deleted == 0:
                self._webhook_id = row[0]  # type: ignore[assignment]
        return step


def _batches(cursor: apsw.Cursor, before_ms: int, left: int) -> _Step:
    """Delete deliveries of batches whose events are gone."""
    found: list[Row] = cursor.execute(_EMPTY_BATCHES, (before_ms, min(left, _ROWS_AT_ONCE))).fetchall()
    deleted = _delete_found(cursor, found)
    return _Step(objects=len(found), rows=deleted, is_end=not found)


def _onces(cursor: apsw.Cursor, now_ms: int, left: int) -> _Step:
    deleted = _delete(cursor, _DELETE_ONCES, now_ms, min(left, _ROWS_AT_ONCE))
    return _Step(objects=deleted, rows=deleted, is_end=deleted == 0)


def _delete_deliveries(cursor: apsw.Cursor, event_key: Key) -> int:
    """Delete some of an event's deliveries with their attempts. Returns rows deleted."""
    return _delete_found(cursor, cursor.execute(_DELIVERIES, (event_key, _ROWS_AT_ONCE)).fetchall())


def _delete_found(cursor: apsw.Cursor, found: list[Row]) -> int:
    deleted = len(found)
    for _, id_ in found:
        deleted += _delete(cursor, _DELETE_ATTEMPTS, id_)
    cursor.executemany(_DELETE_DELIVERY, [(rowid,) for rowid, _ in found])
    return deleted


def _delete(cursor: apsw.Cursor, sql: str, *bindings: Any) -> int:
    cursor.execute(sql, bindings)
    return cursor.connection.changes()
