"""The script of a crash test: repeatable, and its data passes every dialect byte for byte."""

from __future__ import annotations

import json
from collections import Counter

from hookline.failpoints import FAILPOINTS
from hookline.testing.crashtest.script import (
    Endpoint,
    answer_of,
    endpoints_of,
    faults_of,
    item_of,
    wanted_by,
)


def test_equal_seeds_give_equal_scripts() -> None:
    def faults(seed: int) -> object:
        return faults_of(seed, 20, nodes=2, events=2000, can_stop_database=True)

    assert faults(7) == faults(7)
    assert faults(7) != faults(8)
    assert item_of(7, 3, 2000) == item_of(7, 3, 2000)


def test_the_data_is_compact_json_that_a_round_trip_does_not_change() -> None:
    for seq in range(300):
        data = item_of(1, seq, 2000).data

        value = json.loads(data)
        assert value["seq"] == seq
        assert json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() == data


def test_every_manner_and_type_is_sent_and_wanted() -> None:
    endpoints = endpoints_of(2000)
    wanted = wanted_by(endpoints)
    items = [item_of(1, seq, 2000) for seq in range(2000)]

    assert {item.manner for item in items} == {"own_id", "keyed", "bare", "run"}
    assert all(wanted[item.type] for item in items)
    assert len(wanted["crash.wide"]) > 256
    assert all((item.key is not None) == (item.manner == "keyed") for item in items if item.manner != "run")


def test_a_flaky_endpoint_refuses_the_first_time_only() -> None:
    flaky = Endpoint(name="flaky", events=(), answers="flaky")
    first = Counter(answer_of(1, flaky, seq, 1)[0] == 200 for seq in range(500))

    assert 0 < first[False] < first[True]
    assert all(answer_of(1, flaky, seq, 2) == (200, 0.0) for seq in range(500))


def test_every_fault_lands_on_a_node_within_the_run_at_a_point_that_exists() -> None:
    faults = faults_of(3, 100, nodes=2, events=2000, can_stop_database=True)

    assert {fault.kind for fault in faults} == {"kill", "failpoint", "pause", "database"}
    assert {fault.node for fault in faults} == {0, 1}
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert all(0 <= fault.at < 1 for fault in faults)
    assert all(fault.failpoint.partition(":")[0] in FAILPOINTS for fault in faults if fault.failpoint)


def test_without_a_second_node_nothing_is_paused() -> None:
    faults = faults_of(3, 100, nodes=1, events=2000, can_stop_database=False)

    assert {fault.kind for fault in faults} == {"kill", "failpoint"}
