"""Batch: events that wait for one another, sent together (SEEDS AF-19).

What waits is a row of the table, written with its event; this part only knows when to ask the store to form a batch:
when enough has come, or when the oldest has waited long enough. A node that does not deliver forms them too, for
others to claim. For a paused or disabled webhook they are formed as well, and held. A note that is lost with a node
costs nothing, since every node looks through the table now and then.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from hookline.errors import StorageError
from hookline.model.states import DeliveryState, Lane
from hookline.ports import FormBatches, Formed

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from datetime import datetime

    from hookline.engine.commit import Committer
    from hookline.engine.deliver import Deliverer
    from hookline.engine.directory import Directory
    from hookline.engine.lease import Lease
    from hookline.engine.recent import Recent
    from hookline.engine.target import BatchSettings, Target
    from hookline.model.events import Event
    from hookline.model.ids import Key
    from hookline.ports import Clock, Pending

_log = structlog.get_logger("hookline.batch")

MOST_BYTES: Final = 1024 * 1024
"""Of one batch's body, about (CONTRACT section 5)."""

_SOONEST_SECONDS: Final = 0.01
_FLUSH_SECONDS: Final = 5.0
"""How long a stop waits for its last batches to be answered."""


@dataclass(slots=True)
class _Waiting:
    """What this node knows to wait for one webhook.

    events, size: noted since the last forming.  since: when the oldest that this left behind began to wait, None for
    nothing left.  fullest, fullest_bytes: of the group among those that is nearest to being a batch: as few more events
    as it lacks can complete one.  timer: None while there is nothing to wait for.  planned_by: by which
    settings it was set.
    """

    events: int = 0
    size: int = 0
    since: datetime | None = None
    fullest: int = 0
    fullest_bytes: int = 0
    timer: asyncio.TimerHandle | None = None
    planned_by: BatchSettings | None = None
    is_forming: bool = False
    formed: set[Key] = field(default_factory=set)


