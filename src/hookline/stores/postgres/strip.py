"""Empty the payloads of what is old and ended, and tell about how much is stored.

That it happened, when, to whom and with what answer, stays. An organization's events are walked in the order of their
keys, which its primary key serves. What is stored is estimated from a sample of each table's pages: the size of a
database says nothing, because deleted rows leave room in it that is used again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.ports import Stripped

if TYPE_CHECKING:
    from hookline.model.ids import Key
    from hookline.stores.postgres.connection import Connection

_STRIP: Final = """
WITH page AS MATERIALIZED (
    SELECT key, received_at, octet_length(data) AS size FROM events
    WHERE organization_id = $1 AND key > $2 ORDER BY key LIMIT $3
), old AS MATERIALIZED (
    SELECT page.key, page.size FROM page
    WHERE page.received_at < $4 AND page.size > 0
        AND NOT EXISTS (SELECT FROM fanouts f WHERE f.event_key = page.key)
        AND NOT EXISTS (SELECT FROM deliveries d WHERE d.event_key = page.key AND d.ended_at IS NULL)
        AND NOT EXISTS (SELECT FROM batch_items i
                        LEFT JOIN deliveries d ON d.webhook_id = i.webhook_id AND d.id = i.batch_id
                        WHERE i.event_key = page.key
                            AND (i.batch_id IS NULL OR (d.id IS NOT NULL AND d.ended_at IS NULL)))
), owed AS MATERIALIZED (
    SELECT d.webhook_id, d.id, coalesce(octet_length(d.body), 0) AS size
    FROM old JOIN deliveries d ON d.event_key = old.key
    UNION
    SELECT d.webhook_id, d.id, coalesce(octet_length(d.body), 0)
    FROM old JOIN batch_items i ON i.event_key = old.key
    JOIN deliveries d ON d.webhook_id = i.webhook_id AND d.id = i.batch_id
), answered AS MATERIALIZED (
    SELECT a.delivery_id, a.number, octet_length(a.response_body) AS size
    FROM owed JOIN attempts a ON a.delivery_id = owed.id WHERE octet_length(a.response_body) > 0
), events_emptied AS (
    UPDATE events e SET data = '' FROM old WHERE e.organization_id = $1 AND e.key = old.key
), deliveries_emptied AS (
    UPDATE deliveries d SET body = NULL FROM owed
    WHERE d.webhook_id = owed.webhook_id AND d.id = owed.id AND owed.size > 0
), answers_emptied AS (
    UPDATE attempts a SET response_body = '' FROM answered
    WHERE a.delivery_id = answered.delivery_id AND a.number = answered.number
)
SELECT
    (SELECT key FROM page WHERE received_at < $4 ORDER BY key DESC LIMIT 1) AS after,
    (SELECT count(*) FROM page WHERE received_at < $4) AS looked_at,
    coalesce((SELECT sum(size) FROM old), 0)::bigint + coalesce((SELECT sum(size) FROM owed), 0)::bigint
        + coalesce((SELECT sum(size) FROM answered), 0)::bigint AS freed
"""

_SAMPLED_PAGES: Final = 500.0
_ROW_BYTES: Final = 200
"""Of a row besides its payloads, about."""

_PAYLOADS: Final = {
    "events": ("data",),
    "deliveries": ("body",),
    "attempts": ("request_headers", "response_headers", "response_body"),
    "executions": ("input", "trigger", "output"),
    "journal": ("value",),
    "logs": ("text", "fields"),
    "trigger_requests": ("body",),
}


def _size_sql(table: str, columns: tuple[str, ...]) -> str:
    widths = " + ".join([f"coalesce(octet_length({column}), 0)" for column in columns])
    return f"SELECT coalesce(sum({_ROW_BYTES} + {widths}), 0)::bigint FROM {table} TABLESAMPLE SYSTEM ($1)"


_SIZES: Final = {table: _size_sql(table, columns) for table, columns in _PAYLOADS.items()}
_PAGES: Final = "SELECT pg_relation_size($1::text::regclass) / 8192"


async def strip(
    connection: Connection, organization_id: Key, after: Key, before_ms: int, limit: int
) -> Stripped:
    """Look at up to ``limit`` events, oldest first; see ``ports.Keeping``."""
    row: Any = await connection.fetchrow(_STRIP, organization_id, after, limit, before_ms)
    return Stripped(after=row["after"] or after, is_end=row["looked_at"] < limit, freed=row["freed"])


async def stored_bytes(connection: Connection) -> int:
    """About how much is stored, without indexes."""
    total = 0
    for table, sql in _SIZES.items():
        pages: Any = await connection.fetchval(_PAGES, table)
        share = min(100.0, 100.0 * _SAMPLED_PAGES / max(1, pages))
        found: Any = await connection.fetchval(sql, share)
        total += round(found * 100.0 / share)
    return total
