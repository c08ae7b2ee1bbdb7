"""Every published schedule, whole, on a clock that we move, over both stores (P7)."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from engine_bed import Bed, StandingClock, policy, running

from hookline.core.retry import SCHEDULES
from hookline.model.configuration import RetryPolicy
from hookline.model.states import DeliveryState, Lane
from hookline.testing.fakes import FakeSender, refused

if TYPE_CHECKING:
    from hookline.model.events import Delivery
    from hookline.ports import Store

pytestmark = pytest.mark.asyncio

STANDARD: list[float] = [5, 30, 120, 900, 3600, 10_800, 21_600, 43_200, 86_400]
PUBLISHED: dict[str, tuple[list[float], float]] = {
    "agenticflow": ([60, 300, 900, 3600, 21_600, 86_400], 0.1),
    "phantombuster": ([], 0.0),
    "maxun": ([5, 10], 0.0),
    "maxun-src": ([5, 10], 0.0),
    "phantomflow": ([30, 120, 600], 0.0),
    "standard": (STANDARD, 0.2),
    "cloudevents": (STANDARD, 0.2),
    "raw": (STANDARD, 0.2),
}
"""Dialect to waits and jitter: the table of CONTRACT section 5, typed again."""


async def settled(bed: Bed, attempts: int) -> Delivery:
    """The only delivery, once that many attempts are stored and it is at rest."""
    (delivery,) = await bed.until_deliveries(
        lambda found: (
            bool(found)
            and found[0].attempts_made == attempts
            and found[0].state in (DeliveryState.PENDING, DeliveryState.EXHAUSTED)
        )
    )
    return delivery


async def waits_of(store: Store, *, most_retries: int | None = None, **webhook: Any) -> list[float]:
    """Let every attempt fail; return what lay between each and the next, in seconds, until none is left.

    A millisecond before its time nothing is sent; at its time one attempt is. most_retries: the operator's setting.
    """
    clock, found = StandingClock(), []
    sender = FakeSender(lambda _: refused(500))
    limits = {} if most_retries is None else {"max_retries": most_retries}
    async with running(store, sender=sender, clock=clock, time_scale=1.0, limits=limits) as bed:
        stored = await bed.webhook(**webhook)
        await bed.publish()
        for attempts in range(1, 30):
            delivery = await settled(bed, attempts)
            if delivery.state is DeliveryState.EXHAUSTED:
                assert delivery.next_attempt_at is None
                break
            due = delivery.next_attempt_at
            assert due is not None
            found.append((due - clock.now()).total_seconds())
            clock.move_to(due - timedelta(milliseconds=1))
            bed.node.deliverer.expect(stored.id, Lane.RETRY, clock.now())
            await asyncio.sleep(0.02)
            assert len(sender.sent) == attempts
            clock.move_to(due)
            bed.node.deliverer.expect(stored.id, Lane.RETRY, due)
        (delivery,) = await bed.deliveries()
        rows = await store.attempts(delivery.id)

    gaps = [
        (after.started_at - before.started_at).total_seconds() for before, after in itertools.pairwise(rows)
    ]
    assert gaps == found  # what the delivery showed is what happened
    assert len({request.body for request in sender.sent}) == 1
    return found


@pytest.mark.parametrize("dialect", PUBLISHED)
async def test_a_dialects_whole_schedule(store: Store, dialect: str) -> None:
    """P7, AF-20, AF-X3, PB-11, MX-7, MX-9, PF-4, PF-X2: as many POSTs as it says, each in its time and jitter."""
    waits, spread = PUBLISHED[dialect]

    found = await waits_of(store, dialect=dialect)

    assert len(found) == len(waits)
    for wait, published in zip(found, waits, strict=True):
        assert published * (1 - spread) - 0.001 <= wait <= published * (1 + spread) + 0.001
    if spread and waits:
        assert found != waits
    assert set(PUBLISHED) == set(SCHEDULES)


@pytest.mark.parametrize(
    ("own", "waits", "spread"),
    [
        (policy(3, 2.0), [60, 120, 240], 0.1),
        (policy(6, 1.0), [60] * 6, 0.1),
        (policy(100, 1.0), [60] * 6, 0.1),
        (policy(0, 2.0), [], 0.1),
        (RetryPolicy(schedule_seconds=(1, 7.5, 3600), jitter=0.0), [1, 7.5, 3600], 0.0),
        (RetryPolicy(schedule_seconds=(100, 100), jitter=0.5), [100, 100], 0.5),
        (RetryPolicy(schedule_seconds=()), [], 0.1),
    ],
)
async def test_a_webhooks_own_schedule(
    store: Store, own: RetryPolicy, waits: list[float], spread: float
) -> None:
    """AF-X2: 60 s x multiplier^n, at most six; or the list that the webhook brings."""
    found = await waits_of(store, dialect="phantombuster", retry_policy=own)

    assert len(found) == len(waits)
    for wait, said in zip(found, waits, strict=True):
        assert said * (1 - spread) - 0.001 <= wait <= said * (1 + spread) + 0.001


async def test_a_clock_that_is_set_back_freezes_no_retry(store: Store) -> None:
    """PROMISES section 3: it comes after its own wait, though what the clock said when it was set is an hour away."""
    clock = StandingClock()
    sender = FakeSender(lambda _: refused(500))
    async with running(store, sender=sender, clock=clock, time_scale=1.0) as bed:
        webhook = await bed.webhook(retry_policy=RetryPolicy(schedule_seconds=(10, 20), jitter=0.0))
        await bed.publish()
        await settled(bed, 1)
        set_back = clock.now() - timedelta(hours=1)
        clock.move_to(set_back)

        bed.node.deliverer.rescan()
        await bed.until_deliveries(lambda found: found[0].next_attempt_at == set_back + timedelta(seconds=10))
        clock.move_to(set_back + timedelta(seconds=10))
        bed.node.deliverer.expect(webhook.id, Lane.RETRY, clock.now())
        again = await settled(bed, 2)

    assert again.next_attempt_at == set_back + timedelta(seconds=30)


async def test_the_operator_may_allow_more_retries(store: Store) -> None:
    """AF-X2: max_retries is capped at six unless the operator raises it."""
    found = await waits_of(store, most_retries=8, retry_policy=policy(100, 1.0))

    assert len(found) == 8
