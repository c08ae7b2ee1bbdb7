"""The real clock. Tests inject their own."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """UTC from the system, and CLOCK_BOOTTIME, which goes on while the machine sleeps."""

    _latest: tuple[int, datetime] = (0, datetime.fromtimestamp(0, UTC))

    def now(self) -> datetime:
        # A busy node asks some dozens of times in each millisecond, and to make an instant costs ten times the asking.
        ms = time.time_ns() // 1_000_000
        latest = self._latest
        if latest[0] != ms:
            self._latest = latest = (ms, datetime.fromtimestamp(ms / 1000, UTC))
        return latest[1]

    def elapsed(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
