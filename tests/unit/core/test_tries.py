"""How the journal names the tries of a step (PR-18)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hookline.core.tries import FailedTry, entry_of, rounds_of, step_of, tried_of, tries_by_step
from hookline.model.executions import Failure, JournalEntry

AT = datetime(2026, 1, 15, 12, tzinfo=UTC)


def tried(**fields: Any) -> FailedTry:
    values: dict[str, Any] = {
        "step": 2,
        "number": 3,
        "round": 1,
        "failure": Failure(code="FAILED", message="no"),
    }
    return FailedTry(**(values | fields))


def entry(**fields: Any) -> JournalEntry:
    made = entry_of("reach", tried(**fields), started_at=AT, duration_ms=7)
    assert made is not None
    return made


def journaled(op: str) -> JournalEntry:
    return JournalEntry(op=op, name="reach", occurrence=2, value=b"{}", started_at=AT)


def test_a_try_is_kept_whole_and_tells_its_step() -> None:
    kept = entry(retry_at=AT, is_final=True)

    assert (kept.op, kept.name, kept.started_at, kept.duration_ms) == ("try", "reach", AT, 7)
    assert tried_of(kept) == tried(retry_at=AT, is_final=True)
    assert step_of(kept) == ("reach", 2)


def test_no_two_tries_of_a_name_take_the_same_place() -> None:
    """(op, name, occurrence) tells entries apart: the last of one step comes just before the first of the next."""
    assert entry(step=0, number=1).occurrence == 0
    assert entry(step=1, number=1).occurrence == entry(step=0, number=1000).occurrence + 1
    assert step_of(entry(step=0, number=1000)) == ("reach", 0)


def test_tries_beyond_what_an_occurrence_can_number_are_not_kept() -> None:
    """An occurrence is a number of 32 bits."""
    assert entry(step=1_999_999, number=1000).occurrence < 2**31
    assert entry_of("reach", tried(number=1001), started_at=AT, duration_ms=0) is None
    assert entry_of("reach", tried(step=2_000_000), started_at=AT, duration_ms=0) is None


def test_a_finished_step_tells_its_own_place_and_other_entries_none() -> None:
    assert step_of(journaled("step")) == ("reach", 2)
    assert step_of(journaled("sleep")) is None


def test_tries_are_told_by_step_and_in_order() -> None:
    entries = [entry(number=2), journaled("step"), entry(step=0), entry(number=1)]

    found = tries_by_step(entries)

    assert {step: [one.number for _, one in tries] for step, tries in found.items()} == {
        ("reach", 2): [1, 2],
        ("reach", 0): [3],
    }
    assert found["reach", 0][0][0] is entries[2]


@pytest.mark.parametrize("rounds", [0, 2])
def test_each_retry_of_the_whole_begins_a_round(rounds: int) -> None:
    """PR-18."""
    assert rounds_of([journaled("step"), *[journaled("retry")] * rounds]) == rounds
