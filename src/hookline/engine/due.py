"""What the table holds, as far as this node knows: which webhook's line is due when.

Notes, not truth: a note that is missing costs latency until the next scan, one too many costs an empty claim.
"""

from __future__ import annotations

import asyncio
import heapq
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from hookline.model.ids import Key
    from hookline.model.states import Lane


class DueNotes:
    """The earliest due time of each (webhook, lane), soonest first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, Key, Lane]] = []
        self._earliest: dict[tuple[Key, Lane], float] = {}
        self._sooner = asyncio.Event()

    def __len__(self) -> int:
        return len(self._earliest)

    def note(self, webhook_id: Key, lane: Lane, due_at: datetime) -> None:
        """Something of that line is due then."""
        due = due_at.timestamp()
        known = self._earliest.get((webhook_id, lane))
        if known is not None and known <= due:
            return
        self._earliest[webhook_id, lane] = due
        heapq.heappush(self._heap, (due, webhook_id, lane))
        if self._heap[0][0] == due:
            self._sooner.set()

    def take_due(self, now: datetime) -> Iterator[tuple[Key, Lane]]:
        """Take the notes whose time has come."""
        while self._heap and self._heap[0][0] <= now.timestamp():
            due, webhook_id, lane = heapq.heappop(self._heap)
            if self._earliest.get((webhook_id, lane)) == due:  # else a sooner note was acted on
                del self._earliest[webhook_id, lane]
                yield webhook_id, lane

    async def wait(self, now: datetime, *, longest: float) -> None:
        """Wait until the next note is due or a sooner one arrives, at most ``longest`` seconds."""
        self._sooner.clear()
        if self._heap:
            longest = min(longest, self._heap[0][0] - now.timestamp())
        if longest > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(longest):
                    await self._sooner.wait()
