"""Executions that have ended, and their terminal events, as the engine would store them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from hookline.core.event_types import ENDED
from hookline.dialects import payloads
from hookline.model.events import Event
from hookline.model.executions import (
    Artifact,
    Execution,
    Facts,
    Failure,
    RenderFacts,
    RobotFacts,
    ScriptFacts,
)
from hookline.model.ids import public
from hookline.model.states import ExecutionStatus, Kind

ORGANIZATION = bytes.fromhex("01990000000070008000000000000001")
AT = datetime(2025, 5, 29, 15, 53, 15, 595_000, tzinfo=UTC)
RUN = Execution(
    id=bytes.fromhex("110c4dae000070008000eff1022e4bb0"),
    organization_id=ORGANIZATION,
    kind=Kind.WORKFLOW,
    automation_id="wf_abc123",
    automation_name="Orders",
    status=ExecutionStatus.SUCCEEDED,
    input=b'{"name": "John Doe"}',
    output=b'{"sent": 12.0}',
    created_at=AT - timedelta(milliseconds=1971),
    started_at=AT - timedelta(milliseconds=1850),
    completed_at=AT,
    launch_ms=121,
    run_ms=1850,
    steps=5,
    credits_used=4.5,
    event_sequence=7,
)
TURN = msgspec.structs.replace(
    RUN,
    kind=Kind.AGENT,
    automation_id="agent_abc123",
    automation_name="Support",
    conversation_id=b"c" * 16,
    input=b'{"message":"hi","user_id":"user_123"}',
    output=b'"Hello!"',
    event_sequence=4,
)
SCRIPT = msgspec.structs.replace(
    RUN, kind=Kind.SCRIPT, automation_id="test-script", automation_name="Test Script", event_sequence=2
)
CAPTURED = {
    "captured_texts": {
        "Products": [
            {
                "Product Name": "MacBook Pro 16-inch M3 Max",
                "Price": "$3,999.00",
                "Rating": "4.8/5 stars",
            }
        ]
    },
    "captured_lists": {
        "list_1": [{"Rank": "1", "Product": "MacBook Air M2", "Units Sold": "2,847"}],
        "list_0": [{"Customer": "Sarah M.", "Rating": "5 stars"}],
    },
    "screenshots_count": 5,
}
ROBOT = msgspec.structs.replace(
    RUN,
    kind=Kind.ROBOT,
    automation_id="test-robot",
    automation_name="Test Robot",
    output=msgspec.json.encode(CAPTURED),
    started_at=AT - timedelta(seconds=45),
    run_ms=45_000,
    event_sequence=2,
)
RENDER = msgspec.structs.replace(
    RUN,
    kind=Kind.RENDER,
    automation_id="movie",
    automation_name="Movie",
    output=b'{"scenes":1}',
    credits_used=15.2,
    event_sequence=2,
)
BY_KIND = {run.kind: run for run in (RUN, TURN, SCRIPT, ROBOT, RENDER)}
SCRIPT_FACTS = ScriptFacts(
    script="test_script_50516785467.js",
    script_org="phantombuster",
    branch="test-branch-0545107204",
    exit_code=0,
)
ROBOT_FACTS = RobotFacts(browser_id="d27ace57-75cb-441c-8589-8ba34e52f7d1")
FILE_NAMES = {
    Kind.SCRIPT: ("report.csv", "text/csv"),
    Kind.ROBOT: ("Screenshot-1.png", "image/png"),
    Kind.RENDER: ("movie.mp4", "video/mp4"),
}
RENDER_FACTS = RenderFacts(output_url="https://cdn.example.com/output/a1b2c3d4.mp4", video_seconds=15.2)


def ended(kind: Kind) -> Execution:
    return BY_KIND[kind]


def failed(execution: Execution, status: str, **failure: Any) -> Execution:
    """The same run, ended otherwise. status: a terminal one, its name."""
    said: dict[str, Any] = {
        "code": status,
        "message": "no",
        "type": "ValueError",
        "stack": "ValueError: no\n  at app.py:7",
        "limit": "agent" if status == "TIMED_OUT" else None,
    }
    return msgspec.structs.replace(
        execution, status=ExecutionStatus[status], output=None, error=Failure(**{**said, **failure})
    )


def files_of(execution: Execution) -> list[Artifact] | None:
    """One file of a run that succeeded, none of one that failed; None for kinds that make none."""
    if execution.kind not in FILE_NAMES:
        return None
    if execution.status is not ExecutionStatus.SUCCEEDED:
        return []
    name, content_type = FILE_NAMES[execution.kind]
    place = f"https://hooks.example.com/artifacts/{public('execution', execution.id)}"
    return [
        Artifact(
            execution_id=execution.id,
            name=name,
            content_type=content_type,
            size=1234,
            digest=hashlib.sha256(name.encode()).hexdigest(),
            blob_id="",
            created_at=AT,
            url=f"{place}/{name}?expires=1751212800&token=VG9rZW4",
        )
    ]


def terminal(execution: Execution, facts: Facts | None = None) -> Event:
    """The terminal event of a run."""
    is_success = execution.status is ExecutionStatus.SUCCEEDED
    completed, otherwise = ENDED[execution.kind]
    if execution.kind is Kind.AGENT:
        conversation = payloads.new_conversation(execution, id=b"c" * 16, now=AT)
        word = payloads.message_sent if is_success else payloads.message_failed
        data = word(conversation, execution)
    else:
        data = payloads.workflow_terminal(execution, facts, files_of(execution))
    return Event(
        key=bytes.fromhex("01990000000070008000000000000002"),
        organization_id=execution.organization_id,
        type=completed if is_success else otherwise,
        data=data,
        occurred_at=AT,
        received_at=AT,
        execution_id=execution.id,
        sequence=execution.event_sequence - (execution.conversation_id is not None),
    )


def published(data: Any, type_: str = "order.paid", *, is_test: bool = False) -> Event:
    """An event that somebody published, or that the test route made."""
    return Event(
        key=bytes.fromhex("01990000000070008000000000000003"),
        organization_id=ORGANIZATION,
        type=type_,
        data=data if isinstance(data, bytes) else msgspec.json.encode(data),
        occurred_at=AT,
        received_at=AT,
        target_id=b"w" * 16 if is_test else None,
    )
