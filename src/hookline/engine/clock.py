"""The real clock. Tests inject their own."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """UTC from the system, and CLOCK_BOOTTIME, which goes on while the machine sleeps."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)

    def elapsed(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
