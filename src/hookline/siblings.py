"""What a flow may call, and what it gets from a flow that it called.

Loaded into every child process, so it imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.calling import CallAnswer
from hookline.core.content import as_returned
from hookline.core.hops import MOST_HOPS

if TYPE_CHECKING:
    from hookline.triggered import Trigger

LATE: Final = "TIMED_OUT"


class FlowCallError(RuntimeError):
    """A flow that was called gave no result. code: ``FAILED``, ``KILLED``, ``TIMED_OUT``, ``LOST``, or the run's own;
    ``LOOP_DETECTED``: flows call each other in a circle.  execution_id: of the called run, None when it is not known.
    """

    def __init__(self, message: str, *, code: str, execution_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.execution_id = execution_id


def check_call(trigger: Trigger, flow: object) -> None:
    """Raise RuntimeError where there are no siblings, LookupError for a name that none has, FlowCallError for a chain
    that is too long.
    """
    if trigger.instance.id is None:
        raise RuntimeError("only a flow of an instance has siblings to call: this run belongs to none")
    if flow not in trigger.webhook_urls:
        names = ", ".join(map(repr, trigger.webhook_urls))
        raise LookupError(f"the integration has no flow {flow!r}: it has {names}")
    hops = getattr(trigger, "hops", 0)
    if hops >= MOST_HOPS:
        raise FlowCallError(
            f"{hops} calls and deliveries led to this run: flows call each other in a circle.",
            code="LOOP_DETECTED",
        )


def result_of(flow: str, answer: Any, seconds: float) -> Any:
    """Return what a called flow returned. Raises FlowCallError.

    answer: the data of the awaited event, None when the time was up.
    """
    if answer is None:
        raise FlowCallError(f"flow {flow!r} has not ended within {seconds:g} s: it goes on", code=LATE)
    told = msgspec.convert(answer, CallAnswer)
    if told.status == "succeeded":
        return as_returned(told.output)
    message = f"flow {flow!r}: {told.message or told.status}"
    raise FlowCallError(message, code=told.code or "FAILED", execution_id=told.execution_id)
