"""The crash test against the real engine, and against engines that are broken on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hookline.testing.crashtest.run import Order, Outcome, counts_of, run

if TYPE_CHECKING:
    from collections.abc import Callable

BROKEN = ("hookline.testing.crashtest.broken",)


def ignore(words: str, done: int) -> None:
    """Progress that nobody looks at."""


@pytest.mark.parametrize("database", [None, "postgres"], ids=["sqlite", "postgresql"])
def test_nothing_is_lost_made_up_changed_or_stuck_when_nodes_are_killed(database: str | None) -> None:
    """P2, P3, P18."""
    outcome = run(Order(kills=3, events=300, seed=11, database=database), told=ignore)

    assert outcome.is_pass, (counts_of(outcome), outcome.counts.examples)
    assert outcome.counts.acked > 200
    assert outcome.kills == 3


def test_nothing_is_lost_when_the_power_goes() -> None:
    """P1: what was acked was synced."""
    outcome = run(
        Order(kills=3, events=300, seed=12, module=(*BROKEN, "power_loss"), fault_kinds=("kill",)),
        told=ignore,
    )

    assert outcome.is_pass, (counts_of(outcome), outcome.counts.examples)


def _lost(outcome: Outcome) -> int:
    return outcome.counts.lost


def _false(outcome: Outcome) -> int:
    return outcome.counts.false_success


@pytest.mark.parametrize(
    ("mode", "caught"),
    [
        ("ack_before_commit", _lost),
        ("delete_before_reinsert", _lost),
        ("record_before_send", _false),
        ("no_fsync", _lost),
    ],
)
def test_a_broken_engine_is_caught(mode: str, caught: Callable[[Outcome], int]) -> None:
    """PROMISES section 4, point 7."""
    outcome = run(
        Order(
            kills=3,
            events=400,
            seed=13,
            module=(*BROKEN, mode),
            fault_kinds=("kill",),
            quiesce_seconds=3.0,
        ),
        told=ignore,
    )

    assert caught(outcome) > 0, counts_of(outcome)
    assert not outcome.is_pass


def test_a_commit_that_does_not_wait_for_the_disk_is_caught_on_postgresql() -> None:
    """synchronous_commit=off and an immediate stop."""
    outcome = run(
        Order(
            kills=3,
            events=400,
            seed=14,
            database="postgres",
            module=(*BROKEN, "no_fsync"),
            fault_kinds=("database",),
            server_settings={
                "wal_writer_delay": "10s"
            },  # what is not synced stays so until the plug is pulled
            quiesce_seconds=3.0,
        ),
        told=ignore,
    )

    assert outcome.counts.lost > 0, counts_of(outcome)
