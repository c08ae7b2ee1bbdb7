"""What the table holds, as far as this node knows: which webhook's line is due when.

Notes, not truth: a note that is missing costs latency until the next scan, one too many costs an empty claim.
"""

from __future__ import annotations

import asyncio
import heapq
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from hookline.model.ids import Key
    from hookline.model.states import Lane

_MOST_TIMES: Final = 64
"""Times remembered of one line, the soonest ones. Those behind them are found by a scan, long before they are due."""


class DueNotes:
    """The next due times of each (webhook, lane), soonest first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, Key, Lane]] = []
        self._times: dict[tuple[Key, Lane], set[float]] = {}
        self._sooner = asyncio.Event()

    def __len__(self) -> int:
        return len(self._times)

    def note(self, webhook_id: Key, lane: Lane, due_at: datetime) -> None:
        """Something of that line is due then."""
        due = due_at.timestamp()
        times = self._times.setdefault((webhook_id, lane), set())
        if due in times or (len(times) >= _MOST_TIMES and due > max(times)):
            return
        if len(times) >= _MOST_TIMES:
            times.discard(max(times))
        times.add(due)
        heapq.heappush(self._heap, (due, webhook_id, lane))
        if self._heap[0][0] == due:
            self._sooner.set()

    def take_due(self, now: datetime) -> Iterator[tuple[Key, Lane]]:
        """Take the notes whose time has come, each line once."""
        taken: set[tuple[Key, Lane]] = set()
        while self._heap and self._heap[0][0] <= now.timestamp():
            due, webhook_id, lane = heapq.heappop(self._heap)
            place = (webhook_id, lane)
            times = self._times.get(place)
            if times is None or due not in times:
                continue  # a note that gave way to sooner ones
            times.discard(due)
            if not times:
                del self._times[place]
            if place not in taken:
                taken.add(place)
                yield place

    async def wait(self, now: datetime, *, longest: float) -> None:
        """Wait until the next note is due or a sooner one arrives, at most ``longest`` seconds."""
        self._sooner.clear()
        if self._heap:
            longest = min(longest, self._heap[0][0] - now.timestamp())
        if longest > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(longest):
                    await self._sooner.wait()
