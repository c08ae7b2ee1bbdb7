"""Delete what is over, oldest first, in one bounded transaction a call.

An event goes when it is old, its fan-out is done and all its deliveries have ended before the line; an execution when
it ended before the line and no event of it is left. Rows are found by their age through BRIN indexes, which cost the
hot inserts nothing and make finding slower than on SQLite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hookline.stores.postgres.connection import Connection

_EVENTS: Final = """
WITH old AS MATERIALIZED (
    SELECT e.organization_id, e.key FROM events e
    WHERE e.received_at < $1
        AND NOT EXISTS (SELECT FROM fanouts f WHERE f.event_key = e.key)
        AND NOT EXISTS (SELECT FROM deliveries d
                        WHERE d.event_key = e.key AND (d.ended_at IS NULL OR d.ended_at >= $1))
        AND NOT EXISTS (SELECT FROM executions x WHERE x.id = e.execution_id AND x.completed_at IS NULL)
    LIMIT $2
), owed AS MATERIALIZED (
    SELECT d.webhook_id, d.id FROM old JOIN deliveries d ON d.event_key = old.key
), made AS (
    DELETE FROM attempts a USING owed WHERE a.delivery_id = owed.id RETURNING 1
), ended AS (
    DELETE FROM deliveries d USING owed WHERE d.webhook_id = owed.webhook_id AND d.id = owed.id RETURNING 1
), gone AS (
    DELETE FROM events e USING old WHERE e.organization_id = old.organization_id AND e.key = old.key RETURNING 1
)
SELECT (SELECT count(*) FROM made) + (SELECT count(*) FROM ended) + (SELECT count(*) FROM gone)
"""
_EXECUTIONS: Final = """
WITH old AS MATERIALIZED (
    SELECT x.id FROM executions x
    WHERE x.created_at < $1 AND x.completed_at < $1
        AND NOT EXISTS (SELECT FROM events e WHERE e.execution_id = x.id)
    LIMIT $2
), steps AS (
    DELETE FROM journal j USING old WHERE j.execution_id = old.id RETURNING 1
), lines AS (
    DELETE FROM logs l USING old WHERE l.execution_id = old.id RETURNING 1
), gone AS (
    DELETE FROM executions x USING old WHERE x.id = old.id RETURNING 1
)
SELECT (SELECT count(*) FROM steps) + (SELECT count(*) FROM lines) + (SELECT count(*) FROM gone)
"""
_REQUESTS: Final = """
WITH old AS MATERIALIZED (
    SELECT r.id FROM trigger_requests r
    WHERE r.received_at < $1 AND NOT EXISTS (SELECT FROM executions x WHERE x.id = r.execution_id)
    LIMIT $2
), gone AS (
    DELETE FROM trigger_requests r USING old WHERE r.id = old.id RETURNING 1
)
SELECT count(*) FROM gone
"""
_ONCES: Final = """
WITH old AS MATERIALIZED (
    SELECT scope, name FROM onces WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM onces o USING old WHERE o.scope = old.scope AND o.name = old.name RETURNING 1
)
SELECT count(*) FROM gone
"""
# Their claims were recovered long before; what still had their epoch would count as dead without the row, too.
_NODES: Final = "DELETE FROM nodes WHERE closed_at < $1"


async def prune(connection: Connection, *, before_ms: int, now_ms: int, limit: int) -> int:
    """Returns rows deleted; up to ``limit`` events, executions, requests and onces each."""
    deleted = 0
    async with connection.transaction():
        for sql in (_EVENTS, _EXECUTIONS, _REQUESTS):
            deleted += await connection.fetchval(sql, before_ms, limit) or 0
        deleted += await connection.fetchval(_ONCES, now_ms, limit) or 0
        await connection.execute(_NODES, before_ms)
    return deleted
