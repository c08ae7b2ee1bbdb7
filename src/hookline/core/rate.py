"""Say whether one more may pass now, and if not, how long to wait.

``Gcra`` paces what we send (smooth, one number of state); ``SlidingWindow`` counts what comes in as PR-7 words it:
"already received 50 requests in the last second"; ``Allowance`` bounds what we keep of it. Times are seconds of any
clock that never steps back; this module never reads one.
"""

from __future__ import annotations

from collections import deque

import msgspec


class Gcra(msgspec.Struct, frozen=True):
    """A rate with a burst: the generic cell rate algorithm, whose whole state is one instant.

    per_second: more than 0.  burst: how many may pass at once after a rest, 1 or more; else ValueError.
    """

    per_second: float
    burst: int = 1

    def __post_init__(self) -> None:
        if not self.per_second > 0 or self.burst < 1:
            raise ValueError("a rate lets something pass: per_second above 0, burst 1 or more")

    def ask(self, state: float, now: float) -> tuple[float, float]:
        """Return (new state, wait). wait: 0.0 when one may pass now, else seconds until it may, state unchanged.

        state: what the latest call returned, 0.0 at first (or any instant in the past).
        """
        interval = 1.0 / self.per_second
        due = max(now, state)
        wait = due - now - interval * (self.burst - 1)
        # Sums of tenths miss by a few ulps: a nanosecond of grace keeps the published rate.
        if wait > 1e-9:
            return state, wait
        return due + interval, 0.0


class Allowance:
    """So much a second, saved up to ``most`` while it is not taken; it begins full. What does not fit takes nothing."""

    __slots__ = ("_at", "_left", "_most", "_per_second")

    def __init__(self, per_second: float, most: float) -> None:
        if not per_second > 0 or most < 0:
            raise ValueError("an allowance gives something: per_second above 0, most 0 or more")
        self._per_second = per_second
        self._most = most
        self._left = most
        self._at: float | None = None

    def __repr__(self) -> str:
        return f"Allowance({self._left:g} of {self._most:g})"

    def take(self, amount: float, now: float) -> bool:
        """Take this much if it is there."""
        if self._at is not None:
            self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < amount:
            return False
        self._left -= amount
        return True


class SlidingWindow:
    """At most ``limit`` in any window of ``seconds``. Refused ones do not count.

    Keeps one float for each that passed within the window.
    """

    __slots__ = ("_limit", "_passed", "_seconds")

    def __init__(self, limit: int, seconds: float = 1.0) -> None:
        if limit < 1 or not seconds > 0:
            raise ValueError("a window lets something pass: limit 1 or more, seconds above 0")
        self._limit = limit
        self._seconds = seconds
        self._passed: deque[float] = deque()

    def __repr__(self) -> str:
        return f"SlidingWindow({len(self._passed)} of {self._limit} in {self._seconds} s)"

    def ask(self, now: float) -> float:
        """Return 0.0 and count it when one may pass now, else the seconds until one may."""
        passed = self._passed
        start = now - self._seconds
        while passed and passed[0] <= start:
            passed.popleft()
        if len(passed) >= self._limit:
            return passed[0] - start
        passed.append(now)
        return 0.0
