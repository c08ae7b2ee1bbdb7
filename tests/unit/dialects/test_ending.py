"""The one record from which the dialects that only speak of ends are worded."""

from __future__ import annotations

import itertools
import uuid
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from ended_runs import AT, ORGANIZATION, RUN, TURN, ended, failed, published, terminal

from hookline.core.event_types import ENDED, KIND_ENDED_BY
from hookline.core.filters import compile_filter
from hookline.dialects.ending import Ending, ending_of, is_end, stable_number, stable_uuid
from hookline.model.states import ExecutionStatus, Kind

if TYPE_CHECKING:
    from hookline.model.executions import Execution


def of(execution: Execution, **more: Any) -> Ending:
    return ending_of(terminal(execution), execution, more.get("trim"))


def test_a_success_has_its_result_and_times() -> None:
    """PB-4, PB-7: launch is accepted to process start, run is start to end."""
    ending = of(RUN)

    assert (ending.kind, ending.subject, ending.name) == ("workflow", "wf_abc123", "Orders")
    assert (ending.launch_ms, ending.run_ms) == (121, 1850)
    assert ending.is_success
    assert ending.error is None
    assert msgspec.json.encode(ending.result) == b'{"sent":12}'


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("status", ["FAILED", "KILLED", "TIMED_OUT", "LOST"])
def test_a_run_that_did_not_succeed_has_an_error_and_no_result(kind: Kind, status: str) -> None:
    """CONTRACT section 5: data.error.code, for every kind."""
    execution = failed(ended(kind), status)
    ending = of(execution)

    assert ending.status is ExecutionStatus[status]
    assert ending.result is None
    assert ending.error is not None
    assert ending.error["code"] == status
    assert ending.error["stack"] == "ValueError: no\n  at app.py:7"


def test_a_turn_answers_with_its_message() -> None:
    """CONTRACT section 5: a turn is one execution and ends in agent.message.sent."""
    ending = of(TURN)

    assert (ending.kind, ending.result, ending.is_success) == ("agent", "Hello!", True)


@pytest.mark.parametrize("data", [None, 7, "x", [1], {"a": 1}])
def test_a_published_event_is_a_success_with_its_data_as_result(data: Any) -> None:
    """CONTRACT section 5, whatever its type."""
    for type_ in ("order.paid", *KIND_ENDED_BY):
        ending = ending_of(published(data, type_), None, None)

        assert ending.is_success
        assert not ending.is_run
        assert (ending.result, ending.name) == (data, type_)


def test_an_emitted_namesake_is_no_end() -> None:
    """Any type may be published, built-in ones included: only the last event of an ended run is its end."""
    execution = msgspec.structs.replace(RUN, event_sequence=7)
    namesake = msgspec.structs.replace(terminal(execution), sequence=3)
    running = msgspec.structs.replace(execution, status=ExecutionStatus.RUNNING)

    assert is_end(terminal(execution), execution)
    assert not is_end(namesake, execution)
    assert not is_end(terminal(execution), running)
    assert not is_end(msgspec.structs.replace(terminal(execution), sequence=0), execution)
    assert (
        ending_of(namesake, execution, None).run_id != ending_of(terminal(execution), execution, None).run_id
    )


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("status", [None, "FAILED", "KILLED", "TIMED_OUT", "LOST"])
def test_the_event_alone_says_how_a_run_ended(kind: Kind, status: str | None) -> None:
    """A held delivery may outlive its execution: what is left must not turn a failure into a success."""
    execution = ended(kind) if status is None else failed(ended(kind), status)
    left = ending_of(terminal(execution), None, None)
    whole = of(execution)

    assert (left.status, left.limit, left.run_id, left.subject) == (
        whole.status,
        whole.limit,
        whole.run_id,
        whole.subject,
    )
    assert left.result == whole.result
    assert stable_number(left) == stable_number(whole)


def test_the_filter_decides_what_is_told() -> None:
    """AF-18, AF-X6: filter first; an excluded error takes its stack along, an included path leaves the rest out."""
    part = of(RUN, trim=compile_filter(["output_data.sent"], None))
    bare = of(failed(RUN, "FAILED"), trim=compile_filter(None, ["error.message", "error.stack"]))

    assert msgspec.json.encode(part.result) == b'{"sent":12}'
    assert of(RUN, trim=compile_filter(["status"], None)).result is None
    assert bare.error == {"code": "FAILED", "message": None, "type": "ValueError", "stack": None}


def test_ids_are_stable_and_apart() -> None:
    """CONTRACT section 5: agentId a stable 16-digit number from organization, kind and id; robot_id a stable UUID."""
    endings = [
        Ending(organization_id=organization, kind=kind, subject=subject, name="any", run_id="any")
        for organization, kind, subject in itertools.product(
            (ORGANIZATION, b"p" * 16), ("script", "robot"), ("a", "b")
        )
    ]
    numbers = [stable_number(ending) for ending in endings]

    assert [stable_number(ending) for ending in endings] == numbers
    assert all(len(number) == 16 and number.isdigit() and 10**15 <= int(number) < 2**53 for number in numbers)
    assert len(set(numbers)) == len({stable_uuid(ending) for ending in endings}) == 8
    assert all(str(uuid.UUID(stable_uuid(ending))) == stable_uuid(ending) for ending in endings)
    assert numbers[0] == "8797459946788896"  # fixed for ever: receivers keep it


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_its_terminal_events(kind: Kind) -> None:
    assert all(KIND_ENDED_BY[type_] is kind for type_ in ENDED[kind])


def test_an_own_end_needs_no_readable_times() -> None:
    """Stored data is ours, yet nothing in it may make a body fail."""
    event = msgspec.structs.replace(
        terminal(RUN), data=b'{"started_at":"soon","duration_seconds":"x","error":[],"workflow_id":7}'
    )
    ending = ending_of(event, None, None)

    assert (ending.started_at, ending.run_ms, ending.subject) == (None, None, "7")
    assert ending.ended_at == AT


def test_a_script_agents_own_number_is_its_number() -> None:
    """PB-4: ``agentId`` is the id that people know; any other kind has one that is made of its id."""
    script = of(msgspec.structs.replace(ended(Kind.SCRIPT), automation_id="1234567890123456"))
    workflow = of(msgspec.structs.replace(ended(Kind.WORKFLOW), automation_id="1234567890123456"))

    assert stable_number(script) == "1234567890123456"
    assert stable_number(workflow) != "1234567890123456"


def test_the_end_of_a_conversation_has_the_whole_of_it_as_result() -> None:
    """AF-10."""
    data = {"conversation_id": "conv_1", "status": "resolved", "message_count": 4}
    event = msgspec.structs.replace(
        terminal(TURN), type="agent.conversation.completed", data=msgspec.json.encode(data)
    )

    assert ending_of(event, None, None).result == data
