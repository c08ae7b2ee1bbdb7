"""The script of a crash test: repeatable, and its data passes every dialect byte for byte."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from hookline.errors import SettingError
from hookline.failpoints import FAILPOINTS
from hookline.testing.crashtest.script import (
    Endpoint,
    answer_of,
    endpoints_of,
    faults_of,
    item_of,
    read_fault_kinds,
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


def test_asked_for_kinds_come_each_and_hit_a_split_node_where_its_role_passes() -> None:
    faults = faults_of(
        3, 120, nodes=3, events=900, can_stop_database=True, is_split=True, kinds=("restart", "failpoint")
    )
    points = {
        node: {
            fault.failpoint.partition(":")[0] for fault in faults if fault.failpoint and fault.node == node
        }
        for node in range(3)
    }

    assert {fault.kind for fault in faults} == {"restart", "failpoint"}
    assert {"before_start", "before_finish"} & points[1]
    assert not {"before_start", "before_finish"} & (points[0] | points[2])
    assert not {"before_send", "in_send", "after_send"} & (points[0] | points[1])


def test_a_kind_of_fault_that_there_is_not_is_refused_with_those_there_are() -> None:
    assert read_fault_kinds(None) is None
    assert read_fault_kinds("kill, restart") == ("kill", "restart")
    with pytest.raises(SettingError, match=r"kill, failpoint, .* got 'fire'"):
        read_fault_kinds("fire")
