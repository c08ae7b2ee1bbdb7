"""What may be asked of a step, and how its tries are told apart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hookline.core.tries import FailedTry, entry_of, tried_of
from hookline.model.executions import Failure
from hookline.steps import RetryPolicy


def test_waits_double_up_to_the_longest_and_are_spread() -> None:
    policy = RetryPolicy(retries=9, delay_seconds=2, longest_delay_seconds=10)

    assert [policy.delay(retry, jitter=0.5) for retry in range(4)] == [2, 4, 8, 10]
    assert policy.delay(5000, jitter=0.5) == 10
    assert (policy.delay(0, jitter=0.0), policy.delay(0, jitter=0.999)) == pytest.approx(
        (1.8, 2.2), abs=0.001
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"retries": 1.5},
        {"retries": 1, "backoff": 0.5},
        {"retries": 1, "delay_seconds": -1},
        {"retries": 1, "delay_seconds": float("nan")},
        {"retries": 1, "give_up_on": ValueError},
        {"retries": 1, "give_up_on": (KeyboardInterrupt,)},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        RetryPolicy(**fields)


def test_a_try_of_any_step_has_a_place_of_its_own_until_there_are_too_many() -> None:
    failure = Failure(code="FAILED", message="no")
    at = datetime.now(UTC)
    entries = [
        entry_of("a", FailedTry(step, number, 0, failure), started_at=at, duration_ms=1)
        for step in (0, 1, 2)
        for number in (1, 2, 1000)
    ]
    beyond = entry_of("a", FailedTry(0, 1001, 0, failure), started_at=at, duration_ms=1)
    last = entry_of("a", FailedTry(1_999_999, 1000, 0, failure), started_at=at, duration_ms=1)
    whole = [entry for entry in entries if entry is not None]

    assert len({entry.occurrence for entry in whole}) == len(entries)
    assert tried_of(whole[0]) == FailedTry(0, 1, 0, failure)
    assert beyond is None
    assert last is not None
    assert last.occurrence < 2**31
