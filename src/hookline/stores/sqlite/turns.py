"""Executions that take turns (``gate``), and those that a later request may recognize (``mark``).

Everything happens in the transaction that inserts or ends an execution, so a turn is never given twice or forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.ports import Instead
from hookline.stores.rows import maybe_ms

if TYPE_CHECKING:
    from hookline.ports import Accept
    from hookline.stores.rows import Row
    from hookline.stores.sqlite.batch import Batch

_MERGEABLE: Final = """
    SELECT id FROM executions WHERE mark = ? AND status = 'waiting' AND attempt = 0 AND epoch IS NULL LIMIT 1
"""
_MERGE: Final = """
    UPDATE executions SET
        input = ?1, trigger = ?2, request_id = ?3, wake_at = iif(?5 = 0, ?4, min(?4, created_at + ?5))
    WHERE id = ?6
"""
# Those that wait are woken, so that their end comes at once.
_END: Final = """
    UPDATE executions SET
        is_cancel_requested = 1, is_blocked = 0, gate = NULL,
        status = iif(status = 'waiting' AND epoch IS NULL, 'queued', status),
        wake_at = iif(epoch IS NULL, NULL, wake_at), wait_name = iif(epoch IS NULL, NULL, wait_name)
"""
_SUPERSEDE: Final = f"{_END} WHERE mark = ? AND status = 'waiting' AND epoch IS NULL"
_REPLACE: Final = f"{_END} WHERE gate = ? AND completed_at IS NULL"
_ACTIVE: Final = """
    SELECT id FROM executions WHERE gate = ? AND completed_at IS NULL AND NOT is_blocked ORDER BY id DESC
"""
_RELEASE: Final = """
    UPDATE executions SET is_blocked = 0 WHERE id IN (
        SELECT id FROM executions WHERE gate = ?1 AND completed_at IS NULL AND is_blocked ORDER BY id
        LIMIT max(0, coalesce((
            SELECT gate_limit FROM executions
            WHERE gate = ?1 AND completed_at IS NULL AND is_blocked ORDER BY id LIMIT 1
        ), 0) - (
            SELECT count(*) FROM executions WHERE gate = ?1 AND completed_at IS NULL AND NOT is_blocked
        ))
    )
"""


def give_way(batch: Batch, write: Accept) -> Instead | None:
    """Make room for a new execution as its rules say, or tell which one stands for it."""
    execution = write.execution
    if execution.mark is not None:
        if write.same_mark == "supersede":
            batch.cursor.execute(_SUPERSEDE, (execution.mark,))
        elif (found := batch.first(_MERGEABLE, (execution.mark,))) is not None:
            news = (execution.input, execution.trigger, execution.request_id, maybe_ms(execution.wake_at))
            (waiting,) = found
            batch.cursor.execute(_MERGE, (*news, write.merge_within_ms, waiting))
            return Instead(execution_id=waiting, reason="merged")
    if execution.gate is None or write.when_full == "queue":
        return None
    active: list[Row] = batch.cursor.execute(_ACTIVE, (execution.gate,)).fetchall()
    if len(active) < execution.gate_limit:
        return None
    if write.when_full == "skip":
        return Instead(execution_id=active[0][0], reason="skipped")
    batch.cursor.execute(_REPLACE, (execution.gate,))
    return None


def release(batch: Batch, gate: bytes) -> None:
    """Let the oldest blocked ones begin, as many as there is room for."""
    batch.cursor.execute(_RELEASE, (gate,))
