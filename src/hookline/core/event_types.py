"""The event types that this engine emits by itself: what begins a run, what ends it, what lies between.

Any other type may be published, and so may these: a type alone never says that an event is ours. Events of an
execution carry a ``sequence`` from 1 on; published ones have 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.model.states import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

STARTED: Final = {
    Kind.WORKFLOW: "workflow.execution.started",
    Kind.AGENT: "agent.conversation.started",
    Kind.SCRIPT: "script.execution.started",
    Kind.ROBOT: "robot.run.started",
    Kind.RENDER: "render.job.started",
}
"""First event of a kind's run."""

ENDED: Final = {
    Kind.WORKFLOW: ("workflow.execution.completed", "workflow.execution.failed"),
    Kind.AGENT: ("agent.message.sent", "agent.message.failed"),
    Kind.SCRIPT: ("script.execution.ended", "script.execution.ended"),
    Kind.ROBOT: ("robot.run.completed", "robot.run.failed"),
    Kind.RENDER: ("render.job.completed", "render.job.failed"),
}
"""Terminal event of a kind: when it succeeded, and otherwise (CONTRACT section 5). One per execution."""

CONVERSATION_ENDED: Final = "agent.conversation.completed"
"""Comes right behind the terminal event of the turn that settles a conversation; when a caller or silence ends one,
with no execution."""

KIND_ENDED_BY: Final = {
    **{type_: kind for kind, types in ENDED.items() for type_ in types},
    CONVERSATION_ENDED: Kind.AGENT,
}

WEBHOOK_DISABLED: Final = "webhook.disabled"
WEBHOOK_RECOVERED: Final = "webhook.recovered"
DELIVERY_EXHAUSTED: Final = "delivery.exhausted"

OPERATIONAL: Final = frozenset({WEBHOOK_DISABLED, WEBHOOK_RECOVERED, DELIVERY_EXHAUSTED})
"""How deliveries fare, told as events. Each names a webhook in its data, to which it never goes."""

MEANINGS: Final = {
    "workflow.execution.started": "A workflow began to run.",
    "workflow.step.completed": "A step of a workflow has ended; its result is stored and it is not run again.",
    "workflow.execution.completed": "A workflow has ended well; its result is in the data.",
    "workflow.execution.failed": "A workflow failed, was killed, ran out of time or was lost; the data says which.",
    "agent.conversation.started": "Somebody began to talk with an agent.",
    "agent.message.received": "An agent was given a message: a turn of the conversation begins.",
    "agent.message.sent": "An agent answered: the turn has ended well.",
    "agent.message.failed": "An agent could not answer: the turn has failed.",
    CONVERSATION_ENDED: "A conversation was settled, by the agent, by a caller or by silence.",
    "script.execution.started": "A script agent was launched.",
    "script.execution.ended": "A script has ended, well or not; the data says how.",
    "robot.run.started": "A robot began a run.",
    "robot.run.completed": "A robot has ended its run; what it captured is in the data.",
    "robot.run.failed": "A robot could not end its run.",
    "render.job.started": "A movie began to be rendered.",
    "render.job.completed": "A movie is rendered; the data has the link to it.",
    "render.job.failed": "A movie could not be rendered.",
    WEBHOOK_DISABLED: "A webhook was disabled; what it is owed is held. Never told to that webhook.",
    WEBHOOK_RECOVERED: "A webhook that was failing works again. Never told to that webhook.",
    DELIVERY_EXHAUSTED: "A delivery was given up after its last attempt. Never told to its webhook.",
}
"""What each type says, in one sentence. Any other type may be published, and so may these."""

_TURN_OPENED: Final = "agent.message.received"

_ON_THE_WAY: Final = frozenset({*STARTED.values(), "workflow.step.completed"})
"""Started and step events, also where they are published (CONTRACT section 5)."""


def is_told_by_ends(event_type: str, accepts: Callable[[str], bool], *, is_of_execution: bool) -> bool:
    """Say whether a webhook of a system that only speaks of ends (PB-2, MX-1, PF-2) hears of an event.

    accepts: whether the webhook's patterns fit a type.  is_of_execution: an execution made the event; False for
    published ones. What a run emits under a type of its own is told like something published.
    """
    if event_type in _ON_THE_WAY:
        return False
    if is_of_execution and event_type == _TURN_OPENED:
        return False
    if is_of_execution and event_type == CONVERSATION_ENDED:
        # The turn's own end says the same: to a webhook that gets every such end, one run would end twice (PB-2).
        return not all(map(accepts, ENDED[Kind.AGENT]))
    return True
