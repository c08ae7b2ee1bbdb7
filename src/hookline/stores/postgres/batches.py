"""Events that wait for a batch, and batches made of them.

Two nodes may form batches of one webhook at once: each takes the waiting events that the other has not locked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.ports import FormBatches, Formed
from hookline.stores import batches, rows
from hookline.stores.postgres import columns, order
from hookline.stores.postgres.columns import selected, transposed, unnest

if TYPE_CHECKING:
    from hookline.model.ids import Key
    from hookline.stores.postgres.batch import Batch
    from hookline.stores.postgres.connection import Connection

_ITEM: Final = {
    "webhook_id": "bytea", "event_key": "bytea", "added_at": "bigint", "ordering_key": "text", "size": "integer",
}  # fmt: skip
_ADD: Final = f"""
INSERT INTO batch_items ({", ".join(_ITEM)}) SELECT {selected(_ITEM)} FROM {unnest(_ITEM)}
ON CONFLICT DO NOTHING
"""
_WAITING: Final = f"""
SELECT event_key, ordering_key, size, added_at FROM batch_items
WHERE webhook_id = $1 AND batch_id IS NULL
ORDER BY event_key LIMIT {batches.LOOKED_AT} FOR UPDATE SKIP LOCKED
"""
_NEW: Final = columns.DELIVERY | {"epoch": "bigint"}
_INSERT: Final = f"INSERT INTO deliveries ({', '.join(_NEW)}) SELECT {selected(_NEW)} FROM {unnest(_NEW)}"
_PUT_IN: Final = "UPDATE batch_items SET batch_id = $1 WHERE webhook_id = $2 AND event_key = ANY($3::bytea[])"
_POSITION: Final = """
UPDATE deliveries d SET next_attempt_at = NULL, position = (
    SELECT min(e.seq) FROM batch_items i
    JOIN events e ON e.organization_id = d.organization_id AND e.key = i.event_key
    WHERE i.batch_id = d.batch_id
)
WHERE d.webhook_id = $1 AND d.id = $2
"""
_DROP: Final = "DELETE FROM batch_items WHERE webhook_id = $1 AND batch_id IS NULL"


async def add(connection: Connection, items: list[rows.Row]) -> None:
    """Have events wait for a batch. items: see ``rows.batch_item_row``."""
    if items:
        await connection.execute(_ADD, *transposed(items, _ITEM))


async def form(connection: Connection, batch: Batch) -> None:
    for place, write in batch.of(FormBatches):
        batch.results[place] = await _form(connection, batch, write)


async def _form(connection: Connection, batch: Batch, write: FormBatches) -> Formed:
    await order.lock(connection, [write.webhook_id])
    found = await connection.fetch(_WAITING, write.webhook_id)
    waiting = [batches.Item(*row) for row in found]
    groups = batches.form(write, waiting)
    made = []
    for group in groups:
        delivery = batches.delivery_of(write, group)
        row = (*rows.delivery_row(delivery), rows.claimed_by(delivery, write.epoch))
        await connection.execute(_INSERT, *transposed([row], _NEW))
        keys = [item.event_key for item in group.items]
        await connection.execute(_PUT_IN, delivery.batch_id, write.webhook_id, keys)
        if delivery.ordering_key is not None:
            await connection.execute(_POSITION, write.webhook_id, delivery.id)
            line = (write.webhook_id, delivery.ordering_key, rows.to_ms(write.at))
            await order.release(connection, batch, [line])
        elif not write.is_claimed:
            batch.notices.add("deliveries")
        made.append(delivery)
    return batches.formed(made, waiting, groups)


async def drop(connection: Connection, webhook_id: Key) -> None:
    """Forget what waits for a batch of a webhook that is gone."""
    await connection.execute(_DROP, webhook_id)
