"""Publish: turn facts into events, and every event into the deliveries it owes, in one transaction.

``Outbox.owe`` decides (which webhooks, claimed by this node at once or left in the table), the caller's write
stores, and ``Outbox.conclude`` hands what this node claimed to the deliverer. Nothing is sent before the commit.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import structlog

from hookline import failpoints
from hookline.core.event_types import OPERATIONAL
from hookline.engine.tracing import current_trace
from hookline.errors import StorageError
from hookline.model.events import Delivery, Event
from hookline.model.ids import Key, new_key
from hookline.model.states import DeliveryState, Lane
from hookline.ports import (
    FANOUT_IN_TRANSACTION,
    FanOut,
    NewEvent,
    Once,
    Owed,
    Publish,
    Published,
    Repeat,
    Waiter,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hookline.engine.batch import Batcher
    from hookline.engine.commit import Committer
    from hookline.engine.deliver import Deliverer
    from hookline.engine.directory import Directory
    from hookline.engine.lease import Lease
    from hookline.engine.target import Target
    from hookline.model.states import Kind
    from hookline.ports import Archive, Clock, Epoch

_log = structlog.get_logger("hookline.publish")


class EventDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An event that somebody wants published. data: JSON text, checked.  own_id: the publisher's, or None.
    occurred_at: None for now.  trace: its place in a trace, as it is stored; None for that of the request that is being
    answered.
    """

    type: str
    data: bytes
    own_id: str | None = None
    occurred_at: datetime | None = None
    execution_id: Key | None = None
    ordering_key: str | None = None
    trace: str | None = None


class PublishedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """is_new: False when an event of that own id was there before."""

    public_id: str
    is_new: bool


