"""Delete what is over of one organization that keeps its things shorter than the server does.

The same statements as for all, on pages of the organization's own keys: an index of ages would lead through what all
the others still keep. Places reached are remembered between calls, so that what must stay is not looked at again and
again; a walk that came to its end begins anew with the next call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from hookline.model.ids import Key
from hookline.stores.postgres.retention import (
    ALERTS,
    BATCHES,
    CONVERSATIONS,
    EVENTS,
    EXECUTIONS,
    MAILS,
    REQUESTS,
    sweep,
)

if TYPE_CHECKING:
    from hookline.stores.postgres.connection import Connection

_PAGE: Final = """
SELECT {key} AS key, {age} AS at FROM {table} WHERE organization_id = $1 AND {key} > $2 ORDER BY {key} LIMIT $3
"""


class _Walk(msgspec.Struct):
    """Goes over a table in the order of its keys. page: its SQL.  delete: what deletes the old of a page."""

    page: str
    delete: str
    after: Key = b""


def _walk(table: str, key: str, age: str, delete: str, alias: str) -> _Walk:
    own = f"AND {alias}.organization_id = $3 AND {alias}.{key} = ANY($4::bytea[])"
    return _Walk(_PAGE.format(table=table, key=key, age=age), delete.format(own=own))


_AT_ONCE: Final = 500


class OwnPruner:
    """One per organization."""

    def __init__(self, organization_id: Key) -> None:
        self._organization_id = organization_id
        self._walks = (
            _walk("events", "key", "received_at", EVENTS, "e"),
            _walk("deliveries", "id", "created_at", BATCHES, "d"),
            _walk("executions", "id", "created_at", EXECUTIONS, "x"),
            _walk("conversations", "id", "started_at", CONVERSATIONS, "c"),
            _walk("trigger_requests", "id", "received_at", REQUESTS, "r"),
        )

    def __repr__(self) -> str:
        return f"OwnPruner({self._organization_id.hex()})"

    async def prune(self, connection: Connection, *, before_ms: int, limit: int) -> int:
        """Returns rows deleted; about ``limit`` objects of each kind with what hangs on them."""
        deleted = 0
        for walk in self._walks:
            deleted += await self._along(walk, connection, before_ms, limit)
        for sql in (ALERTS, MAILS):
            own = sql.format(own="AND organization_id = $3")
            deleted += await sweep(connection, own, before_ms, limit, self._organization_id)
        return deleted

    async def _along(self, walk: _Walk, connection: Connection, before_ms: int, limit: int) -> int:
        found = deleted = 0
        while found < limit:
            most = min(limit - found, _AT_ONCE)
            page = await connection.fetch(walk.page, self._organization_id, walk.after, most)
            if not any(row["at"] < before_ms for row in page):
                walk.after = b""
                break
            keys = [row["key"] for row in page if row["at"] < before_ms]
            row = await connection.fetchrow(walk.delete, before_ms, len(keys), self._organization_id, keys)
            assert row is not None
            found += row["found"]
            deleted += row["deleted"]
            walk.after = page[-1]["key"]
        return deleted
