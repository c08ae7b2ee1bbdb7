"""Delete what is over, in transactions so small that none holds a connection or the feed for long (P16).

An event goes when it is old, its fan-out is done and all its deliveries have ended before the line; an execution when
it ended before the line and no event of it is left. Rows are found by their age through BRIN indexes, which cost the
hot inserts nothing and make finding slower than on SQLite. Autovacuum makes the space usable again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline import failpoints

if TYPE_CHECKING:
    from hookline.model.ids import Key
    from hookline.stores.postgres.connection import Connection

# {own}: nothing, or what leaves one organization's old things (``retention_own.py``).
EVENTS: Final = """
WITH old AS MATERIALIZED (
    SELECT e.organization_id, e.key FROM events e
    WHERE e.received_at < $1 {own}
        AND NOT EXISTS (SELECT FROM fanouts f WHERE f.event_key = e.key)
        AND NOT EXISTS (SELECT FROM deliveries d
                        WHERE d.event_key = e.key AND (d.ended_at IS NULL OR d.ended_at >= $1))
        AND NOT EXISTS (SELECT FROM batch_items i
                        LEFT JOIN deliveries d ON d.webhook_id = i.webhook_id AND d.id = i.batch_id
                        WHERE i.event_key = e.key
                            AND (i.batch_id IS NULL OR (d.id IS NOT NULL AND (d.ended_at IS NULL OR d.ended_at >= $1))))
    LIMIT $2
), owed AS MATERIALIZED (
    SELECT d.webhook_id, d.id FROM old JOIN deliveries d ON d.event_key = old.key
), made AS (
    DELETE FROM attempts a USING owed WHERE a.delivery_id = owed.id RETURNING 1
), ended AS (
    DELETE FROM deliveries d USING owed WHERE d.webhook_id = owed.webhook_id AND d.id = owed.id RETURNING 1
), left_batch AS (
    DELETE FROM batch_items i USING old WHERE i.event_key = old.key RETURNING 1
), gone AS (
    DELETE FROM events e USING old WHERE e.organization_id = old.organization_id AND e.key = old.key RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS found,
       (SELECT count(*) FROM made) + (SELECT count(*) FROM ended) + (SELECT count(*) FROM gone) AS deleted
"""
BATCHES: Final = """
WITH old AS MATERIALIZED (
    SELECT d.webhook_id, d.id FROM deliveries d
    WHERE d.batch_id IS NOT NULL AND d.ended_at < $1 {own}
        AND NOT EXISTS (SELECT FROM batch_items i WHERE i.batch_id = d.batch_id)
    LIMIT $2
), made AS (
    DELETE FROM attempts a USING old WHERE a.delivery_id = old.id RETURNING 1
), gone AS (
    DELETE FROM deliveries d USING old WHERE d.webhook_id = old.webhook_id AND d.id = old.id RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS found, (SELECT count(*) FROM made) + (SELECT count(*) FROM gone) AS deleted
"""
EXECUTIONS: Final = """
WITH old AS MATERIALIZED (
    SELECT x.id FROM executions x
    WHERE x.created_at < $1 AND x.completed_at < $1 {own}
        AND NOT EXISTS (SELECT FROM events e WHERE e.execution_id = x.id)
    LIMIT $2
), steps AS (
    DELETE FROM journal j USING old WHERE j.execution_id = old.id RETURNING 1
), lines AS (
    DELETE FROM logs l USING old WHERE l.execution_id = old.id RETURNING 1
), files AS (
    DELETE FROM artifacts a USING old WHERE a.execution_id = old.id RETURNING a.blob_id
), dropped AS (
    INSERT INTO dropped_blobs (blob_id) SELECT blob_id FROM files ON CONFLICT DO NOTHING
), marks AS (
    DELETE FROM onces o USING old WHERE o.scope = old.id RETURNING 1
), gone AS (
    DELETE FROM executions x USING old WHERE x.id = old.id RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS found,
       (SELECT count(*) FROM steps) + (SELECT count(*) FROM lines) + (SELECT count(*) FROM files)
           + (SELECT count(*) FROM marks) + (SELECT count(*) FROM gone) AS deleted
"""
CONVERSATIONS: Final = """
WITH old AS MATERIALIZED (
    SELECT c.id FROM conversations c
    WHERE c.completed_at < $1 {own} AND NOT EXISTS (SELECT FROM executions x WHERE x.conversation_id = c.id)
    LIMIT $2
), gone AS (
    DELETE FROM conversations c USING old WHERE c.id = old.id RETURNING 1
)
SELECT count(*) AS found, count(*) AS deleted FROM gone
"""
REQUESTS: Final = """
WITH old AS MATERIALIZED (
    SELECT r.id FROM trigger_requests r
    WHERE r.received_at < $1 {own} AND NOT EXISTS (SELECT FROM executions x WHERE x.id = r.execution_id)
    LIMIT $2
), gone AS (
    DELETE FROM trigger_requests r USING old WHERE r.id = old.id RETURNING 1
)
SELECT count(*) AS found, count(*) AS deleted FROM gone
"""
_ONCES: Final = """
WITH old AS MATERIALIZED (
    SELECT scope, name FROM onces WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM onces o USING old WHERE o.scope = old.scope AND o.name = old.name RETURNING 1
)
SELECT count(*) AS found, count(*) AS deleted FROM gone
"""
_MINUTES: Final = """
WITH RECURSIVE counted(webhook_id) AS (
    (SELECT webhook_id FROM webhook_minutes ORDER BY webhook_id LIMIT 1)
    UNION ALL
    SELECT (SELECT m.webhook_id FROM webhook_minutes m WHERE m.webhook_id > counted.webhook_id
            ORDER BY m.webhook_id LIMIT 1)
    FROM counted WHERE counted.webhook_id IS NOT NULL
), old AS MATERIALIZED (
    SELECT passed.* FROM counted CROSS JOIN LATERAL (
        SELECT m.webhook_id, m.minute, m.epoch, m.what FROM webhook_minutes m
        WHERE m.webhook_id = counted.webhook_id AND m.minute < $1 ORDER BY m.minute LIMIT $2
    ) passed LIMIT $2
), gone AS (
    DELETE FROM webhook_minutes m USING old
    WHERE m.webhook_id = old.webhook_id AND m.minute = old.minute AND m.epoch = old.epoch AND m.what = old.what
    RETURNING 1
)
SELECT count(*) AS found, count(*) AS deleted FROM gone
"""
ALERTS: Final = """
WITH gone AS (
    DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE closed_at < $1 {own} LIMIT $2) RETURNING 1
)
SELECT count(*) AS found, count(*) AS deleted FROM gone
"""
MAILS: Final = """
WITH gone AS (
    DELETE FROM mails WHERE id IN (SELECT id FROM mails WHERE ended_at < $1 {own} LIMIT $2) RETURNING 1
)
SELECT count(*) AS found, count(*) AS deleted FROM gone
"""
# Their claims were recovered long before; what still had their epoch would count as dead without the row, too.
_NODES: Final = "DELETE FROM nodes WHERE closed_at < $1"
_PACES: Final = "DELETE FROM paces WHERE free_at < $1::bigint * 1000"

_AT_ONCE: Final = 500
"""Objects deleted in one transaction: some 50 ms with what hangs on them."""


async def prune(connection: Connection, *, before_ms: int, now_ms: int, limit: int) -> int:
    """Returns rows deleted; up to ``limit`` objects of each kind with what hangs on them."""
    deleted = 0
    for sql in (EVENTS, BATCHES, EXECUTIONS, CONVERSATIONS, REQUESTS, ALERTS, MAILS):
        deleted += await sweep(connection, sql.format(own=""), before_ms, limit)
    deleted += await sweep(connection, _MINUTES, before_ms, limit)
    deleted += await sweep(connection, _ONCES, now_ms, limit)
    await connection.execute(_NODES, before_ms)
    await connection.execute(_PACES, before_ms)
    return deleted


async def sweep(connection: Connection, sql: str, line_ms: int, limit: int, *own: Key) -> int:
    """Run one deletion step by step until nothing old is left or the limit is reached. own: what {own} asks for."""
    deleted = 0
    while limit > 0:
        step = min(limit, _AT_ONCE)
        row = await connection.fetchrow(sql, line_ms, step, *own)
        assert row is not None
        deleted += row["deleted"]
        limit -= step
        failpoints.hit("in_checkpoint")
        if row["found"] < step:
            break
    return deleted
