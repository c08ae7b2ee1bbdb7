"""Writes of a claim holder about its executions, in batches, and how executions are claimed.

Each is guarded by the claim's epoch: a node that lost its lease changes nothing (fencing).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.ports import AdoptExecutions, Await, Begin, ClaimExecutions, Finish, Record, Requeue
from hookline.stores import rows
from hookline.stores.postgres import columns, turns
from hookline.stores.postgres.answering import answer
from hookline.stores.postgres.columns import selected, transposed, unnest
from hookline.stores.postgres.leases import close_expired, dead_claims
from hookline.stores.postgres.publishing import put_conversations

if TYPE_CHECKING:
    from hookline.model.ids import Key
    from hookline.ports import Epoch
    from hookline.stores.postgres.batch import Batch
    from hookline.stores.postgres.connection import Connection

_HELD: Final = {"id": "bytea", "epoch": "bigint"}

_BEGUN: Final = _HELD | {"started_at": "bigint", "launch_ms": "bigint", "event_sequence": "integer"}
_BEGIN: Final = f"""
UPDATE executions x
SET status = 'running', attempt = x.attempt + 1,
    started_at = CASE WHEN x.attempt = 0 THEN given.started_at ELSE x.started_at END,
    launch_ms = CASE WHEN x.attempt = 0 THEN given.launch_ms ELSE x.launch_ms END,
    event_sequence = CASE WHEN given.event_sequence > 0 THEN given.event_sequence ELSE x.event_sequence END
FROM {unnest(_BEGUN)}
WHERE x.id = given.id AND x.epoch = given.epoch AND x.status = 'queued' AND NOT x.is_cancel_requested
RETURNING given.id, given.epoch
"""

_RECORDED: Final = _HELD | {
    "steps": "integer",
    "credits_used": "double precision",
    "event_sequence": "integer",
}
_RECORD: Final = f"""
UPDATE executions x
SET steps = x.steps + given.steps, credits_used = x.credits_used + given.credits_used,
    event_sequence = CASE WHEN given.event_sequence > 0 THEN given.event_sequence ELSE x.event_sequence END
FROM {unnest(_RECORDED)}
WHERE x.id = given.id AND x.epoch = given.epoch AND x.status = 'running'
RETURNING given.id, given.epoch
"""

_ENTRY: Final = {"execution_id": "bytea"} | columns.JOURNAL
_APPEND_ENTRIES: Final = f"""
INSERT INTO journal ({", ".join(_ENTRY)}) SELECT {selected(_ENTRY)} FROM {unnest(_ENTRY)}
ON CONFLICT (execution_id, op, name, occurrence) DO UPDATE SET value = excluded.value
    WHERE journal.value IS NULL
"""
_LINE: Final = {"execution_id": "bytea"} | columns.LOG
_APPEND_LINES: Final = f"""
INSERT INTO logs ({", ".join(_LINE)}) SELECT {selected(_LINE)} FROM {unnest(_LINE)}
ON CONFLICT DO NOTHING
"""

_FINISHED: Final = _HELD | {
    "status": "text", "completed_at": "bigint", "run_ms": "bigint", "output": "bytea", "error": "bytea",
    "event_sequence": "integer",
}  # fmt: skip
_FINISH: Final = f"""
UPDATE executions x
SET status = given.status, completed_at = given.completed_at, run_ms = given.run_ms, output = given.output,
    error = given.error, epoch = NULL, wake_at = NULL, wait_name = NULL,
    event_sequence = CASE WHEN given.event_sequence > 0 THEN given.event_sequence ELSE x.event_sequence END
