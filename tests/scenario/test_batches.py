"""Batches by a running node, over both stores (AF-19, CONTRACT section 5)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import pytest
from engine_bed import StandingClock, running

from hookline.engine import word
from hookline.model.configuration import RetryPolicy
from hookline.model.states import AttemptOutcome, DeliveryState
from hookline.ports import FormBatches, Formed
from hookline.ports.sender import Answer
from hookline.testing.fakes import FakeSender

if TYPE_CHECKING:
    from hookline.model.events import Event
    from hookline.ports import Store
    from hookline.ports.sender import Outgoing

pytestmark = pytest.mark.asyncio

FAILED = Answer(outcome=AttemptOutcome.HTTP_ERROR, status=500)
OK = Answer(outcome=AttemptOutcome.DELIVERED, status=200)


def _body(request: Outgoing) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(request.body)
    return body


def _numbers(request: Outgoing) -> list[Any]:
    return [one["data"]["n"] for one in _body(request)["events"]]


async def test_full_batches_go_at_once_and_the_rest_when_its_time_has_come(store: Store) -> None:
    """AF-19, AF-X7: one body, one signature, each event with its own id."""
    async with running(store) as bed:
        webhook = await bed.webhook(
            dialect="agenticflow", batch={"max_events": 4, "max_wait_seconds": 0.3}, name="b"
        )
        ids = [await bed.publish(data=b'{"n":%d}' % number) for number in range(10)]
        requests = await bed.sender.received(3)
        (event_id,) = {dict(request.headers)["webhook-id"] for request in requests[:1]}
        found = await bed.until_deliveries(lambda all_: all(one.ended_at is not None for one in all_))

    bodies = [_body(request) for request in requests]
    assert [_numbers(request) for request in requests] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert list(bodies[0]) == ["batch_id", "webhook_id", "count", "events"]
    assert [body["count"] for body in bodies] == [4, 4, 2]
    assert [one["id"] for body in bodies for one in body["events"]] == ids
    assert list(bodies[0]["events"][0]) == ["id", "event", "timestamp", "webhook_id", "data"]
    assert event_id == bodies[0]["batch_id"]
    assert len(found) == 3
    assert {one.webhook_id for one in found} == {webhook.id}


async def test_a_clock_that_is_set_back_keeps_no_batch(store: Store) -> None:
    """PROMISES section 3: what was added in an hour to come has waited long enough when its time here is over."""
    clock = StandingClock()
    async with running(store, clock=clock) as bed:
        await bed.webhook(dialect="agenticflow", batch={"max_events": 4, "max_wait_seconds": 0.1})
        await bed.publish(data=b'{"n":1}')
        clock.move_to(clock.now() - timedelta(hours=1))
        (request,) = await bed.sender.received(1)

    assert _numbers(request) == [1]


async def test_a_failed_batch_is_sent_again_with_the_same_bytes_and_id(store: Store) -> None:
    tries: list[Outgoing] = []

    def answer(request: Outgoing) -> Answer:
        tries.append(request)
        return FAILED if len(tries) == 1 else OK

    async with running(store, sender=FakeSender(answer)) as bed:
        await bed.webhook(
            batch={"max_events": 2, "max_wait_seconds": 60},
            retry_policy=RetryPolicy(max_retries=2, backoff_multiplier=1),
        )
        for number in range(2):
            await bed.publish(data=b'{"n":%d}' % number)
        await bed.until_deliveries(lambda found: [one.state for one in found] == [DeliveryState.SUCCEEDED])

    first, second = tries
    assert first.body == second.body
    assert dict(first.headers)["webhook-id"] == dict(second.headers)["webhook-id"]


async def test_keys_are_never_mixed_and_their_batches_stay_in_order(store: Store) -> None:
    """P6, CONTRACT section 5."""
    async with running(store) as bed:
        await bed.webhook(batch={"max_events": 2, "max_wait_seconds": 0.2})
        for name in ("a0", "b0", "a1", "a2", "b1", "a3"):
            await bed.publish(data=b'{"n":"%s"}' % name.encode(), ordering_key=name[0])
        requests = await bed.sender.received(3)

    batches = [_numbers(request) for request in requests]
    assert sorted(batches) == [["a0", "a1"], ["a2", "a3"], ["b0", "b1"]]
    assert batches.index(["a0", "a1"]) < batches.index(["a2", "a3"])


async def test_what_waits_is_sent_when_the_node_stops(store: Store) -> None:
    async with running(store) as bed:
        await bed.webhook(batch={"max_events": 100, "max_wait_seconds": 600})
        for number in range(3):
            await bed.publish(data=b'{"n":%d}' % number)
        assert bed.sender.sent == []

    assert [_numbers(request) for request in bed.sender.sent] == [[0, 1, 2]]


async def test_what_waits_survives_a_kill(store: Store) -> None:
    """The next node finds it in the table and sends it when its time has come."""
    async with running(store, stop=False) as bed:
        await bed.webhook(batch={"max_events": 100, "max_wait_seconds": 600})
        for number in range(3):
            await bed.publish(data=b'{"n":%d}' % number)
    later = StandingClock()
    later.move_to(later.now() + timedelta(seconds=600))
    async with running(store, organization_id=bed.organization_id, clock=later) as other:
        requests = await other.sender.received(1, within=8)

    assert [_numbers(request) for request in requests] == [[0, 1, 2]]
    assert bed.sender.sent == []


async def test_an_event_that_our_code_cannot_word_does_not_keep_the_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P22: it is set aside, visible, and the batch goes without it."""
    whole = word.Wording.event

    async def failing(self: word.Wording, target: Any, event: Event) -> bytes:
        if event.data == b'{"n":1}':
            raise RuntimeError("a defect of ours")
        return await whole(self, target, event)

    monkeypatch.setattr(word.Wording, "event", failing)
    async with running(store) as bed:
        await bed.webhook(batch={"max_events": 3, "max_wait_seconds": 60})
        for number in range(3):
            await bed.publish(data=b'{"n":%d}' % number)
        (request,) = await bed.sender.received(1)
        found = await bed.until_deliveries(
            lambda all_: len(all_) == 2 and all(one.ended_at is not None for one in all_)
        )

    assert _numbers(request) == [0, 2]
    assert _body(request)["count"] == 2
    assert [one.state_reason for one in found if one.state is DeliveryState.EXHAUSTED] == [
        "poison: RuntimeError"
    ]


