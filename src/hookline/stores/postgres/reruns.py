"""Requests that are kept and start an execution later: each at most one, however many ask for it at once.

Whoever starts one holds its row from before the execution is inserted until the transaction ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.ports import Accept, Attribute, Instead, Repeat, Taken

if TYPE_CHECKING:
    from hookline.model.ids import Key
    from hookline.stores.postgres.batch import Batch
    from hookline.stores.postgres.connection import Connection

_LOCK: Final = """
SELECT id, organization_id, execution_id FROM trigger_requests WHERE id = ANY($1::bytea[]) ORDER BY id FOR UPDATE
"""
_ATTRIBUTE: Final = """
UPDATE trigger_requests SET execution_id = $3
WHERE id = $1 AND organization_id = $2 AND execution_id IS NULL
RETURNING id
"""


async def lock(connection: Connection, batch: Batch) -> None:
    """Hold the requests that this batch starts something for. Those that started something before are ``Taken``."""
    asked = [(place, write) for place, write in batch.of(Accept) if write.reruns is not None]
    if not asked:
        return
    found: dict[tuple[Key, Key], Key | None] = {}
    for id_, organization_id, execution_id in await connection.fetch(_LOCK, [w.reruns for _, w in asked]):
        found[organization_id, id_] = execution_id
    for place, write in asked:
        assert write.reruns is not None
        name = (write.execution.organization_id, write.reruns)
        taken_by = found.get(name)
        if name not in found or taken_by is not None:
            batch.results[place] = Taken(execution_id=taken_by)
        else:
            found[name] = write.execution.id  # a second one of this batch comes too late


async def conclude(connection: Connection, batch: Batch) -> None:
    """Note what stands for each request, now that it is known what was inserted."""
    for place, write in batch.of(Accept):
        result = batch.results[place]
        if write.reruns is None or isinstance(result, Repeat | Taken):
            continue
        id_ = result.execution_id if isinstance(result, Instead) else write.execution.id
        await connection.execute(_ATTRIBUTE, write.reruns, write.execution.organization_id, id_)


async def attribute(connection: Connection, batch: Batch) -> None:
    for place, write in batch.of(Attribute):
        bindings = (write.request_id, write.organization_id, write.execution_id)
        batch.results[place] = await connection.fetchval(_ATTRIBUTE, *bindings) is not None
