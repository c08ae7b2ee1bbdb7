"""Dialects word every event and never refuse (CONTRACT section 5), whatever users publish and runs return."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from ended_runs import AT, BY_KIND, ORGANIZATION, ROBOT_FACTS, failed, terminal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from json_values import texts, values

from hookline.core.event_types import CONVERSATION_ENDED, ENDED, STARTED, is_told_by_ends
from hookline.core.filters import compile_filter
from hookline.core.matching import compile_patterns
from hookline.dialects import NAMES, Recipient, get
from hookline.model.events import Event
from hookline.model.states import ExecutionStatus, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import DrawFn

    from hookline.model.executions import Execution

    Javascript = Callable[[bytes], bytes | None]

SETTINGS = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
OWN_TYPES = sorted({type_ for types in ENDED.values() for type_ in types} | set(STARTED.values()))
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "phantombuster": [{}, {"result_object": "json-string", "version": 2}],
    "maxun": [{}, {"dual_keys": True}],
    "maxun-src": [{}, {"dual_keys": True}],
}
types = st.sampled_from(OWN_TYPES) | texts.filter(bool)
trims = st.sampled_from(
    [
        None,
        compile_filter(["a", "output_data", "message"], None),
        compile_filter(None, ["error", "output_data.a"]),
    ]
)


@st.composite
def recipients(draw: DrawFn, name: str) -> Recipient:
    return Recipient(
        webhook_id="wh_1",
        trim=draw(trims),
        options=draw(st.sampled_from(OPTIONS.get(name, [{}]))),
        base_url=draw(st.sampled_from(["", "https://hooks.example.com"])),
    )


@st.composite
def events(draw: DrawFn) -> Event:
    """Any data under any type; of an execution or published."""
    sequence = draw(st.integers(0, 8))
    return Event(
        key=b"k" * 16,
        organization_id=ORGANIZATION,
        type=draw(types),
        data=json.dumps(draw(values), ensure_ascii=draw(st.booleans())).encode(),
        occurred_at=AT,
        received_at=AT,
        execution_id=b"x" * 16 if sequence else None,
        sequence=sequence,
        target_id=draw(st.sampled_from([None, b"w" * 16])),
    )


@st.composite
def runs(draw: DrawFn) -> Execution:
    """A run that ended in any way, with any output and any words in its error."""
    run = BY_KIND[draw(st.sampled_from(list(Kind)))]
    status = draw(st.sampled_from(["SUCCEEDED", "FAILED", "KILLED", "TIMED_OUT", "LOST"]))
    if status == "SUCCEEDED":
        return msgspec.structs.replace(run, output=json.dumps(draw(values)).encode())
    words = {name: draw(st.none() | texts) for name in ("type", "stack", "limit")}
    launched = draw(st.booleans())
    return msgspec.structs.replace(
        failed(run, status, message=draw(texts), code=draw(texts), **words),
        started_at=AT - timedelta(seconds=1) if launched else None,
        launch_ms=5 if launched else None,
        run_ms=1000 if launched else None,
    )


def exactly(text: bytes) -> Any:
    """A JSON text with its numbers as they are written."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def spoken(name: str, event: Event, to: Recipient, run: Execution | None, javascript: Javascript) -> bytes:
    """Word an event, and check what holds of every body."""
    body = get(name).body(event, to, run)
    assert body == get(name).body(event, to, run)
    if name == "raw":
        assert to.trim is not None or body == event.data
    elif name in {"standard", "cloudevents"}:  # no number is changed, even one that JavaScript cannot hold
        assert to.trim is not None or exactly(body)["data"] == exactly(event.data)
        assert body.endswith(event.data + b"}") or to.trim is not None or javascript(body) == body
    else:
        assert javascript(body) == body
    for header, value in get(name).event_headers(event):
        assert (header + value).isascii()
        assert value.isprintable()
    return body


@SETTINGS
@given(data=st.data(), event=events(), run=st.none() | runs())
def test_every_dialect_words_every_event(
    javascript: Javascript, data: st.DataObject, event: Event, run: Execution | None
) -> None:
    """CONTRACT section 5, AF-X1: never refused, and JSON.stringify(JSON.parse(body)) gives the same bytes."""
    for name in NAMES:
        spoken(name, event, data.draw(recipients(name)), run, javascript)


@SETTINGS
@given(data=st.data(), run=runs())
def test_every_end_of_every_kind_is_worded_and_no_failure_as_success(
    javascript: Javascript, data: st.DataObject, run: Execution
) -> None:
    """PB-6, MX-6, PF-3: a false success would be a lie, whatever the filter leaves of the data."""
    event = terminal(run, ROBOT_FACTS if run.kind is Kind.ROBOT else None)
    is_success = run.status is ExecutionStatus.SUCCEEDED
    for stored in (run, None):
        told = {
            name: json.loads(spoken(name, event, data.draw(recipients(name)), stored, javascript))
            for name in NAMES
            if get(name).tells_ends_only
        }
        exited = told["phantombuster"]

        assert (exited["exitMessage"] == "finished" and exited["exitCode"] == 0) is is_success
        assert told["maxun"]["event_type"] == ("run_completed" if is_success else "run_failed")
        assert told["maxun-src"]["data"]["status"] == ("success" if is_success else "failed")
        assert told["phantomflow"]["status"] == ("completed" if is_success else "failed")


@given(type_=types, is_of_execution=st.booleans(), takes_all=st.booleans())
def test_dialects_of_ends_hear_of_every_end_and_of_no_start(
    type_: str, is_of_execution: bool, takes_all: bool
) -> None:
    """CONTRACT section 5: started and step events do not match; a type of one's own does, even ``x.started``."""
    accepts = {type_: True}.get if not takes_all else bool
    is_told = is_told_by_ends(type_, lambda name: bool(accepts(name)), is_of_execution=is_of_execution)

    assert is_told is (type_ not in STARTED.values())


@pytest.mark.parametrize(
    ("patterns", "is_of_execution", "is_told"),
    [
        (["*"], True, False),
        (["agent.*"], True, False),
        (["agent.conversation.completed"], True, True),
        (["agent.conversation.*", "agent.message.sent"], True, True),
        (["*"], False, True),
    ],
)
def test_the_end_of_a_conversation_is_told_where_its_turns_are_not(
    patterns: list[str], is_of_execution: bool, is_told: bool
) -> None:
    """PB-2: one POST per run; whoever asks for conversations alone gets them."""
    accepts = compile_patterns(patterns)

    assert is_told_by_ends(CONVERSATION_ENDED, accepts, is_of_execution=is_of_execution) is is_told
    # What opens a turn ends nothing; published, it is an event like any other.
    assert is_told_by_ends("agent.message.received", accepts, is_of_execution=is_of_execution) is not (
        is_of_execution
    )
