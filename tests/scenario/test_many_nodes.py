"""Several ``hookline serve`` over one PostgreSQL, under load, while they restart, die, stop and lose their database.

Short runs of what ``hookline crashtest --database postgres --nodes 2`` does for as long as one likes
(docs/how-to/crashtest.md): its ledgers and its verdict are the same.
"""

from __future__ import annotations

from typing import Any

import pytest

from hookline.errors import SettingError
from hookline.testing.crashtest.run import Order, Outcome, counts_of, run

pytestmark = pytest.mark.timeout(300)
"""A dozen processes come and go in each: on a busy machine that takes its time."""


def ran(**order: Any) -> Outcome:
    return run(Order(database="postgres", **order), told=lambda *_: None)


@pytest.mark.long
def test_rolling_restarts_under_load_lose_nothing_repeat_nothing_and_are_not_noticed() -> None:
    """Issue 6, point 5: clients behind a producer that tries again see at most a refused connection or a 503."""
    outcome = ran(kills=2, events=200, seed=21, nodes=2, fault_kinds=("restart",))

    assert outcome.is_pass, (counts_of(outcome), outcome.counts.examples, outcome.troubles)
    assert outcome.counts.acked == 200
    assert outcome.counts.duplicates_explained == outcome.counts.unlogged == 0
    assert outcome.rude == []


@pytest.mark.long
def test_nodes_of_one_role_each_restart_and_die_and_nothing_is_lost() -> None:
    """Issue 6, point 5: receive, execute and deliver on nodes of their own."""
    outcome = ran(kills=3, events=200, seed=22, is_split=True, fault_kinds=("kill", "restart"))

    assert outcome.is_pass, (counts_of(outcome), outcome.counts.examples)
    assert outcome.nodes == 3


@pytest.mark.long
def test_nodes_live_through_a_database_that_is_away_and_a_sleep_past_the_lease() -> None:
    """Issue 6, point 5: PostgreSQL stopped for longer than a lease, at once and anew, and a node that slept."""
    outcome = ran(
        kills=3,
        events=200,
        seed=5,
        nodes=2,
        fault_kinds=("outage", "pause", "database"),
        outage_seconds=3.5,
        quiesce_seconds=40.0,
    )

    assert outcome.is_pass, (counts_of(outcome), outcome.counts.examples)


def test_a_test_that_cannot_be_run_says_what_to_do() -> None:
    for order, words in [
        (Order(kills=1, events=10, seed=1, nodes=2), "give --database"),
        (Order(kills=1, events=10, seed=1, database="postgres", nodes=2, is_split=True), "3 or more"),
    ]:
        with pytest.raises(SettingError, match=words):
            run(order, told=lambda *_: None)
