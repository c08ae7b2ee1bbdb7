"""How a call between flows is told in the journal and in what the called flow is shown (PR-20)."""

from __future__ import annotations

import msgspec

from hookline.core.calling import Caller, Made, awaited, caller_of, made_of


def test_the_called_flow_knows_its_caller() -> None:
    trigger = b'{"hops":1,"called_by":{"execution_id":"exec_1","waits_for":"call_flow:b:0"},"data":{}}'

    assert caller_of(trigger) == Caller("exec_1", "call_flow:b:0")
    assert caller_of(b'{"called_by":{"execution_id":"exec_1"}}') == Caller("exec_1")


def test_the_journal_tells_what_a_call_has_started() -> None:
    assert made_of(msgspec.json.encode(Made("exec_2"))) == "exec_2"
    assert made_of(b"{}") is None
    assert made_of(None) is None


def test_each_call_waits_for_an_event_of_its_own() -> None:
    assert awaited("orders", 0) == "call_flow:orders:0"
    assert len({awaited(flow, number) for flow in ("a", "b") for number in (0, 1)}) == 4
