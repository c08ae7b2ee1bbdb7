"""Executions that take turns, and those that a later request recognizes (SEEDS PR-18, PR-19; CONTRACT section 3)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from store_bed import LEASE, apply, changed, execution, once, request

from hookline.model.ids import new_key
from hookline.model.states import ExecutionStatus
from hookline.ports import Accept, Begin, ClaimExecutions, Finish, Instead, Repeat, Requeue, Suspend

if TYPE_CHECKING:
    from store_bed import Backend, ManualClock

    from hookline.model.executions import Execution
    from hookline.model.ids import Key
    from hookline.ports import Epoch, Store

pytestmark = pytest.mark.asyncio

GATE = b"gate-0123456789a"
OTHER = b"gate-another----"
MARK = b"mark-0123456789a"
QUEUED, WAITING = ExecutionStatus.QUEUED, ExecutionStatus.WAITING


async def _start(store: Store, epoch: Epoch, new: Execution, **rules: Any) -> Any:
    return await apply(store, Accept(epoch=epoch, execution=new, **rules))


async def _claim(store: Store, epoch: Epoch, clock: ManualClock) -> tuple[Execution, ...]:
    claimed = await apply(store, ClaimExecutions(epoch=epoch, limit=10, now=clock.now()))
    assert isinstance(claimed, tuple)
    return claimed


async def _claimed(store: Store, epoch: Epoch, clock: ManualClock) -> list[Key]:
    return [one.id for one in await _claim(store, epoch, clock)]


async def _end(store: Store, epoch: Epoch, clock: ManualClock, one: Execution) -> None:
    finish = Finish(
        epoch=epoch,
        execution_id=one.id,
        status=ExecutionStatus.SUCCEEDED,
        completed_at=clock.now(),
        gate=one.gate,
    )
    assert await apply(store, finish) is True


def _gated(org: Key, clock: ManualClock, limit: int = 1, **changes: Any) -> Execution:
    return execution(org, clock.now(), **({"gate": GATE, "gate_limit": limit} | changes))


async def test_one_after_the_other(store: Store, epoch: Epoch, clock: ManualClock, org: Key) -> None:
    """PR-19 sequential: the oldest first, each only when the one before has ended, failed or not."""
    first, second, third = (_gated(org, clock) for _ in range(3))
    for one in (first, second, third):
        assert await _start(store, epoch, one) is True

    assert await _claimed(store, epoch, clock) == [first.id]
    assert await _claimed(store, epoch, clock) == []
    await _end(store, epoch, clock, first)
    assert await _claimed(store, epoch, clock) == [second.id]
    await _end(store, epoch, clock, second)
    assert await _claimed(store, epoch, clock) == [third.id]


async def test_so_many_at_once_and_each_gate_for_itself(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """PR-19 throttled."""
    ours = [_gated(org, clock, limit=2) for _ in range(4)]
    other = _gated(org, clock, gate=OTHER)
    for one in (*ours, other):
        await _start(store, epoch, one)

    assert await _claimed(store, epoch, clock) == [ours[0].id, ours[1].id, other.id]
    await _end(store, epoch, clock, other)
    assert await _claimed(store, epoch, clock) == []
    await _end(store, epoch, clock, ours[1])
    assert await _claimed(store, epoch, clock) == [ours[2].id]


async def test_one_that_sleeps_keeps_its_turn(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    first, second = _gated(org, clock), _gated(org, clock)
    for one in (first, second):
        await _start(store, epoch, one)
    await _claimed(store, epoch, clock)
    begin = Begin(epoch=epoch, execution_id=first.id, started_at=clock.now(), launch_ms=1)
    assert await apply(store, begin) is True

    wake_at = clock.now() + timedelta(seconds=5)
    assert (
        await apply(store, Suspend(epoch=epoch, execution_id=first.id, waits=(), wake_at=wake_at))
        == "waiting"
    )

    assert await _claimed(store, epoch, clock) == []
    clock.move(timedelta(seconds=5))
    assert await _claimed(store, epoch, clock) == [first.id]


async def test_one_that_goes_back_to_the_queue_keeps_its_turn(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    first, second = _gated(org, clock), _gated(org, clock)
    for one in (first, second):
        await _start(store, epoch, one)
    await _claimed(store, epoch, clock)

    assert await apply(store, Requeue(epoch=epoch, execution_id=first.id)) is True

    assert await _claimed(store, epoch, clock) == [first.id]


async def test_a_full_gate_skips(store: Store, epoch: Epoch, clock: ManualClock, org: Key) -> None:
    """The request is kept under the execution that runs; nothing says later that it was done already."""
    first, second, third = (_gated(org, clock) for _ in range(3))
    await _start(store, epoch, first, when_full="skip")
    kept = request(org, clock.now(), execution_id=second.id)
    name = once(new_key(), "delivery 1", clock.now() + timedelta(hours=1))

    result = await _start(store, epoch, second, when_full="skip", request=kept, once=name)

    assert result == Instead(execution_id=first.id, reason="skipped")
    assert await store.execution(second.id, organization_id=org) is None
    stored = await store.request(kept.id, organization_id=org)
    assert stored is not None
    assert stored.execution_id == first.id
    await _claimed(store, epoch, clock)
    await _end(store, epoch, clock, first)
    assert await _start(store, epoch, third, when_full="skip", once=name) is True


async def test_requests_of_one_name_that_come_together_are_all_answered_with_the_run_there_is(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """P5: none is told of an execution that was never stored, also when one transaction carries them all."""
    first, *others = (_gated(org, clock) for _ in range(4))
    await _start(store, epoch, first, when_full="skip")
    name = once(new_key(), "delivery 1", clock.now() + timedelta(hours=1), answer=b"names no execution")
    kept = [request(org, clock.now(), execution_id=one.id) for one in others]
    writes = [
        Accept(epoch=epoch, execution=one, request=record, when_full="skip", once=name)
        for one, record in zip(others, kept, strict=True)
    ]

    results = await store.commit(writes)

    assert list(results) == [Instead(execution_id=first.id, reason="skipped")] * 3
    for record in kept:
        stored = await store.request(record.id, organization_id=org)
        assert stored is not None
        assert stored.execution_id == first.id


async def test_a_full_gate_is_replaced(store: Store, epoch: Epoch, clock: ManualClock, org: Key) -> None:
    """What runs and what waits for its turn is asked to end, durably, and the new one begins."""
    runs, waits, new = (_gated(org, clock) for _ in range(3))
    await _start(store, epoch, runs)
    await _start(store, epoch, waits)
    await _claimed(store, epoch, clock)

    assert await _start(store, epoch, new, when_full="replace") is True

    assert await store.cancel_requested(epoch) == [runs.id]
    claimed = await _claim(store, epoch, clock)
    assert [(one.id, one.is_cancel_requested) for one in claimed] == [(waits.id, True), (new.id, False)]


async def test_a_later_request_takes_the_place_of_one_that_waits(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """Debounce: one execution, with the last input, begun when it is quiet, but not put off for ever."""
    due = clock.now() + timedelta(seconds=2)
    first = execution(org, clock.now(), status=WAITING, wake_at=due, mark=MARK, input=b"1")
    await _start(store, epoch, first, merge_within_ms=3_000)

    clock.move(timedelta(seconds=1))
    later = changed(first, id=new_key(), wake_at=due + timedelta(seconds=1), input=b"2")
    assert await _start(store, epoch, later, merge_within_ms=3_000) == Instead(
        execution_id=first.id, reason="merged"
    )
    clock.move(timedelta(seconds=1))
    last = changed(first, id=new_key(), wake_at=due + timedelta(seconds=2), input=b"3")
    await _start(store, epoch, last, merge_within_ms=3_000)

    assert await _claimed(store, epoch, clock) == []
    clock.move(timedelta(seconds=1))
    claimed = await _claim(store, epoch, clock)
    assert [(one.id, one.input) for one in claimed] == [(first.id, b"3")]
    fresh = changed(first, id=new_key(), wake_at=clock.now() + timedelta(seconds=2))
    assert await _start(store, epoch, fresh, merge_within_ms=3_000) is True


async def test_a_repeat_of_a_merged_request_means_the_execution_it_went_into(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """P5: from the commit on, also for a node that died before it could say what the answer was."""
    due = clock.now() + timedelta(seconds=2)
    first = execution(org, clock.now(), status=WAITING, wake_at=due, mark=MARK, input=b"1")
    await _start(store, epoch, first)
    expires_at = clock.now() + timedelta(hours=1)
    named = once(org, "key one", expires_at, answer=b"names an execution that is not there")
    merged = await _start(store, epoch, changed(first, id=new_key(), input=b"2"), once=named)

    again = await _start(store, epoch, changed(first, id=new_key(), input=b"2"), once=named)
    other = msgspec.structs.replace(named, digest=b"o" * 32)
    changed_body = await _start(store, epoch, changed(first, id=new_key(), input=b"3"), once=other)
    await store.finish(msgspec.structs.replace(named, answer=b"names the first"), epoch)
    told = await _start(store, epoch, changed(first, id=new_key(), input=b"2"), once=named)

    assert merged == Instead(execution_id=first.id, reason="merged")
    assert again == Repeat(answer=b"", is_same=True, instead=first.id)
    assert changed_body == Repeat(answer=b"", is_same=False, instead=first.id)
    assert told == Repeat(answer=b"names the first", is_same=True)


async def test_a_new_request_ends_the_retries_of_an_old_one(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """PR-18 ``uniqueRequestIdField``."""
    old = execution(org, clock.now(), mark=MARK)
    await _start(store, epoch, old, same_mark="supersede")
    await _claimed(store, epoch, clock)
    await apply(store, Begin(epoch=epoch, execution_id=old.id, started_at=clock.now(), launch_ms=1))
    retry_at = clock.now() + timedelta(minutes=1)
    await apply(store, Suspend(epoch=epoch, execution_id=old.id, waits=(), wake_at=retry_at))
    new = execution(org, clock.now(), mark=MARK)

    assert await _start(store, epoch, new, same_mark="supersede") is True

    claimed = await _claim(store, epoch, clock)
    assert [(one.id, one.is_cancel_requested) for one in claimed] == [(old.id, True), (new.id, False)]


async def test_two_nodes_never_give_one_turn_twice(
    backend: Backend, store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """Concurrent starts and ends over one gate, each node with a connection of its own where the store has them."""
    if backend.name == "sqlite":
        others = [(store, epoch)]
    else:
        second = backend.store()
        await second.open()
        others = [(second, await second.open_node("two", lease=LEASE))]
    nodes = [(store, epoch), *others]
    ones = [_gated(org, clock, limit=2) for _ in range(20)]
    await asyncio.gather(*[_start(*nodes[place % 2], one) for place, one in enumerate(ones)])
    by_id = {one.id: one for one in ones}

    ended = 0
    while ended < len(ones):
        claims = [(node, await _claimed(*node, clock)) for node in nodes]
        assert sum(len(ids) for _, ids in claims) == 2
        ends = [_end(*node, clock, by_id[id_]) for node, ids in claims for id_ in ids]
        await asyncio.gather(*ends)
        ended += 2
    if backend.name != "sqlite":
        await others[0][0].close()
