"""First tries, retries and replays of one webhook take turns by weight (issue 4, point 7)."""

from __future__ import annotations

from collections import Counter

import pytest

from hookline.engine.lines import WEIGHTS, Lines
from hookline.model.states import Lane


def filled(**counts: int) -> Lines[str]:
    lines: Lines[str] = Lines()
    for name, count in counts.items():
        for number in range(count):
            lines.append(Lane[name], f"{name} {number}")
    return lines


def test_turns_are_shared_by_weight_and_each_line_keeps_its_order() -> None:
    lines = filled(FIRST=100, RETRY=100, REPLAY=100)
    taken = [lines.pop() for _ in range(70)]

    assert Counter(line for line, _ in taken) == {line: weight * 10 for line, weight in WEIGHTS.items()}
    for line in Lane:
        assert [item for one, item in taken if one is line][:3] == [f"{line.name} {n}" for n in range(3)]


def test_a_fresh_event_goes_before_ten_thousand_replays() -> None:
    lines = filled(REPLAY=10_000)
    for _ in range(500):
        lines.pop()
    lines.append(Lane.FIRST, "fresh")

    assert "fresh" in [lines.pop()[1] for _ in range(2)]


def test_a_flood_of_fresh_events_leaves_turns_to_one_replay() -> None:
    lines = filled(FIRST=10_000)
    for _ in range(5_000):
        lines.pop()
    lines.append(Lane.REPLAY, "old")

    assert "old" in [lines.pop()[1] for _ in range(7)]


def test_a_line_that_was_empty_has_saved_nothing_up() -> None:
    lines = filled(FIRST=1_000, REPLAY=1)
    for _ in range(800):
        lines.pop()
    for number in range(100):
        lines.append(Lane.REPLAY, f"late {number}")

    assert 4 <= [lines.pop()[0] for _ in range(30)].count(Lane.REPLAY) <= 8


def test_an_urgent_item_is_next_in_its_line() -> None:
    lines = filled(FIRST=3)
    lines.append(Lane.FIRST, "now", is_urgent=True)

    assert lines.pop() == (Lane.FIRST, "now")


def test_emptying_gives_each_item_once() -> None:
    lines = filled(FIRST=2, RETRY=1, REPLAY=3)

    taken = list(lines.empty())

    assert len(taken) == len(set(taken)) == 6
    assert lines.size == 0
    with pytest.raises(IndexError):
        lines.pop()
