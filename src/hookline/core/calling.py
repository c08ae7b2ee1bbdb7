"""Calls from one flow to another of the same instance: how they are named, and what comes back.

A call is a journal entry of op ``call``, named after the flow, whose value is a ``FlowCall``. One that waits for the
result then waits for an event of the name ``awaited``, which is answered with a ``CallAnswer``.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

OP: Final = "call"

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


def awaited(flow: str, occurrence: int) -> str:
    """Return the name of the event that the caller waits for: another one for each call."""
    return f"call_flow:{flow}:{occurrence}"
