"""Fill a store with a million waiting deliveries, as a long outage of many receivers would leave it.

It writes through the store's own seam while no node runs, in large transactions; nothing else is fast enough.
The rows are retries: tried once, due again from an hour on, spread over a day and over the webhooks given.
"""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from hookline.adapters import open_store
from hookline.config import load_settings
from hookline.engine.clock import SystemClock
from hookline.model.configuration import Webhook
from hookline.model.events import Delivery, Event
from hookline.model.ids import Key, new_key
from hookline.model.states import DeliveryState, Lane
from hookline.ports import NewEvent, Publish

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from hookline.model.configuration import Stored

EVENTS_PER_COMMIT: Final = 50
TYPE: Final = "bench.waiting"
_DATA: Final = b'{"words":"' + b"The quick brown fox jumps over the lazy dog. " * 13 + b'"}'


def preload(database: str, count: int, *, told: Callable[[int], None]) -> None:
    """Insert ``count`` waiting deliveries, owed to every webhook there is for TYPE. told: rows so far."""
    asyncio.run(_preload(database, count, told))


async def _preload(database: str, count: int, told: Callable[[int], None]) -> None:
    clock = SystemClock()
    store = open_store(load_settings({"database": database}, environ={}), clock)
    await store.open()
    try:
        epoch = await store.open_node(f"{socket.gethostname()}:preload", lease=timedelta(seconds=60))
        webhooks = [
            stored
            for stored in await store.list(Webhook, organization_id=None)
            if TYPE in stored.document.events
        ]
        done = 0
        while done < count:
            batch = [
                Publish(epoch=epoch, events=(_waiting(webhooks, clock.now(), done + index),))
                for index in range(min(EVENTS_PER_COMMIT, -(-(count - done) // len(webhooks))))
            ]
            await store.commit(batch)
            done += len(batch) * len(webhooks)
            await store.renew(epoch)
            told(done)
        await store.close_node(epoch)
    finally:
        await store.close()


def _waiting(webhooks: list[Stored[Webhook]], now: datetime, index: int) -> NewEvent:
    organization_id = webhooks[0].organization_id
    event = Event(
        key=new_key(),
        organization_id=organization_id,
        type=TYPE,
        data=_DATA,
        occurred_at=now,
        received_at=now,
    )
    due = now + timedelta(hours=1, seconds=index * 7919 % 86_400)
    return NewEvent(
        event=event,
        deliveries=tuple([_delivery(webhook, organization_id, event.key, now, due) for webhook in webhooks]),
    )


def _delivery(
    webhook: Stored[Webhook], organization_id: Key, event_key: Key, now: datetime, due: datetime
) -> Delivery:
    return Delivery(
        id=new_key(),
        organization_id=organization_id,
        webhook_id=webhook.id,
        event_key=event_key,
        event_type=TYPE,
        state=DeliveryState.PENDING,
        lane=Lane.RETRY,
        webhook_revision=webhook.revision,
        attempts_made=1,
        failures=1,
        created_at=now,
        next_attempt_at=due,
        last_status=503,
        last_ms=12,
        body_size=len(_DATA),
    )
