"""Onces: a cold POST is reserved, acted on and finished, once (P5)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from store_bed import LEASE, changed, once

from hookline.model.ids import new_key
from hookline.ports import Once, Repeat

if TYPE_CHECKING:
    from store_bed import ManualClock

    from hookline.model.ids import Key
    from hookline.ports import Epoch, Store

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def key(org: Key, clock: ManualClock) -> Once:
    return once(org, "POST /api/v1/webhooks k1", clock.now() + timedelta(hours=24))


async def test_the_first_call_reserves_and_the_others_wait(store: Store, epoch: Epoch, key: Once) -> None:
    """Whatever they ask: the holder has not finished."""
    assert await store.reserve(key, epoch) is True

    assert await store.reserve(key, epoch) is False
    assert await store.reserve(changed(key, digest=b"e" * 32), epoch) is False


async def test_of_many_at_once_one_reserves(store: Store, epoch: Epoch, key: Once) -> None:
    results = await asyncio.gather(*[store.reserve(key, epoch) for _ in range(16)])

    assert sorted(map(bool, results)) == [False] * 15 + [True]


async def test_a_finished_call_answers_its_repeats(store: Store, epoch: Epoch, key: Once) -> None:
    """With the answer given at the end, and whether the same was asked."""
    await store.reserve(key, epoch)
    await store.finish(changed(key, answer=b"created"), epoch)

    assert await store.reserve(key, epoch) == Repeat(answer=b"created", is_same=True)
    assert await store.reserve(changed(key, digest=b"e" * 32), epoch) == Repeat(
        answer=b"created", is_same=False
    )


async def test_a_failed_call_gives_its_reservation_back(store: Store, epoch: Epoch, key: Once) -> None:
    await store.reserve(key, epoch)
    await store.forget(key, epoch)

    assert await store.reserve(key, epoch) is True


async def test_a_finished_call_is_not_forgotten_or_finished_again(
    store: Store, epoch: Epoch, key: Once
) -> None:
    await store.reserve(key, epoch)
    await store.finish(changed(key, answer=b"first"), epoch)

    await store.forget(key, epoch)
    await store.finish(changed(key, answer=b"second"), epoch)

    assert await store.reserve(key, epoch) == Repeat(answer=b"first", is_same=True)


async def test_the_dead_lose_their_reservations(store: Store, epoch: Epoch, key: Once) -> None:
    """The next call takes it over; the dead node can neither finish nor forget it."""
    await store.reserve(key, epoch)
    await store.close_node(epoch)
    second = await store.open_node("two", lease=LEASE)

    assert await store.reserve(key, second) is True
    await store.finish(changed(key, answer=b"late"), epoch)
    await store.forget(key, epoch)
    assert await store.reserve(key, second) is False
    await store.finish(changed(key, answer=b"ours"), second)
    assert await store.reserve(key, second) == Repeat(answer=b"ours", is_same=True)


async def test_the_answers_of_the_dead_stay(store: Store, epoch: Epoch, key: Once) -> None:
    await store.reserve(key, epoch)
    await store.finish(key, epoch)
    await store.close_node(epoch)
    second = await store.open_node("two", lease=LEASE)

    assert await store.reserve(key, second) == Repeat(answer=b"first answer", is_same=True)


async def test_answers_and_reservations_expire(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    later = clock.now() + timedelta(seconds=1)
    reserved, finished = once(org, "a", later), once(org, "b", later)
    await store.reserve(reserved, epoch)
    await store.reserve(finished, epoch)
    await store.finish(finished, epoch)
    clock.at = later

    again = clock.now() + timedelta(seconds=1)
    assert await store.reserve(changed(reserved, expires_at=again), epoch) is True
    assert await store.reserve(changed(finished, expires_at=again), epoch) is True


async def test_scopes_and_names_are_apart(store: Store, epoch: Epoch, clock: ManualClock, key: Once) -> None:
    await store.reserve(key, epoch)

    assert await store.reserve(changed(key, name="other"), epoch) is True
    assert await store.reserve(changed(key, scope=new_key()), epoch) is True
