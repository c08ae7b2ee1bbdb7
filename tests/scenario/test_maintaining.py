"""What is old and ended goes, what waits stays, and who publishes notices nothing (P16)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from engine_bed import StandingClock, running

from hookline.core.retention import Kept
from hookline.engine.manage.retention import set_retention
from hookline.model.configuration import Organization
from hookline.model.ids import new_key
from hookline.model.states import DeliveryState, WebhookStatus
from hookline.ports import DeliveryFilter

if TYPE_CHECKING:
    from hookline.model.ids import Key
    from hookline.ports import Store

pytestmark = pytest.mark.asyncio

DAY = timedelta(days=1)


async def test_p16_the_old_goes_and_what_waits_stays(store: Store) -> None:
    """Ended events go after 30 days; held deliveries end then as held_expired, and stay visible for 30 more."""
    clock = StandingClock()
    async with running(store, clock=clock) as bed:
        sent = await bed.webhook(events=("order.*",))
        held = await bed.webhook(events=("user.*",), status=WebhookStatus.PAUSED)
        gone = await bed.publish("order.paid")
        waits = await bed.publish("user.left")
        await bed.until_deliveries(
            lambda found: (
                {(one.webhook_id, one.state.value) for one in found}
                == {(sent.id, "succeeded"), (held.id, "held")}
            )
        )
        begin = clock.now()
        clock.move_to(begin + 29 * DAY)
        await bed.node.maintenance.sweep()
        assert len(await bed.deliveries()) == 2

        clock.move_to(begin + 31 * DAY)
        young = await bed.publish("user.joined")
        await bed.node.maintenance.sweep()
        store_ = bed.node.store
        assert await store_.event(bed.organization_id, gone) is None
        assert await store_.event(bed.organization_id, waits) is not None
        states = {
            one.event_type: (one.state, one.state_reason)
            for one in await store_.deliveries(
                bed.organization_id, DeliveryFilter(webhook_id=held.id), before=None, limit=9
            )
        }
        assert states == {
            "user.left": (DeliveryState.EXHAUSTED, "held_expired"),
            "user.joined": (DeliveryState.HELD, "webhook_paused"),
        }
        assert bed.node.maintenance.held_expired == 1
        assert bed.node.maintenance.rows_pruned >= 3

        clock.move_to(begin + 62 * DAY - timedelta(hours=1))
        await bed.node.maintenance.sweep()
        assert await store_.event(bed.organization_id, waits) is None
        assert await store_.event(bed.organization_id, young) is not None


async def test_what_was_held_when_a_webhook_works_again_is_sent(store: Store) -> None:
    """P2: by a node that did not know yet, or one that died before it had sent the rest."""
    async with running(store) as bed:
        stored = await bed.webhook(status=WebhookStatus.PAUSED)
        await bed.publish()
        await bed.until_deliveries(lambda found: [one.state for one in found] == ["held"])
        active = msgspec.structs.replace(stored.document, status=WebhookStatus.ACTIVE)
        await store.put(msgspec.structs.replace(stored, document=active), at=bed.node.clock.now())
        await bed.node.maintenance.sweep()

        await bed.until_deliveries(lambda found: [one.state for one in found] == ["succeeded"])


async def test_p16_a_sweep_leaves_room_for_those_who_publish(store: Store) -> None:
    """While thousands of rows go, no publish waits for more than a part of the sweep."""
    clock = StandingClock()
    async with running(store, clock=clock) as bed:
        await bed.webhook()
        await asyncio.gather(*(bed.publish() for _ in range(600)))
        await bed.until_deliveries(
            lambda found: bool(found) and all(one.state is DeliveryState.SUCCEEDED for one in found)
        )
        async with asyncio.timeout(20):
            while (await bed.node.store.backlog()).in_flight:  # noqa: ASYNC110 -- asks the store
                await asyncio.sleep(0.05)
        clock.move_to(clock.now() + 31 * DAY)
        begun = clock.elapsed()
        sweep = asyncio.create_task(bed.node.maintenance.sweep())
        waits = []
        while not sweep.done():
            asked = clock.elapsed()
            await bed.publish("new")
            waits.append(clock.elapsed() - asked)
        took = clock.elapsed() - begun
        await sweep

    assert bed.node.maintenance.rows_pruned >= 1800
    assert len(waits) >= 3
    assert sorted(waits)[len(waits) // 2] < took / 3


async def test_an_organization_keeps_its_things_shorter_than_the_server(store: Store) -> None:
    """Its events after 7 days, what is held for it after 2; the others' stay as long as the server says."""
    clock = StandingClock()
    async with running(store, clock=clock) as bed:
        held = await bed.webhook(events=("user.*",), status=WebhookStatus.PAUSED)
        gone = await bed.publish("order.paid")
        await bed.publish("user.left")
        other = new_key()
        await bed.node.store.add(
            Organization,
            id=other,
            organization_id=other,
            document=Organization(name="Other"),
            names=(),
            at=clock.now(),
        )
        await set_retention(
            bed.node.store,
            bed.organization_id,
            {"days": 7, "held_days": 2.0},
            server=Kept(days=30, payload_days=30, held_days=30),
            now=clock.now(),
        )
        await bed.node.directory.refresh()
        begin = clock.now()
        clock.move_to(begin + 6 * DAY)
        await bed.node.maintenance.sweep()
        before = await store.event(bed.organization_id, gone)
        (expired,) = await store.deliveries(
            bed.organization_id, DeliveryFilter(webhook_id=held.id), before=None, limit=9
        )

        clock.move_to(begin + 8 * DAY)
        await bed.node.maintenance.sweep()
        after = await store.event(bed.organization_id, gone)

    assert before is not None
    assert (expired.state, expired.state_reason) == (DeliveryState.EXHAUSTED, "held_expired")
    assert after is None


