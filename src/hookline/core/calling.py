"""Calls from one run to another: how they are named, and what comes back.

A call is a journal entry, named after what is called, whose value is a ``Call`` until it is made and a ``Made`` from
then on: of op FLOW for another flow of the same instance, of op WORKFLOW for another workflow of the app. One that
waits for the result then waits for an event of the name ``awaited``, which is answered with a ``CallAnswer``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.model.ids import Key, parse, public
from hookline.model.states import ExecutionStatus

if TYPE_CHECKING:
    from hookline.model.executions import Execution


FLOW: Final = "call"
WORKFLOW: Final = "child"
OPS: Final = frozenset({FLOW, WORKFLOW})

SOURCES: Final = {FLOW: "flow", WORKFLOW: "workflow"}
"""``Execution.source`` of what was called."""

_CALLS: Final = {FLOW: "call_flow", WORKFLOW: "run_workflow"}

DEFAULT_SECONDS: Final = 30.0
"""How long a flow that calls waits for the result (PR-20)."""


class Call(msgspec.Struct, frozen=True):
    """What is called with. data: any JSON value.  is_awaited: the caller waits for the result."""

    data: msgspec.Raw
    is_awaited: bool


class CallAnswer(msgspec.Struct, frozen=True):
    """What came of a call. status: the called execution's, or ``not_started``.  output: None unless it succeeded.

    code, message: why there is no output.
    """

    status: str
    execution_id: str | None = None
    output: Any = None
    code: str | None = None
    message: str | None = None


class Made(msgspec.Struct, frozen=True):
    """What the journal keeps of a call once it is made. execution_id: None when there was nothing to call."""

    execution_id: str | None = None
    is_awaited: bool = True


class Caller(msgspec.Struct, frozen=True):
    """Who called an execution. waits_for: the event that the caller waits for, None when it does not wait."""

    execution_id: str
    waits_for: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """What the end of a called execution tells its caller. name: of the event.  value: JSON text of a CallAnswer."""

    caller: Key
    name: str
    value: bytes


class _Called(msgspec.Struct):
    called_by: Caller


def caller_of(execution: Execution) -> Caller | None:
    """Return who called an execution, None when nobody did, or when what triggered it is not loaded (as in lists)."""
    if execution.source not in SOURCES.values() or execution.trigger is None:
        return None
    return msgspec.json.decode(execution.trigger, type=_Called).called_by


def answer_of(ended: Execution) -> Answer | None:
    """Return what the end of an execution tells who called it and waits; None when nobody does."""
    by = caller_of(ended)
    caller = None if by is None else parse("execution", by.execution_id)
    if by is None or caller is None or by.waits_for is None:
        return None
    id_ = public("execution", ended.id)
    told = CallAnswer(str(ended.status), id_)
    if ended.status is ExecutionStatus.SUCCEEDED:
        told = CallAnswer(str(ended.status), id_, msgspec.Raw(ended.output or b"null"))
    elif ended.error is not None:
        told = CallAnswer(str(ended.status), id_, None, ended.error.code, ended.error.message)
    return Answer(caller, by.waits_for, msgspec.json.encode(told))


def made_of(value: bytes | None) -> Made:
    """Return what became of a call in the journal."""
    return msgspec.json.decode(value or b"{}", type=Made)


def awaited(op: str, name: str, occurrence: int) -> str:
    """Return the name of the event that the caller waits for: another one for each call."""
    return f"{_CALLS[op]}:{name}:{occurrence}"
