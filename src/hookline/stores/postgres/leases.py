"""Who is alive, by the database's clock: nodes' own clocks may differ by minutes without harm.

A claim is dead when no living node has its epoch. Taking over marks the node's row closed first, so a node that
slept learns it at its next renewal; what it still wrote meanwhile is refused row by row, because every claim it
held has another epoch by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from hookline.stores import rows
from hookline.stores.postgres import columns
from hookline.stores.postgres.columns import selected, transposed, unnest
from hookline.stores.postgres.connected import Connected

if TYPE_CHECKING:
    from datetime import timedelta

    from hookline.model.ids import Key
    from hookline.ports import Epoch
    from hookline.stores.postgres.connection import Connection

_RECOVERED_AT_ONCE: Final = 1_000

NOW_MS: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"

_OPEN: Final = f"INSERT INTO nodes (name, seen_at, lease_ms) VALUES ($1, {NOW_MS}, $2) RETURNING epoch"
_RENEW: Final = f"UPDATE nodes SET seen_at = {NOW_MS} WHERE epoch = $1 AND closed_at IS NULL RETURNING epoch"
_CLOSE: Final = f"UPDATE nodes SET closed_at = {NOW_MS} WHERE epoch = $1 AND closed_at IS NULL"
_CLOSE_EXPIRED: Final = f"""
UPDATE nodes SET closed_at = {NOW_MS}
WHERE closed_at IS NULL AND seen_at + lease_ms <= {NOW_MS} AND epoch <> $1
"""

_MICROS: Final = 1_000_000
_RESERVE_TIME: Final = """
WITH asked AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now
)
INSERT INTO paces (webhook_id, free_at, step) SELECT $1, asked.now + $2, $3 FROM asked
ON CONFLICT (webhook_id) DO UPDATE SET
    free_at = CASE WHEN paces.step = $3 THEN greatest(paces.free_at + $2, excluded.free_at) ELSE excluded.free_at END,
    step = $3
RETURNING free_at - $2 - (SELECT now FROM asked)
"""


def _dead_claims_sql(table: str) -> str:
    """A loose index scan: it visits each claiming epoch once, however many claims there are."""
    return f"""
    WITH RECURSIVE claiming(epoch) AS (
        (SELECT epoch FROM {table} WHERE epoch IS NOT NULL ORDER BY epoch LIMIT 1)
        UNION ALL
        SELECT (SELECT t.epoch FROM {table} t WHERE t.epoch > claiming.epoch ORDER BY t.epoch LIMIT 1)
        FROM claiming WHERE claiming.epoch IS NOT NULL
    )
    SELECT epoch FROM claiming
    WHERE epoch IS NOT NULL AND epoch <> $1
        AND NOT EXISTS (SELECT FROM nodes WHERE nodes.epoch = claiming.epoch AND nodes.closed_at IS NULL)
    """


_DEAD_CLAIMS: Final = {
    "deliveries": _dead_claims_sql("deliveries"),
    "executions": _dead_claims_sql("executions"),
}

_RELEASE: Final = f"""
WITH picked AS MATERIALIZED (
    SELECT webhook_id, id FROM deliveries WHERE epoch = ANY($1::bigint[])
    LIMIT {_RECOVERED_AT_ONCE} FOR UPDATE SKIP LOCKED
)
UPDATE deliveries d
SET state = 'pending', state_reason = NULL, epoch = NULL, next_attempt_at = $2,
    attempts_made = d.attempts_made + 1, interruptions = d.interruptions + 1,
    last_status = NULL, last_ms = 0
FROM picked WHERE d.webhook_id = picked.webhook_id AND d.id = picked.id
RETURNING d.id, d.attempts_made, d.lane
"""
_RECORD: Final = f"""
INSERT INTO attempts ({", ".join(columns.ATTEMPT)})
SELECT {selected(columns.ATTEMPT)} FROM {unnest(columns.ATTEMPT)}
ON CONFLICT DO NOTHING
"""


async def close_expired(connection: Connection, *, but: Epoch) -> None:
    """Mark nodes whose lease ran out as closed. but: the asking node, which is alive."""
    await connection.execute(_CLOSE_EXPIRED, but)


async def dead_claims(
    connection: Connection, table: Literal["deliveries", "executions"], *, but: Epoch
) -> list[Epoch]:
    """Epochs that hold claims in that table and belong to no living node."""
    return [row[0] for row in await connection.fetch(_DEAD_CLAIMS[table], but)]


class PostgresLeases(Connected):
    """``hookline.ports.Leases`` over the table ``nodes``."""

    async def open_node(self, name: str, *, lease: timedelta) -> Epoch:
        async with self._control.use() as connection:
            epoch: Any = await connection.fetchval(_OPEN, name, round(lease.total_seconds() * 1000))
        assert isinstance(epoch, int)
        return epoch

    async def renew(self, epoch: Epoch) -> bool:
        async with self._control.use() as connection:
            return await connection.fetchval(_RENEW, epoch) is not None

    async def close_node(self, epoch: Epoch) -> None:
        async with self._control.use() as connection:
            await connection.execute(_CLOSE, epoch)

    async def recover(self, epoch: Epoch) -> int:
        now = self._clock.now()
        async with self._control.use() as connection:
            await close_expired(connection, but=epoch)
            dead = await dead_claims(connection, "deliveries", but=epoch)
            if not dead:
                return 0
            async with connection.transaction():
                released = await connection.fetch(_RELEASE, dead, rows.to_ms(now))
                attempts = [
                    rows.attempt_row(rows.interrupted_attempt(row[0], number=row[1], lane=row[2], at=now))
                    for row in released
                ]
                await connection.execute(_RECORD, *transposed(attempts, columns.ATTEMPT))
                if released:
                    await connection.execute("SELECT pg_notify('hookline', 'deliveries')")
            return len(released)

    async def reserve_time(self, webhook_id: Key, count: int, interval: float) -> float:
        taken, step = round(count * interval * _MICROS), round(interval * _MICROS)
        async with self._control.use() as connection:
            wait: Any = await connection.fetchval(_RESERVE_TIME, webhook_id, taken, step)
        return float(max(0, wait)) / _MICROS
