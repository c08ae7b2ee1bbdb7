"""Writes that may meet another node's: suspend, resume and cancel.

Each locks the execution's row first and looks at the journal in a later statement: under READ COMMITTED a statement
sees what was committed when it began, so one that waited for a lock would miss the answer it waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.model.states import TERMINAL_EXECUTION
from hookline.ports import Cancel, Cancelling, Resume, Suspend
from hookline.stores import rows

if TYPE_CHECKING:
    from hookline.ports import Result
    from hookline.stores.postgres.batch import Batch
    from hookline.stores.postgres.connection import Connection

_LOCK_CLAIMED: Final = """
SELECT is_cancel_requested FROM executions WHERE id = $1 AND epoch = $2 AND status = 'running' FOR UPDATE
"""
_IS_ANSWERED: Final = """
SELECT EXISTS (
    SELECT FROM unnest($2::text[], $3::integer[]) AS given(name, occurrence)
    JOIN journal j ON j.execution_id = $1 AND j.op = 'wait' AND j.name = given.name
                  AND j.occurrence = given.occurrence AND j.value IS NOT NULL
)
"""
_SUSPEND: Final = """
UPDATE executions SET status = $2, epoch = NULL, wake_at = $3, wait_name = $4 WHERE id = $1
"""

_LOCK_STATUS: Final = "SELECT status FROM executions WHERE id = $1 AND organization_id = $2 FOR UPDATE"
_ANSWER: Final = """
UPDATE journal SET value = $3
WHERE execution_id = $1 AND op = 'wait' AND name = $2 AND occurrence = (
    SELECT occurrence FROM journal
    WHERE execution_id = $1 AND op = 'wait' AND name = $2 AND value IS NULL
    ORDER BY occurrence LIMIT 1
)
RETURNING occurrence
"""
_STORE_ANSWER: Final = """
INSERT INTO journal (execution_id, op, name, occurrence, value, started_at, duration_ms)
SELECT $1, 'wait', $2, 0, $3, $4, 0
WHERE NOT EXISTS (SELECT FROM journal WHERE execution_id = $1 AND op = 'wait' AND name = $2)
RETURNING occurrence
"""
_WAKE: Final = """
UPDATE executions SET status = 'queued', wake_at = NULL, wait_name = NULL
WHERE id = $1 AND status = 'waiting'
    AND epoch IS NULL
"""

_LOCK_WHOLE: Final = f"""
SELECT {rows.listed(rows.EXECUTION)}, epoch FROM executions WHERE id = $1 AND organization_id = $2 FOR UPDATE
"""
_FLAG: Final = f"""
UPDATE executions SET is_cancel_requested = true, epoch = coalesce(epoch, $2) WHERE id = $1
RETURNING {rows.listed(rows.EXECUTION)}, epoch
"""


async def suspend(connection: Connection, batch: Batch) -> None:
    for place, write in batch.of(Suspend):
        batch.results[place] = result = await _suspend(connection, write)
        if result == "ready":
            batch.notices.add("executions")


async def _suspend(connection: Connection, write: Suspend) -> Result:
    is_cancelled = await connection.fetchval(_LOCK_CLAIMED, write.execution_id, write.epoch)
    if is_cancelled is None:
        return False
    names = [name for name, _ in write.waits]
    occurrences = [occurrence for _, occurrence in write.waits]
    # One whose end was asked for must not go to sleep: whoever claims it next sees the flag and ends it.
    is_ready = is_cancelled or (
        await connection.fetchval(_IS_ANSWERED, write.execution_id, names, occurrences) if names else False
    )
    if is_ready:
        await connection.execute(_SUSPEND, write.execution_id, "queued", None, None)
        return "ready"
    wake_at, name = rows.maybe_ms(write.wake_at), names[0] if names else None
    await connection.execute(_SUSPEND, write.execution_id, "waiting", wake_at, name)
    return "waiting"


async def resume(connection: Connection, batch: Batch) -> None:
    for place, write in batch.of(Resume):
        batch.results[place] = await answer(connection, write, batch)


async def answer(connection: Connection, write: Resume, batch: Batch) -> Result:
    """Carry out a Resume; return its result."""
    status = await connection.fetchval(_LOCK_STATUS, write.execution_id, write.organization_id)
    if status is None:
        return "missing"
    if status in TERMINAL_EXECUTION:
        return "conflict"
    answered = await connection.fetchval(_ANSWER, write.execution_id, write.name, write.value)
    if answered is not None:
        if status == "waiting":
            await connection.execute(_WAKE, write.execution_id)
            batch.notices.add("executions")
        return "resumed"
    at = rows.to_ms(write.at)
    stored = await connection.fetchval(_STORE_ANSWER, write.execution_id, write.name, write.value, at)
    return "conflict" if stored is None else "stored"


async def cancel(connection: Connection, batch: Batch) -> None:
    for place, write in batch.of(Cancel):
        batch.results[place] = await _cancel(connection, write, batch)


async def _cancel(connection: Connection, write: Cancel, batch: Batch) -> Cancelling | None:
    row: Any = await connection.fetchrow(_LOCK_WHOLE, write.execution_id, write.organization_id)
    if row is None:
        return None
    holder = row["epoch"]
    if row["status"] in TERMINAL_EXECUTION:
        return Cancelling(execution=rows.execution_from(row), is_seized=False, holder=holder)
    row = await connection.fetchrow(_FLAG, write.execution_id, write.epoch)
    if holder is not None and holder != write.epoch:
        batch.notices.add("cancel", write.execution_id.hex())
    return Cancelling(execution=rows.execution_from(row), is_seized=holder is None, holder=row["epoch"])
