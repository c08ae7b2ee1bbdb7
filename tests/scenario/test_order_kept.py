"""Ordered delivery by a running node, over both stores (P6, issue of the outgoing webhooks: order)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from engine_bed import running

from hookline.model.configuration import RetryPolicy
from hookline.model.states import AttemptOutcome, DeliveryState
from hookline.ports.sender import Answer
from hookline.testing.fakes import FakeSender

if TYPE_CHECKING:
    from hookline.ports import Store
    from hookline.ports.sender import Outgoing

pytestmark = pytest.mark.asyncio

OK = Answer(outcome=AttemptOutcome.DELIVERED, status=200)
FAILED = Answer(outcome=AttemptOutcome.HTTP_ERROR, status=500)


class Receiver:
    """Keeps what it was sent; the first try of some is refused."""

    def __init__(self, *refused: Any) -> None:
        self._refused = set(refused)
        self.seen: list[Any] = []

    def __call__(self, request: Outgoing) -> Answer:
        number = msgspec.json.decode(request.body)["data"]["n"]
        self.seen.append(number)
        if number in self._refused:
            self._refused.discard(number)
            return FAILED
        return OK


async def test_an_ordered_webhook_gets_its_events_one_after_the_other(store: Store) -> None:
    """P6: a failed one is tried again before the next is sent."""
    receiver = Receiver(3, 7)
    async with running(store, sender=FakeSender(receiver)) as bed:
        await bed.webhook(is_ordered=True, retry_policy=RetryPolicy(max_retries=3, backoff_multiplier=1))
        for number in range(12):
            await bed.publish(data=b'{"n":%d}' % number)
        await bed.until_deliveries(
            lambda found: len(found) == 12 and all(one.state is DeliveryState.SUCCEEDED for one in found)
        )

    assert receiver.seen == [0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11]


async def test_the_head_of_a_key_holds_up_its_own_key_only(store: Store) -> None:
    """P6: by ``ordering_key`` on any webhook; exhausting the head lets the next go."""

    def never_a0(request: Outgoing) -> Answer:
        number = msgspec.json.decode(request.body)["data"]["n"]
        order.append(number)
        return FAILED if number == "a0" else OK

    order: list[str] = []
    async with running(store, sender=FakeSender(never_a0)) as bed:
        await bed.webhook(retry_policy=RetryPolicy(max_retries=2, backoff_multiplier=1))
        for name in ("a0", "a1", "b0", "b1", "a2", "b2"):
            await bed.publish(data=b'{"n":"%s"}' % name.encode(), ordering_key=name[0])
        await bed.until_deliveries(
            lambda found: len(found) == 6 and all(one.ended_at is not None for one in found)
        )

    assert [name for name in order if name[0] == "a"] == ["a0", "a0", "a0", "a1", "a2"]
    assert [name for name in order if name[0] == "b"] == ["b0", "b1", "b2"]
    assert order.index("b2") < order.index("a1")
