"""How a call between runs is told in the journal, in what the called one is shown, and at its end (PR-20)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from hookline.core.calling import FLOW, WORKFLOW, Caller, Made, answer_of, awaited, caller_of, made_of
from hookline.model.executions import Execution, Failure
from hookline.model.ids import public
from hookline.model.states import ExecutionStatus, Kind

AT = datetime(2026, 1, 15, 12, tzinfo=UTC)
CALLER = b"c" * 16
CALLED_BY = {"execution_id": public("execution", CALLER), "waits_for": "call_flow:b:0"}


def called(by: Any = CALLED_BY, **changes: Any) -> Execution:
    execution = Execution(
        id=b"e" * 16,
        organization_id=b"o" * 16,
        kind=Kind.WORKFLOW,
        automation_id="b",
        automation_name="B",
        status=ExecutionStatus.SUCCEEDED,
        source="flow",
        trigger=msgspec.json.encode({"hops": 1, "called_by": by, "data": {}}),
        output=b'{"n":1.0}',
        created_at=AT,
    )
    return msgspec.structs.replace(execution, **changes)


@pytest.mark.parametrize("source", ["flow", "workflow"])
def test_the_called_one_knows_its_caller(source: str) -> None:
    assert caller_of(called(source=source)) == Caller(public("execution", CALLER), "call_flow:b:0")


@pytest.mark.parametrize("changes", [{"source": "trigger"}, {"trigger": None}])
def test_who_was_not_called_has_no_caller(changes: dict[str, Any]) -> None:
    """Nor has one whose trigger is not loaded, as in lists."""
    assert caller_of(called(**changes)) is None
    assert answer_of(called(**changes)) is None


def told(execution: Execution) -> Any:
    answer = answer_of(execution)
    assert answer is not None
    assert (answer.caller, answer.name) == (CALLER, "call_flow:b:0")
    return msgspec.json.decode(answer.value)


def test_a_success_is_answered_with_its_output() -> None:
    """P4: as it is stored."""
    answer = answer_of(called())

    assert answer is not None
    assert b'"output":{"n":1.0}' in answer.value
    assert told(called(output=None))["output"] is None
    assert told(called())["execution_id"] == public("execution", b"e" * 16)


def test_a_failure_is_answered_with_its_code_and_message() -> None:
    failure = Failure(code="FAILED", message="no", stack="CANARY")
    failed = told(called(status=ExecutionStatus.FAILED, error=failure))
    lost = told(called(status=ExecutionStatus.LOST))

    assert (failed["status"], failed["output"]) == (str(ExecutionStatus.FAILED), None)
    assert (failed["code"], failed["message"]) == ("FAILED", "no")
    assert (lost["status"], lost["code"], lost["output"]) == (str(ExecutionStatus.LOST), None, None)


@pytest.mark.parametrize(
    "trigger", [{"execution_id": CALLED_BY["execution_id"]}, {**CALLED_BY, "execution_id": "exec_nonsense"}]
)
def test_nobody_is_answered_who_does_not_wait_or_cannot_be(trigger: dict[str, str]) -> None:
    assert answer_of(called(trigger)) is None


def test_the_journal_tells_what_a_call_has_started() -> None:
    assert made_of(msgspec.json.encode(Made("exec_2", is_awaited=False))) == Made("exec_2", is_awaited=False)
    assert made_of(b"{}") == made_of(None) == Made(None, is_awaited=True)


def test_each_call_waits_for_an_event_of_its_own() -> None:
    assert awaited(FLOW, "orders", 0) == "call_flow:orders:0"
    assert awaited(WORKFLOW, "orders", 1) == "run_workflow:orders:1"
