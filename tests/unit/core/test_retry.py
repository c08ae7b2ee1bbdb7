# ruff: noqa: RUF001 -- characters that look alike are what is tested

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from hookline.core.retry import (
    SCHEDULES,
    RetrySchedule,
    from_list,
    from_policy,
    longest_waits,
    next_attempt_at,
    parse_retry_after,
)
from hookline.errors import InputError

NOW = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)


def seconds(schedule: RetrySchedule) -> list[float]:
    return [delay.total_seconds() for delay in schedule.delays]


def test_each_dialects_schedule_is_the_published_one() -> None:
    """P7; CONTRACT section 5's table; AF-20, AF-X3: six waits, seven POSTs; PF-X1: four POSTs."""
    standard = [5, 30, 120, 900, 3600, 10800, 21600, 43200, 86400]

    assert {name: (seconds(schedule), schedule.spread) for name, schedule in SCHEDULES.items()} == {
        "agenticflow": ([60, 300, 900, 3600, 21600, 86400], 0.1),
        "phantombuster": ([], 0.0),
        "maxun": ([5, 10], 0.0),
        "maxun-src": ([5, 10], 0.0),
        "phantomflow": ([30, 120, 600], 0.0),
        "standard": (standard, 0.2),
        "cloudevents": (standard, 0.2),
        "raw": (standard, 0.2),
    }


def test_a_policy_multiplies_a_minute() -> None:
    """AF-X2: 60 s x multiplier^n, at most 6 retries."""
    assert seconds(from_policy(3, 2)) == [60, 120, 240]
    assert seconds(from_policy(0, 2)) == []
    assert seconds(from_policy(6, 1.5)) == [60, 90, 135, 202.5, 303.75, 455.625]
    assert len(from_policy(100, 2).delays) == 6
    assert len(from_policy(100, 1, most_retries=20).delays) == 20


def test_waits_of_many_retries_stop_growing() -> None:
    """AF-X2: where the operator allows more than six, none overflows a calendar."""
    longest = 60 * 10**5

    assert seconds(from_policy(100, 10, most_retries=100)) == [60 * 10**n for n in range(6)] + [longest] * 94


@pytest.mark.parametrize(
    ("retries", "multiplier", "field"),
    [
        (-1, 2, "retry_policy.max_retries"),
        (True, 2, "retry_policy.max_retries"),
        (3, 0.5, "retry_policy.backoff_multiplier"),
        (3, 11, "retry_policy.backoff_multiplier"),
        (3, float("nan"), "retry_policy.backoff_multiplier"),
        (3, float("inf"), "retry_policy.backoff_multiplier"),
    ],
)
def test_a_policy_out_of_bounds_is_refused_with_its_field(
    retries: int, multiplier: float, field: str
) -> None:
    with pytest.raises(InputError) as caught:
        from_policy(retries, multiplier)

    assert caught.value.field == field


@pytest.mark.parametrize("waits", [[], [1], [604_800], [5, 30.5] * 10])
def test_a_list_is_taken_as_it_is(waits: list[float]) -> None:
    """Issue point 2: own lists, ±10 % unless said otherwise."""
    assert (seconds(from_list(waits)), from_list(waits).spread) == (waits, 0.1)
    assert from_list(waits, 0.0).spread == 0.0


@pytest.mark.parametrize(
    ("waits", "spread", "field"),
    [
        ([0.5], None, "retry_policy.schedule_seconds.0"),
        ([5, 604_801], None, "retry_policy.schedule_seconds.1"),
        ([float("nan")], None, "retry_policy.schedule_seconds.0"),
        ([float("inf")], None, "retry_policy.schedule_seconds.0"),
        ([True], None, "retry_policy.schedule_seconds.0"),
        ([1] * 21, None, "retry_policy.schedule_seconds"),
        ([1], 1.1, "retry_policy.jitter"),
        ([1], -0.1, "retry_policy.jitter"),
        ([1], float("nan"), "retry_policy.jitter"),
    ],
)
def test_a_list_out_of_bounds_is_refused_with_its_field(
    waits: list[float], spread: float | None, field: str
) -> None:
    with pytest.raises(InputError) as caught:
        from_list(waits, spread)

    assert (caught.value.field, bool(caught.value.expected), bool(caught.value.received)) == (
        field,
        True,
        True,
    )


