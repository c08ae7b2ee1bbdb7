"""Leases: who is alive, and what becomes of what the dead held."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from store_bed import LEASE, changed, claim, delivery, event, publish

from hookline.model.ids import new_key
from hookline.model.states import AttemptOutcome, DeliveryState, Lane
from hookline.ports import NewEvent, Publish

if TYPE_CHECKING:
    from store_bed import Backend, ManualClock

    from hookline.model.ids import Key
    from hookline.ports import Epoch, Store

pytestmark = pytest.mark.asyncio


async def test_epochs_rise_for_ever(backend: Backend) -> None:
    """Also when all nodes before were closed, and after a restart."""
    epochs = []
    for _ in range(2):
        store = backend.store()
        await store.open()
        for _ in range(2):
            epochs.append(await store.open_node("one", lease=LEASE))
            await store.close_node(epochs[-1])
        await store.close()

    assert epochs == sorted(set(epochs))


async def test_a_living_node_renews_its_lease(store: Store, epoch: Epoch) -> None:
    assert await store.renew(epoch) is True
    assert await store.renew(epoch) is True


async def test_a_closed_or_unknown_node_renews_nothing(store: Store, epoch: Epoch) -> None:
    await store.close_node(epoch)

    assert await store.renew(epoch) is False
    assert await store.renew(epoch + 100) is False


async def test_a_lease_that_ran_out_is_taken_by_the_next_node(backend: Backend, store: Store) -> None:
    """On SQLite the next node takes it at once, because it holds the file; elsewhere after its time."""
    first = await store.open_node("one", lease=timedelta(milliseconds=50))
    if backend.admits_many_nodes:
        assert await store.renew(first) is True
        await asyncio.sleep(0.1)  # database time cannot be moved
    second = await store.open_node("two", lease=LEASE)
    await store.recover(second)

    assert await store.renew(first) is False
    assert await store.renew(second) is True


async def test_what_a_dead_node_held_is_due_at_once(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """With an interrupted attempt that counts as an attempt, not as a failure."""
    happened = event(org, clock.now())
    held = delivery(
        happened,
        hook,
        state=DeliveryState.IN_FLIGHT,
        lane=Lane.REPLAY,
        webhook_revision=2,
        attempts_made=3,
        failures=2,
        crashes=1,
        interruptions=0,
        last_status=500,
        last_ms=12,
        body=b"kept",
    )
    await publish(store, epoch, happened, held)
    await store.close_node(epoch)
    second = await store.open_node("two", lease=LEASE)

    assert await store.recover(second) == 1
    assert await store.recover(second) == 0

    (attempt,) = await store.attempts(held.id)
    assert (attempt.number, attempt.outcome, attempt.status) == (4, AttemptOutcome.INTERRUPTED, None)
    assert attempt.error
    assert attempt.cause == "replay"
    clock.move(LEASE * 2)  # past whatever the database thinks the time is
    (owed,) = await claim(store, second, hook, clock.now(), Lane.REPLAY)
    assert owed.delivery == changed(held, attempts_made=4, interruptions=1, last_status=None, last_ms=0)


async def test_only_the_dead_are_recovered(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """Neither what lives, nor what waits, is held or has ended."""
    for state in DeliveryState:
        happened = event(org, clock.now())
        await publish(store, epoch, happened, delivery(happened, hook, state=state))

    assert await store.recover(epoch) == 0
    await store.close_node(epoch)
    assert await store.recover(await store.open_node("two", lease=LEASE)) == 1


async def test_recovery_is_bounded(store: Store, epoch: Epoch, clock: ManualClock, org: Key) -> None:
    """1,000 a call, so that the loop is not held up by a full node's end."""
    happened = event(org, clock.now())
    held = tuple(delivery(happened, new_key(), state=DeliveryState.IN_FLIGHT) for _ in range(1_100))
    await store.commit([Publish(epoch=epoch, events=(NewEvent(event=happened, deliveries=held),))])
    await store.close_node(epoch)
    second = await store.open_node("two", lease=LEASE)

    assert [await store.recover(second) for _ in range(3)] == [1_000, 100, 0]


async def test_a_restart_finds_what_it_held(
    backend: Backend, clock: ManualClock, org: Key, hook: Key
) -> None:
    """P18: killed without closing anything, the next process goes on with everything."""
    before = backend.store()
    await before.open()
    first = await before.open_node("one", lease=timedelta(milliseconds=50))
    happened = event(org, clock.now())
    held = delivery(happened, hook, state=DeliveryState.IN_FLIGHT)
    await publish(before, first, happened, held)
    await before.close()

    after = backend.store()
    await after.open()
    if backend.admits_many_nodes:
        await asyncio.sleep(0.1)  # database time cannot be moved
    second = await after.open_node("one", lease=LEASE)
    assert await after.recover(second) == 1
    clock.move(LEASE)
    assert [owed.delivery.id for owed in await claim(after, second, hook, clock.now())] == [held.id]
    await after.close()


async def test_no_two_stretches_of_a_webhooks_time_overlap(store: Store) -> None:
    """Issue 4, point 7: a rate holds over all nodes, because each sends in time of its own."""
    loop = asyncio.get_running_loop()

    async def stretch(webhook: Key) -> float:
        wait = await store.reserve_time(webhook, 5, 0.1)
        return loop.time() + wait

    one, other = new_key(), new_key()
    begins = sorted(await asyncio.gather(*[stretch(one) for _ in range(10)]))
    elsewhere = await store.reserve_time(other, 5, 0.1)
    changed = await store.reserve_time(one, 1, 0.2)
    unchanged = await store.reserve_time(one, 1, 0.2)

    gaps = [later - earlier for earlier, later in pairwise(begins)]
    assert min(gaps) > 0.2
    assert sum(gaps) == pytest.approx(4.5, abs=0.4)
    assert elsewhere < 0.1
    assert changed < 0.1
    assert unchanged > 0.1
