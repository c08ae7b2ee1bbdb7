"""Waiting for the end of an execution: nobody misses it, on any node, and leaving changes nothing (P20)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from api_bed import serving
from engine_bed import ORDERS, running

from hookline.engine.clock import SystemClock
from hookline.engine.receive import ExecutionStart
from hookline.model.executions import Failure
from hookline.model.ids import new_key
from hookline.ports.runner import Failed, Succeeded
from hookline.stores.postgres.store import PostgresStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from engine_bed import Bed

    from hookline.model.executions import Ending
    from hookline.model.ids import Key
    from hookline.ports import Store
    from hookline.ports.runner import Outcome, RunJob, RunListener
    from hookline.testing.postgres import PostgresServer

pytestmark = pytest.mark.asyncio


async def brief(job: RunJob, _: RunListener) -> Outcome:
    """Five milliseconds; the result is the input."""
    await asyncio.sleep(0.005)
    return Succeeded(output=job.input or b"null")


async def call(bed: Bed, data: bytes = b"1", *, seconds: float = 20.0) -> tuple[Key, Ending | None, float]:
    """Start and wait, as a synchronous trigger does. Returns id, ending, and when it was told (UTC)."""
    id_ = new_key()
    start = ExecutionStart(
        organization_id=bed.organization_id,
        kind=ORDERS.kind,
        automation_id=ORDERS.id,
        input=data,
        id=id_,
        is_awaited=True,
    )
    with bed.node.endings.expect(id_) as waiter:
        await bed.node.start_execution(start)
        ending = await waiter.ended(seconds)
    return id_, ending, bed.node.clock.now().timestamp()


async def started(bed: Bed) -> None:
    async with asyncio.timeout(10):
        while not bed.runner.started:  # noqa: ASYNC110 -- a list of the fake runner
            await asyncio.sleep(0.01)


def lags(answers: list[tuple[Key, Ending | None, float]]) -> list[float]:
    """Seconds from each run's end to its answer, ascending."""
    return sorted(at - ending.completed_at.timestamp() for _, ending, at in answers if ending is not None)


@asynccontextmanager
async def two_nodes(url: str, work: dict[object, object]) -> AsyncIterator[tuple[Bed, Bed]]:
    """A node that only receives, and one that only runs."""
    one, two = (PostgresStore(url, clock=SystemClock()) for _ in range(2))
    await one.open()
    await two.open()
    try:
        async with (
            running(one, work=work, roles=("receive",)) as near,  # type: ignore[arg-type]
            running(two, work=work, roles=("execute",), organization_id=near.organization_id) as far,  # type: ignore[arg-type]
        ):
            yield near, far
    finally:
        await one.close()
        await two.close()


async def test_a_thousand_short_runs_are_all_answered_each_with_its_own_result(store: Store) -> None:
    """P20: a run that is over before its caller begins to wait is the common case, not a race."""
    async with running(store, work={ORDERS: brief}) as bed:
        answers = await asyncio.gather(*(call(bed, b"%d" % number) for number in range(1_000)))
        waiting = bed.node.endings.waiting

    assert [ending.output for _, ending, _ in answers if ending] == [b"%d" % n for n in range(1_000)]
    assert [id_ for id_, _, _ in answers] == [ending.execution_id for _, ending, _ in answers if ending]
    assert waiting == 0


async def test_a_thousand_runs_on_another_node_are_all_answered(postgres_server: PostgresServer) -> None:
    """P20: the caller is on one node, its run on another."""
    async with two_nodes(postgres_server.fresh_database(), {ORDERS: brief}) as (near, far):
        answers = await asyncio.gather(*(call(near, b"%d" % number) for number in range(1_000)))
        ran = len(far.runner.started)

    assert [ending.output for _, ending, _ in answers if ending] == [b"%d" % n for n in range(1_000)]
    assert ran == 1_000


async def test_an_end_on_another_node_is_told_by_its_signal(postgres_server: PostgresServer) -> None:
    """P20: without looking at the record first, which would take a second."""
    async with two_nodes(postgres_server.fresh_database(), {ORDERS: brief}) as (near, _):
        answers = [await call(near) for _ in range(20)]

    assert lags(answers)[10] < 0.5, "half of them came by a signal"


