"""Call back when a run's time is up, with one timer for all runs.

Runs rarely reach their limit: a timer each would be made and cancelled thousands of times a second, and a heap
of limits would hold every run that ended long before its own. Times are rounded up to TICK and kept in sets, so
adding and removing cost the same however many there are. A callback may come up to TICK late, never early.
"""

from __future__ import annotations

import heapq
from math import ceil
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

TICK: Final = 0.05
"""Seconds; limits are given in seconds and minutes."""

Item = TypeVar("Item")


class Deadlines(Generic[Item]):
    """The times at which items are due; an item has at most one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_due: Callable[[Item], None]) -> None:
        self._loop, self._on_due = loop, on_due
        self._slot_of: dict[Item, int] = {}
        self._slots: dict[int, set[Item]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def set(self, item: Item, seconds: float) -> None:
        """Call back for the item in so many seconds, instead of any time set before."""
        self.discard(item)
        slot = ceil((self._loop.time() + seconds) / TICK)
        self._slot_of[item] = slot
        if slot in self._slots:
            self._slots[slot].add(item)
            return
        self._slots[slot] = {item}
        heapq.heappush(self._order, slot)
        if self._order[0] == slot:
            self._arm()

    def discard(self, item: Item) -> None:
        """Forget the item, known or not."""
        slot = self._slot_of.pop(item, None)
        if slot is not None:
            self._slots[slot].discard(item)

    def close(self) -> None:
        """Call back no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self.close()
        if self._order:
            self._timer = self._loop.call_at(self._order[0] * TICK, self._ring)

    def _ring(self) -> None:
        self._timer = None
        # The loop may run a timer a clock tick early: what it was set for is due.
        now = max(self._loop.time() / TICK, self._order[0])
        while self._order and self._order[0] <= now:
            for item in self._slots.pop(heapq.heappop(self._order)):
                del self._slot_of[item]
                self._on_due(item)
        self._arm()