class Outbox:
    """Decides what an event owes. One per node, shared by all that write events."""

    def __init__(
        self,
        *,
        directory: Directory,
        archive: Archive,
        deliverer: Deliverer,
        batcher: Batcher,
        lease: Lease,
        clock: Clock,
    ) -> None:
        self._batcher = batcher
        self._directory = directory
        self._archive = archive
        self._deliverer = deliverer
        self._lease = lease
        self._clock = clock
        self._fan_outs: set[asyncio.Task[None]] = set()

    async def ready(self, organization_id: Key) -> None:
        """Call before ``owe``: has the organization's webhooks at hand."""
        await self._directory.load(organization_id)

    def owe(
        self,
        event: Event,
        automation: tuple[Kind, str] | None = None,
        *,
        callback: tuple[Key, str] | None = None,
    ) -> NewEvent:
        """Return the event with its deliveries. The room in memory that claimed ones take is reserved until
        ``conclude`` is called with the outcome of the write.

        callback: a hidden target, and the address to which this event goes through it besides.
        """
        targets = self._directory.matches(event, automation)
        also = self._owed_back(event, callback) if callback is not None else ()
        if not targets:
            return NewEvent(event=event, deliveries=also)
        first = targets[:FANOUT_IN_TRANSACTION]
        deliveries: list[Delivery] = []
        batched: list[Waiter] = []
        for target in first:
            if waits(target, event):
                batched.append(waiter(target, event))
            else:
                deliveries.append(self._owed_to(target, event))
        return NewEvent(
            event=event,
            deliveries=(*deliveries, *also),
            batched=tuple(batched),
            fanout_after=first[-1].id if len(targets) > len(first) else None,
        )

    def _owed_to(self, target: Target, event: Event) -> Delivery:
        is_claimed = not is_ordered(target, event) and self._deliverer.reserve(target, is_test=event.is_test)
        return new_delivery(target, event, is_claimed=is_claimed, now=event.received_at)

    def _owed_back(self, event: Event, callback: tuple[Key, str]) -> tuple[Delivery, ...]:
        """The callback's delivery, none when callbacks were switched off meanwhile."""
        id_, url = callback
        target = self._directory.known_target(event.organization_id, id_)
        if target is None:
            return ()
        return (msgspec.structs.replace(self._owed_to(target, event), url=url),)

    def conclude(self, new: Sequence[NewEvent], epoch: Epoch, result: object) -> None:
        """Follow up on the write that carried these events. result: what the store said, or its StorageError.

        Hands over what was claimed when it is stored, frees the reserved room when it is not.
        """
        stored = result.is_new if isinstance(result, Published) else (result is True,) * len(new)
        batched: dict[Key, list[Event]] = {}
        for owing, is_stored in zip(new, stored, strict=True):
            if is_stored:
                self._hand_over(owing, epoch, batched)
            else:
                self._free(owing)
        for webhook_id, events in batched.items():
            self._note_batched(webhook_id, events)

    def _hand_over(self, owing: NewEvent, epoch: Epoch, batched: dict[Key, list[Event]]) -> None:
        """batched: webhook to events that wait for a batch of it; this one is added."""
        for delivery in owing.deliveries:
            if delivery.state is DeliveryState.IN_FLIGHT:
                self._deliverer.take(Owed(delivery=delivery, event=owing.event), epoch)
            elif delivery.state is DeliveryState.PENDING:
                self._deliverer.expect(delivery.webhook_id, delivery.lane, owing.event.received_at)
        for one in owing.batched:
            batched.setdefault(one.webhook_id, []).append(owing.event)
        if owing.fanout_after is not None:
            self.fan_out_later(owing.event, owing.fanout_after)

    def _note_batched(self, webhook_id: Key, events: Sequence[Event]) -> None:
        target = self._directory.known_target(events[0].organization_id, webhook_id)
        if target is not None:
            self._batcher.note(target, events)

    def _free(self, owing: NewEvent) -> None:
        for delivery in owing.deliveries:
            if delivery.state is DeliveryState.IN_FLIGHT:
                self._deliverer.unreserve(delivery.webhook_id)

    # --- more matches than one transaction holds ---

    def fan_out_later(self, event: Event, after: Key) -> None:
        task = asyncio.create_task(self._fan_out(event, after), name="fan-out")
        self._fan_outs.add(task)
        task.add_done_callback(self._fan_outs.discard)

    async def resume_fan_outs(self) -> None:
        """Go on with cursors that a crash left open."""
        if self._fan_outs:
            return
        for fanout in await self._archive.fanouts():
            self.fan_out_later(fanout.event, fanout.after)

    async def _fan_out(self, event: Event, after: Key) -> None:
        try:
            await self.ready(event.organization_id)
            automation = await self._automation_of(event)
            rest = [target for target in self._directory.matches(event, automation) if target.id > after]
            while True:
                chunk, rest = rest[:FANOUT_IN_TRANSACTION], rest[FANOUT_IN_TRANSACTION:]
                await self._fan_out_chunk(event, chunk, is_last=not rest)
                if not rest:
                    return
        except StorageError:
            _log.warning(
                "fan_out_interrupted", event_id=event.public_id
            )  # the cursor is durable: it goes on later

    async def _automation_of(self, event: Event) -> tuple[Kind, str] | None:
        """Whose event it is; None for a published one, which has no place in an execution's sequence."""
        if event.execution_id is None or event.sequence == 0:
            return None
        execution = await self._archive.execution(event.execution_id, organization_id=event.organization_id)
        return None if execution is None else (execution.kind, execution.automation_id)

    async def _fan_out_chunk(self, event: Event, chunk: list[Target], *, is_last: bool) -> None:
        failpoints.hit("before_fanout")
        now = self._clock.now()
        alone = [target for target in chunk if not waits(target, event)]
        deliveries = tuple([new_delivery(target, event, is_claimed=False, now=now) for target in alone])
        batched = tuple([waiter(target, event) for target in chunk if waits(target, event)])
        await self._deliverer.committer.commit(
            FanOut(
                epoch=self._lease.epoch,
                event_key=event.key,
                deliveries=deliveries,
                after=None if is_last else chunk[-1].id,
                batched=batched,
                size=len(event.data),
                at=now,
            )
        )
        failpoints.hit("in_fanout")
        for delivery in deliveries:
            if delivery.state is DeliveryState.PENDING:
                self._deliverer.expect(delivery.webhook_id, delivery.lane, now)
        for one in batched:
            self._note_batched(one.webhook_id, (event,))


