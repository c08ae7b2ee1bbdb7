"""Windows, percentiles and series of a webhook's counters."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.api.statistics import percentile, stats_view, window_of
from hookline.errors import InputError
from hookline.ports import Minute

START = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "length"),
    [("1m", timedelta(minutes=1)), ("24h", timedelta(hours=24)), ("90d", timedelta(days=90))],
)
def test_a_window_is_a_number_and_a_unit(text: str, length: timedelta) -> None:
    assert window_of(text) == length


@pytest.mark.parametrize("text", ["", "0m", "-1h", "91d", "1w", "1", "h", "\u0661h", "1h\n", "99999d"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        window_of(text)


def bucket_of(milliseconds: int) -> int:
    return (milliseconds + 1).bit_length() - 1


@given(st.lists(st.integers(0, 100_000), min_size=1), st.sampled_from([50, 95, 99]))
def test_a_percentile_is_never_better_than_what_happened(times: list[int], percent: int) -> None:
    """And at most twice as much, plus the width of the first buckets."""
    times.sort()
    exact = times[max(0, -(-len(times) * percent // 100) - 1)]
    shown = percentile(Counter(bucket_of(time) for time in times), percent)

    assert shown is not None
    assert exact <= shown <= 2 * exact + 2


def test_without_traffic_there_is_no_rate() -> None:
    view = stats_view([], since=START, until=START + timedelta(hours=1))

    assert view["success_rate"] is None
    assert view["latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert view["series"] == []


def test_minutes_are_summed_into_points() -> None:
    minutes = [
        Minute(
            webhook_id=b"w" * 16,
            minute=START + timedelta(minutes=offset),
            delivered=2,
            exhausted=1,
            attempts=4,
            failed_attempts=2,
            by_class={"2xx": 2, "5xx": 2},
            latency={3: 4},
        )
        for offset in (0, 1, 30)
    ]
    view = stats_view(minutes, since=START, until=START + timedelta(hours=24))

    assert (view["total_deliveries"], view["successful_deliveries"], view["failed_deliveries"]) == (9, 6, 3)
    assert view["success_rate"] == pytest.approx(2 / 3, abs=1e-6)
    assert view["by_class"] == {"2xx": 6, "5xx": 6}
    assert view["latency_ms"]["p99"] == 14
    assert view["step_seconds"] == 900
    assert [(point["at"][11:16], point["successful"]) for point in view["series"]] == [
        ("10:00", 4),
        ("10:30", 2),
    ]
