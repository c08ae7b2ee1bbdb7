"""Events that wait for a batch, and batches made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.stores import batches, rows
from hookline.stores.sqlite import order
from hookline.stores.sqlite.batch import INSERT_DELIVERY

if TYPE_CHECKING:
    from hookline.model.ids import Key
    from hookline.ports import FormBatches, Formed
    from hookline.stores.sqlite.batch import Batch

_WAITING: Final = f"""
    SELECT event_key, ordering_key, size, added_at FROM batch_items INDEXED BY batch_items_waiting
    WHERE webhook_id = ? AND batch_id IS NULL ORDER BY event_key LIMIT {batches.LOOKED_AT}
"""
_PUT_IN: Final = "UPDATE batch_items SET batch_id = ? WHERE webhook_id = ? AND event_key = ?"
_POSITION: Final = """
    UPDATE deliveries SET next_attempt_at = NULL, position = (
        SELECT min(e.seq) FROM batch_items AS i
        JOIN events AS e ON e.organization_id = deliveries.organization_id AND e.key = i.event_key
        WHERE i.batch_id = deliveries.batch_id
    )
    WHERE id = ?
"""
_DROP: Final = "DELETE FROM batch_items WHERE webhook_id = ? AND batch_id IS NULL"


def form(batch: Batch, write: FormBatches) -> Formed:
    found: list[rows.Row] = batch.cursor.execute(_WAITING, (write.webhook_id,)).fetchall()
    waiting = [batches.Item(*row) for row in found]
    groups = batches.form(write, waiting)
    made = []
    for group in groups:
        delivery = batches.delivery_of(write, group)
        row = (*rows.delivery_row(delivery), rows.claimed_by(delivery, write.epoch))
        batch.cursor.execute(INSERT_DELIVERY, row)
        batch.cursor.executemany(
            _PUT_IN, [(delivery.batch_id, write.webhook_id, item.event_key) for item in group.items]
        )
        if delivery.ordering_key is not None:
            batch.cursor.execute(_POSITION, (delivery.id,))
            order.release(batch, write.webhook_id, delivery.ordering_key, rows.to_ms(write.at))
        made.append(delivery)
    return batches.formed(made, waiting, groups)


def drop(batch: Batch, webhook_id: Key) -> None:
    """Forget what waits for a batch of a webhook that is gone."""
    batch.cursor.execute(_DROP, (webhook_id,))