def test_a_schedule_that_makes_no_sense_is_our_bug() -> None:
    for delay, spread in ((timedelta(1), 1.5), (timedelta(1), -0.1), (timedelta(-1), 0.1)):
        with pytest.raises(ValueError, match=r"spread|negative"):
            RetrySchedule((delay,), spread)
    with pytest.raises(ValueError, match="no attempt"):
        next_attempt_at(SCHEDULES["raw"], attempts_made=0, ended_at=NOW, jitter=0.5)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, 0),
        ("", 0),
        ("0", 0),
        ("5", 5),
        (" 120 ", 120),
        ("-5", 0),
        ("+5", 0),
        ("1.5", 0),
        ("1_0", 0),
        ("٥", 0),
        ("soon", 0),
        ("999999999999999999999999999", 0),
        ("10000000000", 366 * 86400),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 366 * 86400),
        ("Monday, 15-Jan-24 10:31:00 GMT", 60),
        ("Mon Jan 15 10:31:00 2024", 60),
        ("Mon, 15 Jan 2024 10:31:00", 60),
        ("Mon, 99 Jan 2024 10:31:00 GMT", 0),
        ("Mon, 15 Jan 2024 10:31:00 +9999999999999999", 0),
        ("," * 50, 0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_never_hurts(value: str | None, expected: int) -> None:
    """P8; PROMISES section 3: 0, 5, date in the past, 10^9, garbage, negative."""
    assert parse_retry_after(value, NOW) == timedelta(seconds=expected)


def test_a_time_scale_shortens_the_schedule_and_not_what_the_receiver_asks() -> None:
    """CONTRACT section 1: HOOKLINE_RETRY_TIME_SCALE."""
    schedule = SCHEDULES["phantomflow"]

    def due(**more: timedelta) -> float:
        at = next_attempt_at(schedule, attempts_made=1, ended_at=NOW, jitter=0.3, time_scale=0.1, **more)
        assert at is not None
        return (at - NOW).total_seconds()

    assert due() == 3
    assert due(retry_after=timedelta(seconds=5)) == 5
    assert due(retry_after=timedelta(days=9)) == 600


def test_the_longest_waits_have_all_the_jitter_and_begin_with_our_own_pause() -> None:
    """PROMISES section 3, a clock that is set back: by failures, from none on."""
    schedule = RetrySchedule((timedelta(seconds=10), timedelta(seconds=60)), spread=0.2)

    assert longest_waits(schedule) == tuple(timedelta(seconds=wait) for wait in (5, 12, 72))
    assert longest_waits(schedule, time_scale=0.5) == tuple(timedelta(seconds=wait) for wait in (2.5, 6, 36))


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 80.0), (0.5, 100.0), (0.75, 110.0)])
def test_jitter_goes_from_the_shortest_to_the_longest_wait(jitter: float, seconds: float) -> None:
    schedule = RetrySchedule((timedelta(seconds=100),), spread=0.2)
    ended_at = datetime(2026, 1, 15, 12, tzinfo=UTC)

    due = next_attempt_at(schedule, attempts_made=1, ended_at=ended_at, jitter=jitter)

    assert due == ended_at + timedelta(seconds=seconds)


def test_the_bounds_of_schedules_belong_to_them() -> None:
    assert RetrySchedule((), spread=1.0).spread == 1.0
    assert from_list([1, 604_800], spread=1).spread == 1
    assert from_list([1], spread=0).spread == 0
    assert from_policy(2, 10.0).delays == (timedelta(seconds=60), timedelta(seconds=600))
    assert from_policy(1, 1.0).delays == (timedelta(seconds=60),)
