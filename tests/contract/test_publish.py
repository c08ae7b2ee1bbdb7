"""Publish: events and the deliveries they owe, together or not at all."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from store_bed import apply, attempt, changed, delivery, event, once, publish

from hookline.errors import RowError
from hookline.model.ids import new_key
from hookline.model.states import DeliveryState, Lane
from hookline.ports import NewEvent, Publish, Published, Repeat

if TYPE_CHECKING:
    from store_bed import ManualClock

    from hookline.model.ids import Key
    from hookline.ports import Epoch, Store

pytestmark = pytest.mark.asyncio


async def test_an_event_is_stored_as_it_was_given(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """Every field comes back, bytes as bytes and instants to the millisecond."""
    given = event(
        org,
        clock.now(),
        own_id="order-1",
        type="order.paid",
        data='{"größe": "\\u0000", "n": 1.0}'.encode(),
        occurred_at=clock.now() - timedelta(days=400, milliseconds=1),
        execution_id=new_key(),
        sequence=7,
        ordering_key="customer 1",
        target_id=new_key(),
    )

    await publish(store, epoch, given)

    assert await store.event(org, "order-1") == given


async def test_payloads_are_never_parsed(store: Store, epoch: Epoch, clock: ManualClock, org: Key) -> None:
    """What is not JSON, or not even text, is kept as it came."""
    given = event(org, clock.now(), data=bytes(range(256)) * 40)

    await publish(store, epoch, given)

    assert await store.event(org, given.public_id) == given


async def test_deliveries_are_stored_with_their_event(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """Whole rows: whatever the engine says of a delivery is what is kept."""
    happened = event(org, clock.now())
    owed = delivery(
        happened,
        hook,
        state=DeliveryState.EXHAUSTED,
        state_reason="poison: ValueError",
        lane=Lane.REPLAY,
        batch_id=new_key(),
        webhook_revision=3,
        attempts_made=4,
        failures=3,
        crashes=2,
        interruptions=1,
        ordering_key="customer 1",
        ended_at=clock.now(),
        last_status=500,
        last_ms=1234,
        body_size=5,
        body=b"\x00\xffabc",
    )

    await publish(store, epoch, happened, owed)

    assert await store.delivery(owed.id, organization_id=org) == owed


async def test_a_delivery_in_flight_is_claimed_by_the_writing_epoch(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """It is settled under that epoch, and no claim finds it."""
    from store_bed import claim, succeeded

    happened = event(org, clock.now())
    owed = delivery(happened, hook, state=DeliveryState.IN_FLIGHT, webhook_revision=1)
    await publish(store, epoch, happened, owed)

    assert await claim(store, epoch, hook, clock.now()) == ()
    assert await apply(store, succeeded(owed, epoch + 1, clock.now())) is False
    assert await apply(store, succeeded(owed, epoch, clock.now())) is True


async def test_an_own_id_is_stored_once_per_organization(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """A repeat inserts neither the event nor its deliveries; another organization may use the same id."""
    first = event(org, clock.now(), own_id="order-1")
    await publish(store, epoch, first, delivery(first, hook))
    again = event(org, clock.now(), own_id="order-1", data=b"2")
    owed = delivery(again, new_key())
    foreign = event(new_key(), clock.now(), own_id="order-1")

    write = Publish(epoch=epoch, events=(NewEvent(event=again, deliveries=(owed,)), NewEvent(event=foreign)))
    assert await apply(store, write) == Published((False, True))

    assert await store.event(org, "order-1") == first
    assert await store.delivery(owed.id, organization_id=org) is None
    assert await store.event(foreign.organization_id, "order-1") == foreign


async def test_own_ids_are_unique_within_a_write_and_within_a_batch(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """The first of them is stored, wherever the others stand."""
    new = [NewEvent(event=event(org, clock.now(), own_id="same", data=b"%d" % n)) for n in range(4)]

    results = await store.commit(
        [Publish(epoch=epoch, events=(new[0], new[1])), Publish(epoch=epoch, events=(new[2],))]
    )

    assert results == [Published((True, False)), Published((False,))]
    assert await apply(store, Publish(epoch=epoch, events=(new[3],))) == Published((False,))
    assert await store.event(org, "same") == new[0].event


async def test_concurrent_repeats_store_one_event(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """P5: whoever comes first wins; the others are told that it was there."""
    writes = [
        Publish(epoch=epoch, events=(NewEvent(event=event(org, clock.now(), own_id="same")),))
        for _ in range(16)
    ]

    results = await asyncio.gather(*[store.commit([write]) for write in writes])

    assert sorted(results, key=repr) == [[Published((False,))]] * 15 + [[Published((True,))]]


async def test_once_answers_a_repeat_without_storing(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """The repeat gets the first answer, and learns whether it asked the same."""
    key = once(org, "POST /events k1", clock.now() + timedelta(hours=1))
    first, second = event(org, clock.now()), event(org, clock.now())
    assert await apply(store, Publish(epoch=epoch, events=(NewEvent(event=first),), once=key)) == Published(
        (True,)
    )

    repeat = changed(key, answer=b"never given")
    result = await apply(store, Publish(epoch=epoch, events=(NewEvent(event=second),), once=repeat))

    assert result == Repeat(answer=b"first answer", is_same=True)
    assert await store.event(org, second.public_id) is None
    other = changed(key, digest=b"e" * 32)
    result = await apply(store, Publish(epoch=epoch, events=(NewEvent(event=second),), once=other))
    assert result == Repeat(answer=b"first answer", is_same=False)


async def test_once_holds_within_a_batch(store: Store, epoch: Epoch, clock: ManualClock, org: Key) -> None:
    """Two writes of one batch with the same key: one is stored."""
    key = once(org, "k1", clock.now() + timedelta(hours=1))
    writes = [
        Publish(epoch=epoch, events=(NewEvent(event=event(org, clock.now())),), once=key) for _ in range(2)
    ]

    assert await store.commit(writes) == [Published((True,)), Repeat(answer=b"first answer", is_same=True)]


async def test_once_ends_when_it_expires(store: Store, epoch: Epoch, clock: ManualClock, org: Key) -> None:
    """An expired key counts as absent, to the millisecond, and is taken anew."""
    key = once(org, "k1", clock.now() + timedelta(hours=1))
    write = Publish(epoch=epoch, events=(NewEvent(event=event(org, clock.now())),), once=key)
    await store.commit([write])
    clock.move(timedelta(hours=1))
    again = changed(key, answer=b"second answer", expires_at=clock.now() + timedelta(hours=1))
    events = (NewEvent(event=event(org, clock.now())),)

    assert await apply(store, Publish(epoch=epoch, events=events, once=again)) == Published((True,))

    result = await apply(store, Publish(epoch=epoch, events=events, once=key))
    assert result == Repeat(answer=b"second answer", is_same=True)


async def test_once_is_per_scope_and_name(store: Store, epoch: Epoch, clock: ManualClock, org: Key) -> None:
    """The same key of another organization or route is another key."""
    later = clock.now() + timedelta(hours=1)
    for key in (once(org, "k1", later), once(org, "k2", later), once(new_key(), "k1", later)):
        write = Publish(epoch=epoch, events=(NewEvent(event=event(org, clock.now())),), once=key)
        assert await apply(store, write) == Published((True,))


async def test_once_alone_stores_nothing_when_its_write_is_refused(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """The key is part of the transaction: a refused write can be tried again under it."""
    key = once(org, "k1", clock.now() + timedelta(hours=1))
    happened = event(org, clock.now())
    twice = delivery(happened, hook)
    bad = NewEvent(event=happened, deliveries=(twice, changed(twice, webhook_id=new_key())))
    with pytest.raises(RowError):
        await store.commit([Publish(epoch=epoch, events=(bad,), once=key)])

    good = NewEvent(event=happened, deliveries=(twice,))
    assert await apply(store, Publish(epoch=epoch, events=(good,), once=key)) == Published((True,))


async def test_one_refused_write_leaves_nothing_of_its_batch(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """A batch is one transaction."""
    fine, happened = event(org, clock.now()), event(org, clock.now())
    twice = delivery(happened, hook)
    writes = [
        Publish(epoch=epoch, events=(NewEvent(event=fine),)),
        Publish(
            epoch=epoch,
            events=(NewEvent(event=happened, deliveries=(twice, changed(twice, webhook_id=new_key()))),),
        ),
    ]

    with pytest.raises(RowError):
        await store.commit(writes)

    assert await store.event(org, fine.public_id) is None
    assert await store.event(org, happened.public_id) is None
    assert await store.commit(writes[:1]) == [Published((True,))]


async def test_results_stand_in_the_order_of_the_writes(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """Also when kinds of writes are mixed."""
    from store_bed import succeeded

    happened = event(org, clock.now())
    owed = [
        delivery(happened, new_key(), state=DeliveryState.IN_FLIGHT, webhook_revision=1) for _ in range(3)
    ]
    await publish(store, epoch, happened, *owed)
    stranger = delivery(happened, hook)

    results = await store.commit(
        [
            succeeded(owed[0], epoch, clock.now()),
            Publish(epoch=epoch, events=()),
            succeeded(stranger, epoch, clock.now(), attempt=attempt(stranger, clock.now())),
            Publish(epoch=epoch, events=(NewEvent(event=event(org, clock.now())),)),
            succeeded(owed[1], epoch, clock.now()),
        ]
    )

    assert results == [True, Published(()), False, Published((True,)), True]


async def test_an_empty_batch_has_no_results(store: Store) -> None:
    assert await store.commit([]) == []


async def test_a_pending_delivery_without_a_time_is_our_own_mistake(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """It would wait for ever, so it is never stored."""
    happened = event(org, clock.now())
    owed = delivery(happened, hook, next_attempt_at=None)

    with pytest.raises(ValueError, match="next_attempt_at"):
        await store.commit([Publish(epoch=epoch, events=(NewEvent(event=happened, deliveries=(owed,)),))])
