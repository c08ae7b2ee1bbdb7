"""Redeliver: the batches of a replay of deliveries, each sent again once however often a node dies.

Before a batch is reopened its ids are written into the job; only then are they made due, in small slices, as fast as
the rate allows. Whoever takes the job over asks of each delivery of the last batch whether it was reopened, so a crash
between the two repeats none.

Events that were never owed to the webhook become deliveries of the same lane. The store makes no second delivery of one
event for one webhook, so these need no note beforehand.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.matching import compile_patterns
from hookline.engine.publish import new_delivery, waiter, waits
from hookline.engine.replay import first_key
from hookline.errors import ConflictError
from hookline.model.configuration import Replay, Stored
from hookline.model.events import Delivery
from hookline.model.states import DeliveryState, Lane, ReplayStatus
from hookline.ports import LEAVE_THE_CURSOR, DeliveryFilter, FanOut, Reopen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from datetime import datetime

    from hookline.engine.batch import Batcher
    from hookline.engine.commit import Committer
    from hookline.engine.deliver import Deliverer
    from hookline.engine.directory import Directory
    from hookline.engine.judge import Judge
    from hookline.engine.lease import Lease
    from hookline.engine.replay import Pace
    from hookline.engine.target import Target
    from hookline.model.events import Event
    from hookline.model.ids import Key
    from hookline.ports import Clock, Epoch, Store

MOST_COUNTED: Final = 100_000
"""A preview counts no further, so that asking stays cheap."""

BATCH_SECONDS: Final = 0.5
"""A batch is what the rate allows in so long: the job is written twice a second, however many it sends."""

MOST_AT_ONCE: Final = 500
_PAGE: Final = 500
_SLICE_SECONDS: Final = 0.05
_OPEN: Final = (DeliveryState.PENDING, DeliveryState.IN_FLIGHT, DeliveryState.HELD)


class Redelivery:
    """``replay.Batches`` of deliveries, oldest first. One per node."""

    def __init__(
        self,
        *,
        store: Store,
        committer: Committer,
        directory: Directory,
        deliverer: Deliverer,
        batcher: Batcher,
        lease: Lease,
        clock: Clock,
        judge: Judge,
        hold: Callable[[Target], Awaitable[None]],
    ) -> None:
        self._store = store
        self._committer = committer
        self._directory = directory
        self._deliverer = deliverer
        self._batcher = batcher
        self._lease = lease
        self._clock = clock
        self._judge = judge
        self._hold = hold

    def __repr__(self) -> str:
        return f"Redelivery({self._deliverer!r})"

    async def count(self, organization_id: Key, job: Replay) -> tuple[int, bool]:
        found = 0
        async for page in self._pages(organization_id, job):
            found += len(page)
            if found > MOST_COUNTED:
                return MOST_COUNTED, False
        async for events in self._never_owed(organization_id, job):
            found += len(events)
            if found > MOST_COUNTED:
                return MOST_COUNTED, False
        return found, True

    async def resume(self, stored: Stored[Replay], pace: Pace) -> None:
        if stored.document.batch:
            await self._reopen(stored, await self._left(stored), pace)

    async def next(self, stored: Stored[Replay], pace: Pace, epoch: Epoch) -> bool:
        if stored.document.is_past_deliveries:
            await self._owe_rest(stored, pace, epoch)
            return False
        noted = await self._note_next(stored)
        if noted.document.status is not ReplayStatus.RUNNING:
            return False
        await self._reopen(noted, noted.document.batch, pace)
        return True

    async def _note_next(self, stored: Stored[Replay]) -> Stored[Replay]:
        """Write down which deliveries are next, or that there are none left. Raises ConflictError."""
        job, now = stored.document, self._clock.now()
        size = max(1, min(MOST_AT_ONCE, round(job.rate_per_second * BATCH_SECONDS)))
        page: Sequence[Delivery] = ()
        async for page in self._pages(stored.organization_id, job, size):  # noqa: B007 -- the first that has some
            break
        if not page and job.include_never_attempted:
            job = msgspec.structs.replace(job, is_past_deliveries=True, batch=(), batch_at=None)
        elif not page:
            job = msgspec.structs.replace(
                job, status=ReplayStatus.COMPLETED, batch=(), batch_at=None, ended_at=now
            )
        else:
            await self._directory.load(stored.organization_id)
            known = [one for one in page if self._target_of(one) is not None]
            job = msgspec.structs.replace(
                job,
                cursor=page[-1].id,
                batch=tuple([one.id for one in known]),
                batch_at=now,
                reopened=job.reopened + len(known),
                skipped=job.skipped + len(page) - len(known),
            )
        return await self._store.put(msgspec.structs.replace(stored, document=job), at=now)

    async def _pages(
        self, organization_id: Key, job: Replay, size: int = _PAGE
    ) -> AsyncIterator[Sequence[Delivery]]:
        """What is left of a job, oldest first, in pages that are never empty."""
        wanted = DeliveryFilter(
            webhook_id=job.webhook_id, states=job.states, since=job.since, until=job.until
        )
        accepts = compile_patterns(job.types) if job.types else None
        after = job.cursor or first_key(job)
        while found := await self._store.deliveries(
            organization_id, wanted, after=after, limit=size if accepts is None else _PAGE
        ):
            after = found[-1].id
            fitting = [one for one in found if accepts is None or accepts(one.event_type)]
            for start in range(0, len(fitting), size):
                yield fitting[start : start + size]
            await asyncio.sleep(0)

    def _target_of(self, delivery: Delivery) -> Target | None:
        return self._directory.known_target(delivery.organization_id, delivery.webhook_id)

    async def _left(self, stored: Stored[Replay]) -> list[Key]:
        """Those of the last batch that were not reopened before the node died that noted it."""
        left = []
        for id in stored.document.batch:
            delivery = await self._store.delivery(id, organization_id=stored.organization_id)
            if delivery is not None and not await self._was_reopened(delivery, stored.document):
                left.append(id)
        return left

    async def _was_reopened(self, delivery: Delivery, job: Replay) -> bool:
        if delivery.lane is not Lane.REPLAY:
            return False
        if delivery.state in _OPEN:
            return True
        assert job.batch_at is not None
        attempts = await self._store.attempts(delivery.id)
        return any(one.cause == "replay" and one.started_at >= job.batch_at for one in attempts)

    async def _reopen(self, stored: Stored[Replay], ids: Sequence[Key], pace: Pace) -> None:
        """Make deliveries due, a few at a time, no faster than the rate. A commit may take longer than a few have, so
        the next do not wait for it.
        """
        rate, organization_id = stored.document.rate_per_second, stored.organization_id
        reopening: list[asyncio.Task[Key | None]] = []
        while len(reopening) < len(ids):
            start = len(reopening)
            slice_ = ids[start : start + _slice_of(rate, pace)]
            await pace.wait(len(slice_) / rate)
            reopening += [asyncio.create_task(self._reopen_one(organization_id, id)) for id in slice_]
        for webhook_id in set(await asyncio.gather(*reopening)) - {None}:
            assert webhook_id is not None
            target = self._directory.known_target(organization_id, webhook_id)
            if target is not None and not target.is_active:
                await self._hold(target)

    async def _reopen_one(self, organization_id: Key, id: Key) -> Key | None:
        """Make one delivery due. Returns its webhook, None when it was not reopened."""
        now = self._clock.now()
        delivery = await self._committer.commit(
            Reopen(organization_id=organization_id, delivery_id=id, lane=Lane.REPLAY, at=now, in_line=True)
        )
        if not isinstance(delivery, Delivery) or delivery.state is not DeliveryState.PENDING:
            return None
        self._deliverer.expect(delivery.webhook_id, Lane.REPLAY, now)
        return delivery.webhook_id

    # --- what was never owed ---

    async def _never_owed(self, organization_id: Key, job: Replay) -> AsyncIterator[list[Event]]:
        """Events of a job that its webhook never got and would get now, oldest first; a page may be empty."""
        if not job.include_never_attempted or job.webhook_id is None:
            return
        await self._directory.load(organization_id)
        target = self._directory.known_target(organization_id, job.webhook_id)
        if target is None:
            return
        accepts = compile_patterns(job.types or ("*",))
        async for page in self._judge.never_owed(
            organization_id, target, since=job.since, until=job.until, after=job.event_cursor
        ):
            yield [event for event in page if accepts(event.type)]

    async def _owe_rest(self, stored: Stored[Replay], pace: Pace, epoch: Epoch) -> None:
        """Page after page until the end, a pause, or the loss of the lease."""
        rate = stored.document.rate_per_second
        async for page in self._never_owed(stored.organization_id, stored.document):
            start = 0
            while start < len(page):
                slice_ = page[start : start + _slice_of(rate, pace)]
                start += len(slice_)
                if not self._lease.is_held() or self._lease.epoch != epoch:
                    return
                await pace.wait(len(slice_) / rate)
                added = await self._owe(stored, slice_)
                if await self._advance(stored.id, cursor=slice_[-1].key, added=added) is not True:
                    return
        await self._advance(stored.id, is_over=True)

    async def _owe(self, stored: Stored[Replay], events: Sequence[Event]) -> int:
        """Make events due. Returns how many were not owed before."""
        assert stored.document.webhook_id is not None
        target = self._directory.known_target(stored.organization_id, stored.document.webhook_id)
        if target is None:
            return 0
        now = self._clock.now()
        made = await asyncio.gather(
            *[self._committer.commit(never_owed(target, event, now, self._lease.epoch)) for event in events]
        )
        if target.webhook.batch is not None:
            for event in events:
                self._batcher.note(target, (event,))
            return len(events)
        if target.is_active:
            self._deliverer.expect(target.id, Lane.REPLAY, now)
        return sum(made)  # type: ignore[arg-type]

    async def _advance(
        self, id: Key, *, cursor: Key | None = None, added: int = 0, is_over: bool = False
    ) -> bool:
        """Write down how far it is, whoever changed the job meanwhile. Returns whether it is to go on."""
        while True:
            stored = await self._store.get(Replay, id, organization_id=None)
            if stored is None:
                return False
            job, now = stored.document, self._clock.now()
            job = msgspec.structs.replace(
                job, event_cursor=job.event_cursor if cursor is None else cursor, added=job.added + added
            )
            if is_over and job.status is ReplayStatus.RUNNING:
                job = msgspec.structs.replace(job, status=ReplayStatus.COMPLETED, ended_at=now)
            try:
                await self._store.put(msgspec.structs.replace(stored, document=job), at=now)
            except ConflictError:
                continue
            return job.status is ReplayStatus.RUNNING


def _slice_of(rate: float, pace: Pace) -> int:
    """How many go at once: what the rate allows in a slice, or has allowed while a slow store kept us."""
    return max(1, round(rate * max(_SLICE_SECONDS, pace.behind)))


def never_owed(target: Target, event: Event, now: datetime, epoch: Epoch) -> FanOut:
    """The write that makes a past event due to one webhook, marked as a replay; in a batch if that is how it gets them.

    Nothing happens when it is owed already.
    """
    is_batched = waits(target, event)
    delivery = msgspec.structs.replace(
        new_delivery(target, event, is_claimed=False, now=now), lane=Lane.REPLAY
    )
    return FanOut(
        epoch=epoch,
        event_key=event.key,
        deliveries=() if is_batched else (delivery,),
        batched=(waiter(target, event),) if is_batched else (),
        after=LEAVE_THE_CURSOR,
        size=len(event.data),
        at=now,
    )
