from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from hookline.core.retry import RetrySchedule, next_attempt_at, parse_retry_after

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

NOW = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
waits = st.integers(0, 90 * 86400).map(lambda seconds: timedelta(seconds=seconds))


@st.composite
def schedules(draw: DrawFn) -> RetrySchedule:
    return RetrySchedule(tuple(draw(st.lists(waits, max_size=10))), draw(st.floats(0, 1)))


@settings(max_examples=300, deadline=None)
@given(
    schedule=schedules(),
    attempts=st.integers(1, 12),
    jitter=st.floats(0, 1, exclude_max=True),
    retry_after=waits,
    scale=st.sampled_from([1.0, 0.01, 0.0]),
)
def test_a_due_time_exists_exactly_while_retries_remain_and_keeps_its_bounds(
    schedule: RetrySchedule, attempts: int, jitter: float, retry_after: timedelta, scale: float
) -> None:
    """P7, P8: within the spread of its own wait; later only when asked, and never past the longest wait."""
    due = next_attempt_at(
        schedule,
        attempts_made=attempts,
        ended_at=NOW,
        jitter=jitter,
        retry_after=retry_after,
        time_scale=scale,
    )

    assert (due is not None) is (attempts <= len(schedule.delays))
    if due is None:
        return
    slack = timedelta(microseconds=2)
    own, longest = schedule.delays[attempts - 1] * scale, max(schedule.delays)
    latest = max(own * (1 + schedule.spread), min(retry_after, longest))
    assert own * (1 - schedule.spread) - slack <= due - NOW <= latest + slack
    assert due - NOW >= min(retry_after, longest) - slack


@settings(max_examples=300, deadline=None)
@given(
    value=st.text(max_size=40)
    | st.integers().map(str)
    | st.datetimes().map(lambda at: f"{at:%a, %d %b %Y %H:%M:%S} GMT")
)
def test_no_retry_after_can_break_us(value: str) -> None:
    """P8."""
    assert timedelta() <= parse_retry_after(value, NOW) <= timedelta(days=366)
