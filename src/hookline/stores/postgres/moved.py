"""Notice that the database came here from another server, and set its events in order again.

The feed is told in the order of transactions, which each server counts by itself. After a dump is restored on another
one, events may bear numbers that this server has yet to count to: the feed would hide them, and show what is new before
what is old. They get one number below all others then, so that their own sequence orders them, and the ``era`` goes up,
which says of a reader's cursor by whose count it was made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.stores.postgres.connection import renamed

if TYPE_CHECKING:
    from hookline.stores.postgres.connection import Connection

FIRST_XID: Final = 3
"""Of the first transaction that any server counts."""

_LOCK_NUMBER: Final = 0x686F6F6B65726173  # "hookeras"
_SECONDS: Final = 3_600.0
"""The events are many, and another node may be at it."""

# What a statement sees was committed before its snapshot, so nothing that this server counted is at or past its end.
_IS_FOREIGN: Final = """
WITH RECURSIVE organizations AS (
    (SELECT organization_id FROM events ORDER BY organization_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT e.organization_id FROM events e
        WHERE e.organization_id > o.organization_id ORDER BY e.organization_id LIMIT 1
    ) FROM organizations o WHERE o.organization_id IS NOT NULL
)
SELECT EXISTS (
    SELECT FROM organizations o CROSS JOIN LATERAL (
        SELECT e.xid FROM events e WHERE e.organization_id = o.organization_id ORDER BY e.xid DESC, e.seq DESC LIMIT 1
    ) newest WHERE newest.xid >= pg_snapshot_xmax(pg_current_snapshot())
)
"""
_REORDER: Final = "UPDATE events SET xid = $1::text::xid8"
_NEXT_ERA: Final = "UPDATE feed_era SET era = era + 1"
_ERA: Final = "SELECT era FROM feed_era"


async def settle_in(connection: Connection) -> int:
    """Set the events in order if they came from another server; return the era. Raises StorageError."""
    with renamed():
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_NUMBER, timeout=_SECONDS)
            if await connection.fetchval(_IS_FOREIGN, timeout=_SECONDS):
                await connection.execute(_REORDER, str(FIRST_XID), timeout=_SECONDS)
                await connection.execute(_NEXT_ERA)
            return int(await connection.fetchval(_ERA))
