"""The crash test against the real engine, and against engines that are broken on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hookline.testing.crashtest.run import Order, Outcome, counts_of, run
from hookline.testing.crashtest.script import failpoints_of

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


@pytest.mark.parametrize("database", [None, "postgres"], ids=["sqlite", "postgresql"])
def test_every_failpoint_kills_and_nothing_comes_of_it(database: str | None) -> None:
    """PROMISES section 3: K1 to K12, each point of the code that a kill could hurt is hit (K10: also migrations)."""
    events = 1600
    points = failpoints_of(nodes=1 if database is None else 2, events=events)
    order = Order(kills=len(points), events=events, seed=15, database=database, failpoints=tuple(points))

    outcome = run(order, told=ignore)

    assert outcome.is_pass, (counts_of(outcome), outcome.counts.examples)
    assert set(outcome.hits) == set(points)


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


BROKEN_ENGINES: list[tuple[str, Callable[[Outcome], int]]] = [
    ("ack_before_commit", _lost),
    ("delete_before_reinsert", _lost),
    ("record_before_send", _false),
]


@pytest.mark.parametrize(
    "database", [None, pytest.param("postgres", marks=pytest.mark.long)], ids=["sqlite", "postgresql"]
)
@pytest.mark.parametrize(("mode", "caught"), BROKEN_ENGINES, ids=[mode for mode, _ in BROKEN_ENGINES])
def test_a_broken_engine_is_caught(mode: str, caught: Callable[[Outcome], int], database: str | None) -> None:
    """PROMISES section 4, point 7."""
    outcome = run(
        Order(
            kills=3,
            events=400,
            seed=13,
            database=database,
            module=(*BROKEN, mode),
            fault_kinds=("kill",),
            quiesce_seconds=3.0,
        ),
        told=ignore,
    )

    assert caught(outcome) > 0, counts_of(outcome)
    assert not outcome.is_pass


def test_a_commit_that_does_not_wait_for_the_disk_is_caught_on_sqlite() -> None:
    """PROMISES section 4, point 7: what was not synced is gone with the process."""
    outcome = run(
        Order(
            kills=3,
            events=400,
            seed=13,
            module=(*BROKEN, "no_fsync"),
            fault_kinds=("kill",),
            quiesce_seconds=3.0,
        ),
        told=ignore,
    )

    assert _lost(outcome) > 0, counts_of(outcome)
    assert not outcome.is_pass


KEPT_IN_MEMORY = {
    "synchronous_commit": "off",
    "wal_writer_delay": "10s",
    "wal_writer_flush_after": "1GB",
    "wal_buffers": "64MB",
    "bgwriter_lru_maxpages": "0",
    "autovacuum": "off",
}
"""Nothing writes the log before the plug is pulled."""


def test_a_commit_that_does_not_wait_for_the_disk_is_caught_on_postgresql() -> None:
    """synchronous_commit=off and an immediate stop.

    Events that were acked and not yet sent are lost; outcomes of those that were sent are forgotten, so they are sent
    again without an explanation. How many of each there are is luck, that there are some is not.
    """
    outcome = run(
        Order(
            kills=3,
            events=400,
            seed=14,
            database="postgres",
            module=(*BROKEN, "no_fsync"),
            fault_kinds=("database",),
            server_settings=KEPT_IN_MEMORY,
            quiesce_seconds=3.0,
        ),
        told=ignore,
    )

    assert outcome.counts.lost + outcome.counts.duplicates_unexplained > 0, counts_of(outcome)
    assert not outcome.is_pass
