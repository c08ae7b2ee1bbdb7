"""The ledger's writes on executions: accept, begin, record, suspend, resume, finish, requeue, claim, adopt, cancel.

Fencing is by row: a write carries the epoch it was made under, and touches nothing when the row has another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from hookline.model.states import TERMINAL_EXECUTION
from hookline.ports import (
    Accept,
    AdoptExecutions,
    Attribute,
    Await,
    Begin,
    Cancel,
    Cancelling,
    ClaimExecutions,
    Closed,
    Finish,
    Instead,
    KeepRequest,
    Record,
    Repeat,
    Requeue,
    Resume,
    Suspend,
    Taken,
)
from hookline.stores import rows
from hookline.stores.rows import EXECUTION, REQUEST, listed, maybe_ms, to_ms
from hookline.stores.sqlite import conversations, turns
from hookline.stores.sqlite.batch import marks

if TYPE_CHECKING:
    from hookline.model.executions import Execution, TriggerRequest
    from hookline.model.ids import Key
    from hookline.stores.sqlite.batch import Batch

_INSERT_REQUEST: Final = f"INSERT INTO trigger_requests ({listed(REQUEST)}) VALUES ({marks(REQUEST)})"
_FIND_REQUEST: Final = "SELECT execution_id FROM trigger_requests WHERE id = ? AND organization_id = ?"
_ATTRIBUTE: Final = """
    UPDATE trigger_requests SET execution_id = ? WHERE id = ? AND organization_id = ? AND execution_id IS NULL
"""
_INSERT_EXECUTION: Final = (
    f"INSERT INTO executions ({listed(EXECUTION)}, epoch) VALUES ({marks(EXECUTION)}, ?)"
)

_BEGIN: Final = """
    UPDATE executions SET
        status = 'running',
        started_at = iif(attempt = 0, ?1, started_at), launch_ms = iif(attempt = 0, ?2, launch_ms),
        attempt = attempt + 1,
        event_sequence = iif(?3 = 0, event_sequence, ?3)
    WHERE id = ?4 AND epoch = ?5 AND status = 'queued' AND NOT is_cancel_requested
"""
_RECORD: Final = """
    UPDATE executions SET
        steps = steps + ?1, credits_used = credits_used + ?2, event_sequence = iif(?3 = 0, event_sequence, ?3)
    WHERE id = ?4 AND epoch = ?5 AND status = 'running'
