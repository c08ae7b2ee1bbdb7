"""Numbers for dashboards and metrics: totals, minutes, what waits. Each query is short, and others come in between."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from hookline.ports import Backlog, Census, Totals
from hookline.stores.rows import first_key, maybe_at, minutes_from, to_ms
from hookline.stores.sqlite.archive import SqliteArchive

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hookline.model.ids import Key
    from hookline.ports import Minute

_TOTALS: Final = """
    SELECT sum(delivered), sum(exhausted), max(last_delivery_at) FROM webhook_totals WHERE webhook_id = ?
"""
_MINUTES: Final = """
    SELECT minute, what, sum(count) FROM webhook_minutes
    WHERE webhook_id = ? AND minute >= ? AND minute < ? GROUP BY minute, what ORDER BY minute
"""
_WEBHOOKS: Final = "SELECT id FROM documents WHERE kind = 'webhook' AND organization_id = ?"
_TRAFFIC: Final = f"""
    SELECT minute, what, sum(count) FROM webhook_minutes
    WHERE webhook_id IN ({_WEBHOOKS}) AND minute >= ? AND minute < ? GROUP BY minute, what ORDER BY minute
"""

_COUNT: Final = "SELECT count(*) FROM (SELECT 1 FROM {} LIMIT ?)"
_PENDING: Final = _COUNT.format("deliveries INDEXED BY deliveries_waiting WHERE next_attempt_at IS NOT NULL")
_IN_FLIGHT: Final = _COUNT.format("deliveries INDEXED BY deliveries_claimed WHERE epoch IS NOT NULL")
_HELD: Final = _COUNT.format("deliveries INDEXED BY deliveries_held WHERE state = 'held'")
_RUNNING: Final = _COUNT.format(
    "executions INDEXED BY executions_unfinished WHERE status IN ('queued', 'running', 'waiting') AND status = ?"
)
_OWN_PENDING: Final = _COUNT.format(
    f"deliveries INDEXED BY deliveries_waiting WHERE webhook_id IN ({_WEBHOOKS}) AND next_attempt_at IS NOT NULL"
)
_OWN_HELD: Final = _COUNT.format(
    f"deliveries INDEXED BY deliveries_held WHERE webhook_id IN ({_WEBHOOKS}) AND state = 'held'"
)
_EXECUTIONS: Final = """
    SELECT status, count(*) FROM (
        SELECT status FROM executions INDEXED BY executions_of_organization
        WHERE organization_id = ? AND id >= ? ORDER BY id DESC LIMIT ?
    ) GROUP BY status
"""

_AT_ONCE: Final = 100
"""Webhooks that are asked for before others come in between."""

_SLICE: Final = timedelta(hours=6)
"""How much of a window one query reads."""


class SqliteFigures(SqliteArchive):
    """ports.Figures, over what the archive knows of waiting lanes."""

    async def totals(self, webhook_ids: Sequence[Key]) -> dict[Key, Totals]:
        found = {}
        for place, webhook_id in enumerate(webhook_ids, start=1):
            row = self._db.read_one(_TOTALS, (webhook_id,))
            if row is not None and row[0] is not None:
                found[webhook_id] = Totals(
                    delivered=row[0], exhausted=row[1], last_delivery_at=maybe_at(row[2])
                )
            if place % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return found

    async def minutes(self, webhook_id: Key, *, since: datetime, until: datetime) -> list[Minute]:
        return await self._minutes(webhook_id, _MINUTES, webhook_id, since, until)

    async def traffic(self, organization_id: Key, *, since: datetime, until: datetime) -> list[Minute]:
        return await self._minutes(None, _TRAFFIC, organization_id, since, until)

    async def _minutes(
        self, webhook_id: Key | None, sql: str, whose: Key, since: datetime, until: datetime
    ) -> list[Minute]:
        found: list[Minute] = []
        while since < until:
            end = min(since + _SLICE, until)
            found += minutes_from(webhook_id, self._db.read(sql, (whose, to_ms(since), to_ms(end))))
            since = end
            await asyncio.sleep(0)
        return found

    async def census(self, organization_id: Key, *, since: datetime, ceiling: int = 10_000) -> Census:
        pending = self._count(_OWN_PENDING, organization_id, ceiling)
        await asyncio.sleep(0)
        held = self._count(_OWN_HELD, organization_id, ceiling)
        await asyncio.sleep(0)
        executions = self._db.read(_EXECUTIONS, (organization_id, first_key(since), ceiling))
        return Census(pending=pending, held=held, executions=dict(executions))

    async def backlog(self, *, ceiling: int = 100_000) -> Backlog:
        pending = self._count(_PENDING, ceiling)
        await asyncio.sleep(0)
        held = self._count(_HELD, ceiling)
        await asyncio.sleep(0)
        due_at = min([waiting.due_at for waiting in await self.waiting()], default=None)
        return Backlog(
            pending=pending,
            in_flight=self._count(_IN_FLIGHT, ceiling),
            held=held,
            oldest_due_at=due_at if due_at is not None and due_at <= self._db.clock.now() else None,
            executions_queued=self._count(_RUNNING, "queued", ceiling),
            executions_running=self._count(_RUNNING, "running", ceiling),
            executions_waiting=self._count(_RUNNING, "waiting", ceiling),
        )

    def _count(self, sql: str, *bindings: Any) -> int:
        row = self._db.read_one(sql, bindings)
        assert row is not None
        return int(row[0])
