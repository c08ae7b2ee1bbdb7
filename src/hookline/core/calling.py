"""Calls from one flow to another of the same instance: how they are named, and what comes back.

A call is a journal entry of op ``call``, named after the flow, whose value is a ``FlowCall``. One that waits for the
result then waits for an event of the name ``awaited``, which is answered with a ``CallAnswer``.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

OP: Final = "call"

SOURCE: Final = "flow"
"""``Execution.source`` of what was called."""

DEFAULT_SECONDS: Final = 30.0
"""How long a caller waits for the result (PR-20)."""


class FlowCall(msgspec.Struct, frozen=True):
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


class Caller(msgspec.Struct, frozen=True):
    """Who called an execution. waits_for: the event that the caller waits for, None when it does not wait."""

    execution_id: str
    waits_for: str | None = None


class _Called(msgspec.Struct):
    called_by: Caller


def caller_of(trigger: bytes) -> Caller:
    """Return who called an execution whose source is SOURCE. trigger: JSON text of what its ``ctx.trigger`` shows."""
    return msgspec.json.decode(trigger, type=_Called).called_by


def made_of(value: bytes | None) -> str | None:
    """Return the execution that a call in the journal has started, None when there is none."""
    return msgspec.json.decode(value or b"{}", type=Made).execution_id


def awaited(flow: str, occurrence: int) -> str:
    """Return the name of the event that the caller waits for: another one for each call."""
    return f"call_flow:{flow}:{occurrence}"
