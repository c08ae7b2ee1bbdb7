"""The demo's books: it may say that nothing is missing only when nothing is."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from hookline.cli.demo.ledger import Ledger, Target, Verdict
from hookline.core.signing import new_secret, standard_signature

SECRET = new_secret(bytes(range(32)))
FIELDS = (
    "workflow_id execution_id status started_at completed_at duration_seconds input_data output_data "
    "credits_used steps_completed"
)
DATA = dict.fromkeys(FIELDS.split()) | {"execution_id": "exec_1"}
DONE = "workflow.execution.completed"


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.targets["agenticflow"] = Target("agenticflow", ("workflow.*",), SECRET)
    ledger.accept("exec_1", "workflow", "order 1")
    return ledger


def event(event_id: str = "evt_1", type_: str = DONE, execution: str = "exec_1") -> dict[str, Any]:
    return {"id": event_id, "type": type_, "execution_id": execution}


def body(type_: str = DONE, **data: object) -> bytes:
    return json.dumps({"event": type_, "timestamp": "t", "webhook_id": "wh_1", "data": DATA | data}).encode()


def arrive(ledger: Ledger, raw: bytes, *, event_id: str = "evt_1", secret: str = SECRET) -> None:
    now = int(time.time())
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(now),
        "webhook-signature": standard_signature(secret, event_id, now, raw),
    }
    ledger.arrive("agenticflow", headers, raw)


def problems(ledger: Ledger, *feed: dict[str, Any]) -> str:
    return "; ".join(ledger.verdict(list(feed)).problems)


def test_what_was_owed_and_arrived_is_no_problem(ledger: Ledger) -> None:
    arrive(ledger, body())
    verdict: Verdict = ledger.verdict([event()])

    assert verdict.problems == ()
    assert (verdict.rows[0].accepted, verdict.rows[0].ended, verdict.rows[0].missing) == (1, 1, 0)


def test_an_event_that_did_not_arrive_is_missed(ledger: Ledger) -> None:
    assert "1 of 1 owed events did not arrive" in problems(ledger, event())


def test_an_execution_that_never_ended_is_missed(ledger: Ledger) -> None:
    ledger.accept("exec_2", "workflow", "order 2")
    arrive(ledger, body())

    assert "2 accepted, 1 ended" in problems(ledger, event())


def test_a_second_terminal_event_is_a_problem(ledger: Ledger) -> None:
    arrive(ledger, body())
    arrive(ledger, body(), event_id="evt_2")

    assert "1 accepted, 0 ended with one terminal event" in problems(ledger, event(), event("evt_2"))


def test_a_wrong_signature_does_not_count_as_arrived(ledger: Ledger) -> None:
    arrive(ledger, body(), secret=new_secret(bytes(32)))

    assert "signature refused" in problems(ledger, event())
    assert "did not arrive" in problems(ledger, event())


def test_a_wrong_shape_does_not_count_as_arrived(ledger: Ledger) -> None:
    raw = json.dumps({"event": DONE, "data": {}}).encode()
    arrive(ledger, raw)

    assert "shape: expected event, timestamp, webhook_id, data" in problems(ledger, event())


def test_a_repeat_is_counted_and_is_no_problem(ledger: Ledger) -> None:
    arrive(ledger, body())
    arrive(ledger, body())
    verdict = ledger.verdict([event()])

    assert verdict.problems == ()
    assert verdict.repeats == 1


def test_events_that_no_webhook_asked_for_are_not_owed(ledger: Ledger) -> None:
    arrive(ledger, body())

    assert problems(ledger, event(), event("evt_9", "agent.message.received")) == ""
