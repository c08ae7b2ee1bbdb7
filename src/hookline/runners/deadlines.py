"""Call when a time is up, with one timer for all runs.

Runs rarely reach their limit: a timer each would be made and cancelled thousands of times a second, and a
heap of limits would hold every run that ended long before its own. Times are rounded up and kept in sets, so
adding and removing cost the same however many there are. A call may come late by the rounding, never early.
"""

from __future__ import annotations

import heapq
from math import ceil
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

TICK: Final = 0.05
"""Seconds of rounding below a minute."""

LONG_TICK: Final = 20
"""Ticks of rounding from a minute on: one second, so that limits of days do not fill memory with slots."""


class Due(Protocol):
    """What can have a deadline. Hashable by identity."""

    def due(self) -> None:
        """Act: the time is up. It has no deadline any more, and may set one."""


class Deadlines:
    """The times at which items are due; an item has at most one."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slot_of: dict[Due, int] = {}
        self._slots: dict[int, set[Due]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._slot_of)

    def set(self, item: Due, seconds: float) -> None:
        """Call ``item.due()`` in so many seconds, instead of at any time set before."""
        self.discard(item)
        slot = ceil((self._loop.time() + seconds) / TICK)
        if seconds >= 60:
            slot += -slot % LONG_TICK
        self._slot_of[item] = slot
        if slot in self._slots:
            self._slots[slot].add(item)
            return
        self._slots[slot] = {item}
        heapq.heappush(self._order, slot)
        if self._order[0] == slot:
            self._arm()

    def discard(self, item: Due) -> None:
        """Forget the item, known or not."""
        slot = self._slot_of.pop(item, None)
        if slot is not None and slot in self._slots:
            self._slots[slot].discard(item)

    def close(self) -> None:
        """Call no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self.close()
        if self._order:
            self._timer = self._loop.call_at(self._order[0] * TICK, self._ring)

    def _ring(self) -> None:
        # The loop may run a timer a moment early: the slot it was set for is due all the same.
        now = max(self._loop.time() / TICK, self._order[0])
        while self._order and self._order[0] <= now:
            for item in self._slots.pop(heapq.heappop(self._order)):
                if self._slot_of.pop(item, None) is not None:
                    item.due()
        self._arm()
