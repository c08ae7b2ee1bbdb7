"""How an execution's steps are shown: those that finished, those that have not, and each failed try of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookline.api.reply import raw, when
from hookline.core.tries import tries_by_step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookline.core.tries import FailedTry
    from hookline.model.executions import JournalEntry

Try = tuple["JournalEntry", "FailedTry"]


def steps_view(journal: Sequence[JournalEntry]) -> dict[str, Any]:
    """``steps``: those with a result, as they finished. ``unfinished``: those that only failed until now."""
    tries = tries_by_step(journal)
    finished = [
        _finished(entry, tries.pop((entry.name, entry.occurrence), []))
        for entry in journal
        if entry.op == "step"
    ]
    return {"steps": finished, "unfinished": [_unfinished(*step, failed) for step, failed in tries.items()]}


def try_view(entry: JournalEntry, tried: FailedTry) -> dict[str, Any]:
    """One try that failed. retry_at: when the next is due, null when there is none or at once."""
    failure = tried.failure
    return {
        "number": tried.number,
        "started_at": when(entry.started_at),
        "duration_ms": entry.duration_ms,
        "error": {"code": failure.code, "message": failure.message, "type": failure.type},
        "retry_at": when(tried.retry_at),
    }


def _finished(entry: JournalEntry, failed: list[Try]) -> dict[str, Any]:
    return {
        "name": entry.name,
        "occurrence": entry.occurrence,
        "started_at": when(entry.started_at),
        "duration_ms": entry.duration_ms,
        "result": raw(entry.value),
        "failed_tries": [try_view(*one) for one in failed],
    }


def _unfinished(name: str, occurrence: int, failed: list[Try]) -> dict[str, Any]:
    """status: ``retrying``, or how its last try ended: ``failed``, ``timed_out``, ``killed``, ``lost``."""
    _, last = failed[-1]
    code = last.failure.code
    ended = code.lower() if code in {"KILLED", "LOST", "TIMED_OUT"} else "failed"
    return {
        "name": name,
        "occurrence": occurrence,
        "status": ended if last.retry_at is None else "retrying",
        "failed_tries": [try_view(*one) for one in failed],
    }
