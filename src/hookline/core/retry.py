"""Say when a delivery may be tried again (PROMISES P7, CONTRACT section 5).

One question, one answer: an instant, or None when the schedule is used up.
This module never reads a clock, draws a random number, sends or stores.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

# AF-X2: a webhook's own policy starts at one minute and gets no more tries than the seed's table, unless the
# operator lets it.
_POLICY_BASE: Final = timedelta(seconds=60)
POLICY_MAX_RETRIES: Final = 6
# An own list: room for the longest published schedule twice over, and a week between two tries.
LIST_MAX_RETRIES: Final = 20
_LIST_SECONDS: Final = (1.0, 604_800.0)
_LIST_SPREAD: Final = 0.1
# 10 makes the sixth wait 69 days; beyond that a policy is a slip of the finger.
_POLICY_MAX_MULTIPLIER: Final = 10.0
# Reached by the sixth wait of the largest multiplier: where the operator allows more retries, waits grow no further.
_POLICY_LONGEST: Final = _POLICY_BASE * _POLICY_MAX_MULTIPLIER ** (POLICY_MAX_RETRIES - 1)
# Longer than any schedule: whoever asks for more gets the schedule's longest wait anyway.
_LONGEST_RETRY_AFTER: Final = timedelta(days=366)
_SECONDS: Final = re.compile(r"[0-9]{1,20}", re.ASCII)

OUR_PAUSE: Final = timedelta(seconds=5)
"""Before the next try when it was we who failed: the receiver had no part in it, so no step of the schedule is used."""


class RetrySchedule(msgspec.Struct, frozen=True):
    """The waits between the attempts of one delivery.

    delays: one wait per retry, so a delivery gets ``len(delays) + 1`` attempts.
    spread: share of a wait that jitter may add or take, 0.0 to 1.0; else ValueError.
    """

    delays: tuple[timedelta, ...]
    spread: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 <= self.spread <= 1.0:
            raise ValueError("spread must lie between 0 and 1")
        if any(delay < timedelta() for delay in self.delays):
            raise ValueError("a wait cannot be negative")


def next_attempt_at(
    schedule: RetrySchedule,
    *,
    attempts_made: int,
    ended_at: datetime,
    jitter: float,
    retry_after: timedelta = timedelta(),
    time_scale: float = 1.0,
) -> datetime | None:
    """Return the earliest start of the next attempt (UTC), or None for no more.

    attempts_made: ended attempts that used up a step (``Delivery.failures``), 1 or more.  ended_at: end of the
    latest one, UTC.  jitter: uniform draw, 0.0 <= jitter < 1.0.  retry_after: RFC 9110 section 10.2.3.
    time_scale: multiplies the schedule's waits; what a receiver asks for is real time and stays as it is, and so does
    its bound.
    """
    if attempts_made < 1:
        raise ValueError("no attempt has ended yet")
    delays = schedule.delays
    if attempts_made > len(delays):
        return None
    wait = delays[attempts_made - 1] * ((1 + schedule.spread * (2 * jitter - 1)) * time_scale)
    if retry_after > wait:
        # An endpoint may slow us down, never speed us up, and never past our own longest
        # wait: a hostile Retry-After would otherwise park a delivery for years.
        wait = max(wait, min(retry_after, max(delays)))
    return ended_at + wait


def longest_waits(schedule: RetrySchedule, *, time_scale: float = 1.0) -> tuple[timedelta, ...]:
    """Return the longest wait after 0, 1, 2 … failures, jitter included. time_scale: as for ``next_attempt_at``."""
    most = (1 + schedule.spread) * time_scale
    return (OUR_PAUSE * time_scale, *[delay * most for delay in schedule.delays])


def from_policy(
    max_retries: int,
    multiplier: float,
    *,
    most_retries: int = POLICY_MAX_RETRIES,
    field: str = "retry_policy",
) -> RetrySchedule:
    """Return 60 s x multiplier^n, at most 69 days each, jitter ±10 % (AF-X2).

    max_retries: 0 or more; more than most_retries counts as most_retries.  multiplier: 1.0 to 10.0.
    Raises InputError.
    """
    if isinstance(max_retries, bool) or max_retries < 0:
        raise InputError(
            "max_retries must be 0 or more.",
            field=f"{field}.max_retries",
            expected="integer, 0 or more",
            received=f"{max_retries}",
        )
    if not (math.isfinite(multiplier) and 1.0 <= multiplier <= _POLICY_MAX_MULTIPLIER):
        raise InputError(
            "backoff_multiplier must lie between 1 and 10.",
            field=f"{field}.backoff_multiplier",
            expected="number, 1 to 10",
            received=f"{multiplier:g}",
        )
    waits, wait = [], _POLICY_BASE
    for _ in range(min(max_retries, most_retries)):
        waits.append(wait)
        wait = min(wait * multiplier, _POLICY_LONGEST)
    return RetrySchedule(tuple(waits))


def from_list(
    seconds: Sequence[float], spread: float | None = None, field: str = "retry_policy"
) -> RetrySchedule:
    """Return a schedule of the caller's own waits.

    seconds: 0 to 20 waits of 1 s to 7 days, one per retry.  spread: 0 to 1, None for 0.1.  Raises InputError.
    """
    if len(seconds) > LIST_MAX_RETRIES:
        raise InputError(
            f"A schedule has at most {LIST_MAX_RETRIES} waits.",
            field=f"{field}.schedule_seconds",
            expected=f"at most {LIST_MAX_RETRIES} waits",
            received=str(len(seconds)),
        )
    shortest, longest = _LIST_SECONDS
    for index, wait in enumerate(seconds):
        if isinstance(wait, bool) or not (math.isfinite(wait) and shortest <= wait <= longest):
            raise InputError(
                "A wait lies between 1 second and 7 days.",
                field=f"{field}.schedule_seconds.{index}",
                expected="number, 1 to 604800",
                received=f"{wait:g}",
            )
    spread = _LIST_SPREAD if spread is None else spread
    if isinstance(spread, bool) or not (math.isfinite(spread) and 0 <= spread <= 1):
        raise InputError(
            "jitter must lie between 0 and 1.",
            field=f"{field}.jitter",
            expected="number, 0 to 1",
            received=f"{spread:g}",
        )
    return RetrySchedule(tuple(timedelta(seconds=wait) for wait in seconds), spread)


def parse_retry_after(value: str | None, now: datetime) -> timedelta:
    """Return how long a Retry-After header asks to wait: seconds or an HTTP date.

    Zero for None, garbage, a negative number or a date in the past; at most a year.  now: UTC.
    """
    if not value:
        return timedelta()
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return timedelta(seconds=min(int(text), int(_LONGEST_RETRY_AFTER.total_seconds())))
    try:
        at = parsedate_to_datetime(text[:64])
        wait = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return timedelta()
    return min(max(wait, timedelta()), _LONGEST_RETRY_AFTER)


def _schedule(spread: float, *seconds: int) -> RetrySchedule:
    return RetrySchedule(tuple(timedelta(seconds=wait) for wait in seconds), spread)


_STANDARD: Final = _schedule(0.2, 5, 30, 120, 900, 3600, 10800, 21600, 43200, 86400)

SCHEDULES: Final[dict[str, RetrySchedule]] = {
    "agenticflow": _schedule(0.1, 60, 300, 900, 3600, 21600, 86400),
    "phantombuster": _schedule(0.0),
    "maxun": _schedule(0.0, 5, 10),
    "maxun-src": _schedule(0.0, 5, 10),
    "phantomflow": _schedule(0.0, 30, 120, 600),
    "standard": _STANDARD,
    "cloudevents": _STANDARD,
    "raw": _STANDARD,
}
"""Dialect name to schedule: the table of CONTRACT section 5."""
