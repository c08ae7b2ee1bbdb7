"""Meter: what this node has done, counted where it happens. ``/metrics`` tells it; nothing else reads it.

Plain numbers, because they stand on hot paths: to count costs a tenth of a microsecond. No figure has an id, a name or
a URL in it, so there are never more of them than there are kinds of things.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hookline.model.executions import Execution
    from hookline.ports.sender import Answer

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LONG_SECONDS: Final = (0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
WRITES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Histogram:
    """How many observations were at most so large. bounds: ascending."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def __repr__(self) -> str:
        return f"Histogram(count={sum(self.counts)}, total={self.total})"

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Meter:
    """One per node. Durations are in seconds."""

    def __init__(self) -> None:
        self.commit_writes = Histogram(WRITES)
        self.commit_seconds = Histogram(SECONDS)
        self.attempts: Counter[str] = Counter()
        """By outcome: ``delivered``, ``http_error``, ``timeout`` …"""
        self.attempt_seconds = Histogram(SECONDS)
        self.delivery_states: Counter[str] = Counter()
        """What attempts made of their deliveries, by state."""
        self.delivery_seconds = Histogram(LONG_SECONDS)
        """Of deliveries that succeeded, from their creation."""
        self.executions: Counter[tuple[str, str]] = Counter()
        """Ended, by (kind, status)."""
        self.launch_seconds = Histogram(LONG_SECONDS)
        self.run_seconds = Histogram(LONG_SECONDS)
        self.requests: Counter[tuple[str, int]] = Counter()
        """Answered, by (route as OpenAPI writes it, hundreds of the status); ``/api/v1`` for all of the management
        API."""
        self.brokered: Counter[str] = Counter()
        """Messages of a broker: ``taken``, ``refused``, ``put_back``."""
        self.lease_losses = 0
        self.deliveries_recovered = 0
        """Taken over from nodes that died."""

    def __repr__(self) -> str:
        return f"Meter(attempts={self.attempts.total()}, executions={self.executions.total()})"

    def answered(self, route: str, status: int) -> None:
        self.requests[route, status // 100] += 1

    def committed(self, writes: int, seconds: float) -> None:
        self.commit_writes.observe(writes)
        self.commit_seconds.observe(seconds)

    def attempted(self, answer: Answer, state: str) -> None:
        """state: what the attempt made of its delivery."""
        self.attempts[answer.outcome] += 1
        self.attempt_seconds.observe(answer.duration_ms / 1000)
        self.delivery_states[state] += 1

    def delivered(self, seconds: float) -> None:
        self.delivery_seconds.observe(max(0.0, seconds))

    def ended(self, execution: Execution) -> None:
        self.executions[execution.kind.value, execution.status.value] += 1
        if execution.launch_ms is not None:
            self.launch_seconds.observe(execution.launch_ms / 1000)
        if execution.run_ms is not None:
            self.run_seconds.observe(execution.run_ms / 1000)