def waits(target: Target, event: Event) -> bool:
    """Say whether an event waits to be sent with others. A test never does, nor does what tells of trouble: a batch
    that is given up would tell of itself for ever; and nothing can leave a batch once its conditions can be read.
    """
    return (
        target.is_readable
        and target.webhook.batch is not None
        and event.target_id is None
        and event.type not in OPERATIONAL
    )


def waiter(target: Target, event: Event) -> Waiter:
    return Waiter(webhook_id=target.id, ordering_key=line_of(target, event))


def line_of(target: Target, event: Event) -> str | None:
    """The line of its webhook in which an event stands: its own key's, else that of all others when the webhook is
    ordered; None when it stands in none (P6), as a test does, which is sent now.
    """
    if event.target_id is not None:
        return None
    if event.ordering_key is not None:
        return event.ordering_key
    return "" if target.webhook.is_ordered else None


def is_ordered(target: Target, event: Event) -> bool:
    """Say whether a delivery waits for earlier ones: then it is claimed from the table, never at once."""
    return line_of(target, event) is not None


def new_delivery(target: Target, event: Event, *, is_claimed: bool, now: datetime) -> Delivery:
    """A fresh delivery: claimed, waiting, or held because its webhook is not active.

    A test that this node has claimed is sent all the same: whoever paused a webhook wants to know whether it works
    before resuming it.
    """
    state = DeliveryState.PENDING
    reason = target.rests_for
    due: datetime | None = now
    if is_claimed and event.is_test:
        reason = None
    if reason is not None:
        state, due = DeliveryState.HELD, None
    elif is_claimed:
        state, due = DeliveryState.IN_FLIGHT, None
    return Delivery(
        id=new_key(),
        organization_id=event.organization_id,
        webhook_id=target.id,
        event_key=event.key,
        event_type=event.type,
        state=state,
        state_reason=reason,
        lane=Lane.FIRST,
        webhook_revision=target.revision if state is DeliveryState.IN_FLIGHT else 0,
        ordering_key=line_of(target, event),
        created_at=now,
        next_attempt_at=due,
    )


class Publisher:
    """POST /api/v1/events, and whatever else publishes events of its own."""

    def __init__(self, outbox: Outbox, committer: Committer, lease: Lease, clock: Clock) -> None:
        self._outbox = outbox
        self._committer = committer
        self._lease = lease
        self._clock = clock

    async def publish(
        self,
        organization_id: Key,
        drafts: Sequence[EventDraft],
        *,
        once: Once | None = None,
        answer: Callable[[Sequence[PublishedEvent]], bytes] | None = None,
        target_id: Key | None = None,
    ) -> Repeat | list[PublishedEvent]:
        """Store events with all they owe; durable when it returns. Raises StorageError when it may not be.

        once: with it the whole call happens once.  answer: words what a repeat of it is answered with.
        target_id: send to this webhook only (a test).
        """
        await self._outbox.ready(organization_id)
        now = self._clock.now()
        owing = tuple([self._outbox.owe(_event(organization_id, draft, now, target_id)) for draft in drafts])
        if once is not None and answer is not None:
            told = [PublishedEvent(public_id=new.event.public_id, is_new=True) for new in owing]
            once = msgspec.structs.replace(once, answer=answer(told))
        epoch = self._lease.epoch
        result = await self._committer.commit(
            Publish(epoch=epoch, events=owing, once=once),
            after=partial(self._outbox.conclude, owing, epoch),
        )
        if isinstance(result, Repeat):
            return result
        assert isinstance(result, Published)
        return [
            PublishedEvent(public_id=new.event.public_id, is_new=is_new)
            for new, is_new in zip(owing, result.is_new, strict=True)
        ]


def _event(organization_id: Key, draft: EventDraft, now: datetime, target_id: Key | None) -> Event:
    return Event(
        key=new_key(),
        organization_id=organization_id,
        own_id=draft.own_id,
        type=draft.type,
        data=draft.data,
        occurred_at=draft.occurred_at or now,
        received_at=now,
        execution_id=draft.execution_id,
        ordering_key=draft.ordering_key,
        target_id=target_id,
        trace=draft.trace if draft.trace is not None else current_trace(),
    )
