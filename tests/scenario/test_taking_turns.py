"""Executions that take turns, and runs that are tried again, over both stores (PR-18, PR-19, CONTRACT section 3)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from engine_bed import ORDERS, running

from hookline.core.turns import Turn
from hookline.engine.receive import ExecutionStart
from hookline.model.executions import Execution, Failure, RetryRule
from hookline.model.ids import new_key
from hookline.ports import Once, Repeat
from hookline.ports.runner import Failed, Succeeded

if TYPE_CHECKING:
    from engine_bed import Bed

    from hookline.ports import Store
    from hookline.ports.runner import Outcome, RunJob, RunListener

pytestmark = pytest.mark.asyncio

GATE = b"one gate of many"
DONE = Succeeded(output=b"null")
FLAKY = msgspec.structs.replace(
    ORDERS, retry=RetryRule(max_retries=2, delay_ms=20, is_exponential=True, unique_id="body.data.id")
)


async def _start(bed: Bed, turn: Turn | None = None, data: bytes = b"{}") -> Execution:
    started = await bed.node.start_execution(
        ExecutionStart(
            organization_id=bed.organization_id,
            kind=ORDERS.kind,
            automation_id=ORDERS.id,
            input=data,
            source="trigger",
            trigger_id=new_key(),
            turn=turn,
        )
    )
    assert isinstance(started, Execution)
    return started


class Gauge:
    """Counts how many runs are under way."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.order: list[Any] = []

    async def work(self, job: RunJob, _: RunListener) -> Outcome:
        self.now += 1
        self.most = max(self.most, self.now)
        self.order.append(msgspec.json.decode(job.input or b"null"))
        await asyncio.sleep(0.05)
        self.now -= 1
        return DONE


@pytest.mark.parametrize("limit", [1, 3])
async def test_no_more_than_the_limit_run_and_all_of_them_in_order(store: Store, limit: int) -> None:
    """PR-19: sequential and throttled."""
    gauge = Gauge()
    async with running(store, work={ORDERS: gauge.work}) as bed:
        turn = Turn(gate=GATE, limit=limit)
        started = [await _start(bed, turn, data=str(number).encode()) for number in range(15)]
        for one in started:
            await bed.until_status(one, "succeeded")

    assert gauge.most == limit
    if limit == 1:
        assert gauge.order == list(range(15))


async def test_a_replaced_run_is_killed_and_the_new_one_runs(store: Store) -> None:
    began = asyncio.Event()

    async def work(job: RunJob, _: RunListener) -> Outcome:
        if job.input == b"1":
            began.set()
            await asyncio.sleep(60)
        return DONE

    async with running(store, work={ORDERS: work}) as bed:
        turn = Turn(gate=GATE, when_full="replace")
        old = await _start(bed, turn, data=b"1")
        await began.wait()
        new = await _start(bed, turn, data=b"2")

        assert (await bed.until_status(new, "succeeded")).id == new.id
        ended = await bed.until_status(old, "killed")
        types = await bed.event_types(old)
    assert ended.error is not None
    assert types == ["workflow.execution.started", "workflow.execution.failed"]


async def test_a_skipped_start_answers_with_the_run_that_is_under_way(store: Store) -> None:
    release = asyncio.Event()

    async def work(_: RunJob, __: RunListener) -> Outcome:
        await release.wait()
        return DONE

    async with running(store, work={ORDERS: work}) as bed:
        turn = Turn(gate=GATE, when_full="skip")
        first = await _start(bed, turn)
        second = await _start(bed, turn)
        release.set()
        await bed.until_status(first, "succeeded")
        third = await _start(bed, turn)

    assert second.id == first.id
    assert third.id != first.id


async def test_many_requests_in_quick_succession_run_once_with_the_last_input(store: Store) -> None:
    gauge = Gauge()
    async with running(store, work={ORDERS: gauge.work}) as bed:
        turn = Turn(mark=GATE, delay=timedelta(milliseconds=300))
        started = [await _start(bed, turn, data=str(number).encode()) for number in range(5)]
        await bed.until_status(started[0], "succeeded")

    assert {one.id for one in started} == {started[0].id}
    assert gauge.order == [4]


async def test_a_repeat_of_a_request_that_was_merged_starts_nothing(store: Store) -> None:
    """P5: its work went into the execution that stood for it, also when that has run meanwhile."""
    gauge = Gauge()
    async with running(store, work={ORDERS: gauge.work}) as bed:
        turn = Turn(mark=GATE, delay=timedelta(milliseconds=200))
        first = await _start(bed, turn, data=b"1")
        once = Once(
            scope=bed.organization_id,
            name="key second",
            digest=b"d" * 32,
            answer=b"",
            expires_at=bed.node.clock.now() + timedelta(hours=1),
        )
        second = ExecutionStart(
            organization_id=bed.organization_id,
            kind=ORDERS.kind,
            automation_id=ORDERS.id,
            input=b"2",
            trigger_id=new_key(),
            turn=turn,
            once=once,
        )
        merged = await bed.node.start_execution(second, answer=lambda execution: execution.id)
        await bed.until_status(first, "succeeded")
        again = await bed.node.start_execution(second, answer=lambda execution: execution.id)

    assert isinstance(merged, Execution)
    assert merged.id == first.id
    assert again == Repeat(answer=first.id, is_same=True)
    assert gauge.order == [2]


async def test_a_failed_run_is_tried_again_until_it_succeeds_and_ends_once(store: Store) -> None:
    """PR-18: the failures between are log lines and no events."""
    runs: list[int] = []

    async def work(job: RunJob, _: RunListener) -> Outcome:
        runs.append(job.attempt)
        if len(runs) < 3:
            return Failed(failure=Failure(code="FAILED", message=f"no luck {len(runs)}"))
        return DONE

    async with running(store, work={FLAKY: work}) as bed:
        started = await _start(bed)
        await bed.until_status(started, "succeeded")
        types = await bed.event_types(started)
        lines = [line.text for line in await bed.node.store.logs(started.id, after=-1, limit=10)]

    assert runs == [1, 2, 3]
    assert types == ["workflow.execution.started", "workflow.execution.completed"]
    assert [line.partition(" Retry")[0] for line in lines] == ["FAILED: no luck 1", "FAILED: no luck 2"]


async def test_a_run_that_fails_too_often_has_failed(store: Store) -> None:
    """PR-18: max_retries counts what follows the first run."""
    runs: list[int] = []

    async def work(job: RunJob, _: RunListener) -> Outcome:
        runs.append(job.attempt)
        return Failed(failure=Failure(code="FAILED", message="never"))

    async with running(store, work={FLAKY: work}) as bed:
        ended = await bed.until_status(await _start(bed), "failed")

    assert len(runs) == 3
    assert ended.error == Failure(code="FAILED", message="never")


async def test_a_new_request_about_the_same_thing_ends_the_retries_of_the_old(store: Store) -> None:
    """PR-18 ``uniqueRequestIdField``."""
    slow = msgspec.structs.replace(ORDERS, retry=RetryRule(max_retries=5, delay_ms=60_000))

    async def work(job: RunJob, _: RunListener) -> Outcome:
        return Failed(failure=Failure(code="FAILED", message="old")) if job.input == b"1" else DONE

    async with running(store, work={slow: work}) as bed:
        turn = Turn(mark=GATE, same_mark="supersede")
        old = await _start(bed, turn, data=b"1")
        await bed.until_status(old, "waiting")
        new = await _start(bed, turn, data=b"2")

        await bed.until_status(new, "succeeded")
        await bed.until_status(old, "killed")
