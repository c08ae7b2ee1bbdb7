"""Say how many deliveries of one webhook may be in flight, and how fast one that comes back is loaded again
(DESIGN section 4).

Receivers that hang hold sockets until the deadline; those that answer, even with an error, do not. So the cap
starts at 2, doubles with every answer, up to the limit, and halves with every time-out after the first in a row,
down to 1: three hundred webhooks that hang from the first moment hold 600 sockets, not 9,600.
Whoever was away finds a backlog at the door: it is let in slowly at first and twice as fast every second, so that what
has just come back is not knocked over. This module never reads a clock or counts what is in flight.
"""

from __future__ import annotations

import math
from typing import Final

DEFAULT_LIMIT: Final = 32
# A single time-out is weather; only the next one in a row is climate.
_TOLERATED: Final = 1
# Requests to a receiver nobody has heard of yet: enough to learn from, few enough to lose.
_FIRST: Final = 2

RAMP_FIRST_PER_SECOND: Final = 20.0
"""With which a webhook that came back begins: about what a single small machine takes without noticing."""
RAMP_SECONDS: Final = 9.0
"""After so long it may get 10,000 a second, which is to say that only its cap counts."""

# A success after at least so many failures in a row, over at least so long, is a receiver that came back. One that
# answers every second request with an error never is: it was never away.
_AWAY_FAILURES: Final = 5
_AWAY_SECONDS: Final = 10.0


def ramp_wait(age: float) -> float:
    """Seconds between two deliveries to a webhook that came back ``age`` seconds ago; 0.0 when it is up to speed."""
    if age >= RAMP_SECONDS:
        return 0.0
    return 1.0 / (RAMP_FIRST_PER_SECOND * math.exp2(max(0.0, age)))


class Troubles:
    """The failures of a webhook since its latest success. Instants are seconds of any clock that never steps back."""

    __slots__ = ("_failures", "_since")

    def __init__(self) -> None:
        self._failures = 0
        self._since = 0.0

    def __repr__(self) -> str:
        return f"Troubles({self._failures})"

    def failed(self, now: float) -> None:
        if self._failures == 0:
            self._since = now
        self._failures += 1

    def succeeded(self, now: float) -> bool:
        """Say whether this success is that of a receiver that was away and came back."""
        came_back = self._failures >= _AWAY_FAILURES and now - self._since >= _AWAY_SECONDS
        self._failures = 0
        return came_back


class AdaptiveCap:
    """The cap of one webhook on one node.

    limit: the webhook's own ``max_in_flight``, 1 or more; may be set anew at any time.
    """

    __slots__ = ("_limit", "_timeouts", "is_proven", "value")

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._timeouts = 0
        self.is_proven = False
        """Its latest attempt was answered; False too before the first one ended."""
        self._limit = _checked(limit)
        self.value = min(_FIRST, limit)
        """How many may be in flight now: 1 to limit."""

    def __repr__(self) -> str:
        return f"AdaptiveCap({self.value} of {self._limit}, {self._timeouts} time-outs in a row)"

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        # A webhook that has proved its whole limit follows the new one at once.
        is_at_limit = self.is_proven and self.value == self._limit
        self._limit = _checked(limit)
        self.value = limit if is_at_limit else min(self.value, limit)

    def timed_out(self) -> None:
        self.is_proven = False
        self._timeouts += 1
        if self._timeouts > _TOLERATED:
            self.value = max(1, self.value // 2)

    def answered(self) -> None:
        self.is_proven = True
        self._timeouts = 0
        if self.value < self._limit:
            self.value = min(self._limit, self.value * 2)


def _checked(limit: int) -> int:
    if limit < 1:
        raise ValueError("a webhook needs room for one delivery in flight")
    return limit
