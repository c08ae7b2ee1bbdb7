"""Keeping: payloads of what has ended are emptied, what is owed keeps all it has (P16; issue 4, point 9)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from store_bed import apply, attempt, changed, claim, delivery, event, failed, publish, succeeded

from hookline.model.ids import new_key
from hookline.model.states import DeliveryState
from hookline.ports import NewEvent, Publish, Waiter

if TYPE_CHECKING:
    from store_bed import ManualClock

    from hookline.model.ids import Key
    from hookline.ports import Epoch, Store

pytestmark = pytest.mark.asyncio

HOUR = timedelta(hours=1)
DATA = b'{"words":"' + b"x" * 3_000 + b'"}'


async def test_payloads_go_and_what_tells_of_them_stays(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    now = clock.now()
    happened = event(org, now, data=DATA)
    await publish(store, epoch, happened, delivery(happened, hook, next_attempt_at=now))
    (owed,) = await claim(store, epoch, hook, now)
    answered = attempt(owed.delivery, now, response_body=b"y" * 500)
    settle = changed(
        failed(owed.delivery, epoch, now),
        attempt=answered,
        body=DATA,
        state=DeliveryState.EXHAUSTED,
        next_attempt_at=None,
    )
    assert await apply(store, settle) is True

    step = await store.strip(org, after=b"", before=now + HOUR, limit=10)
    again = await store.strip(org, after=b"", before=now + HOUR, limit=10)

    assert (step.after, step.is_end, step.freed) == (happened.key, True, 2 * len(DATA) + 500)
    assert again.freed == 0
    left = await store.event(org, happened.public_id)
    assert left == changed(happened, data=b"")
    assert left is not None
    assert left.is_stripped
    kept = await store.delivery(owed.delivery.id, organization_id=org)
    assert kept is not None
    assert (kept.state, kept.body, kept.attempts_made) == (DeliveryState.EXHAUSTED, None, 1)
    (told,) = await store.attempts(owed.delivery.id)
    assert (told.response_body, told.status) == (b"", answered.status)


async def test_what_is_owed_waits_for_a_batch_or_is_young_keeps_its_payload(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    now = clock.now()
    waits = event(org, now, data=DATA)
    await publish(store, epoch, waits, delivery(waits, hook, next_attempt_at=now))
    batched = event(org, now, data=DATA)
    await apply(
        store,
        Publish(epoch=epoch, events=(NewEvent(event=batched, batched=(Waiter(webhook_id=new_key()),)),)),
    )
    spread = event(org, now, data=DATA)
    await apply(store, Publish(epoch=epoch, events=(NewEvent(event=spread, fanout_after=hook),)))
    young = event(org, now + 2 * HOUR, data=DATA)
    await publish(store, epoch, young)

    step = await store.strip(org, after=b"", before=now + HOUR, limit=10)

    assert (step.after, step.is_end, step.freed) == (spread.key, True, 0)
    for one in (waits, batched, spread, young):
        assert await store.event(org, one.public_id) == one


async def test_stripping_goes_on_where_it_was_and_leaves_others_alone(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    now = clock.now()
    mine = [event(org, now, data=DATA) for _ in range(5)]
    other = event(new_key(), now, data=DATA)
    for one in (*mine, other):
        await publish(store, epoch, one, delivery(one, hook, next_attempt_at=now))
    for owed in await claim(store, epoch, hook, now, limit=10):
        await apply(store, succeeded(owed.delivery, epoch, now))

    first = await store.strip(org, after=b"", before=now + HOUR, limit=2)
    second = await store.strip(org, after=first.after, before=now + HOUR, limit=10)

    assert (first.after, first.is_end) == (mine[1].key, False)
    assert (second.after, second.is_end) == (mine[4].key, True)
    assert await store.event(other.organization_id, other.public_id) == other


async def test_what_is_stored_grows_with_what_is_published(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    empty = await store.stored_bytes()
    for _ in range(50):
        await publish(store, epoch, event(org, clock.now(), data=DATA))
    full = await store.stored_bytes()

    assert full - empty == pytest.approx(50 * len(DATA), rel=0.5)
