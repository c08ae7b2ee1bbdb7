"""Events that wait for a batch, and batches made of them.

Two nodes that form batches of one webhook do so one after the other: each holds the lock of its lines until it commits.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from hookline.ports import FormBatches, Formed
from hookline.stores import batches, rows
from hookline.stores.postgres import columns, order
from hookline.stores.postgres.columns import selected, transposed, unnest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hookline.model.events import Delivery
    from hookline.model.ids import Key
    from hookline.stores.postgres.batch import Batch
    from hookline.stores.postgres.connection import Connection

_ITEM: Final = {
    "webhook_id": "bytea", "event_key": "bytea", "added_at": "bigint", "ordering_key": "text", "size": "integer",
    "batch_id": "bytea",
}  # fmt: skip
_ADD: Final = f"""
INSERT INTO batch_items ({", ".join(_ITEM)}) SELECT {selected(_ITEM, first=1)} FROM {unnest(_ITEM)}
ON CONFLICT DO NOTHING
"""
_WAITING: Final = f"""
SELECT event_key, ordering_key, size, added_at FROM batch_items
WHERE webhook_id = $1 AND batch_id IS NULL
ORDER BY event_key LIMIT {batches.LOOKED_AT}
"""
_NEW: Final = columns.DELIVERY | {"epoch": "bigint"}
_INSERT: Final = f"INSERT INTO deliveries ({', '.join(_NEW)}) SELECT {selected(_NEW)} FROM {unnest(_NEW)}"
# The webhook travels with each row: named once, the planner of a small table reads all of its rows for each given one.
_MEMBER: Final = {"webhook_id": "bytea", "event_key": "bytea", "batch_id": "bytea"}
_PUT_IN: Final = f"""
UPDATE batch_items i SET batch_id = given.batch_id FROM {unnest(_MEMBER)}
WHERE i.event_key = given.event_key AND i.webhook_id = given.webhook_id
"""
_FORMED: Final = {"webhook_id": "bytea", "id": "bytea"}
_POSITION: Final = f"""
UPDATE deliveries d SET next_attempt_at = NULL, position = (
    SELECT min(e.seq) FROM batch_items i
    JOIN events e ON e.organization_id = d.organization_id AND e.key = i.event_key
    WHERE i.batch_id = d.batch_id
)
FROM {unnest(_FORMED)}
WHERE d.webhook_id = given.webhook_id AND d.id = given.id
"""
_OLDEST_FIRST: Final = attrgetter("event_key")
_DROP: Final = "DELETE FROM batch_items WHERE webhook_id = $1 AND batch_id IS NULL"


async def add(connection: Connection, items: Iterable[rows.Row]) -> None:
    """Have events wait for a batch. items: see ``rows.batch_item_row``."""
    await _insert(connection, [(*item, None) for item in items])


async def form(connection: Connection, batch: Batch) -> None:
    """Form batches of what waits and of what this transaction brings; what is left of that waits from now on.

    An event that goes into a batch at once is written with it, which saves the row's second version.
    """
    placed: dict[tuple[Key, Key], Key] = {}
    lined_up: list[Delivery] = []
    for place, write in batch.of(FormBatches):
        batch.results[place] = formed = await _form(connection, batch, write, placed)
        lined_up += [one for one in formed.deliveries if one.ordering_key is not None]
    await _insert(connection, [(*item, placed.get(item[:2])) for item in batch.items])
    await _line_up(connection, batch, lined_up)


async def _form(
    connection: Connection, batch: Batch, write: FormBatches, placed: dict[tuple[Key, Key], Key]
) -> Formed:
    """placed: (webhook, event) of this transaction's items to their batch; what is formed of them is added."""
    webhook_id = write.webhook_id
    await order.lock(connection, [webhook_id])
    found = await connection.fetch(_WAITING, webhook_id)
    new = [item for item in batch.items if item[0] == webhook_id and item[:2] not in placed]
    waiting = [batches.Item(*row) for row in found]
    waiting += [batches.Item(key, line, size, added_at) for _, key, added_at, line, size in new]
    waiting.sort(key=_OLDEST_FIRST)
    groups = batches.form(write, waiting)
    made = [batches.delivery_of(write, group) for group in groups]
    if made:
        new_keys = {item[1] for item in new}
        waited: list[rows.Row] = []
        for one, group in zip(made, groups, strict=True):
            keys = [item.event_key for item in group.items]
            placed.update({(webhook_id, key): one.id for key in keys if key in new_keys})
            waited += [(webhook_id, key, one.id) for key in keys if key not in new_keys]
        added = [(*rows.delivery_row(one), rows.claimed_by(one, write.epoch)) for one in made]
        await connection.execute(_INSERT, *transposed(added, _NEW))
        if not write.is_claimed:
            batch.notices.add("deliveries")
        if waited:
            await connection.execute(_PUT_IN, *transposed(waited, _MEMBER))
    return batches.formed(made, waiting, groups)


async def _insert(connection: Connection, items: list[rows.Row]) -> None:
    if items:
        await connection.execute(_ADD, *transposed(items, _ITEM, are_alike=True))


async def _line_up(connection: Connection, batch: Batch, ordered: Sequence[Delivery]) -> None:
    """Give batches that stand in line their places, and the first of each line its time."""
    lines = {(one.webhook_id, one.ordering_key or ""): rows.to_ms(one.created_at) for one in ordered}
    if lines:
        await connection.execute(
            _POSITION, *transposed([(one.webhook_id, one.id) for one in ordered], _FORMED)
        )
        await order.release(connection, batch, [(*line, at) for line, at in sorted(lines.items())])


async def drop(connection: Connection, webhook_id: Key) -> None:
    """Forget what waits for a batch of a webhook that is gone."""
    await connection.execute(_DROP, webhook_id)
