"""Numbers for dashboards and metrics: totals, minutes, what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.ports import Backlog, Census, Totals
from hookline.stores import rows
from hookline.stores.postgres.connected import Connected
from hookline.stores.postgres.watch import LANES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hookline.model.ids import Key
    from hookline.ports import Minute

_TOTALS: Final = """
SELECT webhook_id, sum(delivered)::bigint, sum(exhausted)::bigint, max(last_delivery_at)
FROM webhook_totals WHERE webhook_id = ANY($1::bytea[]) GROUP BY webhook_id
"""
_MINUTES: Final = """
SELECT minute, what, sum(count)::bigint FROM webhook_minutes
WHERE webhook_id = $1 AND minute >= $2 AND minute < $3 GROUP BY minute, what ORDER BY minute
"""
_WEBHOOKS: Final = "SELECT id FROM documents WHERE kind = 'webhook' AND organization_id = $1"
_TRAFFIC: Final = f"""
SELECT minute, what, sum(count)::bigint FROM webhook_minutes
WHERE webhook_id IN ({_WEBHOOKS}) AND minute >= $2 AND minute < $3 GROUP BY minute, what ORDER BY minute
"""
_WAITING: Final = f"""
SELECT
    (SELECT count(*) FROM (
        SELECT FROM deliveries WHERE webhook_id IN ({_WEBHOOKS}) AND next_attempt_at IS NOT NULL LIMIT $2
    ) found) AS pending,
    (SELECT count(*) FROM (
        SELECT FROM deliveries WHERE webhook_id IN ({_WEBHOOKS}) AND state = 'held' LIMIT $2
    ) found) AS held
"""
_EXECUTIONS: Final = """
SELECT status, count(*) FROM (
    SELECT status FROM executions WHERE organization_id = $1 AND id >= $2 ORDER BY id DESC LIMIT $3
) found GROUP BY status
"""

_BACKLOG: Final = (
    LANES
    + """
SELECT
    (SELECT count(*) FROM (SELECT FROM deliveries WHERE next_attempt_at IS NOT NULL LIMIT $2) found) AS pending,
    (SELECT count(*) FROM (SELECT FROM deliveries WHERE epoch IS NOT NULL LIMIT $2) found) AS in_flight,
    (SELECT count(*) FROM (SELECT FROM deliveries WHERE state = 'held' LIMIT $2) found) AS held,
    (SELECT min(next_attempt_at) FROM lanes WHERE next_attempt_at <= $1) AS oldest_due_at,
    (SELECT count(*) FROM (
        SELECT FROM executions WHERE status = 'queued' AND epoch IS NULL LIMIT $2) found) AS unclaimed,
    (SELECT count(*) FROM (SELECT FROM executions WHERE status = 'waiting' LIMIT $2) found) AS waiting,
    (SELECT count(*) FROM executions WHERE epoch IS NOT NULL AND status = 'queued') AS claimed,
    (SELECT count(*) FROM executions WHERE epoch IS NOT NULL AND status = 'running') AS running
"""
)


class PostgresFigures(Connected):
    """``hookline.ports.Figures``."""

    async def totals(self, webhook_ids: Sequence[Key]) -> dict[Key, Totals]:
        async with self._readers.use() as connection:
            found = await connection.fetch(_TOTALS, list(webhook_ids))
        return {
            row[0]: Totals(delivered=row[1], exhausted=row[2], last_delivery_at=rows.maybe_at(row[3]))
            for row in found
        }

    async def minutes(self, webhook_id: Key, *, since: datetime, until: datetime) -> list[Minute]:
        async with self._readers.use() as connection:
            found: list[Any] = await connection.fetch(
                _MINUTES, webhook_id, rows.to_ms(since), rows.to_ms(until)
            )
        return rows.minutes_from(webhook_id, found)

    async def traffic(self, organization_id: Key, *, since: datetime, until: datetime) -> list[Minute]:
        async with self._readers.use() as connection:
            found: list[Any] = await connection.fetch(
                _TRAFFIC, organization_id, rows.to_ms(since), rows.to_ms(until)
            )
        return rows.minutes_from(None, found)

    async def census(self, organization_id: Key, *, since: datetime, ceiling: int = 10_000) -> Census:
        async with self._readers.use() as connection:
            waiting = await connection.fetchrow(_WAITING, organization_id, ceiling)
            executions = await connection.fetch(_EXECUTIONS, organization_id, rows.first_key(since), ceiling)
        assert waiting is not None
        return Census(
            pending=waiting["pending"],
            held=waiting["held"],
            executions={row[0]: row[1] for row in executions},
        )

    async def backlog(self, *, ceiling: int = 100_000) -> Backlog:
        now_ms = rows.to_ms(self._clock.now())
        async with self._readers.use() as connection:
            row = await connection.fetchrow(_BACKLOG, now_ms, ceiling)
        assert row is not None
        return Backlog(
            pending=row["pending"],
            in_flight=row["in_flight"],
            held=row["held"],
            oldest_due_at=rows.maybe_at(row["oldest_due_at"]),
            executions_queued=row["unclaimed"] + row["claimed"],
            executions_running=row["running"],
            executions_waiting=row["waiting"],
        )
