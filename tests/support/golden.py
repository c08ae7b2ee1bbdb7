"""The cases of the golden bodies: every dialect, every way a run can end, every event that a seed names.

``python tests/support/golden.py`` writes the files anew; read the difference before you commit it, because receivers
read those bytes.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from ended_runs import (
    AT,
    RENDER,
    RENDER_FACTS,
    ROBOT,
    ROBOT_FACTS,
    RUN,
    SCRIPT,
    SCRIPT_FACTS,
    TURN,
    failed,
    published,
    terminal,
)

from hookline.core import operations
from hookline.core.event_types import STARTED
from hookline.dialects import NAMES, Recipient, get, payloads
from hookline.dialects.templated import READY_MADE, BodyTemplate
from hookline.model.events import Event
from hookline.model.executions import Execution, Facts, JournalEntry, RenderFacts, RobotFacts, ScriptFacts
from hookline.model.health import Health, LastFailure
from hookline.model.states import AttemptOutcome

FOLDER: Final = Path(__file__).parents[1] / "unit" / "dialects" / "golden"
WEBHOOK_ID: Final = "wh_01990000-0000-7000-8000-000000000009"
BASE_URL: Final = "https://hooks.example.com"
ENDS: Final = ("phantombuster", "maxun", "maxun-src", "phantomflow")

_TIMED_OUT: Final = failed(SCRIPT, "TIMED_OUT", message="900 s are over")
_CONVERSATION: Final = payloads.new_conversation(TURN, id=b"c" * 16, now=AT - timedelta(minutes=10))
_SAID: Final = b'{"satisfaction_score":4.5,"type":"solved","category":"billing","tags":["refund","late"]}'
_STEP: Final = JournalEntry(
    op="step", name="charge", occurrence=0, value=b'{"ok":true}', started_at=AT, duration_ms=1250
)

_SUBJECT: Final = operations.Subject(id=b"s" * 16, name="Orders", url="https://example.com/hook")
_FAILURE: Final = LastFailure(
    started_at=AT - timedelta(milliseconds=40),
    at=AT,
    outcome=AttemptOutcome.HTTP_ERROR,
    status=410,
    error="The receiver answered 410.",
    delivery_id=b"d" * 16,
    event_id="order-17-paid",
    event_type="order.paid",
)
_HEALTH: Final = Health(
    webhook_id=b"s" * 16,
    organization_id=RUN.organization_id,
    failing_since=AT - timedelta(days=5),
    failures=12,
    latest=_FAILURE,
)
ON_THE_WAY: Final = frozenset({*STARTED.values(), "workflow.step.completed", "agent.message.received"})
"""Types that dialects of ends do not tell of."""


class Case(msgspec.Struct, frozen=True):
    """An event and the execution that made it, None for a published one."""

    event: Event
    execution: Execution | None = None


def _limit(limit: str) -> Case:
    assert _TIMED_OUT.error is not None
    error = msgspec.structs.replace(_TIMED_OUT.error, limit=limit)
    return _end(msgspec.structs.replace(_TIMED_OUT, error=error), _facts(None))


def _facts(exit_code: int | None) -> ScriptFacts:
    return msgspec.structs.replace(SCRIPT_FACTS, exit_code=exit_code)


def _end(execution: Execution, facts: Facts | None = None) -> Case:
    return Case(terminal(execution, facts), execution)


def _own(type_: str, data: bytes, sequence: int, execution: Execution) -> Case:
    """An event on the way of a run."""
    event = msgspec.structs.replace(
        published(data, type_), execution_id=execution.id, sequence=sequence, target_id=None
    )
    return Case(event, execution)


ENDINGS: Final[dict[str, Case]] = {
    "workflow-completed": _end(RUN),
    "workflow-failed": _end(failed(RUN, "FAILED")),
    "message-sent": _end(TURN),
    "message-failed": _end(failed(TURN, "TIMED_OUT", message="900 s are over")),
    "script-finished": _end(SCRIPT, SCRIPT_FACTS),
    "script-exit-1": _end(
        msgspec.structs.replace(failed(SCRIPT, "FAILED"), launch_ms=93, run_ms=1034), _facts(1)
    ),
    "script-killed": _end(failed(SCRIPT, "KILLED", message="The execution was cancelled."), _facts(137)),
    "script-agent-timeout": _limit("agent"),
    "script-org-timeout": _limit("org"),
    "script-global-timeout": _limit("global"),
    "script-lost": _end(failed(SCRIPT, "LOST", message="The node stopped.", type=None), _facts(None)),
    "robot-completed": _end(ROBOT, ROBOT_FACTS),
    "robot-failed": _end(
        failed(
            ROBOT,
            "FAILED",
            message="Timeout exceeded while waiting for element",
            type="TimeoutError",
            stack="TimeoutError: ...\n at async Page.waitForSelector...",
        ),
        RobotFacts(browser_id=ROBOT_FACTS.browser_id, partial_data_extracted=True),
    ),
    "render-completed": _end(RENDER, RENDER_FACTS),
    "render-completed-with-metadata": _end(
        RENDER,
        msgspec.structs.replace(RENDER_FACTS, metadata=msgspec.Raw(b'{"order": 17.0}')),
    ),
    "render-failed": _end(
        failed(
            RENDER,
            "FAILED",
            code="RENDER_FAILED",
            message="FFmpeg exited with code 1: Invalid video source URL",
            type=None,
        ),
        RenderFacts(),
    ),
    "published": Case(published(b'{"order_id": 17, "total": 12.50, "note": "Zo\\u00eb"}')),
    "published-list": Case(published(b'[{"sku": "a"}, {"sku": "b"}]', "stock.counted")),
    "published-null": Case(published(b"null")),
    "test": Case(published(b'{"order_id": 17}', "webhook.test", is_test=True)),
}
"""What the dialects of ends may be given."""

TYPED: Final[dict[str, Case]] = {
    "workflow.execution.started": _own("workflow.execution.started", payloads.workflow_started(RUN), 1, RUN),
    "workflow.execution.completed": ENDINGS["workflow-completed"],
    "workflow.execution.failed": ENDINGS["workflow-failed"],
    "workflow.step.completed": _own("workflow.step.completed", payloads.step_completed(RUN, _STEP), 2, RUN),
    "agent.conversation.started": _own(
        "agent.conversation.started", payloads.conversation_started(_CONVERSATION, TURN), 1, TURN
    ),
    "agent.message.received": _own(
        "agent.message.received", payloads.message_received(_CONVERSATION, TURN), 2, TURN
    ),
    "agent.message.sent": ENDINGS["message-sent"],
    "agent.message.failed": ENDINGS["message-failed"],
    "agent.conversation.completed": _own(
        "agent.conversation.completed",
        payloads.conversation_completed(payloads.after_turn(_CONVERSATION, TURN, resolution=_SAID, now=AT)),
        4,
        TURN,
    ),
    "script.execution.started": _own(
        "script.execution.started", payloads.workflow_started(SCRIPT), 1, SCRIPT
    ),
    "script.execution.ended": ENDINGS["script-finished"],
    "robot.run.started": _own("robot.run.started", payloads.workflow_started(ROBOT), 1, ROBOT),
    "robot.run.completed": ENDINGS["robot-completed"],
    "robot.run.failed": ENDINGS["robot-failed"],
    "render.job.started": _own("render.job.started", payloads.workflow_started(RENDER), 1, RENDER),
    "render.job.completed": ENDINGS["render-completed"],
    "render.job.failed": ENDINGS["render-failed"],
    "webhook.disabled": Case(
        published(operations.disabled_data(_SUBJECT, _HEALTH, "gone", AT), "webhook.disabled")
    ),
    "webhook.recovered": Case(
        published(operations.recovered_data(_SUBJECT, _HEALTH, AT), "webhook.recovered")
    ),
    "delivery.exhausted": Case(
        published(
            operations.exhausted_data(
                _SUBJECT,
                delivery_id=b"d" * 16,
                event_id="order-17-paid",
                event_type="order.paid",
                attempts=7,
                reason="exhausted",
                failure=_FAILURE,
            ),
            "delivery.exhausted",
        )
    ),
    "published": ENDINGS["published"],
}
"""The events by type, AgenticFlow's eight first among them (AF-6)."""

