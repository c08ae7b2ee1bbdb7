"""The system's clock: whole milliseconds of UTC, never behind what the system says."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from hookline.engine.clock import SystemClock


def test_it_tells_whole_milliseconds_of_now() -> None:
    clock = SystemClock()
    for _ in range(2_000):
        before = time.time_ns() // 1_000_000
        now = clock.now()
        after = time.time_ns() // 1_000_000

        assert now.tzinfo is UTC
        assert now.microsecond % 1000 == 0
        assert before <= round(now.timestamp() * 1000) <= after


def test_it_goes_on() -> None:
    clock = SystemClock()
    first = clock.now()
    time.sleep(0.003)

    assert clock.now() > first
    assert abs((clock.now() - datetime.now(UTC)).total_seconds()) < 1
