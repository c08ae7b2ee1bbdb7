"""A webhook's counters over a window: totals, success rate, latency percentiles and a series (``…/stats``).

Percentiles come from buckets that double in width, so each is given as its bucket's upper end: never better than
what happened, at most twice as much.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from hookline.core.times import rfc3339
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookline.ports import Minute

_WINDOW: Final = re.compile(r"([1-9][0-9]{0,4})([mhd])", re.ASCII)
_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_LONGEST: Final = timedelta(days=90)
_MOST_POINTS: Final = 120
_STEPS_MINUTES: Final = (1, 5, 15, 60, 240, 1440)


def window_of(text: str) -> timedelta:
    """Return the length of a window such as ``24h``. Raises InputError."""
    match = _WINDOW.fullmatch(text)
    length = int(match[1]) * _UNITS[match[2]] if match is not None else timedelta()
    if not timedelta() < length <= _LONGEST:
        raise InputError(
            "The window is a number and m, h or d, 90d at most.",
            field="window",
            expected="15m, 24h or 7d; 90d at most",
            received="string",
        )
    return length


def stats_view(minutes: Sequence[Minute], *, since: datetime, until: datetime) -> dict[str, Any]:
    """Return the answer's body, but for the webhook and the window's name.

    The deliveries are counted by how they ended, not by attempts: one that is sent again after its end counts again.
    """
    latency: Counter[int] = Counter()
    by_class: Counter[str] = Counter()
    for minute in minutes:
        latency.update(minute.latency)
        by_class.update(minute.by_class)
    delivered = sum(minute.delivered for minute in minutes)
    exhausted = sum(minute.exhausted for minute in minutes)
    step = _step(until - since)
    return {
        "since": rfc3339(since),
        "until": rfc3339(until),
        "total_deliveries": delivered + exhausted,
        "successful_deliveries": delivered,
        "failed_deliveries": exhausted,
        "success_rate": _share(delivered, delivered + exhausted),
        "attempts": sum(minute.attempts for minute in minutes),
        "failed_attempts": sum(minute.failed_attempts for minute in minutes),
        "latency_ms": {f"p{percent}": percentile(latency, percent) for percent in (50, 95, 99)},
        "by_class": dict(sorted(by_class.items())),
        "step_seconds": step * 60,
        "series": _series(minutes, step),
    }


def percentile(buckets: Counter[int], percent: int) -> int | None:
    """Return the upper end in milliseconds of the bucket in which a percentile lies; None without attempts."""
    total = buckets.total()
    if total == 0:
        return None
    rank, seen = total * percent / 100, 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= rank:
            return _upper_end(bucket)
    raise AssertionError("a percentile lies in some bucket")


def _latency_of(minutes: Sequence[Minute]) -> dict[str, int | None]:
    latency: Counter[int] = Counter()
    for minute in minutes:
        latency.update(minute.latency)
    return {f"p{percent}": percentile(latency, percent) for percent in (50, 95)}


def _upper_end(bucket: int) -> int:
    """Bucket n holds 2^n - 1 to 2^(n+1) - 2 milliseconds."""
    return (1 << (bucket + 1)) - 2


def _share(part: int, whole: int) -> float | None:
    return None if whole == 0 else round(part / whole, 6)


def _step(length: timedelta) -> int:
    """Return the width of a point in minutes: the least that keeps the series short."""
    minutes = length / timedelta(minutes=1)
    return next((step for step in _STEPS_MINUTES if minutes / step <= _MOST_POINTS), _STEPS_MINUTES[-1])


def _series(minutes: Sequence[Minute], step: int) -> list[dict[str, Any]]:
    """Return points with traffic, ascending; those without are left out."""
    points: dict[int, list[Minute]] = {}
    width = step * 60
    for minute in minutes:
        points.setdefault(int(minute.minute.timestamp()) // width * width, []).append(minute)
    return [
        {
            "at": rfc3339(datetime.fromtimestamp(at, UTC)),
            "successful": sum(minute.delivered for minute in group),
            "failed": sum(minute.exhausted for minute in group),
            "attempts": sum(minute.attempts for minute in group),
            "failed_attempts": sum(minute.failed_attempts for minute in group),
            "latency_ms": _latency_of(group),
        }
        for at, group in sorted(points.items())
    ]
