"""Figures: what an organization's dashboard shows, and nothing of another's."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from store_bed import accept, attempt, delivery, event, execution, publish, succeeded

from hookline.model.configuration import Webhook
from hookline.model.ids import new_key
from hookline.model.states import DeliveryState
from hookline.ports import Census, Minute

if TYPE_CHECKING:
    from store_bed import ManualClock

    from hookline.model.ids import Key
    from hookline.ports import Epoch, Store

pytestmark = pytest.mark.asyncio

MINUTE = timedelta(minutes=1)


async def a_webhook(store: Store, org: Key, clock: ManualClock) -> Key:
    webhook = Webhook(name="in", url="https://example.com/", events=("*",), sealed_secret=b"")
    added = await store.add(
        Webhook, id=new_key(), organization_id=org, document=webhook, names=(), at=clock.now()
    )
    return added.id


async def delivered(store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key) -> None:
    happened = event(org, clock.now())
    owed = delivery(happened, hook, state=DeliveryState.IN_FLIGHT)
    await publish(store, epoch, happened, owed)
    sent = attempt(owed, clock.now(), status=200, duration_ms=2)
    await store.commit([succeeded(owed, epoch, clock.now(), attempt=sent)])


async def test_traffic_is_summed_over_an_organizations_webhooks(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """Two webhooks in one minute are one minute; another organization's are none of it."""
    clock.at = clock.at.replace(second=0, microsecond=0)
    start, other = clock.now(), new_key()
    for owner in (org, org, other):
        await delivered(store, epoch, clock, owner, await a_webhook(store, owner, clock))
    clock.move(MINUTE)
    await delivered(store, epoch, clock, org, await a_webhook(store, org, clock))

    found = await store.traffic(org, since=start, until=start + 2 * MINUTE)

    both = Minute(webhook_id=None, minute=start, delivered=2, attempts=2, by_class={"2xx": 2}, latency={1: 2})
    one = Minute(
        webhook_id=None, minute=clock.now(), delivered=1, attempts=1, by_class={"2xx": 1}, latency={1: 1}
    )
    assert found == [both, one]
    assert await store.traffic(org, since=start, until=start + MINUTE) == [both]
    assert await store.traffic(new_key(), since=start, until=start + 2 * MINUTE) == []


async def test_the_census_counts_what_waits_and_how_executions_stand(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """Up to the ceiling, since an instant, of one organization."""
    hook = await a_webhook(store, org, clock)
    for state, due in ((DeliveryState.PENDING, clock.now()), (DeliveryState.HELD, None)):
        for _ in range(2):
            happened = event(org, clock.now())
            await publish(store, epoch, happened, delivery(happened, hook, state=state, next_attempt_at=due))
    await accept(store, epoch, execution(org, clock.now()))
    await accept(store, epoch, execution(new_key(), clock.now()))

    counted = await store.census(org, since=clock.now() - MINUTE)

    assert counted == Census(pending=2, held=2, executions={"queued": 1})
    assert await store.census(org, since=clock.now() + MINUTE, ceiling=1) == Census(
        pending=1, held=1, executions={}
    )
    assert await store.census(new_key(), since=clock.now() - MINUTE) == Census(
        pending=0, held=0, executions={}
    )
