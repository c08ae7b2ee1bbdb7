"""Which turn a request takes, by its trigger's settings and its flow's rules (PR-18, PR-19, CONTRACT section 3)."""

from __future__ import annotations

from datetime import timedelta
from hashlib import blake2b
from typing import Any

import msgspec
import pytest

from hookline.core.hops import HEADER, hops_in, hops_of, shown
from hookline.core.turns import Turn, conversation_gate, digest, place_of, turn_of
from hookline.errors import ConflictError, InputError
from hookline.model.executions import Automation, QueueRule, RetryRule
from hookline.model.states import Kind

PLAIN = Automation(kind=Kind.WORKFLOW, id="orders", name="Orders")
QUEUED = msgspec.structs.replace(PLAIN, queue=QueueRule(limit=2))
UNIQUE = msgspec.structs.replace(PLAIN, retry=RetryRule(max_retries=1, delay_ms=1, unique_id="body.data.id"))


def turn(
    settings: dict[str, Any], automation: Automation = PLAIN, place: bytes = b"here", **payload: Any
) -> Turn | None:
    return turn_of(place, settings, automation, lambda: payload)


def by_tenant(**settings: Any) -> dict[str, Any]:
    return {"concurrency": {"limit": 3, "mode": "skip", "key": "headers.x-tenant", **settings}}


def test_without_rules_there_is_no_turn_and_nothing_is_looked_at() -> None:
    def never() -> dict[str, Any]:
        raise AssertionError

    assert turn_of(b"here", {"rate_per_second": 5}, PLAIN, never) is None


def test_one_gate_for_each_value_of_the_key_and_each_place() -> None:
    one = turn(by_tenant(), headers={"x-tenant": "a"})
    same = turn(by_tenant(), headers={"x-tenant": "a"})
    others = [
        turn(by_tenant(), headers={"x-tenant": "b"}),
        turn(by_tenant(), headers={}),
        turn(by_tenant(), place=b"there", headers={"x-tenant": "a"}),
    ]

    assert one is not None
    assert (one.limit, one.when_full, one.mark) == (3, "skip", None)
    assert one == same
    assert len({one.gate, *(other.gate for other in others if other is not None)}) == 4


def test_a_flows_queue_counts_where_the_trigger_says_nothing() -> None:
    """PR-19."""
    own, given = turn({}, QUEUED), turn(by_tenant(), QUEUED, headers={})

    assert own is not None
    assert given is not None
    assert (own.limit, own.when_full, given.limit) == (2, "queue", 3)
    assert own.gate != given.gate


def test_a_debounced_request_waits_and_merges() -> None:
    found = turn(
        {"debounce": {"delay_seconds": 2.5, "max_seconds": 60.0, "key": "body.data.id"}},
        body={"data": {"id": 7}},
    )

    assert found is not None
    assert (found.delay, found.most_delay, found.same_mark) == (
        timedelta(seconds=2.5),
        timedelta(seconds=60),
        "merge",
    )
    assert found.mark is not None


def test_a_new_request_of_the_same_id_ends_pending_retries() -> None:
    """PR-18."""
    found = turn({}, UNIQUE, body={"data": {"id": "a"}})

    assert found is not None
    assert (found.same_mark, found.delay, found.gate) == ("supersede", None, None)
    assert turn({}, UNIQUE, body={"data": {}}) is None


def test_hops_are_carried_by_what_a_flow_is_shown() -> None:
    trigger = msgspec.json.encode({**shown(hops_in(b"3")), "method": "POST"})

    assert hops_of(trigger) == 3
    assert hops_of(b'{"method":"POST","hops":9}') == hops_of(None) == hops_in(None) == 0


def test_more_than_five_hops_are_refused() -> None:
    assert hops_in(b"5") == 5
    with pytest.raises(ConflictError) as caught:
        hops_in(b"6")

    assert (caught.value.code, caught.value.field) == ("LOOP_DETECTED", HEADER)


@pytest.mark.parametrize("header", [b"", b"-1", b"1.0", b"0001", b"many", b" 1", "\u0663".encode()])
def test_hops_are_a_plain_number(header: bytes) -> None:
    with pytest.raises(InputError) as caught:
        hops_in(header)

    assert (caught.value.field, caught.value.expected) == (HEADER, "whole number")


def test_places_and_conversations_have_gates_of_their_own() -> None:
    """CONTRACT section 3: gates and marks count for one automation behind one trigger."""
    other = msgspec.structs.replace(PLAIN, id="refunds")
    gates = [
        place_of(b"t" * 16, PLAIN),
        place_of(b"u" * 16, PLAIN),
        place_of(b"t" * 16, other),
        conversation_gate(b"t" * 16),
        conversation_gate(b"u" * 16),
    ]

    assert len(set(gates)) == len(gates)
    assert place_of(b"t" * 16, PLAIN) == gates[0]
    assert conversation_gate(b"t" * 16) == gates[3]


def test_names_of_gates_and_marks_stay_what_they_are() -> None:
    """They are stored: a node of the next version must find those of this one. Each part counts with its length."""
    by_hand = blake2b(b"\0" * 7 + b"\x02ab" + b"\0" * 7 + b"\x01c", digest_size=16).digest()

    assert digest("ab", b"c") == by_hand
    assert digest("a", "bc") != by_hand
    debounced = turn({"debounce": {"delay_seconds": 1}})
    again = turn({}, UNIQUE, body={"data": {"id": "a"}})
    assert debounced is not None
    assert again is not None
    assert debounced.mark == digest(b"here", "debounce", "")
    assert again.mark == digest(b"here", "retry", "a")
