"""Pace: a webhook's rate, kept over all nodes together.

The store gives out time: each node takes a stretch of the webhook's future for what it has to send, half a second's
worth at most, and no two stretches overlap. Within its stretch a node spaces its sends. So the rate holds however many
nodes there are, one row is written a few times a second however high the rate is, and a node that dies wastes no more
than half a second.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import structlog

from hookline.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.engine.lanes import WebhookLane
    from hookline.ports import Leases

_log = structlog.get_logger("hookline.pace")

_STRETCH_SECONDS: Final = 0.5
"""The longest stretch that is taken at once (a single send may take longer)."""

_AHEAD_SECONDS: Final = 0.1
"""The next stretch is asked for so long before this one ends, so that there is no gap between them."""

_STALE_SECONDS: Final = 0.25
"""What was not used so long after its time is lost: made up later, it would be a burst in somebody else's time."""

_STORE_PAUSE_SECONDS: Final = 0.5


class Stretch:
    """count sends, one every ``interval`` seconds from ``begins`` on (loop time)."""

    __slots__ = ("begins", "count", "interval", "used")

    def __init__(self, begins: float, count: int, interval: float) -> None:
        self.begins = begins
        self.count = count
        self.interval = interval
        self.used = 0

    def __repr__(self) -> str:
        return f"Stretch({self.used} of {self.count} from {self.begins:.3f})"

    @property
    def next_at(self) -> float:
        return self.begins + self.used * self.interval

    @property
    def ends(self) -> float:
        return self.begins + self.count * self.interval


class Pace:
    """The pace of one webhook on this node. is_ready: one delivery may start now."""

    __slots__ = ("interval", "is_asking", "is_ready", "stretches", "timer")

    def __init__(self, per_second: float) -> None:
        self.interval = 1.0 / per_second
        self.is_ready = False
        self.is_asking = False
        self.stretches: deque[Stretch] = deque()
        self.timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"Pace({1 / self.interval:g} a second, {len(self.stretches)} stretches)"

    @classmethod
    def of(cls, per_second: float | None) -> Pace | None:
        return None if per_second is None else cls(per_second)

    def take(self, now: float) -> float | None:
        """Use up the next place if its time has come: returns 0.0; else the seconds until then, None when this node
        has no time left.
        """
        while self.stretches:
            stretch = self.stretches[0]
            # A stretch of one long interval is stale by its place, not by its end.
            last_at = stretch.begins + (stretch.count - 1) * stretch.interval
            if stretch.used >= stretch.count or last_at + _STALE_SECONDS < now:
                self.stretches.popleft()
                continue
            if stretch.next_at > now:
                return stretch.next_at - now
            stretch.used += 1
            return 0.0
        return None

    def left(self) -> int:
        return sum([one.count - one.used for one in self.stretches])

    def is_running_out(self, now: float) -> bool:
        return not self.stretches or self.stretches[-1].ends - now < _AHEAD_SECONDS


class Pacer:
    """Makes paces ready when their time comes. One per node.

    on_ready: called when a lane may start something.  on_due: called when its time may have come: brings the lane up
    to its webhook's newest revision and looks at it again.
    """

    def __init__(
        self,
        leases: Leases,
        *,
        on_ready: Callable[[WebhookLane], None],
        on_due: Callable[[WebhookLane], None],
    ) -> None:
        self._leases = leases
        self._on_ready = on_ready
        self._on_due = on_due
        self._asking: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"Pacer(asking={len(self._asking)})"

    def close(self) -> None:
        self._is_closed = True
        for task in self._asking:
            task.cancel()

    def look(self, lane: WebhookLane) -> None:
        """See to it that a lane with something to send is ready as soon as its rate allows."""
        pace = lane.pace
        if (
            pace is None
            or pace.is_ready
            or pace.timer is not None
            or not lane.waiting.size
            or self._is_closed
        ):
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        wait = pace.take(now)
        if pace.is_running_out(now) and pace.left() < lane.waiting.size:
            self._ask(lane, pace)
        if wait is None:
            return
        if wait == 0.0:
            pace.is_ready = True
            self._on_ready(lane)
        else:
            pace.timer = loop.call_later(wait, self._due, lane, pace)

    def _due(self, lane: WebhookLane, pace: Pace) -> None:
        pace.timer = None
        self._on_due(lane)

    def _ask(self, lane: WebhookLane, pace: Pace) -> None:
        if not pace.is_asking:
            pace.is_asking = True
            task = asyncio.create_task(self._reserve(lane, pace), name="pace")
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _reserve(self, lane: WebhookLane, pace: Pace) -> None:
        most = max(1, round(_STRETCH_SECONDS / pace.interval))
        count = max(1, min(most, lane.waiting.size - pace.left()))
        try:
            wait = await self._leases.reserve_time(lane.target.id, count, pace.interval)
        except StorageError as exc:
            _log.warning("rate_not_reserved", reason=exc.message)
            await asyncio.sleep(_STORE_PAUSE_SECONDS)
        else:
            begins = asyncio.get_running_loop().time() + wait
            pace.stretches.append(Stretch(begins, count, pace.interval))
        finally:
            pace.is_asking = False
        if pace.timer is None:
            self._on_due(lane)
