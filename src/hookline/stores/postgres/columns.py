"""How batches travel: one array per column, made rows again by ``unnest``, in the column order of ``stores.rows``.

One statement then carries any number of rows, keeps ON CONFLICT and RETURNING, and is prepared once. Nothing here
talks to a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.stores import rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_BYTEA: Final = frozenset({
    "id", "key", "organization_id", "webhook_id", "event_key", "execution_id", "delivery_id", "trigger_id",
    "request_id", "replay_of", "conversation_id", "callback_id", "batch_id", "target_id", "data", "body", "input",
    "trigger", "output", "resolution", "request_headers", "response_headers", "response_body", "headers", "value",
    "fields", "owner", "gate", "mark",
})  # fmt: skip
_BIGINT: Final = frozenset({
    "occurred_at", "received_at", "created_at", "next_attempt_at", "ended_at", "started_at", "completed_at", "wake_at",
    "duration_ms", "last_ms", "launch_ms", "run_ms", "body_size", "epoch", "idle_ms",
})  # fmt: skip
_INTEGER: Final = frozenset({
    "sequence", "webhook_revision", "attempts_made", "failures", "crashes", "interruptions", "last_status", "number",
    "status_code", "occurrence", "attempt", "steps", "event_sequence", "message_count", "gate_limit", "hops",
})  # fmt: skip
_OTHER: Final = {
    "lane": "smallint",
    "is_response_cut": "boolean",
    "is_cancel_requested": "boolean",
    "is_blocked": "boolean",
    "credits_used": "double precision",
    "satisfaction_score": "double precision",
}


def type_of(column: str) -> str:
    """The SQL type of a column by its name: the schema uses one type for one name; all others are text."""
    if column in _BYTEA:
        return "bytea"
    if column in _BIGINT:
        return "bigint"
    if column in _INTEGER:
        return "integer"
    return _OTHER.get(column, "text")


def typed(columns: Iterable[str], **others: str) -> dict[str, str]:
    """Columns with their types. others: those whose type their name does not tell."""
    return {column: others.get(column) or type_of(column) for column in columns}


EVENT: Final = typed(rows.EVENT)
DELIVERY: Final = typed(rows.DELIVERY)
ATTEMPT: Final = typed(rows.ATTEMPT, status="integer")
EXECUTION: Final = typed(rows.EXECUTION, error="bytea")
JOURNAL: Final = typed(rows.JOURNAL)
LOG: Final = typed(rows.LOG, position="bigint", at="bigint", text="bytea")
CONVERSATION: Final = typed(rows.CONVERSATION)
REQUEST: Final = typed(rows.REQUEST, status="integer")


_ZERO: Final = frozenset({
    "sequence", "lane", "webhook_revision", "attempts_made", "failures", "crashes", "interruptions",
    "is_response_cut", "gate_limit", "is_blocked", "hops",
})  # fmt: skip
"""Columns that are never null and mostly zero."""


def unnest(columns: Mapping[str, str], *, first: int = 1, alias: str = "given") -> str:
    """``unnest`` of one array per column, from parameter number ``first`` on, as a table of that alias."""
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(columns.values(), first))
    return f"unnest({arrays}) AS {alias}({', '.join(columns)})"


ALIKE: Final = frozenset({
    "organization_id", "webhook_id", "type", "event_type", "occurred_at", "received_at", "created_at", "added_at",
})  # fmt: skip
"""Columns of new rows that are never null and mostly the same in all of them: one commit is of one moment."""


def selected(columns: Mapping[str, str], *, first: int | None = None) -> str:
    """The columns of such a table, each with what ``transposed`` left out of it: zeros, and repetitions.

    first: as of ``unnest`` where ``transposed`` is told that rows are alike, else None.
    """
    given = {name: _or_zero(name, kind) for name, kind in columns.items()}
    if first is not None:
        for number, (name, kind) in enumerate(columns.items(), first):
            if name in ALIKE:
                given[name] = or_first(name, number, kind)
    return ", ".join(name if text == name else f"{text} AS {name}" for name, text in given.items())


def _or_zero(name: str, kind: str) -> str:
    if name not in _ZERO:
        return name
    return f"coalesce({name}, {'false' if kind == 'boolean' else '0'})"


def or_first(name: str, number: int, kind: str) -> str:
    """A column of which only the first value may have travelled. number: of its parameter."""
    return f"coalesce({name}, (${number}::{kind}[])[1])"


def transposed(
    given: Sequence[Sequence[Any]], columns: Mapping[str, str], *, are_alike: bool = False
) -> list[Sequence[Any]]:
    """Rows as one sequence per column.

    A column of nulls, or of zeros where ``selected`` makes them again, is empty: ``unnest`` fills the shorter
    arrays with nulls. asyncpg spends 0.3 us on each value, and half of a new delivery's are of that kind.
    are_alike: a column of ``ALIKE`` with one value throughout has it once.
    """
    if not given:
        return [()] * len(columns)
    count = len(given)
    sent: list[Sequence[Any]] = []
    for name, column in zip(columns, zip(*given, strict=True), strict=True):
        value = column[0]
        if (value is None or (value == 0 and name in _ZERO)) and column.count(value) == count:
            sent.append(())
        elif are_alike and name in ALIKE and column.count(value) == count:
            sent.append((value,))
        else:
            sent.append(column)
    return sent
