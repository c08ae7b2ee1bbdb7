"""Claim: take deliveries from the table when they are due and their webhook's lane has room.

What is due when is noted by whoever writes it (``expect``); every few seconds the table itself is asked, because dead
nodes and lost wake-ups tell nobody.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from hookline.core.retry import longest_waits
from hookline.engine.attempt import cause_of
from hookline.engine.due import DueNotes
from hookline.engine.lanes import Claim
from hookline.errors import StorageError
from hookline.ports import ClaimDeliveries, ShortenWaits, Want

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from datetime import datetime

    from hookline.engine.commit import Committer
    from hookline.engine.directory import Directory
    from hookline.engine.lanes import Lanes, WebhookLane
    from hookline.engine.lease import Lease
    from hookline.model.ids import Key
    from hookline.model.states import Lane
    from hookline.ports import Clock, Owed, Pending

_log = structlog.get_logger("hookline.claim")

_CLAIM_AT_ONCE: Final = 256
_SCAN_SECONDS: Final = 5.0
"""How often the table is asked for lanes that nobody told us of: what dead nodes and lost wake-ups left."""

_STEP_SECONDS: Final = 1.0
"""A clock that lost as much against one that never steps was set back."""


class Claimer:
    """One per node. take: given what was claimed."""

    def __init__(
        self,
        *,
        committer: Committer,
        archive: Pending,
        directory: Directory,
        lanes: Lanes,
        lease: Lease,
        clock: Clock,
        take: Callable[[Sequence[Claim]], None],
        time_scale: float,
    ) -> None:
        self._committer = committer
        self._archive = archive
        self._directory = directory
        self._lanes = lanes
        self._lease = lease
        self._clock = clock
        self._take = take
        self._time_scale = time_scale
        self._ahead = math.inf
        self._due = DueNotes()
        self._task: asyncio.Task[None] | None = None
        self._asides: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return "Claimer()"

    def start(self) -> None:
        self._task = asyncio.create_task(self._claim_forever(), name="claimer")

    def close(self) -> None:
        """Claim nothing more."""
        for task in (self._task, *self._asides):
            if task is not None:
                task.cancel()

    def expect(self, webhook_id: Key, lane: Lane, due_at: datetime) -> None:
        """Note that the table holds a delivery due then; it is claimed when the time has come."""
        self._due.note(webhook_id, lane, due_at)

    def refill(self, lane: WebhookLane) -> None:
        """Ask the table for more once there is room again."""
        if lane.has_more:
            now = self._clock.now()
            for line in [one for one in lane.has_more if lane.is_low(one)]:
                self._due.note(lane.target.id, line, now)
                lane.has_more.discard(line)

    def rescan(self) -> None:
        """Another node left deliveries in the table: look soon."""
        self._do_aside(self._scan_quietly())

    def _do_aside(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    async def _claim_forever(self) -> None:
        loop = asyncio.get_running_loop()
        next_scan = loop.time()
        while True:
            try:
                if loop.time() >= next_scan:
                    next_scan = loop.time() + _SCAN_SECONDS
                    await self._scan()
                await self._claim_due()
            except StorageError as exc:
                _log.warning("claim_failed", reason=exc.message)
                await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311 -- spreads reconnecting nodes
            await self._due.wait(self._clock.now(), longest=next_scan - loop.time())

    async def _scan_quietly(self) -> None:
        try:
            await self._scan()
        except StorageError as exc:
            _log.warning("scan_failed", reason=exc.message)

    async def _scan(self) -> None:
        found = await self._archive.waiting()
        for waiting in found:
            self._due.note(waiting.webhook_id, waiting.lane, waiting.due_at)
        if self._was_set_back():
            self._do_aside(self._shorten_waits({waiting.webhook_id for waiting in found}))

    def _was_set_back(self) -> bool:
        """Say whether the clock was set back since this was last asked; at first nobody knows, so it may have been."""
        before, self._ahead = self._ahead, self._clock.now().timestamp() - self._clock.elapsed()
        return self._ahead < before - _STEP_SECONDS

    async def _shorten_waits(self, webhook_ids: set[Key]) -> None:
        """What the clock said when a wait was set may be hours away: nothing waits longer than its schedule says."""
        try:
            for webhook_id in webhook_ids:
                target = await self._directory.target(webhook_id)
                if target is not None:
                    shorten = ShortenWaits(
                        webhook_id=webhook_id,
                        now=self._clock.now(),
                        waits=longest_waits(target.schedule, time_scale=self._time_scale),
                        asked=max(target.schedule.delays, default=timedelta()),
                    )
                    await self._committer.commit(shorten)
            await self._scan()
        except StorageError as exc:
            _log.warning("waits_not_shortened", reason=exc.message)
            self._ahead = math.inf

    async def _claim_due(self) -> None:
        """Claim what is due and has room, a bounded number for each webhook lane."""
        now = self._clock.now()
        wants = []
        for webhook_id, line in self._due.take_due(now):
            want = await self._want(webhook_id, line)
            if want is not None:
                wants.append(want)
        if not wants or not self._lease.is_held():
            return
        epoch = self._lease.epoch
        taken = await self._committer.commit(ClaimDeliveries(epoch=epoch, wants=tuple(wants), now=now))
        assert isinstance(taken, tuple)
        self._take([Claim(owed, epoch, cause_of(owed)) for owed in taken])
        self._expect_more(wants, taken, now)

    async def _want(self, webhook_id: Key, line: Lane) -> Want | None:
        lane = self._lanes.get(webhook_id)
        target = (
            self._directory.known_target(lane.organization_id, webhook_id)
            if lane is not None
            else await self._directory.target(webhook_id)
        )
        if target is None or not target.is_active:
            return None
        lane = self._lanes.of(target)
        room = min(self._lanes.room(lane, line), _CLAIM_AT_ONCE)
        if room <= 0:
            lane.has_more.add(line)
            return None
        return Want(webhook_id=webhook_id, lane=line, limit=room, revision=target.revision)

    def _expect_more(self, wants: list[Want], taken: tuple[Owed, ...], now: datetime) -> None:
        """A full claim means there may be more of the same."""
        counts = Counter((owed.delivery.webhook_id, owed.delivery.lane) for owed in taken)
        for want in wants:
            if counts[want.webhook_id, want.lane] < want.limit:
                continue
            lane = self._lanes[want.webhook_id]
            if lane.is_low(want.lane):
                self._due.note(want.webhook_id, want.lane, now)
            else:
                lane.has_more.add(want.lane)
