"""Deliveries that wait: claim, reopen, shift, fan out, and the lanes that have some."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from store_bed import apply, changed, claim, delivery, event, failed, publish, succeeded

from hookline.model.ids import new_key
from hookline.model.states import DeliveryState, Lane
from hookline.ports import (
    ClaimDeliveries,
    FanOut,
    Fanout,
    NewEvent,
    Owed,
    Publish,
    Reopen,
    Shift,
    ShortenWaits,
    Waiting,
    Want,
)

if TYPE_CHECKING:
    from store_bed import ManualClock

    from hookline.model.events import Delivery
    from hookline.model.ids import Key
    from hookline.ports import Epoch, Store

pytestmark = pytest.mark.asyncio

SECOND = timedelta(seconds=1)


async def _owe(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key, **changes: object
) -> Delivery:
    happened = event(org, clock.now())
    owed = delivery(happened, hook, **changes)
    await publish(store, epoch, happened, owed)
    return owed


# --- claiming ---


async def test_a_claim_takes_what_is_due_earliest_first(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """Bounded, with the event, in flight, and offered only once."""
    now = clock.now()
    late = await _owe(store, epoch, clock, org, hook, next_attempt_at=now - SECOND)
    early = await _owe(store, epoch, clock, org, hook, next_attempt_at=now - 2 * SECOND)
    on_time = await _owe(store, epoch, clock, org, hook, next_attempt_at=now)
    await _owe(store, epoch, clock, org, hook, next_attempt_at=now + timedelta(milliseconds=1))

    taken = await claim(store, epoch, hook, now, limit=2)
    rest = await claim(store, epoch, hook, now)

    assert [owed.delivery.id for owed in taken + rest] == [early.id, late.id, on_time.id]
    assert taken[0] == Owed(
        delivery=changed(early, state=DeliveryState.IN_FLIGHT, next_attempt_at=None, webhook_revision=1),
        event=taken[0].event,
    )
    assert taken[0].event is not None
    assert taken[0].event.key == early.event_key
    assert await store.delivery(early.id, organization_id=org) == taken[0].delivery
    assert await claim(store, epoch, hook, now) == ()


async def test_a_claim_is_of_one_webhook_and_lane(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """Several wants are served in one write, each from its own line."""
    mine = await _owe(store, epoch, clock, org, hook)
    replay = await _owe(store, epoch, clock, org, hook, lane=Lane.REPLAY)
    other = await _owe(store, epoch, clock, org, new_key())

    assert [owed.delivery.id for owed in await claim(store, epoch, hook, clock.now(), Lane.RETRY)] == []
    wants = tuple(
        Want(webhook_id=webhook, lane=lane, limit=10, revision=1)
        for webhook, lane in ((hook, Lane.FIRST), (hook, Lane.REPLAY), (other.webhook_id, Lane.FIRST))
    )
    taken = await apply(store, ClaimDeliveries(epoch=epoch, wants=wants, now=clock.now()))

    assert isinstance(taken, tuple)
    assert {owed.delivery.id for owed in taken} == {mine.id, replay.id, other.id}


async def test_a_claim_freezes_the_revision_once(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """The first claim decides how the body is worded; later revisions do not change it."""
    fresh = await _owe(store, epoch, clock, org, hook)
    frozen = await _owe(store, epoch, clock, org, hook, webhook_revision=2)
    want = Want(webhook_id=hook, lane=Lane.FIRST, limit=9, revision=7)

    taken = await apply(store, ClaimDeliveries(epoch=epoch, wants=(want,), now=clock.now()))

    assert isinstance(taken, tuple)
    assert {owed.delivery.id: owed.delivery.webhook_revision for owed in taken} == {fresh.id: 7, frozen.id: 2}
    stored = await store.delivery(fresh.id, organization_id=org)
    assert stored is not None
    assert stored.webhook_revision == 7


async def test_a_batch_delivery_is_claimed_without_an_event(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    happened = event(org, clock.now())
    batch = changed(delivery(happened, hook), event_key=None, batch_id=new_key())
    await publish(store, epoch, happened, batch)

    (taken,) = await claim(store, epoch, hook, clock.now())

    assert taken.event is None
    assert taken.delivery.batch_id == batch.batch_id


async def test_held_and_ended_deliveries_are_not_claimed(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    for state in DeliveryState:
        if state is not DeliveryState.PENDING:
            await _owe(store, epoch, clock, org, hook, state=state)

    assert await claim(store, epoch, hook, clock.now()) == ()


# --- reopening ---


@pytest.mark.parametrize(
    "state",
    [DeliveryState.SUCCEEDED, DeliveryState.EXHAUSTED, DeliveryState.CANCELLED, DeliveryState.HELD],
)
async def test_a_delivery_is_reopened_whatever_its_state(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key, state: DeliveryState
) -> None:
    """It is due again in the asked lane, with its history."""
    owed = await _owe(store, epoch, clock, org, hook, state=DeliveryState.IN_FLIGHT)
    await apply(store, succeeded(owed, epoch, clock.now(), state=state, state_reason="done", failures=3))
    at = clock.move(SECOND)

    result = await apply(store, Reopen(organization_id=org, delivery_id=owed.id, lane=Lane.REPLAY, at=at))

    stored = await store.delivery(owed.id, organization_id=org)
    assert result == stored
    assert stored is not None
    assert (stored.state, stored.state_reason, stored.lane) == (DeliveryState.PENDING, None, Lane.REPLAY)
    assert (stored.next_attempt_at, stored.ended_at, stored.attempts_made) == (at, None, 1)
    assert [one.delivery.id for one in await claim(store, epoch, hook, at, Lane.REPLAY)] == [owed.id]


async def test_reopening_makes_a_waiting_retry_due_at_once(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    owed = await _owe(store, epoch, clock, org, hook, next_attempt_at=clock.now() + timedelta(days=1))

    await apply(store, Reopen(organization_id=org, delivery_id=owed.id, lane=Lane.RETRY, at=clock.now()))

    assert [one.delivery.id for one in await claim(store, epoch, hook, clock.now(), Lane.RETRY)] == [owed.id]


async def test_reopening_leaves_what_is_in_flight(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """It is returned as it is, and its claim stays."""
    owed = await _owe(store, epoch, clock, org, hook, state=DeliveryState.IN_FLIGHT)

    result = await apply(
        store, Reopen(organization_id=org, delivery_id=owed.id, lane=Lane.REPLAY, at=clock.now())
    )

    assert result == owed
    assert await apply(store, succeeded(owed, epoch, clock.now())) is True


async def test_reopening_finds_nothing_of_another_organization(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """P14: a foreign delivery and a missing one look the same."""
    owed = await _owe(store, epoch, clock, org, hook, state=DeliveryState.HELD)

    for organization, id_ in ((new_key(), owed.id), (org, new_key())):
        write = Reopen(organization_id=organization, delivery_id=id_, lane=Lane.RETRY, at=clock.now())
        assert await apply(store, write) is None

    assert await store.delivery(owed.id, organization_id=org) == owed


# --- a clock that was set back ---


async def test_nothing_waits_longer_than_its_schedule_lets_it(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """PROMISES section 3: of this webhook alone, never later than it was; who asked for more may get the longest."""
    now = clock.now()
    waits = (5 * SECOND, 10 * SECOND, 3600 * SECOND)
    cases = [
        (0, None, 3000, 5),
        (0, None, 4, 4),
        (1, None, 3000, 10),
        (1, 500, 11, 10),
        (1, 429, 3000, 3000),
        (1, 503, 9000, 7200),
        (2, None, 7200, 3600),
        (9, None, 9000, 7200),
    ]
    owed = [
        await _owe(
            *(store, epoch, clock, org, hook),
            failures=failures,
            last_status=last_status,
            next_attempt_at=now + due * SECOND,
        )
        for failures, last_status, due, _ in cases
    ]
    held = await _owe(store, epoch, clock, org, hook, state=DeliveryState.HELD)
    other = await _owe(store, epoch, clock, org, new_key(), next_attempt_at=now + 7200 * SECOND)

    shorten = ShortenWaits(webhook_id=hook, now=now, waits=waits, asked=7200 * SECOND)
    found = [await apply(store, shorten) for _ in range(2)]

    stored = [await store.delivery(one.id, organization_id=org) for one in (*owed, held, other)]
    assert stored == [
        *[
            changed(one, next_attempt_at=now + due * SECOND)
            for one, (_, _, _, due) in zip(owed, cases, strict=True)
        ],
        held,
        other,
    ]
    assert found == [6, 0]


# --- shifting ---


async def test_a_pause_holds_and_a_resume_drains(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """What is in flight is never touched; what moved can be moved back."""
    waiting = [await _owe(store, epoch, clock, org, hook) for _ in range(3)]
    flying = await _owe(store, epoch, clock, org, hook, state=DeliveryState.IN_FLIGHT)
    other = await _owe(store, epoch, clock, org, new_key())
    hold = Shift(
        webhook_id=hook,
        sources=(DeliveryState.PENDING, DeliveryState.IN_FLIGHT),
        to=DeliveryState.HELD,
        reason="webhook_paused",
        next_attempt_at=None,
        at=clock.now(),
    )

    assert await apply(store, hold) == 3

    assert await claim(store, epoch, hook, clock.now()) == ()
    for owed in waiting:
        stored = await store.delivery(owed.id, organization_id=org)
        assert stored == changed(
            owed, state=DeliveryState.HELD, state_reason="webhook_paused", next_attempt_at=None
        )
    assert await store.delivery(flying.id, organization_id=org) == flying
    assert await store.delivery(other.id, organization_id=org) == other

    drain = Shift(
        webhook_id=hook,
        sources=(DeliveryState.HELD,),
        to=DeliveryState.PENDING,
        reason=None,
        next_attempt_at=clock.now(),
        at=clock.now(),
    )
    assert await apply(store, drain) == 3
    assert {owed.delivery.id for owed in await claim(store, epoch, hook, clock.now())} == {
        owed.id for owed in waiting
    }


async def test_a_shift_takes_only_what_is_old_enough(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """What expires ends, what is younger stays held."""
    old = await _owe(store, epoch, clock, org, hook, state=DeliveryState.HELD)
    line = clock.move(timedelta(days=1))
    young = await _owe(store, epoch, clock, org, hook, state=DeliveryState.HELD)
    expire = Shift(
        webhook_id=hook,
        sources=(DeliveryState.HELD,),
        to=DeliveryState.EXHAUSTED,
        reason="held_expired",
        next_attempt_at=None,
        at=line,
        created_before=line,
    )

    assert [await apply(store, expire) for _ in range(2)] == [1, 0]

    assert await store.delivery(old.id, organization_id=org) == changed(
        old, state=DeliveryState.EXHAUSTED, state_reason="held_expired", ended_at=line
    )
    assert await store.delivery(young.id, organization_id=org) == young


async def test_shifts_are_bounded(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """Two sources share one limit; calling on moves the rest."""
    for state in (DeliveryState.PENDING,) * 2 + (DeliveryState.HELD,) * 2:
        await _owe(store, epoch, clock, org, hook, state=state)
    cancel = Shift(
        webhook_id=hook,
        sources=(DeliveryState.PENDING, DeliveryState.HELD),
        to=DeliveryState.CANCELLED,
        reason="webhook_deleted",
        next_attempt_at=None,
        at=clock.now(),
        limit=3,
    )

    assert [await apply(store, cancel) for _ in range(3)] == [3, 1, 0]


async def test_a_shift_to_an_end_ends_and_a_shift_from_an_end_reopens(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    owed = await _owe(store, epoch, clock, org, hook)
    at = clock.move(SECOND)
    shift = Shift(
        webhook_id=hook,
        sources=(DeliveryState.PENDING,),
        to=DeliveryState.EXHAUSTED,
        reason="held_expired",
        next_attempt_at=None,
        at=at,
    )
    assert await apply(store, shift) == 1
    stored = await store.delivery(owed.id, organization_id=org)
    assert stored is not None
    assert (stored.state, stored.ended_at) == (DeliveryState.EXHAUSTED, at)

    back = changed(
        shift, sources=(DeliveryState.EXHAUSTED,), to=DeliveryState.PENDING, reason=None, next_attempt_at=at
    )
    assert await apply(store, back) == 1
    assert await store.delivery(owed.id, organization_id=org) == changed(owed, next_attempt_at=at)


# --- fanning out ---


async def test_a_fan_out_that_did_not_fit_goes_on_from_its_cursor(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """The cursor is stored with the event, moves with each part and is closed by the last."""
    happened = event(org, clock.now())
    hooks = sorted(new_key() for _ in range(5))
    await publish(store, epoch, happened, delivery(happened, hooks[0]), fanout_after=hooks[0])
    assert await store.fanouts() == [Fanout(event=happened, after=hooks[0])]

    part = FanOut(
        epoch=epoch,
        event_key=happened.key,
        deliveries=tuple(delivery(happened, hook) for hook in hooks[1:3]),
        after=hooks[2],
    )
    assert await apply(store, part) == 2
    assert await store.fanouts() == [Fanout(event=happened, after=hooks[2])]

    # Killed in between, the same part is written again: what exists is skipped, whatever its id.
    last = changed(part, deliveries=tuple(delivery(happened, hook) for hook in hooks[1:]), after=None)
    assert await apply(store, last) == 2
    assert await store.fanouts() == []
    assert len(await store.waiting()) == 5


async def test_a_cursor_never_moves_back_nor_opens_again(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """A slow node that goes on with an old part changes nothing."""
    happened = event(org, clock.now())
    hooks = sorted(new_key() for _ in range(3))
    await publish(store, epoch, happened, fanout_after=hooks[1])

    await apply(store, FanOut(epoch=epoch, event_key=happened.key, deliveries=(), after=hooks[0]))
    assert await store.fanouts() == [Fanout(event=happened, after=hooks[1])]

    await apply(store, FanOut(epoch=epoch, event_key=happened.key, deliveries=(), after=None))
    await apply(store, FanOut(epoch=epoch, event_key=happened.key, deliveries=(), after=hooks[2]))
    assert await store.fanouts() == []


async def test_open_fan_outs_are_listed_oldest_first(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    happened = [event(org, clock.now()) for _ in range(3)]
    new = tuple(NewEvent(event=one, fanout_after=new_key()) for one in happened)
    await store.commit([Publish(epoch=epoch, events=new)])

    assert [fanout.event for fanout in await store.fanouts()] == happened
    assert [fanout.event for fanout in await store.fanouts(limit=2)] == happened[:2]


# --- lanes ---


async def test_waiting_names_each_lane_once_with_its_first_time(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """However many rows wait in it; what is claimed, held or ended waits no more."""
    now = clock.now()
    one, two = sorted((new_key(), new_key()))
    for place in range(5):
        await _owe(store, epoch, clock, org, one, next_attempt_at=now + place * SECOND)
    await _owe(store, epoch, clock, org, one, lane=Lane.REPLAY, next_attempt_at=now - SECOND)
    await _owe(store, epoch, clock, org, two, lane=Lane.RETRY, next_attempt_at=now + timedelta(days=1))
    await _owe(store, epoch, clock, org, new_key(), state=DeliveryState.HELD)
    await _owe(store, epoch, clock, org, new_key(), state=DeliveryState.IN_FLIGHT)

    assert sorted(await store.waiting(), key=lambda lane: (lane.webhook_id, lane.lane)) == [
        Waiting(webhook_id=one, lane=Lane.FIRST, due_at=now),
        Waiting(webhook_id=one, lane=Lane.REPLAY, due_at=now - SECOND),
        Waiting(webhook_id=two, lane=Lane.RETRY, due_at=now + timedelta(days=1)),
    ]

    await claim(store, epoch, one, now, Lane.REPLAY)
    await claim(store, epoch, one, now, Lane.FIRST)
    assert {(lane.webhook_id, lane.due_at) for lane in await store.waiting()} == {
        (one, now + SECOND),
        (two, now + timedelta(days=1)),
    }


async def test_a_retry_waits_in_the_lane_it_was_settled_into(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    owed = await _owe(store, epoch, clock, org, hook, state=DeliveryState.IN_FLIGHT)

    await apply(store, failed(owed, epoch, clock.now(), lane=Lane.REPLAY))

    assert [lane.lane for lane in await store.waiting()] == [Lane.REPLAY]