"""
_PUT_ENTRY: Final = """
    INSERT INTO journal (execution_id, op, name, occurrence, value, started_at, duration_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (execution_id, op, name, occurrence) DO UPDATE SET
        value = excluded.value, started_at = excluded.started_at, duration_ms = excluded.duration_ms
        WHERE value IS NULL
"""
_INSERT_LOG: Final = """
    INSERT INTO logs (execution_id, position, at, stream, level, text, fields) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (execution_id, position) DO NOTHING
"""

_HELD: Final = "SELECT is_cancel_requested FROM executions WHERE id = ? AND epoch = ? AND status = 'running'"
_IS_ANSWERED: Final = """
    SELECT 1 FROM journal
    WHERE execution_id = ? AND op = 'wait' AND name = ? AND occurrence = ? AND value IS NOT NULL
"""
_WAIT: Final = (
    "UPDATE executions SET status = 'waiting', wake_at = ?, wait_name = ?, epoch = NULL WHERE id = ?"
)
_QUEUE: Final = (
    "UPDATE executions SET status = 'queued', wake_at = NULL, wait_name = NULL, epoch = NULL WHERE id = ?"
)

_STATUS_OF: Final = "SELECT status FROM executions WHERE id = ? AND organization_id = ?"
_OLDEST_OPEN_WAIT: Final = """
    SELECT occurrence FROM journal
    WHERE execution_id = ? AND op = 'wait' AND name = ? AND value IS NULL ORDER BY occurrence LIMIT 1
"""
_ANSWER: Final = """
    UPDATE journal SET value = ? WHERE execution_id = ? AND op = 'wait' AND name = ? AND occurrence = ?
"""
_STORE_ANSWER: Final = """
    INSERT INTO journal (execution_id, op, name, occurrence, value, started_at, duration_ms)
    SELECT ?1, 'wait', ?2, 0, ?3, ?4, 0
    WHERE NOT EXISTS (SELECT 1 FROM journal WHERE execution_id = ?1 AND op = 'wait' AND name = ?2)
"""
_WAKE: Final = _QUEUE + " AND status = 'waiting' AND epoch IS NULL"

_FINISH: Final = """
    UPDATE executions SET
        status = ?1, completed_at = ?2, run_ms = ?3, output = ?4, error = ?5, wake_at = NULL, wait_name = NULL,
        event_sequence = iif(?6 = 0, event_sequence, ?6), epoch = NULL
    WHERE id = ?7 AND epoch = ?8 AND status IN ('running', 'queued', 'waiting')
"""
_REQUEUE: Final = _QUEUE + " AND epoch = ? AND status IN ('running', 'queued', 'waiting')"

# Kinds are asked for as JSON: a list of names, or null for any.
_OF_KIND: Final = "(?1 = 'null' OR kind IN (SELECT value FROM json_each(?1)))"
_RUNNABLE: Final = f"""
    SELECT id FROM executions
    WHERE status = 'queued' AND epoch IS NULL AND is_blocked = 0 AND {_OF_KIND} ORDER BY id LIMIT ?2
"""
_WAKING: Final = f"""
    SELECT id FROM executions
    WHERE status = 'waiting' AND wake_at IS NOT NULL AND wake_at <= ?3 AND epoch IS NULL AND is_blocked = 0
        AND {_OF_KIND}
    ORDER BY wake_at LIMIT ?2
"""
_CLAIM: Final = f"""
    UPDATE executions SET status = 'queued', wake_at = NULL, wait_name = NULL, epoch = ? WHERE id = ?
    RETURNING {listed(EXECUTION)}
"""
# One process holds the file, so every epoch before the caller's is dead.
_ORPHANS: Final = "SELECT id FROM executions WHERE epoch IS NOT NULL AND epoch < ? ORDER BY epoch LIMIT ?"
_ADOPT: Final = f"UPDATE executions SET epoch = ? WHERE id = ? RETURNING {listed(EXECUTION)}"

_FIND: Final = f"SELECT {listed(EXECUTION)}, epoch FROM executions WHERE id = ? AND organization_id = ?"
_CANCEL: Final = f"""
    UPDATE executions SET is_cancel_requested = 1, epoch = coalesce(epoch, ?) WHERE id = ?
    RETURNING {listed(EXECUTION)}, epoch
"""


def keep_request(batch: Batch, write: KeepRequest) -> bool:
    batch.cursor.execute(_INSERT_REQUEST, rows.request_row(write.request))
    return True


def attribute(batch: Batch, write: Attribute) -> bool:
    bindings = (write.execution_id, write.request_id, write.organization_id)
    return batch.change(_ATTRIBUTE, bindings) > 0


def accept(batch: Batch, write: Accept) -> bool | Repeat | Instead | Taken | Closed:
    if write.reruns is None:
        return _accept(batch, write)
    organization_id = write.execution.organization_id
    found = batch.first(_FIND_REQUEST, (write.reruns, organization_id))
    if found is None or found[0] is not None:
        return Taken(execution_id=None if found is None else found[0])
    result = _accept(batch, write)
    if not isinstance(result, Repeat):
        id_ = result.execution_id if isinstance(result, Instead) else write.execution.id
        batch.cursor.execute(_ATTRIBUTE, (id_, write.reruns, organization_id))
    return result


def _accept(batch: Batch, write: Accept) -> bool | Repeat | Instead | Closed:
    repeat = batch.repeat_of(write.once, write.epoch)
    if repeat is not None:
        return repeat
    if write.joins is not None and not conversations.is_open(batch, write):
        return Closed()
    execution = write.execution
    if execution.gate is not None or execution.mark is not None:
        instead = turns.give_way(batch, write)
        if instead is not None:
            batch.give_way(write.once, instead)
            if write.request is not None:
                keep_request(batch, KeepRequest(request=_under(write.request, instead.execution_id)))
            return instead
        execution = msgspec.structs.replace(execution, is_blocked=execution.gate is not None)
    if write.request is not None:
        batch.cursor.execute(_INSERT_REQUEST, rows.request_row(write.request))
    epoch = write.epoch if write.is_claimed else None
    batch.cursor.execute(_INSERT_EXECUTION, (*rows.execution_row(execution), epoch))
    if execution.gate is not None:
        turns.release(batch, execution.gate)
    conversations.keep(batch, write.conversation)
    batch.add_all(write.events, write.epoch)
    return True


def _under(request: TriggerRequest, execution_id: Key) -> TriggerRequest:
    return msgspec.structs.replace(request, execution_id=execution_id)


def begin(batch: Batch, write: Begin) -> bool:
    bindings = (
        to_ms(write.started_at),
        write.launch_ms,
        write.event_sequence,
        write.execution_id,
        write.epoch,
    )
    if batch.change(_BEGIN, bindings) == 0:
        return False
    batch.add_all(write.events, write.epoch)
    return True


def record(batch: Batch, write: Record) -> bool:
    bindings = (write.steps, write.credits_used, write.event_sequence, write.execution_id, write.epoch)
    if batch.change(_RECORD, bindings) == 0:
        return False
    id_ = write.execution_id
    if write.entries:
        batch.cursor.executemany(_PUT_ENTRY, [(id_, *rows.journal_row(entry)) for entry in write.entries])
    if write.logs:
        batch.cursor.executemany(_INSERT_LOG, [(id_, *rows.log_row(line)) for line in write.logs])
    batch.add_all(write.events, write.epoch)
    return True


def suspend(batch: Batch, write: Suspend) -> str | bool:
    held = batch.first(_HELD, (write.execution_id, write.epoch))
    if held is None:
        return False
    # One that was asked to end must not sleep: it is claimed at once and finished.
    is_ready = bool(held[0]) or any(
        batch.first(_IS_ANSWERED, (write.execution_id, name, occurrence)) is not None
        for name, occurrence in write.waits
    )
    if is_ready:
        batch.cursor.execute(_QUEUE, (write.execution_id,))
        return "ready"
    wait_name = write.waits[0][0] if write.waits else None
    batch.cursor.execute(_WAIT, (maybe_ms(write.wake_at), wait_name, write.execution_id))
    return "waiting"


def resume(batch: Batch, write: Resume) -> str:
    found = batch.first(_STATUS_OF, (write.execution_id, write.organization_id))
    if found is None:
        return "missing"
    if found[0] in TERMINAL_EXECUTION:
        return "conflict"
    waiting = batch.first(_OLDEST_OPEN_WAIT, (write.execution_id, write.name))
    if waiting is None:
        bindings = (write.execution_id, write.name, write.value, to_ms(write.at))
        return "stored" if batch.change(_STORE_ANSWER, bindings) else "conflict"
    batch.cursor.execute(_ANSWER, (write.value, write.execution_id, write.name, waiting[0]))
    batch.cursor.execute(_WAKE, (write.execution_id,))
    return "resumed"


def expect_end(batch: Batch, write: Await) -> bool:  # noqa: ARG001 -- one process holds the file: nobody to signal
    return True


def finish(batch: Batch, write: Finish) -> bool:
    """Raises ValueError for a status that is not an end."""
    if write.status not in TERMINAL_EXECUTION:
        raise ValueError("an execution finishes in a terminal status")
    bindings = (
        write.status,
        to_ms(write.completed_at),
        write.run_ms,
        write.output,
        rows.failure_json(write.error),
        write.event_sequence,
        write.execution_id,
        write.epoch,
    )
    if batch.change(_FINISH, bindings) == 0:
        return False
    if write.gate is not None:
        turns.release(batch, write.gate)
    conversations.keep(batch, write.conversation)
    batch.add_all(write.events, write.epoch)
    if write.answers is not None:
        resume(batch, write.answers)
    return True


def requeue(batch: Batch, write: Requeue) -> bool:
    return batch.change(_REQUEUE, (write.execution_id, write.epoch)) > 0


def claim_executions(batch: Batch, write: ClaimExecutions) -> tuple[Execution, ...]:
    kinds = msgspec.json.encode(write.kinds).decode()
    found: list[rows.Row] = batch.cursor.execute(_RUNNABLE, (kinds, write.limit)).fetchall()
    found += batch.cursor.execute(_WAKING, (kinds, write.limit, to_ms(write.now))).fetchall()
    oldest = sorted(id_ for (id_,) in found)[: write.limit]
    return _returned(batch, _CLAIM, write.epoch, oldest)


def adopt_executions(batch: Batch, write: AdoptExecutions) -> tuple[Execution, ...]:
    found: list[rows.Row] = batch.cursor.execute(_ORPHANS, (write.epoch, write.limit)).fetchall()
    return _returned(batch, _ADOPT, write.epoch, [id_ for (id_,) in found])


def _returned(batch: Batch, sql: str, epoch: int, ids: list[bytes]) -> tuple[Execution, ...]:
    changed = batch.cursor.executemany(sql, [(epoch, id_) for id_ in ids])
    return tuple([rows.execution_from(row) for row in changed])


def cancel(batch: Batch, write: Cancel) -> Cancelling | None:
    row = batch.first(_FIND, (write.execution_id, write.organization_id))
    if row is None:
        return None
    execution = rows.execution_from(row)
    if execution.status.is_terminal:
        return Cancelling(execution=execution, is_seized=False, holder=None)
    is_seized = row[-1] is None
    row = batch.first(_CANCEL, (write.epoch, write.execution_id))
    assert row is not None
    return Cancelling(execution=rows.execution_from(row), is_seized=is_seized, holder=row[-1])
