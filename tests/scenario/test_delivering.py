"""What a node does with an event, over both stores: deliver, try again, hold, give up, never lose."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from engine_bed import SECRET, VAULT, parsed, policy, running

from hookline.core.addresses import AddressPolicy
from hookline.core.signing import verify_standard
from hookline.engine.manage.webhook_fields import Rules
from hookline.engine.manage.webhooks import create_webhook, get_webhook, update_webhook
from hookline.model.states import AttemptOutcome, DeliveryState
from hookline.testing.fakes import OK, TIMED_OUT, FakeSender, refused

if TYPE_CHECKING:
    from hookline.ports import Store
    from hookline.ports.sender import Answer, Outgoing

pytestmark = pytest.mark.asyncio


def ended(count: int, state: DeliveryState = DeliveryState.SUCCEEDED):  # type: ignore[no-untyped-def]
    return lambda found: sum(delivery.state is state for delivery in found) == count


async def test_an_event_arrives_signed_and_its_attempt_is_recorded(store: Store) -> None:
    """P12, P15: the receiver can verify it, and we can show it."""
    async with running(store) as bed:
        await bed.webhook()
        event_id = await bed.publish(data=b'{"total": 12.0}')
        (request,) = await bed.sender.received(1)
        (delivery,) = await bed.until_deliveries(ended(1))
        (attempt,) = await store.attempts(delivery.id)

    verify_standard([SECRET], dict(request.headers), request.body, datetime.now(UTC))
    assert dict(request.headers)["webhook-id"] == event_id
    assert b'"data":{"total":12}' in request.body
    assert (attempt.number, attempt.status, attempt.cause) == (1, 200, "live")


async def test_only_webhooks_whose_pattern_fits_are_owed(store: Store) -> None:
    async with running(store) as bed:
        await bed.webhook(events=("order.*",))
        await bed.webhook(events=("user.*",))
        await bed.publish("order.paid")
        await bed.publish("invoice.paid")
        await bed.until_deliveries(ended(1))

        assert len(bed.sender.sent) == 1


async def test_a_repeat_of_an_own_id_is_one_event(store: Store) -> None:
    """P5: the same id twice is one event, also when both come at once."""
    async with running(store) as bed:
        await bed.webhook()
        ids = await asyncio.gather(*(bed.publish(own_id="order-1") for _ in range(20)))
        await bed.until_deliveries(ended(1))
        await asyncio.sleep(0.05)

        assert set(ids) == {"order-1"}
        assert len(bed.sender.sent) == 1


async def test_a_failing_receiver_is_tried_on_the_schedule_and_then_given_up(store: Store) -> None:
    """P7, AF-20: one attempt and its retries with the same bytes and id, then exhausted and visible."""
    sender = FakeSender(lambda _: refused(500))
    async with running(store, sender=sender) as bed:
        await bed.webhook(retry_policy=policy(3))
        await bed.publish()
        (delivery,) = await bed.until_deliveries(ended(1, DeliveryState.EXHAUSTED))
        attempts = await store.attempts(delivery.id)

    assert [attempt.number for attempt in attempts] == [1, 2, 3, 4]
    assert [attempt.cause for attempt in attempts] == ["live", "retry", "retry", "retry"]
    assert len({request.body for request in sender.sent}) == 1
    assert len({dict(request.headers)["webhook-id"] for request in sender.sent}) == 1
    assert delivery.state_reason == "retries_exhausted"


async def test_a_receiver_that_recovers_gets_its_event(store: Store) -> None:
    answers = iter([refused(500), TIMED_OUT, OK])
    async with running(store, sender=FakeSender(lambda _: next(answers))) as bed:
        await bed.webhook()
        await bed.publish()
        (delivery,) = await bed.until_deliveries(ended(1))
        attempts = await store.attempts(delivery.id)

    assert [attempt.outcome for attempt in attempts] == [
        AttemptOutcome.HTTP_ERROR,
        AttemptOutcome.TIMEOUT,
        AttemptOutcome.DELIVERED,
    ]


async def test_the_body_is_frozen_at_the_first_attempt(store: Store) -> None:
    """CONTRACT section 5: an edit between tries changes where it goes, never what it says, nor what that is called."""
    import msgspec

    gate = asyncio.Event()

    async def answer(request: Outgoing) -> Answer:
        if "old" in request.url:
            gate.set()
            return refused(500)
        return OK

    async with running(store, sender=FakeSender(answer), time_scale=0.01) as bed:
        webhook = await bed.webhook(url="http://receiver.test/old", dialect="cloudevents")
        await bed.publish(data=b'{"a":1,"b":2}')
        await gate.wait()
        edited = msgspec.structs.replace(
            webhook.document, url="http://receiver.test/new", include_fields=("a",), dialect="raw"
        )
        await store.put(msgspec.structs.replace(webhook, document=edited), at=bed.node.clock.now())
        await bed.node.directory.refresh()
        await bed.until_deliveries(ended(1))

    first, last = bed.sender.sent[0], bed.sender.sent[-1]
    assert (first.url, last.url) == ("http://receiver.test/old", "http://receiver.test/new")
    assert first.body == last.body
    for request in (first, last):
        assert dict(request.headers)["Content-Type"] == "application/cloudevents+json"
        assert "Hookline-Event" not in dict(request.headers)


async def test_410_disables_the_webhook_and_holds_what_comes(store: Store) -> None:
    """P8: gone means stop; events are kept."""
    async with running(store, sender=FakeSender(lambda _: refused(410))) as bed:
        webhook = await bed.webhook()
        await bed.publish()
        async with asyncio.timeout(5):
            while True:
                target = bed.node.directory.known_target(bed.organization_id, webhook.id)
                if target is not None and not target.is_active:
                    break
                await asyncio.sleep(0.01)
        await bed.publish()
        found = await bed.until_deliveries(ended(2, DeliveryState.HELD))

    assert len(bed.sender.sent) == 1
    assert all(delivery.state_reason == "webhook_disabled" for delivery in found)


async def test_a_held_backlog_drains_when_the_webhook_is_active_again(store: Store) -> None:
    """P2: paused means held, never dropped."""
    import msgspec

    from hookline.model.states import WebhookStatus

    async with running(store) as bed:
        webhook = await bed.webhook(status=WebhookStatus.PAUSED)
        for number in range(30):
            await bed.publish(data=b"%d" % number)
        await bed.until_deliveries(ended(30, DeliveryState.HELD))
        active = msgspec.structs.replace(webhook.document, status=WebhookStatus.ACTIVE)
        stored = await store.put(msgspec.structs.replace(webhook, document=active), at=bed.node.clock.now())
        await bed.node.directory.refresh()
        moved = await bed.node.webhooks.shift(stored, DeliveryState.PENDING)
        await bed.until_deliveries(ended(30))

    assert moved == 30
    assert sorted(int(parsed(request.body)["data"]) for request in bed.sender.sent) == list(range(30))


async def test_more_matches_than_a_transaction_holds_are_all_written_once(store: Store) -> None:
    """K4, K5: 256 with the event, the rest by the durable cursor."""
    async with running(store) as bed:
        for _ in range(300):
            await bed.webhook()
        await bed.publish()
        found = await bed.until_deliveries(ended(300))

    assert len({delivery.webhook_id for delivery in found}) == 300
    assert await store.fanouts() == []


async def test_a_burst_beyond_the_memory_of_a_lane_is_delivered_from_the_table(store: Store) -> None:
    """DESIGN section 2: what does not fit in memory is claimed from the table."""
    from hookline.engine import lanes

    original = lanes.LANE_ROOM
    try:
        lanes.LANE_ROOM = 8  # type: ignore[misc]
        async with running(store) as bed:
            await bed.webhook()
            await asyncio.gather(*(bed.publish(data=b"%d" % number) for number in range(200)))
            await bed.until_deliveries(ended(200), within=15)

            assert len(bed.sender.sent) == 200
    finally:
        lanes.LANE_ROOM = original  # type: ignore[misc]


async def test_a_hanging_receiver_does_not_delay_another(store: Store) -> None:
    """P10, DEMANDS 11."""
    never = asyncio.Event()

    async def answer(request: Outgoing) -> Answer:
        if "hang" in request.url:
            await never.wait()
        return OK

    async with running(store, sender=FakeSender(answer)) as bed:
        await bed.webhook(url="http://receiver.test/hang", events=("slow",))
        await bed.webhook(url="http://receiver.test/good", events=("fast",))
        for _ in range(100):
            await bed.publish("slow")
        for _ in range(100):
            await bed.publish("fast")
        await bed.until_deliveries(ended(100))
        never.set()


async def test_retry_after_stops_the_whole_webhook(store: Store) -> None:
    """P8: 429 throttles the endpoint, not only this event."""
    answers = iter([refused(429, ("Retry-After", "1"))])
    sender = FakeSender(lambda _: next(answers, OK))
    async with running(store, sender=sender, time_scale=1.0) as bed:
        await bed.webhook(retry_policy=policy(3))
        await bed.publish()
        await sender.received(1)
        await asyncio.sleep(0.05)
        began = asyncio.get_running_loop().time()
        await bed.publish()
        await sender.received(2)
        waited = asyncio.get_running_loop().time() - began

    assert 0.7 < waited < 3


async def test_a_node_that_dies_leaves_nothing_undone(store: Store) -> None:
    """K6, K7, P18: what was claimed and not recorded is sent again by the next node, as an interrupted attempt."""
    stuck = asyncio.Event()

    async def never(_: Outgoing) -> Answer:
        await stuck.wait()
        return OK

    async with running(store, sender=FakeSender(never), stop=False) as first:
        await first.webhook()
        for number in range(10):
            await first.publish(data=b"%d" % number)
        await first.sender.received(2)
    await asyncio.sleep(0.05)
    old = first.node.lease
    await old.close()

    async with running(store, organization_id=first.organization_id) as second:
        found = await second.until_deliveries(ended(10))
        attempts = [await store.attempts(delivery.id) for delivery in found]

    assert all(records[-1].outcome is AttemptOutcome.DELIVERED for records in attempts)
    assert all(records[0].outcome is AttemptOutcome.INTERRUPTED for records in attempts)
    assert all(delivery.failures == 0 for delivery in found)


async def test_a_clean_stop_loses_and_repeats_nothing(store: Store) -> None:
    """P17: what was not sent goes back to the table and is sent once by the next node."""
    sent: list[bytes] = []

    async def slowly(request: Outgoing) -> Answer:
        sent.append(request.body)
        await asyncio.sleep(0.005)
        return OK

    async with running(store, sender=FakeSender(slowly)) as first:
        await first.webhook()
        await asyncio.gather(*(first.publish(data=b"%d" % number) for number in range(300)))
    async with running(store, sender=FakeSender(slowly), organization_id=first.organization_id) as second:
        found = await second.until_deliveries(ended(300))

    assert len(sent) == 300
    assert all(delivery.attempts_made == 1 for delivery in found)


async def test_what_a_broken_commit_stored_all_the_same_is_delivered(store: Store) -> None:
    """PROMISES section 3, COMMIT result unknown: no 2xx, and yet nothing may stay claimed by nobody."""
    from hookline.errors import StorageError

    async with running(store) as bed:
        await bed.webhook()
        ledger = bed.node.committer._ledger
        real = ledger.commit

        async def cut(writes: Any) -> Any:
            await real(writes)
            ledger.commit = real  # type: ignore[method-assign]
            raise StorageError("The connection was lost during COMMIT.")

        ledger.commit = cut  # type: ignore[method-assign]
        with pytest.raises(StorageError):
            await bed.publish()
        found = await bed.until_deliveries(ended(1))

        assert len(bed.sender.sent) == 1
        assert found[0].attempts_made == 1


async def test_a_webhooks_rate_is_never_exceeded(store: Store) -> None:
    """CONTRACT section 5, rate_per_second: spaced sends, however much is owed."""
    times: list[float] = []

    async def note(_: Outgoing) -> Answer:
        times.append(asyncio.get_running_loop().time())
        return OK

    async with running(store, sender=FakeSender(note)) as bed:
        await bed.webhook(rate_per_second=50.0)
        await asyncio.gather(*(bed.publish() for _ in range(26)))
        await bed.until_deliveries(ended(26))

    # Any 16 of them take 15 gaps of 20 ms; one that starts late on a busy machine may have the next right behind it.
    spans = [later - earlier for earlier, later in zip(times, times[15:], strict=False)]
    assert min(spans) > 0.2
    assert times[-1] - times[0] > 0.45  # and all of them 25 gaps, which no late start shortens by much


async def test_changes_of_one_webhook_at_the_same_moment_are_all_made(store: Store) -> None:
    """AF-X5: a change merges its own fields, however many others change theirs meanwhile."""
    organization_id, now = bytes(16), datetime.now(UTC)
    rules = Rules(VAULT, AddressPolicy())
    fields = {"url": "https://receiver.example.com/", "events": ["*"]}
    stored, _ = await create_webhook(store, rules, organization_id, fields, now=now)
    changes: list[dict[str, Any]] = [{"events": ["a.b"]}, {"max_in_flight": 4}, {"max_redirects": 1}]
    changes += [{"metadata": {"a": 1}}, {"headers": {"X-A": "1"}}, {"rate_per_second": 3}, {"ordered": True}]
    changes += [{"name": "N"}, {"timeout_seconds": 3}, {"conditions": {"a": {"eq": 1}}}, {"dialect": "raw"}]
    await asyncio.gather(
        *(update_webhook(store, rules, organization_id, stored.id, one, now=now) for one in changes)
    )
    changed = await get_webhook(store, organization_id, stored.id)

    assert changed.revision == stored.revision + len(changes)
    assert (changed.document.name, changed.document.dialect) == ("N", "raw")