@pytest.mark.parametrize("is_of_one", [False, True])
async def test_waiting_events_are_not_pruned_and_sent_ones_are(store: Store, *, is_of_one: bool) -> None:
    """P16: retention deletes only what is over."""
    async with running(store) as bed:
        await bed.webhook(batch={"max_events": 2, "max_wait_seconds": 600})
        for number in range(3):
            await bed.publish(data=b'{"n":%d}' % number)
        await bed.sender.received(1)
        await bed.until_deliveries(lambda found: all(one.ended_at is not None for one in found))
        later = bed.node.clock.now() + timedelta(days=1)
        own = bed.organization_id if is_of_one else None
        await store.prune(before=later, limit=100, organization_id=own)
        left = await store.events(bed.organization_id, after=None, limit=10)
        deliveries = await bed.deliveries()

    assert [event.data for event in left.events] == [b'{"n":2}']
    assert deliveries == []


async def test_many_keys_that_fill_no_batch_are_not_looked_at_again_and_again(store: Store) -> None:
    """Fifty events of fifty keys are no batch of ten: nothing is done until their time has come."""
    async with running(store) as bed:
        await bed.webhook(batch={"max_events": 10, "max_wait_seconds": 600})
        for number in range(50):
            await bed.publish(data=b'{"n":%d}' % number, ordering_key=str(number))
        before = bed.node.committer.writes
        await asyncio.sleep(0.3)
        idle = bed.node.committer.writes - before
        for number in range(50, 59):
            await bed.publish(data=b'{"n":%d}' % number, ordering_key="7")
        (request,) = await bed.sender.received(1)

    assert idle < 20
    assert _numbers(request) == [7, *range(50, 59)]


async def test_what_a_forming_leaves_is_told_with_its_age_and_its_fullest_group(store: Store) -> None:
    """AF-19, max_wait_seconds: the next look is when the oldest of those left has waited long enough."""
    clock = StandingClock()
    async with running(store, clock=clock) as bed:
        webhook = await bed.webhook(batch={"max_events": 10, "max_wait_seconds": 600})
        began = clock.now()
        for name, seconds in (("a", 1), ("b", 2), ("b", 3), ("a", 4), ("b", 5)):
            clock.move_to(began + timedelta(seconds=seconds))
            await bed.publish(ordering_key=name)
        formed = await bed.node.committer.commit(
            FormBatches(
                epoch=bed.node.lease.epoch,
                organization_id=bed.organization_id,
                webhook_id=webhook.id,
                revision=webhook.revision,
                max_events=10,
                max_bytes=1_000_000,
                added_before=began + timedelta(seconds=1),
                at=clock.now(),
            )
        )

    assert isinstance(formed, Formed)
    assert len(formed.deliveries) == 1
    assert (formed.left, formed.fullest) == (3, 3)
    assert formed.waits_since == began + timedelta(seconds=2)


async def test_a_batch_is_worded_alike_from_memory_and_from_the_table(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P4: a node that dies after the send words the batch again from the table, and sends the same bytes."""
    async with running(store) as bed:
        await bed.webhook(dialect="agenticflow", batch={"max_events": 20, "max_wait_seconds": 60})
        with monkeypatch.context() as patch:
            patch.setattr(type(store), "batch_events", _unread)
            await asyncio.gather(*[bed.publish(data=b'{"n":%d}' % number) for number in range(20)])
            (request,) = await bed.sender.received(1)
            (batch,) = await bed.until_deliveries(lambda found: [one.last_status for one in found] == [200])
        again = await bed.node.deliverer.wording.whole_of(bed.organization_id, batch.id)

    assert again is not None
    assert again[0] == request.body
    assert sorted(_numbers(request)) == list(range(20))


async def _unread(*_: object, **__: object) -> NoReturn:
    raise AssertionError("the batch was read from the table")


async def test_events_and_the_forming_of_their_batch_may_share_a_transaction(store: Store) -> None:
    """Nothing is formed twice, and nothing is left out, whichever of the two the transaction carries out first."""
    async with running(store) as bed:
        webhook = await bed.webhook(batch={"max_events": 100, "max_wait_seconds": 60})
        now = bed.node.clock.now()
        form = FormBatches(
            epoch=bed.node.lease.epoch,
            organization_id=bed.organization_id,
            webhook_id=webhook.id,
            revision=webhook.revision,
            max_events=3,
            max_bytes=1_000_000,
            added_before=now - timedelta(hours=1),
            at=now,
        )
        formed: list[Formed] = []
        for number in range(0, 14, 2):
            publishing = asyncio.gather(*[bed.publish(data=b"%d" % one) for one in (number, number + 1)])
            await asyncio.sleep(0)  # both are posted, and wait for the same commit as what follows
            result = await bed.node.committer.commit(form)
            assert isinstance(result, Formed)
            formed.append(result)
            await publishing
        result = await bed.node.committer.commit(form)
        assert isinstance(result, Formed)

    members = [key for one in (*formed, result) for keys in one.members for key in keys]
    assert len(members) == len(set(members)) == 12
    assert result.left == 2
