"""The verdict of a crash test: every kind of lie must be seen, and an honest engine acquitted."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.testing.crashtest.ledgers import Receipt, Sent
from hookline.testing.crashtest.verdict import (
    Counts,
    DeliveryAccount,
    EngineAccount,
    EventAccount,
    ReplayAccount,
    bound,
    judge,
)

ENDPOINTS = {"a": ("one",), "b": ("one", "two"), "run": ("runs",)}
SHA = "00" * 32


def sent(seq: int, event_type: str = "a", **changes: Any) -> Sent:
    values: dict[str, Any] = {
        "seq": seq,
        "manner": "own_id",
        "type": event_type,
        "sha256": SHA,
        "answer": "acked",
        "status": 202,
        "tries": 1,
        "id": f"e{seq}",
    }
    return Sent(**values | changes)


def receipt(seq: int, endpoint: str = "one", **changes: Any) -> Receipt:
    values: dict[str, Any] = {
        "at": 1.0,
        "endpoint": endpoint,
        "id": f"e{seq}",
        "seq": seq,
        "number": 1,
        "sha256": SHA,
        "is_signed": True,
        "answer": 200,
    }
    return Receipt(**values | changes)


def delivery(
    seq: int, endpoint: str = "one", state: str = "succeeded", outcomes: tuple[str, ...] = ("delivered",)
) -> DeliveryAccount:
    return DeliveryAccount(
        id=f"d{seq}{endpoint}", event_id=f"e{seq}", endpoint=endpoint, state=state, outcomes=outcomes
    )


def account(*deliveries: DeliveryAccount, **changes: Any) -> EngineAccount:
    events = [EventAccount(id=f"e{seq}", seq=seq) for seq in range(1, 6)]
    return EngineAccount(**{"events": events, "deliveries": deliveries} | changes)


def counted(counts: Counts) -> dict[str, int]:
    """What is not zero, beyond the plain numbers of sent things."""
    names = (
        "dead",
        "lost",
        "phantom",
        "corrupt",
        "false_success",
        "duplicates_explained",
        "duplicates_unexplained",
        "unlogged",
        "stuck",
    )
    return {name: getattr(counts, name) for name in names if getattr(counts, name)}


def verdict(sents: list[Sent], receipts: list[Receipt], engine: EngineAccount) -> dict[str, int]:
    return counted(judge(sents, receipts, engine, endpoints=ENDPOINTS))


def test_an_honest_run_is_acquitted() -> None:
    counts = judge(
        [sent(1), sent(2, "b")],
        [receipt(1), receipt(2), receipt(2, "two")],
        account(delivery(1), delivery(2), delivery(2, "two")),
        endpoints=ENDPOINTS,
    )

    assert counted(counts) == {}
    assert (counts.acked, counts.owed) == (2, 3)
    assert counts.is_pass(most_in_flight=0)


@pytest.mark.parametrize(
    ("deliveries", "expected"),
    [
        ([], {"lost": 1}),
        ([delivery(1, state="cancelled", outcomes=())], {"lost": 1}),
        ([delivery(1, state="succeeded")], {"lost": 1, "false_success": 1}),
        ([delivery(1, state="exhausted")], {"dead": 1}),
        ([delivery(1, state="pending")], {"stuck": 1}),
        ([delivery(1, state="in_flight")], {"stuck": 1}),
        ([delivery(1, state="held")], {"stuck": 1}),
    ],
)
def test_what_was_acked_and_never_arrived_is_lost_unless_it_is_visible(
    deliveries: list[DeliveryAccount], expected: dict[str, int]
) -> None:
    assert verdict([sent(1)], [], account(*deliveries)) == expected


def test_a_refused_answer_is_no_arrival() -> None:
    assert verdict([sent(1)], [receipt(1, answer=500)], account(delivery(1))) == {
        "lost": 1,
        "false_success": 1,
    }


def test_what_was_not_acked_is_never_lost() -> None:
    assert verdict([sent(1, answer="unknown", status=0, id=None)], [], account()) == {}


def test_what_was_not_acked_may_arrive() -> None:
    assert verdict([sent(1, answer="unknown", status=0)], [receipt(1)], account(delivery(1))) == {}


def test_what_was_not_acked_may_still_be_a_false_success() -> None:
    found = verdict([sent(1, answer="unknown", status=0)], [], account(delivery(1)))

    assert found == {"false_success": 1}


def test_what_was_never_sent_or_refused_or_not_wanted_is_a_phantom() -> None:
    found = verdict(
        [sent(1, answer="refused", status=400), sent(2)],
        [receipt(1), receipt(99), receipt(2), receipt(2, "two"), receipt(-1)],
        account(delivery(2)),
    )

    assert found["phantom"] == 4
    assert "lost" not in found


@pytest.mark.parametrize("change", [{"sha256": "ff" * 32}, {"is_signed": False}])
def test_other_bytes_or_a_wrong_signature_are_corrupt(change: dict[str, Any]) -> None:
    assert verdict([sent(1)], [receipt(1, **change)], account(delivery(1))) == {"corrupt": 1}


@pytest.mark.parametrize("outcome", ["interrupted", "timeout", "connection_lost"])
def test_a_duplicate_after_an_uncertain_attempt_is_explained(outcome: str) -> None:
    found = verdict(
        [sent(1)], [receipt(1), receipt(1, number=2)], account(delivery(1, outcomes=(outcome, "delivered")))
    )

    assert found == {"duplicates_explained": 1}


def test_a_duplicate_without_an_uncertain_attempt_is_not_explained() -> None:
    found = verdict(
        [sent(1)],
        [receipt(1), receipt(1, number=2)],
        account(delivery(1, outcomes=("delivered", "delivered"))),
    )

    assert found == {"duplicates_unexplained": 1}


def test_one_uncertain_attempt_explains_one_duplicate() -> None:
    found = verdict(
        [sent(1)],
        [receipt(1), receipt(1, number=2), receipt(1, number=3)],
        account(delivery(1, outcomes=("interrupted", "delivered"))),
    )

    assert found == {"duplicates_explained": 1, "duplicates_unexplained": 1, "unlogged": 1}


def test_a_second_event_for_one_thing_sent_is_never_explained() -> None:
    events = [EventAccount(id="e1", seq=1), EventAccount(id="x", seq=1)]
    twin = DeliveryAccount(
        id="d", event_id="x", endpoint="one", state="succeeded", outcomes=("interrupted", "delivered")
    )
    found = verdict([sent(1)], [receipt(1), receipt(1, id="x")], account(delivery(1), twin, events=events))

    assert found == {"duplicates_unexplained": 1}


def test_a_receipt_without_a_record_is_unlogged() -> None:
    found = verdict([sent(1)], [receipt(1, answer=500), receipt(1, number=2)], account(delivery(1)))

    assert found == {"unlogged": 1}


def test_what_arrived_and_is_still_owed_is_stuck() -> None:
    found = verdict([sent(1)], [receipt(1)], account(delivery(1, state="in_flight")))

    assert found == {"stuck": 1}


@pytest.mark.parametrize(
    ("executions", "expected"),
    [
        ({"x1": "succeeded"}, {}),
        ({"x1": "lost"}, {}),
        ({"x1": "running"}, {"stuck": 1}),
        ({}, {"lost": 1}),
    ],
)
def test_an_acked_execution_is_there_and_has_ended(
    executions: dict[str, str], expected: dict[str, int]
) -> None:
    one = sent(1, "run", manner="run", id="x1")
    found = verdict([one], [receipt(1, "runs")], account(delivery(1, "runs"), executions=executions))

    assert found == expected


def test_an_execution_that_ends_twice_is_an_unexplained_duplicate() -> None:
    events = [EventAccount(id=f"e{n}", seq=1, execution_id="x1") for n in (1, 2)]
    found = verdict(
        [sent(1, "run", manner="run", id="x1")],
        [receipt(1, "runs")],
        account(delivery(1, "runs"), events=events, executions={"x1": "succeeded"}),
    )

    assert found == {"duplicates_unexplained": 1}


@pytest.mark.parametrize(
    "name",
    ["lost", "phantom", "corrupt", "false_success", "duplicates_unexplained", "stuck", "out_of_order"],
)
def test_one_of_what_may_never_happen_fails_the_run(name: str) -> None:
    counts = Counts(acked=1000)
    setattr(counts, name, 1)

    assert not counts.is_pass(most_in_flight=1000)


@pytest.mark.parametrize("name", ["duplicates_explained", "unlogged"])
def test_what_a_kill_may_cause_is_bounded_by_what_was_in_flight(name: str) -> None:
    counts = Counts()
    setattr(counts, name, 11)

    assert counts.is_pass(most_in_flight=11)
    assert not counts.is_pass(most_in_flight=10)


def test_what_was_accepted_before_something_else_was_sent_arrives_before_it() -> None:
    """P6: only what happened one after the other has an order; repeats may come at any time."""
    first = sent(1, began_at=1.0, ended_at=2.0)
    second = sent(2, began_at=3.0, ended_at=4.0)
    beside = sent(3, began_at=3.5, ended_at=5.0)
    right = [receipt(1, at=10.0), receipt(3, at=11.0), receipt(2, at=12.0), receipt(1, at=13.0, number=2)]
    wrong = [receipt(2, at=10.0), receipt(1, at=11.0)]
    engine = account(*[delivery(seq) for seq in (1, 2, 3)])

    kept = judge([first, second, beside], right, engine, endpoints={"a": ["one"]}, ordered=["one"])
    broken = judge([first, second], wrong, engine, endpoints={"a": ["one"]}, ordered=["one"])
    unasked = judge([first, second], wrong, engine, endpoints={"a": ["one"]})

    assert (kept.out_of_order, broken.out_of_order, unasked.out_of_order) == (0, 1, 0)
    assert not broken.is_pass(most_in_flight=1000)


def test_the_rule_of_three() -> None:
    assert bound(300_000) == pytest.approx(1e-5)
    assert bound(0) == 1.0


def replayed(seq: int, *, delivered: int, outcomes: tuple[str, ...]) -> DeliveryAccount:
    return DeliveryAccount(
        id=f"d{seq}",
        event_id=f"e{seq}",
        endpoint="one",
        state="succeeded",
        outcomes=outcomes,
        replays=len(outcomes) - 1,
        replays_delivered=delivered,
    )


def job(**changes: Any) -> ReplayAccount:
    values: dict[str, Any] = {"id": "r", "endpoint": "one", "status": "completed", "reopened": 1}
    return ReplayAccount(**values | changes)


def test_what_a_replay_sends_again_is_no_duplicate() -> None:
    engine = account(replayed(1, delivered=1, outcomes=("delivered", "delivered")), replays=(job(),))
    counts = judge([sent(1)], [receipt(1), receipt(1)], engine, endpoints=ENDPOINTS)

    assert (counts.replayed, counts.duplicates_explained, counts.duplicates_unexplained) == (1, 0, 0)


def test_a_replay_that_sends_one_twice_makes_a_duplicate() -> None:
    engine = account(replayed(1, delivered=2, outcomes=("delivered",) * 3), replays=(job(),))
    counts = judge([sent(1)], [receipt(1)] * 3, engine, endpoints=ENDPOINTS)

    assert (counts.replayed, counts.duplicates_unexplained) == (1, 1)


def test_a_replay_must_end_and_send_what_it_says() -> None:
    engine = account(delivery(1), replays=(job(), job(id="s", status="running", reopened=0)))
    counts = judge([sent(1)], [receipt(1)], engine, endpoints=ENDPOINTS)

    assert (counts.lost, counts.stuck) == (1, 1)
