"""Ordered deliveries: of one webhook and key only the first that has not ended can be claimed (PROMISES P6).

The first waits with a time as any other does; those behind it have none, so no claim finds them. Whatever inserts,
ends or moves ordered deliveries gives the time on, in its own transaction, and holds the webhook's advisory lock
until that ends: else one node could end the first of a line while another puts a second behind it, and neither
would give the time on.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from hookline.stores import rows
from hookline.stores.postgres.columns import transposed, unnest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookline.model.events import Delivery
    from hookline.model.ids import Key
    from hookline.stores.postgres.batch import Batch
    from hookline.stores.postgres.connection import Connection

_LOCK: Final = "SELECT pg_advisory_xact_lock(number) FROM unnest($1::bigint[]) AS given(number)"
_PLACED: Final = {"webhook_id": "bytea", "id": "bytea"}
_PLACE: Final = f"""
UPDATE deliveries d SET next_attempt_at = NULL, position = e.seq
FROM {unnest(_PLACED)}, events e
WHERE d.webhook_id = given.webhook_id AND d.id = given.id AND d.position IS NULL
    AND e.organization_id = d.organization_id AND e.key = d.event_key
"""
_LINE: Final = {"webhook_id": "bytea", "ordering_key": "text", "due": "bigint"}
_RELEASE: Final = f"""
UPDATE deliveries d SET next_attempt_at = given.due
FROM {unnest(_LINE)}
WHERE d.webhook_id = given.webhook_id AND d.state = 'pending' AND d.next_attempt_at IS NULL AND d.id = (
    SELECT id FROM deliveries line
    WHERE line.webhook_id = given.webhook_id AND line.ordering_key = given.ordering_key AND line.ended_at IS NULL
    ORDER BY line.position LIMIT 1
)
"""
_REJOIN: Final = "UPDATE deliveries SET next_attempt_at = NULL WHERE webhook_id = $1 AND id = $2"
_STEP_BACK: Final = """
UPDATE deliveries SET next_attempt_at = NULL
WHERE webhook_id = $1 AND state = 'pending' AND next_attempt_at IS NOT NULL AND id = (
    SELECT id FROM deliveries WHERE webhook_id = $1 AND ordering_key = $2 AND ended_at IS NULL
    ORDER BY position LIMIT 1 OFFSET 1
)
"""
_IS_ORDERED: Final = """
SELECT EXISTS (
    SELECT FROM deliveries WHERE webhook_id = $1 AND ordering_key IS NOT NULL AND ended_at IS NULL
)
"""
_EARLIER: Final = """
EXISTS (
    SELECT FROM deliveries earlier
    WHERE earlier.webhook_id = d.webhook_id AND earlier.ordering_key = d.ordering_key
        AND earlier.ended_at IS NULL AND earlier.position < d.position
)
"""
_OF_WEBHOOK: Final = "webhook_id = $1 AND ordering_key IS NOT NULL AND ended_at IS NULL AND state = 'pending'"
_DEMOTE: Final = f"""
UPDATE deliveries d SET next_attempt_at = NULL WHERE {_OF_WEBHOOK} AND next_attempt_at IS NOT NULL AND {_EARLIER}
"""
_PROMOTE: Final = f"""
UPDATE deliveries d SET next_attempt_at = $2 WHERE {_OF_WEBHOOK} AND next_attempt_at IS NULL AND NOT {_EARLIER}
"""


async def lock(connection: Connection, webhook_ids: Iterable[Key]) -> None:
    """Hold these webhooks' lines until the transaction ends. Taken in one order by everyone."""
    digests = {hashlib.blake2b(id_, digest_size=8).digest() for id_ in webhook_ids}
    numbers = sorted(int.from_bytes(one, signed=True) for one in digests)
    if numbers:
        await connection.execute(_LOCK, numbers)


async def place(connection: Connection, batch: Batch, inserted: Iterable[Delivery]) -> None:
    """Put new deliveries in line; the first of each line gets its time. The lock is held."""
    placed, lines = [], {}
    for delivery in inserted:
        assert delivery.ordering_key is not None
        placed.append((delivery.webhook_id, delivery.id))
        if delivery.next_attempt_at is not None:
            line = (delivery.webhook_id, delivery.ordering_key)
            lines[line] = (*line, rows.to_ms(delivery.next_attempt_at))
    await connection.execute(_PLACE, *transposed(placed, _PLACED))
    await release(connection, batch, list(lines.values()))


async def release(connection: Connection, batch: Batch, lines: list[tuple[Any, ...]]) -> None:
    """Let the first of each line be claimed. lines: (webhook, key, milliseconds). The lock is held."""
    if lines and await connection.execute(_RELEASE, *transposed(lines, _LINE)) != "UPDATE 0":
        batch.notices.add("deliveries")


async def rejoin(connection: Connection, batch: Batch, delivery: Delivery, due: int) -> None:
    """Put one that had ended where it stood in its line: whoever was first and came later waits for it. The lock is
    held.
    """
    line = (delivery.webhook_id, delivery.ordering_key)
    await connection.execute(_REJOIN, delivery.webhook_id, delivery.id)
    await connection.execute(_STEP_BACK, *line)
    await release(connection, batch, [(*line, due)])


async def arrange(connection: Connection, webhook_id: Key, due: int) -> None:
    """Put a webhook's lines right after many of its deliveries changed their state. The lock is held."""
    if await connection.fetchval(_IS_ORDERED, webhook_id):
        await connection.execute(_DEMOTE, webhook_id)
        await connection.execute(_PROMOTE, webhook_id, due)
