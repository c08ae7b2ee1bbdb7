"""Ordered deliveries in the store: the first of a line can be claimed, the rest waits without a time (P6)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from store_bed import LEASE, apply, attempt, delivery, event

from hookline.model.ids import new_key
from hookline.model.states import DeliveryState, Lane
from hookline.ports import ClaimDeliveries, NewEvent, Publish, Reopen, Settle, Shift, Want

if TYPE_CHECKING:
    from store_bed import Backend, ManualClock

    from hookline.model.events import Delivery
    from hookline.model.ids import Key
    from hookline.ports import Epoch, Store

pytestmark = pytest.mark.asyncio

PENDING, HELD = DeliveryState.PENDING, DeliveryState.HELD
SUCCEEDED, EXHAUSTED = DeliveryState.SUCCEEDED, DeliveryState.EXHAUSTED


class Line:
    """One webhook of one organization, and short ways to use it."""

    def __init__(self, store: Store, epoch: Epoch, clock: ManualClock, org: Key, webhook: Key) -> None:
        self.store, self.epoch, self.clock, self.org, self.webhook = store, epoch, clock, org, webhook

    async def owe(self, *keys: str, state: DeliveryState = PENDING) -> list[Delivery]:
        """One event after the other, in one transaction."""
        now = self.clock.now()
        due = now if state is PENDING else None
        owed = []
        events = []
        for key in keys:
            happened = event(self.org, now, ordering_key=key)
            one = delivery(happened, self.webhook, state=state, next_attempt_at=due, ordering_key=key)
            events.append(NewEvent(event=happened, deliveries=(one,)))
            owed.append(one)
        await apply(self.store, Publish(epoch=self.epoch, events=tuple(events)))
        return owed

    async def claim(self, lane: Lane = Lane.FIRST) -> list[Key]:
        want = Want(webhook_id=self.webhook, lane=lane, limit=10, revision=1)
        taken: Any = await apply(
            self.store, ClaimDeliveries(epoch=self.epoch, wants=(want,), now=self.clock.now())
        )
        return [owed.delivery.id for owed in taken]

    async def settle(self, one: Delivery, state: DeliveryState, *, number: int = 1, **changes: Any) -> None:
        now = self.clock.now()
        settle = Settle(
            epoch=self.epoch,
            delivery_id=one.id,
            webhook_id=self.webhook,
            at=now,
            attempt=attempt(one, now, number=number),
            state=state,
            ordering_key=one.ordering_key,
            **changes,
        )
        assert await apply(self.store, settle) is True

    async def shift(self, source: DeliveryState, to: DeliveryState) -> Any:
        now = self.clock.now()
        return await apply(
            self.store,
            Shift(
                webhook_id=self.webhook,
                sources=(source,),
                to=to,
                reason=None if to is PENDING else "why",
                next_attempt_at=now if to is PENDING else None,
                at=now,
            ),
        )


@pytest.fixture
def line(store: Store, epoch: Epoch, clock: ManualClock, org: Key) -> Line:
    return Line(store, epoch, clock, org, new_key())


async def test_the_next_of_a_key_comes_when_the_one_before_has_ended(line: Line) -> None:
    """P6: also when it ended as exhausted; other keys do not wait."""
    a1, a2, b1, a3 = await line.owe("a", "a", "b", "a")

    assert await line.claim() == [a1.id, b1.id]
    assert await line.claim() == []
    await line.settle(a1, SUCCEEDED)
    assert await line.claim() == [a2.id]
    await line.settle(a2, EXHAUSTED)
    assert await line.claim() == [a3.id]


async def test_a_retry_keeps_the_others_behind_it(line: Line, clock: ManualClock) -> None:
    """The head blocks its own key only."""
    a1, a2, b1 = await line.owe("a", "a", "b")
    await line.claim()
    await line.settle(a1, PENDING, lane=Lane.RETRY, next_attempt_at=clock.now() + timedelta(seconds=5))
    await line.settle(b1, SUCCEEDED)
    (b2,) = await line.owe("b")

    assert await line.claim() == [b2.id]
    clock.move(timedelta(seconds=5))
    assert await line.claim(Lane.RETRY) == [a1.id]
    await line.settle(a1, SUCCEEDED, number=2)
    assert await line.claim() == [a2.id]


async def test_one_that_waits_for_its_turn_shows_no_time_and_is_not_hurried(line: Line, org: Key) -> None:
    a1, a2 = await line.owe("a", "a")
    stored = await line.store.delivery(a2.id, organization_id=org)

    assert stored is not None
    assert (stored.state, stored.next_attempt_at) == (PENDING, None)
    reopen = Reopen(organization_id=org, delivery_id=a2.id, lane=Lane.RETRY, at=line.clock.now())
    assert await apply(line.store, reopen) == stored
    assert await line.claim() == [a1.id]


async def test_what_was_held_drains_in_order(line: Line) -> None:
    """Pause and resume: the first of each key, then the next."""
    a1, a2, b1 = await line.owe("a", "a", "b")
    assert await line.shift(PENDING, HELD) == 3
    (a3,) = await line.owe("a", state=HELD)

    assert await line.shift(HELD, PENDING) == 4

    assert sorted(await line.claim()) == sorted([a1.id, b1.id])
    await line.settle(a1, SUCCEEDED)
    assert await line.claim() == [a2.id]
    await line.settle(a2, SUCCEEDED)
    assert await line.claim() == [a3.id]


async def test_cancelling_takes_those_that_wait_for_their_turn_too(line: Line) -> None:
    """What is in flight ends by itself, and nothing is left behind it."""
    a1, _, _ = await line.owe("a", "a", "a")
    await line.claim()

    assert await line.shift(PENDING, DeliveryState.CANCELLED) == 2
    await line.settle(a1, SUCCEEDED)
    assert await line.claim() == []
    (a4,) = await line.owe("a")
    assert await line.claim() == [a4.id]


async def test_a_dead_nodes_head_stays_the_head(line: Line) -> None:
    a1, a2 = await line.owe("a", "a")
    await line.claim()
    await line.store.close_node(line.epoch)
    line.epoch = await line.store.open_node("two", lease=LEASE)

    assert await line.store.recover(line.epoch) == 1

    lanes = {waiting.lane for waiting in await line.store.waiting()}
    taken = [id_ for lane in lanes for id_ in await line.claim(lane)]
    assert taken == [a1.id]
    await line.settle(a1, SUCCEEDED, number=2)
    assert await line.claim() == [a2.id]


async def test_no_turn_is_lost_when_two_nodes_insert_and_settle_at_once(
    backend: Backend, store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """One node ends the head while the other puts a second behind it: somebody gives the time on."""
    webhook = new_key()
    first = Line(store, epoch, clock, org, webhook)
    if backend.name == "sqlite":
        second = first
    else:
        other = backend.store()
        await other.open()
        second = Line(other, await other.open_node("two", lease=LEASE), clock, org, webhook)
    (head,) = await first.owe("a")
    for _ in range(40):
        assert await first.claim() == [head.id]
        _, (following,) = await asyncio.gather(first.settle(head, SUCCEEDED), second.owe("a"))
        head = following
    assert await first.claim() == [head.id]
    if second is not first:
        await second.store.close()


async def test_what_is_replayed_stands_in_line_where_it_stood(
    line: Line, clock: ManualClock, org: Key
) -> None:
    """P6: before what came later, which waits for it; and one after the other."""
    a1, a2, a3 = await line.owe("a", "a", "a")
    for one in (a1, a2):
        assert one.id in await line.claim()
        await line.settle(one, SUCCEEDED)
    await line.claim()
    await line.settle(a3, PENDING, lane=Lane.RETRY, next_attempt_at=clock.now())
    for one in (a1, a2):
        reopen = Reopen(
            organization_id=org, delivery_id=one.id, lane=Lane.REPLAY, at=clock.now(), in_line=True
        )
        reopened: Any = await apply(line.store, reopen)
        assert reopened.state is PENDING

    assert await line.claim(Lane.RETRY) == []
    assert await line.claim(Lane.REPLAY) == [a1.id]
    assert await line.claim(Lane.REPLAY) == []
    await line.settle(a1, SUCCEEDED, number=2)
    assert await line.claim(Lane.REPLAY) == [a2.id]
    await line.settle(a2, SUCCEEDED, number=2)
    assert await line.claim(Lane.RETRY) == [a3.id]