class Batcher:
    """One per node."""

    def __init__(
        self,
        *,
        committer: Committer,
        archive: Pending,
        directory: Directory,
        deliverer: Deliverer,
        lease: Lease,
        clock: Clock,
        recent: Recent,
    ) -> None:
        self._recent = recent
        self._committer = committer
        self._archive = archive
        self._directory = directory
        self._deliverer = deliverer
        self._lease = lease
        self._clock = clock
        self._webhooks: dict[Key, _Waiting] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_open = True

    def __repr__(self) -> str:
        return f"Batcher({len(self._webhooks)} webhooks)"

    def note(self, target: Target, events: Sequence[Event]) -> None:
        """Events now wait for a batch of this webhook."""
        self._recent.keep(events)
        waiting = self._webhooks.setdefault(target.id, _Waiting())
        waiting.events += len(events)
        waiting.size += sum([len(event.data) for event in events])
        if self._is_open and not waiting.is_forming:
            self._plan(target, waiting)

    async def look(self) -> None:
        """Find what waits in the table without this node knowing: another's, or from before a restart.

        What waits by settings that have changed meanwhile is looked at by the new ones.
        """
        now = self._clock.now()
        for collecting in await self._archive.collecting():
            target = await self._directory.target(collecting.webhook_id)
            if target is None or not target.is_readable:
                continue
            waiting = self._webhooks.setdefault(collecting.webhook_id, _Waiting())
            wait = target.batch.max_wait if target.batch is not None else timedelta()
            if waiting.is_forming:
                continue
            if waiting.timer is None:
                left = min(collecting.since + wait - now, wait)  # more only where the clock was set back
                self._form_in(target, waiting, left.total_seconds())
            elif waiting.planned_by != target.batch:
                self._form_soon(target.id, waiting)

    async def close(self, grace: float) -> None:
        """Send what waits now instead of when its time has come; what cannot be sent stays in the table."""
        self._is_open = False
        for waiting in self._webhooks.values():
            if waiting.timer is not None:
                waiting.timer.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=min(grace, _FLUSH_SECONDS))
        forming = [
            self._form(id_, waiting)
            for id_, waiting in self._webhooks.items()
            if waiting.events or waiting.since is not None
        ]
        await asyncio.gather(*forming)
        formed = {id_ for waiting in self._webhooks.values() for id_ in waiting.formed}
        deadline = asyncio.get_running_loop().time() + min(grace, _FLUSH_SECONDS)
        while any(map(self._deliverer.holds, formed)) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 -- once, at the end
            await asyncio.sleep(0.01)

    # --- when ---

    def _plan(self, target: Target, waiting: _Waiting) -> None:
        """Form now what is enough, and set a time for what is not."""
        settings = target.batch
        if settings is None:
            return
        if waiting.events and (
            waiting.events + waiting.fullest >= settings.max_events
            or waiting.size + waiting.fullest_bytes >= MOST_BYTES
        ):
            self._form_soon(target.id, waiting)
        elif waiting.timer is not None:
            return
        elif waiting.since is not None:
            wait = waiting.since + settings.max_wait - self._clock.now()
            self._form_in(target, waiting, min(wait, settings.max_wait).total_seconds())
        elif waiting.events:
            self._form_in(target, waiting, settings.max_wait.total_seconds())

    def _form_in(self, target: Target, waiting: _Waiting, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        delay = max(seconds, _SOONEST_SECONDS)
        waiting.timer = loop.call_later(delay, self._form_soon, target.id, waiting)
        waiting.planned_by = target.batch

    def _form_soon(self, webhook_id: Key, waiting: _Waiting) -> None:
        if waiting.timer is not None:
            waiting.timer.cancel()
            waiting.timer = None
        if self._is_open and not waiting.is_forming:
            waiting.is_forming = True  # from now on: many more may be noted before the task begins
            self._spawn(self._form(webhook_id, waiting))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name="batch")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- forming ---

    async def _form(self, webhook_id: Key, waiting: _Waiting) -> None:
        target = None
        try:
            target = await self._directory.target(webhook_id)
            if target is None or not target.is_readable or not self._lease.is_held():
                self._webhooks.pop(webhook_id, None)
                return
            await self._form_all(target, waiting)
        except StorageError as exc:
            _log.warning("batch_not_formed", reason=exc.message)  # the next look through the table finds it
        finally:
            waiting.is_forming = False
        if self._is_open and target is not None:
            waiting.formed.clear()
            self._plan(target, waiting)

    async def _form_all(self, target: Target, waiting: _Waiting) -> None:
        while True:
            waiting.events = waiting.size = 0
            epoch = self._lease.epoch
            write = self._order(target, epoch)
            formed = await self._committer.commit(write)
            assert isinstance(formed, Formed)
            for delivery, members in zip(formed.deliveries, formed.members, strict=True):
                if delivery.state is DeliveryState.IN_FLIGHT:
                    waiting.formed.add(delivery.id)
                    self._recent.formed(delivery.id, members)
                    self._deliverer.take_formed(target, delivery, epoch)
                elif delivery.state is DeliveryState.PENDING:
                    self._deliverer.expect(target.id, Lane.FIRST, write.at)
            if len(formed.deliveries) < write.limit:
                break
        # Those noted meanwhile may be among those left: counting them twice only means to look once more.
        waiting.since = formed.waits_since
        waiting.fullest, waiting.fullest_bytes = formed.fullest, formed.fullest_bytes

    def _order(self, target: Target, epoch: int) -> FormBatches:
        """A webhook that batches no more lets go of all that waits, and so does a node that stops."""
        now = self._clock.now()
        settings = target.batch
        wait = settings.max_wait if settings is not None and self._is_open else timedelta()
        return FormBatches(
            epoch=epoch,
            organization_id=target.organization_id,
            webhook_id=target.id,
            revision=target.revision,
            max_events=settings.max_events if settings is not None else 1,
            max_bytes=MOST_BYTES,
            added_before=now - wait,
            at=now,
            is_claimed=self._deliverer.is_open,
            held_for=target.rests_for,
        )
