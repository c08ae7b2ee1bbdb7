"""Word: the body of a delivery, as the revision frozen into it says, of one event or of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from hookline.dialects.base import batch_body
from hookline.engine.payloads import LARGE_BYTES
from hookline.errors import PayloadGoneError, StorageError
from hookline.model.events import Delivery, Event
from hookline.model.ids import new_key, public
from hookline.model.states import DeliveryState
from hookline.ports import LEAVE_THE_CURSOR, FanOut

if TYPE_CHECKING:
    from hookline.engine.commit import Committer
    from hookline.engine.directory import Directory
    from hookline.engine.lease import Lease
    from hookline.engine.payloads import PayloadLinks
    from hookline.engine.recent import Recent
    from hookline.engine.target import Target
    from hookline.engine.tracing import Tracing
    from hookline.model.ids import Key
    from hookline.ports import Archive, Clock, Owed

_log = structlog.get_logger("hookline.word")

# A webhook that was changed while a backlog waited: each of its retries asks for the same earlier revision.
_REMEMBERED: Final = 64


class Wording:
    """One per node."""

    def __init__(
        self,
        *,
        archive: Archive,
        directory: Directory,
        committer: Committer,
        lease: Lease,
        clock: Clock,
        payloads: PayloadLinks,
        tracing: Tracing,
        recent: Recent,
    ) -> None:
        self._recent = recent
        self._earlier: dict[tuple[Key, int], Target] = {}
        self._payloads = payloads
        self._tracing = tracing
        self._archive = archive
        self._directory = directory
        self._committer = committer
        self._lease = lease
        self._clock = clock

    async def body(self, target: Target, owed: Owed) -> bytes:
        """The exact bytes to send: the wording, or a link to it. target: the revision that words it.

        Raises StorageError, PayloadGoneError, or whatever our own code raises on a poison event.
        """
        delivery, event = owed.delivery, owed.event
        whole = await (self._batch(target, delivery) if event is None else self.event(target, event))
        if len(whole) <= LARGE_BYTES or target.webhook.large_payloads != "link":
            return whole
        return self._payloads.body(delivery, event, whole, target.content_type(is_batch=event is None))

    async def whole_of(self, organization_id: Key, delivery_id: Key) -> tuple[bytes, str] | None:
        """The wording of a delivery, however large, and its content type; None when there is no such delivery.

        Raises StorageError, PayloadGoneError.
        """
        delivery = await self._archive.delivery(delivery_id, organization_id=organization_id)
        current = None if delivery is None else await self._directory.target(delivery.webhook_id)
        if delivery is None or current is None:
            return None
        target = await self.revision_of(current, delivery)
        if delivery.event_key is None:
            return await self._batch(target, delivery), target.content_type(is_batch=True)
        event = await self.event_of(organization_id, delivery.event_key)
        return None if event is None else (await self.event(target, event), target.content_type())

    async def rounded_numbers(self, delivery: Delivery) -> list[tuple[Event, str]]:
        """Each number of a delivery that its body cannot tell exactly: its event, and its path in the event's data."""
        current = await self._directory.target(delivery.webhook_id)
        if current is None:
            return []
        target = await self.revision_of(current, delivery)
        organization_id, key, batch_id = delivery.organization_id, delivery.event_key, delivery.batch_id
        if batch_id is not None:
            events = await self._archive.batch_events(batch_id, organization_id=organization_id)
        else:
            event = None if key is None else await self.event_of(organization_id, key)
            events = [] if event is None else [event]
        return [
            (event, path)
            for event in events
            if not event.is_stripped
            for path in target.rounded_numbers(event)
        ]

    async def event_of(self, organization_id: Key, key: Key) -> Event | None:
        own_ids = await self._archive.own_event_ids(organization_id, [key])
        return await self._archive.event(organization_id, own_ids.get(key) or public("event", key))

    async def revision_of(self, target: Target, delivery: Delivery) -> Target:
        """The webhook as of the revision that words a delivery. target: its newest. Raises StorageError."""
        revision = delivery.webhook_revision
        if revision in (0, target.revision):
            return target
        earlier = self._earlier.get((target.id, revision))
        if earlier is None:
            earlier = await self._directory.target_at(target, revision)
            if len(self._earlier) >= _REMEMBERED:
                self._earlier.clear()
            if earlier is not target:
                self._earlier[target.id, revision] = earlier
        return earlier

    async def event(self, target: Target, event: Event) -> bytes:
        """The body of one event sent alone. target: the revision that words it.

        Raises PayloadGoneError or TemplateFailedError.
        """
        if event.is_stripped:
            raise PayloadGoneError("Its payload was deleted by retention.")
        if (
            target.template is not None
            or not target.dialect.tells_ends_only
            or event.execution_id is None
            or event.sequence == 0
        ):
            return target.body(event)
        execution = await self._archive.execution(event.execution_id, organization_id=event.organization_id)
        return target.body(event, execution)

    async def _batch(self, target: Target, delivery: Delivery) -> bytes:
        """The events of a batch; one that our code cannot word is set aside and does not keep the others (P22)."""
        batch_id, organization_id = delivery.batch_id, delivery.organization_id
        assert batch_id is not None
        items = []
        events = self._recent.take(batch_id)
        if events is None:
            events = await self._archive.batch_events(batch_id, organization_id=organization_id)
        self._tracing.joined(batch_id, events)
        for event in events:
            try:
                items.append(target.dialect.batch_item(event, await self.event(target, event)))
            except (StorageError, PayloadGoneError):
                raise
            except Exception as exc:  # noqa: BLE001 -- poison: our own code fails on this event
                await self._set_aside(delivery, event, exc)
        return batch_body(public("batch", batch_id), target.public_id, items)

    async def _set_aside(self, batch: Delivery, event: Event, exc: Exception) -> None:
        """Make an exhausted delivery of one event of a batch: visible, and replayable once our code is mended."""
        _log.error("batch_item_crashed", event_id=event.public_id, exc_info=exc)
        now = self._clock.now()
        poison = Delivery(
            id=new_key(),
            organization_id=batch.organization_id,
            webhook_id=batch.webhook_id,
            event_key=event.key,
            event_type=event.type,
            state=DeliveryState.EXHAUSTED,
            state_reason=f"poison: {type(exc).__name__}",
            crashes=1,
            created_at=now,
            ended_at=now,
        )
        await self._committer.commit(
            FanOut(epoch=self._lease.epoch, event_key=event.key, deliveries=(poison,), after=LEAVE_THE_CURSOR)
        )
