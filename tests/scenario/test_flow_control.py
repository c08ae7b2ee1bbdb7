"""Flow control: lanes that do not starve each other, rates over all nodes, slow starts (issue 4, point 7)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from engine_bed import running
from opened import opened

from hookline.engine.manage.webhooks import set_status
from hookline.model.configuration import Webhook
from hookline.model.states import DeliveryState, Lane, WebhookStatus
from hookline.ports import Reopen
from hookline.testing.fakes import OK, FakeSender, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine_bed import Bed

    from hookline.model.configuration import Stored
    from hookline.model.events import Delivery
    from hookline.ports import Store
    from hookline.ports.sender import Answer, Outgoing
    from hookline.testing.postgres import PostgresServer

pytestmark = pytest.mark.asyncio


def ended(count: int) -> Callable[[list[Delivery]], bool]:
    return lambda found: len(found) == count and all(one.ended_at is not None for one in found)


def ids(requests: list[Outgoing]) -> list[str]:
    return [dict(request.headers)["webhook-id"] for request in requests]


async def slow(_: Outgoing) -> Answer:
    await asyncio.sleep(0.002)
    return OK


async def to_status(bed: Bed, webhook: Stored[Webhook], status: WebhookStatus) -> None:
    """What the API does: the status first, then what waits."""
    stored = await set_status(
        bed.node.store, bed.organization_id, webhook.id, status, None, now=bed.node.clock.now()
    )
    await bed.node.directory.refresh()
    is_active = status is WebhookStatus.ACTIVE
    await bed.node.webhooks.shift(stored, DeliveryState.PENDING if is_active else DeliveryState.HELD)


async def test_a_replay_delays_a_fresh_event_by_a_few_turns_only(store: Store) -> None:
    async with running(store, sender=FakeSender(slow)) as bed:
        await bed.webhook(max_in_flight=2)
        old = [await bed.publish() for _ in range(300)]
        for delivery in await bed.until_deliveries(ended(300)):
            await bed.node.committer.commit(
                Reopen(
                    organization_id=bed.organization_id,
                    delivery_id=delivery.id,
                    lane=Lane.REPLAY,
                    at=bed.node.clock.now(),
                )
            )
        bed.node.deliverer.rescan()
        await bed.sender.received(310)
        behind = []
        for _ in range(5):
            id_ = await bed.publish()
            sent = len(bed.sender.sent)
            while id_ not in ids(bed.sender.sent[-50:]):  # noqa: ASYNC110 -- asks, as a receiver would be asked
                await asyncio.sleep(0.001)
            behind.append(ids(bed.sender.sent).index(id_) - sent)
        is_replaying = len(bed.sender.sent) < 2 * len(old)
        await bed.until_deliveries(ended(305))

    assert is_replaying
    assert max(behind) <= 4


async def test_a_flood_of_fresh_events_leaves_turns_to_a_replay(store: Store) -> None:
    gate = asyncio.Event()

    async def answer(_: Outgoing) -> Answer:
        await gate.wait()
        return await slow(_)

    async with running(store, sender=FakeSender(answer)) as bed:
        await bed.webhook(max_in_flight=1)
        gate.set()
        first = await bed.publish()
        (old,) = await bed.until_deliveries(ended(1))
        gate.clear()
        for _ in range(200):
            await bed.publish()
        await bed.node.committer.commit(
            Reopen(
                organization_id=bed.organization_id,
                delivery_id=old.id,
                lane=Lane.REPLAY,
                at=bed.node.clock.now(),
            )
        )
        bed.node.deliverer.expect(old.webhook_id, Lane.REPLAY, bed.node.clock.now())
        while not bed.node.deliverer.holds(old.id):  # noqa: ASYNC110 -- nobody signals a claim
            await asyncio.sleep(0.001)
        sent = len(bed.sender.sent)
        gate.set()
        await bed.until_deliveries(ended(201))

    assert ids(bed.sender.sent)[1:].index(first) + 1 - sent <= 8


async def test_pausing_stops_what_is_already_in_memory(store: Store) -> None:
    """P24: at most what is in flight completes; the rest is held."""
    async with running(store, sender=FakeSender(slow)) as bed:
        webhook = await bed.webhook(max_in_flight=1)
        for _ in range(100):
            await bed.publish()
        await bed.sender.received(3)
        await to_status(bed, webhook, WebhookStatus.PAUSED)
        sent = len(bed.sender.sent)
        found = await bed.until_deliveries(
            lambda all_: all(one.state in (DeliveryState.HELD, DeliveryState.SUCCEEDED) for one in all_)
        )

    assert len(bed.sender.sent) <= sent + 1
    assert sum(one.state is DeliveryState.HELD for one in found) >= 100 - sent - 1


async def test_what_fails_while_its_webhook_is_deleted_is_cancelled(store: Store) -> None:
    """P24: nothing waits for ever for a webhook that is gone."""
    gate = asyncio.Event()

    async def answer(_: Outgoing) -> Answer:
        await gate.wait()
        return refused(500)

    async with running(store, sender=FakeSender(answer)) as bed:
        webhook = await bed.webhook(max_in_flight=1)
        for _ in range(3):
            await bed.publish()
        await bed.sender.received(1)
        await bed.node.store.delete(
            Webhook, webhook.id, organization_id=bed.organization_id, at=bed.node.clock.now()
        )
        await bed.node.directory.refresh()
        gate.set()
        found = await bed.until_deliveries(ended(3))

    assert {(one.state, one.state_reason) for one in found} == {(DeliveryState.CANCELLED, "webhook_deleted")}
    assert sum(one.attempts_made for one in found) <= 2


async def test_what_was_held_is_let_out_slowly_at_first(store: Store) -> None:
    """A webhook that comes back gets 20 in the first second, and twice as many in each that follows, also where
    the node never sent it anything.
    """
    times: dict[str, list[float]] = {"http://receiver.test/a": [], "http://receiver.test/b": []}

    async def note(request: Outgoing) -> Answer:
        times[request.url].append(asyncio.get_running_loop().time())
        return OK

    async with running(store, sender=FakeSender(note)) as bed:
        webhooks = [await bed.webhook(url=url, events=(url[-1],)) for url in times]
        await bed.publish("a")
        await bed.until_deliveries(ended(1))
        for webhook in webhooks:
            await to_status(bed, webhook, WebhookStatus.PAUSED)
        for _ in range(30):
            await bed.publish("a")
            await bed.publish("b")
        for webhook in webhooks:
            await to_status(bed, webhook, WebhookStatus.ACTIVE)
        await bed.until_deliveries(ended(61))

    known, unknown = times.values()
    assert known[30] - known[1] > 0.8
    assert unknown[29] - unknown[0] > 0.8


async def test_a_rate_holds_over_two_nodes_together(postgres_server: PostgresServer) -> None:
    """CONTRACT section 5, rate_per_second: enforced for the webhook, not for each node."""
    url = postgres_server.fresh_database()
    times: list[float] = []

    async def note(_: Outgoing) -> Answer:
        times.append(asyncio.get_running_loop().time())
        return OK

    senders = FakeSender(note), FakeSender(note)
    async with (
        opened(url) as one,
        opened(url) as two,
        running(one, sender=senders[0]) as first,
        running(two, sender=senders[1], organization_id=first.organization_id) as second,
    ):
        await first.webhook(rate_per_second=40.0)
        await second.node.directory.refresh()
        await asyncio.gather(*[bed.publish() for bed in (first, second) for _ in range(40)])
        await first.until_deliveries(ended(80), within=20)

    times.sort()
    assert [len(sender.sent) for sender in senders] == [40, 40]
    # 41 of them take a second, half of one if each node had the rate for itself; a loop that lags makes up a little.
    assert min(later - earlier for earlier, later in zip(times, times[40:], strict=False)) > 0.7
    assert times[-1] - times[0] > 79 / 40 * 0.95


@pytest.mark.parametrize("rate", [None, 100.0])
async def test_another_rate_counts_at_once(store: Store, rate: float | None) -> None:
    """CONTRACT section 5, rate_per_second: one in a hundred seconds ends when it is edited, not that much later."""
    async with running(store) as bed:
        webhook = await bed.webhook(rate_per_second=0.01)
        for _ in range(20):
            await bed.publish()
        await bed.sender.received(1)
        document = msgspec.structs.replace(webhook.document, rate_per_second=rate)
        await bed.node.store.put(msgspec.structs.replace(webhook, document=document), at=bed.node.clock.now())
        await bed.node.directory.refresh()
        await bed.until_deliveries(ended(20))

    assert len(bed.sender.sent) == 20


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        ({"rate_per_second": 0.01}, OK),
        ({}, refused(429, ("Retry-After", "600"))),
        ({"max_in_flight": 1}, None),
    ],
)
async def test_a_test_is_sent_now_whatever_else_waits(
    store: Store, settings: dict[str, Any], answer: Answer | None
) -> None:
    """CONTRACT section 5: ``/test`` sends now, though a rate, a rest or the cap keeps everything else."""
    never = asyncio.Event()

    async def answers(request: Outgoing) -> Answer:
        if request.body.endswith(b'"data":1}'):
            return OK
        if answer is None:
            await never.wait()
        return answer or OK

    async with running(store, sender=FakeSender(answers)) as bed:
        webhook = await bed.webhook(**settings)
        await bed.publish()
        await bed.sender.received(1)
        if answer is not None:
            await bed.until_deliveries(lambda found: found[0].attempts_made == 1)
        await bed.publish()
        async with asyncio.timeout(10):
            result = await bed.node.webhooks.test(bed.organization_id, webhook.id, "webhook.test", b"1")
        never.set()

    assert result is not None
    assert (result.status, result.response_code) == ("success", 200)