OPTIONS: Final[dict[tuple[str, str, str], dict[str, Any]]] = {
    ("phantombuster", "json-string", "script-finished"): {"result_object": "json-string"},
    ("phantombuster", "json-string", "script-exit-1"): {"result_object": "json-string"},
    ("phantombuster", "json-string", "published"): {"result_object": "json-string"},
    ("phantombuster", "version-2", "script-finished"): {"version": 2},
    ("maxun", "dual-keys", "robot-completed"): {"dual_keys": True},
    ("maxun", "dual-keys", "robot-failed"): {"dual_keys": True},
    ("maxun", "dual-keys", "test"): {"dual_keys": True},
    ("maxun-src", "dual-keys", "robot-failed"): {"dual_keys": True},
}
"""(dialect, what the option is called in the file's name, case) to the options."""


def body(dialect: str, case: Case, options: dict[str, Any] | None = None) -> bytes:
    to = Recipient(webhook_id=WEBHOOK_ID, options=options or {}, base_url=BASE_URL)
    return get(dialect).body(case.event, to, case.execution)


def bodies() -> dict[str, bytes]:
    """Path below the folder to what must be in the file."""
    found = {
        f"{dialect}/{name}.json": body(dialect, case)
        for dialect in NAMES
        for name, case in (ENDINGS if dialect in ENDS else TYPED).items()
    }
    for (dialect, option, name), options in OPTIONS.items():
        found[f"{dialect}/{name}.{option}.json"] = body(dialect, ENDINGS[name], options)
    return found | _templated()


def _templated() -> dict[str, bytes]:
    """What the ready-made templates make of some events, by chat."""
    cases = TYPED | {name: ENDINGS[name] for name in ("published-list", "published-null")}
    cases["published-empty"] = Case(published(b"{}"))
    to = Recipient(webhook_id=WEBHOOK_ID)
    return {
        f"templates/{chat}/{name}.{'txt' if chat == 'ntfy' else 'json'}": BodyTemplate(chat).body(
            case.event, to
        )
        for chat in READY_MADE
        for name, case in cases.items()
    }


if __name__ == "__main__":
    for place, text in bodies().items():
        path = FOLDER / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text + b"\n")
