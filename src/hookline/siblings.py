"""What a run may call: a flow the other flows of its instance, and any run the workflows of its app.

Loaded into every child process, so it imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.calling import FLOW, CallAnswer
from hookline.core.content import as_returned
from hookline.core.hops import MOST_HOPS

if TYPE_CHECKING:
    from collections.abc import Collection

    from hookline.triggered import Trigger

LATE: Final = "TIMED_OUT"


class WorkflowError(RuntimeError):
    """A workflow that was run gave no result. code: ``FAILED``, ``KILLED``, ``TIMED_OUT``, ``LOST``, or the run's own;
    ``LOOP_DETECTED``: runs call each other in a circle.  ``WAITS_FOR_ITSELF``: a flow's queue is held by those that
    would wait for the call.  execution_id: of the called run, None when it is not known.
    """

    def __init__(self, message: str, *, code: str, execution_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.execution_id = execution_id


class FlowCallError(WorkflowError):
    """A flow that was called gave no result; as ``WorkflowError``."""


def check_flow(trigger: Trigger, flow: object) -> None:
    """Raise RuntimeError where there are no siblings, LookupError for a name that none has, FlowCallError for a chain
    that is too long.
    """
    if trigger.instance.id is None:
        raise RuntimeError("only a flow of an instance has siblings to call: this run belongs to none")
    if flow not in trigger.webhook_urls:
        raise LookupError(f"the integration has no flow {flow!r}: it has {_listed(trigger.webhook_urls)}")
    _check_hops(trigger, FlowCallError, "flows")


def check_workflow(trigger: Trigger, workflow: object, known: Collection[str]) -> None:
    """Raise LookupError for an id that no workflow of the app has, WorkflowError for a chain that is too long."""
    if workflow not in known:
        raise LookupError(f"the app has no workflow {workflow!r}: it has {_listed(sorted(known))}")
    _check_hops(trigger, WorkflowError, "workflows")


def _check_hops(trigger: Trigger, error: type[WorkflowError], what: str) -> None:
    hops = getattr(trigger, "hops", 0)
    if hops >= MOST_HOPS:
        raise error(
            f"{hops} calls and deliveries led to this run: {what} call each other in a circle.",
            code="LOOP_DETECTED",
        )


def _listed(names: Collection[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def result_of(op: str, name: str, answer: Any, seconds: float | None) -> Any:
    """Return what a called flow or workflow returned. Raises FlowCallError or WorkflowError.

    answer: the data of the awaited event, None when the time was up.
    """
    error, what = (FlowCallError, f"flow {name!r}") if op == FLOW else (WorkflowError, f"workflow {name!r}")
    if answer is None:
        goes_on = "it goes on" if op == FLOW else "it goes on until this one ends"
        raise error(f"{what} has not ended within {seconds or 0:g} s: {goes_on}", code=LATE)
    told = msgspec.convert(answer, CallAnswer)
    if told.status == "succeeded":
        return as_returned(told.output)
    message = f"{what}: {told.message or told.status}"
    raise error(message, code=told.code or "FAILED", execution_id=told.execution_id)
