"""Reads by which the engine watches its work. They cost by what waits, not by how long the history is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.model.states import Lane
from hookline.ports import Batched, Collecting, Fanout, Waiting
from hookline.stores import rows
from hookline.stores.postgres.connected import Connected

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hookline.model.events import Event
    from hookline.model.executions import Ending
    from hookline.model.ids import Key
    from hookline.ports import Epoch

# A loose index scan: one step in the index of waiting rows for each lane, to the first that is due in it.
LANES: Final = """
WITH RECURSIVE lanes AS (
    (SELECT webhook_id, lane, next_attempt_at FROM deliveries WHERE next_attempt_at IS NOT NULL
     ORDER BY webhook_id, lane, next_attempt_at LIMIT 1)
    UNION ALL
    SELECT following.webhook_id, following.lane, following.next_attempt_at
    FROM lanes CROSS JOIN LATERAL (
        SELECT d.webhook_id, d.lane, d.next_attempt_at FROM deliveries d
        WHERE d.next_attempt_at IS NOT NULL AND (d.webhook_id, d.lane) > (lanes.webhook_id, lanes.lane)
        ORDER BY d.webhook_id, d.lane, d.next_attempt_at LIMIT 1
    ) following
)
"""
_WAITING: Final = LANES + "SELECT webhook_id, lane, next_attempt_at FROM lanes"

_BATCH_EVENTS: Final = f"""
SELECT {rows.listed(rows.EVENT, of="e")} FROM batch_items i
JOIN events e ON e.organization_id = $1 AND e.key = i.event_key
WHERE i.batch_id = $2 ORDER BY CASE WHEN i.ordering_key IS NULL THEN i.event_key END, e.seq
"""
_BATCHED: Final = f"""
SELECT i.webhook_id, {rows.listed(rows.DELIVERY, of="d")} FROM batch_items i
JOIN events e ON e.organization_id = $1 AND e.key = i.event_key
LEFT JOIN deliveries d ON d.webhook_id = i.webhook_id AND d.id = i.batch_id
WHERE i.event_key = $2 ORDER BY i.webhook_id
"""
_OWED: Final = """
SELECT event_key FROM deliveries WHERE webhook_id = $1 AND event_key = ANY($2::bytea[])
UNION SELECT event_key FROM batch_items WHERE webhook_id = $1 AND event_key = ANY($2::bytea[])
"""
_COLLECTING: Final = """
WITH RECURSIVE first(webhook_id, added_at) AS (
    (SELECT webhook_id, added_at FROM batch_items WHERE batch_id IS NULL ORDER BY webhook_id, event_key LIMIT 1)
    UNION ALL
    SELECT following.webhook_id, following.added_at FROM first CROSS JOIN LATERAL (
        SELECT i.webhook_id, i.added_at FROM batch_items i
        WHERE i.batch_id IS NULL AND i.webhook_id > first.webhook_id ORDER BY i.webhook_id, i.event_key LIMIT 1
    ) following
)
SELECT webhook_id, added_at FROM first
"""
_FANOUTS: Final = f"""
SELECT {rows.listed(rows.EVENT, of="e")}, f.after
FROM fanouts f JOIN events e ON e.organization_id = f.organization_id AND e.key = f.event_key
ORDER BY f.event_key LIMIT $1
"""
_NEXT_WAKE: Final = """
SELECT min(wake_at) FROM executions WHERE status = 'waiting' AND epoch IS NULL AND NOT is_blocked
"""
_OWN_EVENT_IDS: Final = """
SELECT key, own_id FROM events WHERE organization_id = $1 AND key = ANY($2) AND own_id IS NOT NULL
"""
_CLAIMED_DELIVERIES: Final = "SELECT id, organization_id FROM deliveries WHERE epoch = $1"
_CLAIMED_EXECUTIONS: Final = "SELECT id FROM executions WHERE epoch = $1"
_CANCEL_REQUESTED: Final = "SELECT id FROM executions WHERE epoch = $1 AND is_cancel_requested ORDER BY id"

_ENDINGS: Final = f"""
SELECT {rows.listed(rows.ENDING)} FROM executions
WHERE id = ANY($1::bytea[]) AND status NOT IN ('queued', 'running', 'waiting')
"""


class PostgresWatch(Connected):
    """The part of ``hookline.ports.Archive`` that serves the engine."""

    async def waiting(self) -> list[Waiting]:
        async with self._readers.use() as connection:
            found = await connection.fetch(_WAITING)
        return [Waiting(webhook_id=row[0], lane=Lane(row[1]), due_at=rows.from_ms(row[2])) for row in found]

    async def endings(self, ids: Sequence[Key]) -> list[Ending]:
        async with self._readers.use() as connection:
            found: list[Any] = await connection.fetch(_ENDINGS, list(ids))
        return [rows.ending_from(row) for row in found]

    async def batch_events(self, batch_id: Key, *, organization_id: Key) -> list[Event]:
        async with self._readers.use() as connection:
            found: list[Any] = await connection.fetch(_BATCH_EVENTS, organization_id, batch_id)
        return [rows.event_from(row) for row in found]

    async def batched(self, organization_id: Key, event_key: Key) -> list[Batched]:
        async with self._readers.use() as connection:
            found: list[Any] = await connection.fetch(_BATCHED, organization_id, event_key)
        return [
            Batched(
                webhook_id=row[0], delivery=None if row[1] is None else rows.delivery_from(tuple(row)[1:])
            )
            for row in found
        ]

    async def owed(self, webhook_id: Key, event_keys: Sequence[Key]) -> set[Key]:
        async with self._readers.use() as connection:
            found: list[Any] = await connection.fetch(_OWED, webhook_id, list(event_keys))
        return {row[0] for row in found}

    async def collecting(self) -> list[Collecting]:
        async with self._readers.use() as connection:
            found: list[Any] = await connection.fetch(_COLLECTING)
        return [Collecting(webhook_id=row[0], since=rows.from_ms(row[1])) for row in found]

    async def fanouts(self, *, limit: int = 100) -> list[Fanout]:
        async with self._readers.use() as connection:
            found: list[Any] = await connection.fetch(_FANOUTS, limit)
        return [Fanout(event=rows.event_from(row), after=row["after"]) for row in found]

    async def next_wake_at(self) -> datetime | None:
        async with self._readers.use() as connection:
            wake_ms: Any = await connection.fetchval(_NEXT_WAKE)
        return rows.maybe_at(wake_ms)

    async def cancel_requested(self, epoch: Epoch) -> list[Key]:
        async with self._readers.use() as connection:
            return [row[0] for row in await connection.fetch(_CANCEL_REQUESTED, epoch)]

    async def own_event_ids(self, organization_id: Key, event_keys: Sequence[Key]) -> dict[Key, str]:
        async with self._readers.use() as connection:
            found = await connection.fetch(_OWN_EVENT_IDS, organization_id, list(event_keys))
        return {row[0]: row[1] for row in found}

    async def claimed_deliveries(self, epoch: Epoch) -> list[tuple[Key, Key]]:
        async with self._readers.use() as connection:
            return [(row[0], row[1]) for row in await connection.fetch(_CLAIMED_DELIVERIES, epoch)]

    async def claimed_executions(self, epoch: Epoch) -> list[Key]:
        async with self._readers.use() as connection:
            return [row[0] for row in await connection.fetch(_CLAIMED_EXECUTIONS, epoch)]
