"""Lanes and turns: one receiver that hangs holds its own cap and nothing else (P10, DESIGN section 4)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hookline.core.flow import AdaptiveCap
from hookline.engine.clock import SystemClock
from hookline.engine.due import DueNotes
from hookline.engine.fair import Turns
from hookline.engine.lanes import LANE_ROOM, LATER_ROOM, NODE_ROOM, Claim, Lanes, WebhookLane
from hookline.model.states import Lane


@dataclass
class Webhook:
    max_in_flight: int = 32
    rate_per_second: float | None = None
    status_changed_at: datetime | None = None


@dataclass
class Target:
    id: bytes
    organization_id: bytes = b"org"
    webhook: Webhook = field(default_factory=Webhook)
    is_active: bool = True


@dataclass
class Delivery:
    name: str
    lane: Lane = Lane.FIRST


@dataclass
class Owed:
    delivery: Delivery


def claim(name: str, line: Lane = Lane.FIRST) -> Any:
    return Claim(owed=Owed(Delivery(name, line)), epoch=1, cause="live")  # type: ignore[arg-type]


def filled(lanes: Lanes, target: Any, count: int) -> WebhookLane:
    lane = lanes.of(target)
    for number in range(count):
        lanes.enqueue(lane, claim(f"{target.id!r} {number}"))
    return lane


def take_all(lanes: Lanes) -> list[WebhookLane]:
    taken = []
    while (turn := lanes.next()) is not None:
        taken.append(turn[0])
    return taken


def test_an_unproven_receiver_starts_with_two_and_grows_with_each_answer() -> None:
    cap = AdaptiveCap(32)

    assert cap.value == 2
    for _ in range(100):
        cap.answered()
    assert cap.value == 32
    assert cap.is_proven


def test_time_outs_shrink_a_cap_to_one() -> None:
    cap = AdaptiveCap(32)
    for _ in range(40):
        cap.answered()
    sizes = []
    for _ in range(6):
        cap.timed_out()
        sizes.append(cap.value)

    assert sizes == [32, 16, 8, 4, 2, 1]
    assert not cap.is_proven


def test_a_lane_starts_no_more_than_its_cap() -> None:
    lanes = Lanes(max_in_flight=100, clock=SystemClock())
    filled(lanes, Target(b"a"), 10)

    assert len(take_all(lanes)) == 2


def test_lanes_take_turns() -> None:
    lanes = Lanes(max_in_flight=100, clock=SystemClock())
    a, b = filled(lanes, Target(b"a"), 5), filled(lanes, Target(b"b"), 5)

    assert take_all(lanes) == [a, b, a, b]


def reserved(lanes: Lanes, target: Any) -> WebhookLane:
    assert lanes.reserve(target)
    return lanes.unreserve(target.id)


def test_a_delivery_that_nobody_stands_before_begins_at_once() -> None:
    lanes = Lanes(max_in_flight=4, clock=SystemClock())
    lane = lanes.of(Target(b"a"))  # type: ignore[arg-type]
    for _ in range(8):
        lanes.learn(lane, has_answered=True)

    begun = [lanes.begin(reserved(lanes, lane.target)) for _ in range(5)]

    assert begun == [True] * 4 + [False]
    assert (lane.active, lanes.active, lanes.load) == (4, 4, 4)
    for _ in range(4):
        lanes.done(lane)
    assert (lane.active, lanes.active, lanes.load) == (0, 0, 0)


@pytest.mark.parametrize("why", ["waits", "another_waits", "unproven", "rests", "ramps", "is_paced"])
def test_a_delivery_takes_its_turn_where_something_keeps_it(why: str) -> None:
    """P10: the short cut overtakes nobody and breaks no limit."""
    lanes = Lanes(max_in_flight=10, clock=SystemClock())
    lane = lanes.of(Target(b"a", webhook=Webhook(rate_per_second=5.0 if why == "is_paced" else None)))  # type: ignore[arg-type]
    if why != "unproven":
        for _ in range(8):
            lanes.learn(lane, has_answered=True)
    if why == "waits":
        lane.rests = True
        lanes.enqueue(lane, claim("before"))
        lane.rests = False
    elif why == "another_waits":
        filled(lanes, Target(b"b"), 1)
    elif why == "rests":
        lane.rests = True
    elif why == "ramps":
        lane.ramps_from = 0.0

    assert not lanes.begin(lane)
    assert lane.active == 0


def test_organizations_take_turns_before_their_lanes_do() -> None:
    turns: Turns[Any] = Turns()
    big = [Target(bytes([n]), organization_id=b"big") for n in range(3)]
    small = Target(b"s", organization_id=b"small")
    for target in (*big, small):
        turns.add(target)

    assert [turns.next() for _ in range(5)] == [big[0], small, big[1], big[2], None]


def test_unproven_receivers_hold_at_most_half_of_the_sockets() -> None:
    lanes = Lanes(max_in_flight=10, clock=SystemClock())
    proven = lanes.of(Target(b"good"))  # type: ignore[arg-type]
    for _ in range(8):
        lanes.learn(proven, has_answered=True)
    for number in range(20):
        filled(lanes, Target(b"hang %d" % number), 5)
    assert len(take_all(lanes)) == 5

    filled(lanes, proven.target, 20)
    assert take_all(lanes) == [proven] * 5


def test_a_receiver_that_proves_itself_frees_the_unproven_half() -> None:
    lanes = Lanes(max_in_flight=4, clock=SystemClock())
    first = filled(lanes, Target(b"a"), 2)
    second = filled(lanes, Target(b"b"), 2)
    assert take_all(lanes) == [first, second]

    lanes.learn(first, has_answered=True)
    assert take_all(lanes) == [first, second]


def test_a_lane_refuses_room_beyond_its_bound_and_while_older_rows_wait_in_the_table() -> None:
    lanes = Lanes(max_in_flight=4, clock=SystemClock())
    target: Any = Target(b"a")
    assert all(lanes.reserve(target) for _ in range(LANE_ROOM))
    assert not lanes.reserve(target)

    other: Any = Target(b"b")
    lanes.of(other).has_more.add(Lane.FIRST)
    assert not lanes.reserve(other)


def test_replays_leave_room_for_first_tries() -> None:
    """Issue 4, point 7: however much is replayed, a fresh event is claimed at once."""
    lanes = Lanes(max_in_flight=4, clock=SystemClock())
    for number in range(NODE_ROOM // LATER_ROOM):
        target: Any = Target(b"%d" % number)
        lane = lanes.of(target)
        for _ in range(max(0, lanes.room(lane, Lane.REPLAY))):
            lanes.enqueue(lane, claim("old", Lane.REPLAY))
        assert lane.load <= LATER_ROOM
        assert lanes.reserve(target)

    assert lanes.room(lanes.of(Target(b"one more")), Lane.RETRY) <= 0  # type: ignore[arg-type]
    assert lanes.load <= NODE_ROOM // 2 + NODE_ROOM // LATER_ROOM


def test_emptying_gives_every_claim_once_and_counts_back_to_zero() -> None:
    lanes = Lanes(max_in_flight=4, clock=SystemClock())
    for name in (b"a", b"b"):
        filled(lanes, Target(name), 3)

    assert len(list(lanes.empty())) == 6
    assert lanes.load == 0
    assert lanes.next() is None


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.asyncio
async def test_notes_come_due_soonest_first_and_once() -> None:
    notes = DueNotes()
    notes.note(b"a", Lane.RETRY, NOW + timedelta(seconds=5))
    notes.note(b"b", Lane.RETRY, NOW + timedelta(seconds=1))
    notes.note(b"a", Lane.RETRY, NOW + timedelta(seconds=2))

    assert list(notes.take_due(NOW)) == []
    assert list(notes.take_due(NOW + timedelta(seconds=10))) == [(b"b", Lane.RETRY), (b"a", Lane.RETRY)]
    assert list(notes.take_due(NOW + timedelta(seconds=10))) == []


@pytest.mark.asyncio
async def test_a_sooner_note_wakes_who_waits() -> None:
    notes = DueNotes()
    waiting = asyncio.create_task(notes.wait(NOW, longest=30))
    await asyncio.sleep(0)
    notes.note(b"a", Lane.FIRST, NOW)

    await asyncio.wait_for(waiting, timeout=1)


def test_a_later_time_of_a_line_is_remembered_behind_a_sooner_one() -> None:
    """P7: two retries of one webhook that wait differently long are both claimed when they are due."""
    notes = DueNotes()
    webhook = b"a"
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for seconds in (5, 1, 3, 1):
        notes.note(webhook, Lane.RETRY, start + timedelta(seconds=seconds))

    taken = [len(list(notes.take_due(start + timedelta(seconds=second)))) for second in range(7)]

    assert taken == [0, 1, 0, 1, 0, 1, 0]
    assert len(notes) == 0


def test_what_is_remembered_of_a_line_is_bounded_and_the_soonest() -> None:
    notes = DueNotes()
    webhook = b"a"
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for seconds in range(1000, 0, -1):
        notes.note(webhook, Lane.RETRY, start + timedelta(seconds=seconds))

    taken = [second for second in range(1001) if list(notes.take_due(start + timedelta(seconds=second)))]

    assert taken == list(range(1, 65))