async def test_an_organizations_payloads_go_before_the_servers(store: Store) -> None:
    clock = StandingClock()
    async with running(store, clock=clock) as bed:
        id_ = await bed.publish(data=DATA)
        await set_retention(
            bed.node.store,
            bed.organization_id,
            {"payload_days": 3},
            server=Kept(days=30, payload_days=30, held_days=30),
            now=clock.now(),
        )
        clock.move_to(clock.now() + 4 * DAY)
        await bed.node.maintenance.sweep()
        old = await store.event(bed.organization_id, id_)

    assert old is not None
    assert old.is_stripped


DATA = b'{"words":"' + b"x" * 4_000 + b'"}'


async def test_payloads_go_first_and_are_not_sent_again(store: Store) -> None:
    """Issue 4, point 9: payload apart from metadata. A replay of what is gone says so."""
    clock = StandingClock()
    limits = {"payload_retention_days": 3.0, "retention_days": 30.0}
    async with running(store, clock=clock, limits=limits) as bed:
        await bed.webhook()
        id_ = await bed.publish(data=DATA)
        (delivery,) = await bed.until_deliveries(lambda found: [one.state for one in found] == ["succeeded"])
        clock.move_to(clock.now() + 4 * DAY)
        young = await bed.publish(data=DATA)
        await bed.until_deliveries(lambda found: all(one.state == "succeeded" for one in found))
        await bed.node.maintenance.sweep()
        old = await store.event(bed.organization_id, id_)
        new = await store.event(bed.organization_id, young)
        await bed.node.webhooks.reopen(bed.organization_id, delivery.id)
        found = await bed.until_deliveries(lambda found: all(one.ended_at is not None for one in found))

    assert old is not None
    assert old.is_stripped
    assert new is not None
    assert new.data == DATA
    states = {one.id: (one.state, one.state_reason) for one in found}
    assert states[delivery.id] == (DeliveryState.EXHAUSTED, "payload_expired")
    assert len(bed.sender.sent) == 2


async def test_what_is_stored_is_kept_below_its_bound_and_what_waits_stays(store: Store) -> None:
    """Issue 4, point 9: retention by size; the oldest go first, pending is never pruned (P16)."""
    clock = StandingClock()
    async with running(store, clock=clock) as bed:
        await bed.webhook(events=("order.*",))
        await bed.webhook(events=("user.*",), status=WebhookStatus.PAUSED)
        held = await bed.publish("user.left", data=DATA)
        ids = []
        for _ in range(4):
            ids.append([await bed.publish("order.paid", data=DATA) for _ in range(100)])
            clock.move_to(clock.now() + DAY)
        await bed.until_deliveries(lambda found: sum(one.state == "succeeded" for one in found) == 400)
        before = await store.stored_bytes()
        bound = round(before * 0.6)
        organization_id = bed.organization_id
    limits = {"retention_max_bytes": bound}
    async with running(store, clock=clock, limits=limits, organization_id=organization_id) as bed:
        await bed.node.maintenance.sweep()
        after = await store.stored_bytes()
        kept = [len([id_ for id_ in day if await is_whole(store, organization_id, id_)]) for day in ids]
        waiting = await store.event(organization_id, held)

    assert after <= bound
    assert kept == sorted(kept)
    assert kept[0] == 0
    assert kept[-1] == 100
    assert waiting is not None
    assert waiting.data == DATA


async def is_whole(store: Store, organization_id: Key, id_: str) -> bool:
    event = await store.event(organization_id, id_)
    return event is not None and not event.is_stripped