FROM {unnest(_FINISHED)}
WHERE x.id = given.id AND x.epoch = given.epoch AND x.status IN ('queued', 'running', 'waiting')
RETURNING given.id, given.epoch, x.awaited_by
"""

_AWAIT: Final = f"""
UPDATE executions x
SET awaited_by = CASE WHEN coalesce(x.awaited_by, given.epoch) = given.epoch THEN given.epoch ELSE 0 END
FROM {unnest(_HELD)}
WHERE x.id = given.id AND x.status IN ('queued', 'running', 'waiting')
"""

_REQUEUE: Final = f"""
UPDATE executions x SET status = 'queued', epoch = NULL, wake_at = NULL, wait_name = NULL
FROM {unnest(_HELD)}
WHERE x.id = given.id AND x.epoch = given.epoch AND x.status IN ('queued', 'running', 'waiting')
RETURNING given.id, given.epoch
"""

_CLAIM: Final = f"""
WITH queued AS MATERIALIZED (
    SELECT id FROM executions
    WHERE status = 'queued' AND epoch IS NULL AND is_blocked = false AND ($4::text[] IS NULL OR kind = ANY($4::text[]))
    ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
), woken AS MATERIALIZED (
    SELECT id FROM executions
    WHERE status = 'waiting' AND wake_at <= $3 AND epoch IS NULL AND NOT is_blocked
        AND ($4::text[] IS NULL OR kind = ANY($4::text[]))
    ORDER BY wake_at LIMIT $2 FOR UPDATE SKIP LOCKED
), picked AS MATERIALIZED (
    SELECT id FROM (SELECT id FROM queued UNION ALL SELECT id FROM woken) runnable ORDER BY id LIMIT $2
)
UPDATE executions x SET status = 'queued', epoch = $1, wake_at = NULL, wait_name = NULL
FROM picked WHERE x.id = picked.id
RETURNING {rows.listed(rows.EXECUTION, of="x")}
"""

_ADOPT: Final = f"""
WITH picked AS MATERIALIZED (
    SELECT id FROM executions WHERE epoch = ANY($3::bigint[]) ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE executions x SET epoch = $1 FROM picked WHERE x.id = picked.id
RETURNING {rows.listed(rows.EXECUTION, of="x")}
"""


async def begin(connection: Connection, batch: Batch) -> None:
    group = batch.of(Begin)
    given = {
        (write.execution_id, write.epoch): (
            write.execution_id, write.epoch, rows.to_ms(write.started_at), write.launch_ms, write.event_sequence
        )
        for _, write in reversed(group)  # the first of two stands
    }  # fmt: skip
    begun = await _held(connection, _BEGIN, list(given.values()), _BEGUN)
    for place, write in group:
        # Only the first of two can find it queued.
        is_begun = (write.execution_id, write.epoch) in begun
        begun.discard((write.execution_id, write.epoch))
        batch.results[place] = is_begun
        if is_begun:
            batch.add_events(write.epoch, write.events)


async def record(connection: Connection, batch: Batch) -> None:
    group = batch.of(Record)
    sums: dict[tuple[Key, Epoch], list[Any]] = {}
    for _, write in group:
        held = (write.execution_id, write.epoch)
        total = sums.setdefault(held, [*held, 0, 0.0, 0])
        total[2] += write.steps
        total[3] += write.credits_used
        total[4] = write.event_sequence or total[4]
    recorded = await _held(connection, _RECORD, list(sums.values()), _RECORDED)
    entries: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    lines: list[tuple[Any, ...]] = []
    for place, write in group:
        is_recorded = (write.execution_id, write.epoch) in recorded
        batch.results[place] = is_recorded
        if not is_recorded:
            continue
        for entry in write.entries:
            row = (write.execution_id, *rows.journal_row(entry))
            kept = entries.setdefault(row[:4], row)
            if kept[4] is None:  # an open wait that the same batch answers
                entries[row[:4]] = (*kept[:4], row[4], *kept[5:])
        lines += [(write.execution_id, *log_row(rows.log_row(line))) for line in write.logs]
        batch.add_events(write.epoch, write.events)
    if entries:
        await connection.execute(_APPEND_ENTRIES, *transposed(list(entries.values()), _ENTRY))
    if lines:
        await connection.execute(_APPEND_LINES, *transposed(lines, _LINE))


def log_row(row: rows.Row) -> rows.Row:
    """A line's text as bytes: it may hold a NUL or half a surrogate pair, which the type text cannot."""
    return (*row[:4], row[4].encode("utf-8", "surrogatepass"), row[5])


async def expect_end(connection: Connection, batch: Batch) -> None:
    group = batch.of(Await)
    given = sorted({(write.execution_id, write.epoch) for _, write in group})
    await connection.execute(_AWAIT, *transposed(given, _HELD))
    for place, _ in group:
        batch.results[place] = True


async def finish(connection: Connection, batch: Batch) -> None:
    group = batch.of(Finish)
    if not all(write.status.is_terminal for _, write in group):
        raise ValueError("an execution finishes in a terminal status")
    given = {
        (write.execution_id, write.epoch): (
            write.execution_id, write.epoch, write.status, rows.to_ms(write.completed_at), write.run_ms, write.output,
            rows.failure_json(write.error), write.event_sequence,
        )
        for _, write in reversed(group)  # the first of two stands
    }  # fmt: skip
    updated = await connection.fetch(_FINISH, *transposed(list(given.values()), _FINISHED))
    finished = {(row[0], row[1]) for row in updated}
    # Whoever waits on this node is told by the engine; a signal is for other nodes, and costs each of them.
    awaited_elsewhere = {row[0] for row in updated if row[2] is not None and row[2] != row[1]}
    conversations = []
    for place, write in group:
        held = (write.execution_id, write.epoch)
        batch.results[place] = held in finished
        if held not in finished:
            continue
        finished.discard(held)
        batch.add_events(write.epoch, write.events)
        if write.execution_id in awaited_elsewhere:
            batch.notices.add("finished", write.execution_id.hex())
        if write.conversation is not None:
            conversations.append(write.conversation)
        if write.answers is not None:
            await answer(connection, write.answers, batch)
    await put_conversations(connection, conversations)
    await turns.release(connection, batch)


async def requeue(connection: Connection, batch: Batch) -> None:
    group = batch.of(Requeue)
    given = {(write.execution_id, write.epoch) for _, write in group}
    requeued = await _held(connection, _REQUEUE, sorted(given), _HELD)
    for place, write in group:
        held = (write.execution_id, write.epoch)
        batch.results[place] = held in requeued
        requeued.discard(held)
        if batch.results[place]:
            batch.notices.add("executions")


async def claim(connection: Connection, batch: Batch) -> None:
    for place, write in batch.of(ClaimExecutions):
        claimed = await connection.fetch(_CLAIM, write.epoch, write.limit, rows.to_ms(write.now), write.kinds)
        batch.results[place] = _executions(claimed)


async def adopt(connection: Connection, batch: Batch) -> None:
    for place, write in batch.of(AdoptExecutions):
        await close_expired(connection, but=write.epoch)
        dead = await dead_claims(connection, "executions", but=write.epoch)
        adopted = await connection.fetch(_ADOPT, write.epoch, write.limit, dead) if dead else []
        batch.results[place] = _executions(adopted)


def _executions(found: list[Any]) -> tuple[Any, ...]:
    """Oldest first."""
    return tuple([rows.execution_from(row) for row in sorted(found, key=lambda row: row[0])])


async def _held(
    connection: Connection, sql: str, given: list[Any], columns: dict[str, str]
) -> set[tuple[Key, Epoch]]:
    """Run a guarded update; return the (id, epoch) pairs that still held their claim."""
    updated = await connection.fetch(sql, *transposed(given, columns))
    return {(row[0], row[1]) for row in updated}
