"""Executions that take turns (``gate``), and those that a later request may recognize (``mark``).

Everything happens in the transaction that inserts or ends an execution. Two nodes may do so at once, so whoever
touches a gate or a mark holds its advisory lock until the transaction ends; all are taken first and in one order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from hookline.ports import Accept, CloseConversation, Finish, Instead
from hookline.stores import rows
from hookline.stores.postgres import columns
from hookline.stores.postgres.columns import selected, transposed, unnest

if TYPE_CHECKING:
    from hookline.stores.postgres.batch import Batch
    from hookline.stores.postgres.connection import Connection

_LOCK: Final = "SELECT pg_advisory_xact_lock(number) FROM unnest($1::bigint[]) AS given(number)"

_MERGEABLE: Final = """
SELECT id FROM executions WHERE mark = $1 AND status = 'waiting' AND attempt = 0 AND epoch IS NULL LIMIT 1 FOR UPDATE
"""
_MERGE: Final = """
UPDATE executions SET
    input = $2, trigger = $3, request_id = $4,
    wake_at = CASE WHEN $6::bigint = 0 THEN $5::bigint ELSE least($5, created_at + $6) END
WHERE id = $1
"""
# Those that wait are woken, so that their end comes at once.
_END: Final = """
UPDATE executions SET
    is_cancel_requested = true, is_blocked = false, gate = NULL,
    status = CASE WHEN status = 'waiting' AND epoch IS NULL THEN 'queued' ELSE status END,
    wake_at = CASE WHEN epoch IS NULL THEN NULL ELSE wake_at END,
    wait_name = CASE WHEN epoch IS NULL THEN NULL ELSE wait_name END
"""
_SUPERSEDE: Final = f"{_END} WHERE mark = $1 AND status = 'waiting' AND epoch IS NULL"
_REPLACE: Final = f"{_END} WHERE gate = $1 AND completed_at IS NULL"
_ACTIVE: Final = """
SELECT id FROM executions WHERE gate = $1 AND completed_at IS NULL AND NOT is_blocked ORDER BY id DESC
"""
_RELEASE: Final = """
UPDATE executions SET is_blocked = false WHERE id IN (
    SELECT id FROM executions WHERE gate = $1 AND completed_at IS NULL AND is_blocked ORDER BY id LIMIT greatest(0, (
        SELECT gate_limit FROM executions WHERE gate = $1 AND completed_at IS NULL AND is_blocked ORDER BY id LIMIT 1
    ) - (
        SELECT count(*) FROM executions WHERE gate = $1 AND completed_at IS NULL AND NOT is_blocked
    ))
)
"""
_NEW: Final = columns.EXECUTION | {"awaited_by": "bigint"}
_INSERT: Final = f"""
INSERT INTO executions ({", ".join(_NEW)}) SELECT {selected(_NEW)} FROM {unnest(_NEW)}
ON CONFLICT DO NOTHING
"""
_IS_OPEN: Final = """
SELECT 1 FROM conversations WHERE id = $1 AND organization_id = $2 AND completed_at IS NULL
"""
_FORGET_ONCE: Final = "DELETE FROM onces WHERE scope = $1 AND name = $2"
_MEANS_ANOTHER: Final = "UPDATE onces SET answer = NULL, instead = $3 WHERE scope = $1 AND name = $2"


async def lock(connection: Connection, batch: Batch) -> None:
    """Take the locks of every gate and mark that this batch touches."""
    touched = {write.gate for _, write in batch.of(Finish)}
    touched |= {write.gate for _, write in batch.of(CloseConversation)}
    for _, write in batch.of(Accept):
        touched |= {write.execution.gate, write.execution.mark}
    numbers = sorted({int.from_bytes(one[:8], signed=True) for one in touched if one is not None})
    if numbers:
        await connection.execute(_LOCK, numbers)


async def accept(connection: Connection, batch: Batch, write: Accept) -> Instead | None:
    """Insert one execution that has a gate or a mark, or tell which one stands for it."""
    instead = await _give_way(connection, batch, write)
    if instead is not None:
        if write.once is not None and instead.reason == "merged":
            await connection.execute(_MEANS_ANOTHER, write.once.scope, write.once.name, instead.execution_id)
        elif write.once is not None:
            await connection.execute(_FORGET_ONCE, write.once.scope, write.once.name)
        return instead
    execution = msgspec.structs.replace(write.execution, is_blocked=write.execution.gate is not None)
    awaited_by = write.epoch if write.is_awaited else None
    await connection.execute(_INSERT, *transposed([(*rows.execution_row(execution), awaited_by)], _NEW))
    if execution.gate is not None:
        await connection.execute(_RELEASE, execution.gate)
    return None


async def is_open(connection: Connection, write: Accept) -> bool:
    """Say whether the conversation that a turn joins stands open."""
    organization_id = write.execution.organization_id
    return await connection.fetchval(_IS_OPEN, write.joins, organization_id) is not None


async def _give_way(connection: Connection, batch: Batch, write: Accept) -> Instead | None:
    execution = write.execution
    if execution.mark is not None:
        if write.same_mark == "supersede":
            await connection.execute(_SUPERSEDE, execution.mark)
        elif (found := await connection.fetchval(_MERGEABLE, execution.mark)) is not None:
            due = rows.maybe_ms(execution.wake_at)
            news = (execution.input, execution.trigger, execution.request_id, due)
            await connection.execute(_MERGE, found, *news, write.merge_within_ms)
            return Instead(execution_id=found, reason="merged")
    if execution.gate is None or write.when_full == "queue":
        return None
    active = await connection.fetch(_ACTIVE, execution.gate)
    if len(active) < execution.gate_limit:
        return None
    if write.when_full == "skip":
        return Instead(execution_id=active[0][0], reason="skipped")
    await connection.execute(_REPLACE, execution.gate)
    batch.notices.add("cancel")
    return None


async def release(connection: Connection, batch: Batch) -> None:
    """Let the next of every gate begin in which an execution has ended. Runs after the ends are written."""
    for gate in sorted({write.gate for _, write in batch.of(Finish) if write.gate is not None}):
        if await connection.execute(_RELEASE, gate) != "UPDATE 0":
            batch.notices.add("executions")