async def test_a_lost_signal_costs_a_moment_and_no_answer(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P20: the record is looked at when nobody tells."""
    async with two_nodes(postgres_server.fresh_database(), {ORDERS: brief}) as (near, _):
        monkeypatch.setattr(near.node.endings, "heard", lambda _: None)
        _, ending, _ = await call(near)

    assert ending is not None
    assert ending.output == b"1"


async def test_a_failure_is_told_as_one(store: Store) -> None:
    async def fail(_: RunJob, __: RunListener) -> Outcome:
        return Failed(failure=Failure(code="FAILED", message="no such order"))

    async with running(store, work={ORDERS: fail}) as bed:
        _, ending, _ = await call(bed)

    assert ending is not None
    assert (ending.status, ending.output) == ("failed", None)
    assert ending.error is not None
    assert ending.error.message == "no such order"


async def test_when_the_wait_is_over_the_run_goes_on(store: Store) -> None:
    """P20: nothing is told, and the id is good."""
    go = asyncio.Event()

    async def slow(_: RunJob, __: RunListener) -> Outcome:
        await go.wait()
        return Succeeded(output=b'"late"')

    async with running(store, work={ORDERS: slow}) as bed:
        id_, ending, _ = await call(bed, seconds=0.05)
        go.set()
        late = await bed.node.endings.join(id_, 5)

    assert ending is None
    assert late is not None
    assert late.output == b'"late"'


async def test_who_leaves_cancels_nothing_and_leaves_nothing_behind(store: Store) -> None:
    """P20: the caller's disconnect."""
    go = asyncio.Event()

    async def slow(_: RunJob, __: RunListener) -> Outcome:
        await go.wait()
        return Succeeded(output=b"2")

    async with running(store, work={ORDERS: slow}) as bed:
        leaving = asyncio.create_task(call(bed))
        await started(bed)
        leaving.cancel()
        await asyncio.wait((leaving,))
        waiting = bed.node.endings.waiting
        go.set()
        ending = await bed.node.endings.join(bed.runner.started[0].execution_id, 5)

    assert waiting == 0
    assert ending is not None
    assert ending.status == "succeeded"


async def test_one_that_ended_long_ago_is_told_at_once(store: Store) -> None:
    async with running(store, work={ORDERS: brief}) as bed:
        id_, _, _ = await call(bed)
        began = asyncio.get_running_loop().time()
        ending = await bed.node.endings.join(id_, 20)
        took = asyncio.get_running_loop().time() - began

    assert ending is not None
    assert took < 10


async def test_a_caller_on_a_third_node_is_told_too(postgres_server: PostgresServer) -> None:
    """A repeated request finds the first one's execution running elsewhere, and waits for it as well."""
    go = asyncio.Event()

    async def slow(job: RunJob, _: RunListener) -> Outcome:
        await go.wait()
        return Succeeded(output=job.input or b"null")

    url = postgres_server.fresh_database()
    async with two_nodes(url, {ORDERS: slow}) as (near, far):
        first = asyncio.create_task(call(near))
        await started(far)
        third = PostgresStore(url, clock=SystemClock())
        await third.open()
        async with running(third, roles=("receive",), organization_id=near.organization_id) as other:
            joined = asyncio.create_task(other.node.endings.join(far.runner.started[0].execution_id, 10))
            await asyncio.sleep(0.1)
            go.set()
            ending = await joined
            _, told, _ = await first
        await third.close()

    assert ending == told
    assert ending is not None


async def test_a_node_that_stops_lets_nobody_wait(store: Store) -> None:
    """P17: the answer is then the id; the run is given back or ends."""
    async with running(store, work={ORDERS: brief}) as bed:
        waiting = asyncio.create_task(bed.node.endings.join(new_key(), 60))
        await asyncio.sleep(0.05)
        bed.node.endings.close()

        assert await asyncio.wait_for(waiting, 1) is None
        assert await bed.node.endings.join(new_key(), 60) is None
        assert not bed.node.endings.has_room


async def test_whoever_has_a_key_may_wait_where_an_execution_is_shown(store: Store) -> None:
    """P20, by the management API: `Prefer: wait=N` (RFC 7240)."""
    go = asyncio.Event()

    async def slow(_: RunJob, __: RunListener) -> Outcome:
        await go.wait()
        return Succeeded(output=b"2")

    async with serving(store, work={ORDERS: slow}) as api:
        started = await api.admin("POST", "/api/v1/workflows/orders/executions", {})
        path = f"/api/v1/executions/{started.json['execution_id']}"
        early = await api.admin("GET", path, headers={"Prefer": "wait=0"})
        waiting = asyncio.create_task(api.admin("GET", path, headers={"Prefer": "wait=30"}))
        await asyncio.sleep(0.1)
        was_waiting = not waiting.done()
        go.set()
        late = await waiting

    assert early.json["status"] in {"queued", "running"}
    assert was_waiting
    assert (late.json["status"], late.json["output"]) == ("succeeded", 2)
    assert late.headers["preference-applied"] == "wait=30"
