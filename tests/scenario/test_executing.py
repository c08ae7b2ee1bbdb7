"""What a node does with an execution, over both stores: one start, its steps, exactly one end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from engine_bed import ORDERS, RESUMABLE, SUPPORT, parsed, running
from seed_bodies import COMPLETED_CONVERSATION, COMPLETED_WORKFLOW

from hookline.model.executions import Failure, JournalEntry
from hookline.model.ids import public
from hookline.ports.runner import EmitDraft, Failed, LogDraft, Lost, OpenWait, Succeeded, Suspended

if TYPE_CHECKING:
    from engine_bed import Bed

    from hookline.ports import Store
    from hookline.ports.runner import Outcome, RunJob, RunListener
    from hookline.testing.fakes import Work

pytestmark = pytest.mark.asyncio

DONE = Succeeded(output=b'{"ok":true}')


async def succeed(_: RunJob, __: RunListener) -> Outcome:
    return DONE


async def test_a_workflow_runs_and_its_end_is_delivered(store: Store) -> None:
    """AF-9: the terminal event carries input, output and what it cost."""
    async with running(store, work={ORDERS: succeed}) as bed:
        await bed.webhook(events=("workflow.execution.completed",), dialect="agenticflow")
        execution = await bed.start(data=b'{"order":7}')
        ended = await bed.until_status(execution, "succeeded")
        (request,) = await bed.sender.received(1)
        types = await bed.event_types(execution)

    body = parsed(request.body)
    assert list(body) == ["event", "timestamp", "webhook_id", "data"]
    assert list(body["data"]) == COMPLETED_WORKFLOW
    assert (body["data"]["input_data"], body["data"]["output_data"]) == ({"order": 7}, {"ok": True})
    assert types == ["workflow.execution.started", "workflow.execution.completed"]
    assert ended.attempt == 1


async def test_steps_logs_credits_and_emits_are_kept_in_order(store: Store) -> None:
    async def work(job: RunJob, listener: RunListener) -> Outcome:
        at = bed.node.clock.now()
        step = JournalEntry(op="step", name="charge", occurrence=0, value=b"42", started_at=at, duration_ms=3)
        log = LogDraft(at=at, stream="log", level="info", text="charged")
        emit = EmitDraft(type="order.charged", data=b'{"n":1}', occurrence=0, at=at)
        await listener.recorded([step], [log], 1.5, [emit])
        return DONE

    async with running(store, work={ORDERS: work}) as bed:
        execution = await bed.start()
        ended = await bed.until_status(execution, "succeeded")
        events = await store.execution_events(execution.id)
        logs = await store.logs(execution.id, after=-1, limit=10)

    assert [event.type for event in events] == [
        "workflow.execution.started",
        "workflow.step.completed",
        "order.charged",
        "workflow.execution.completed",
    ]
    assert [event.sequence for event in events] == [1, 2, 3, 4]
    assert (ended.steps, ended.credits_used) == (1, 1.5)
    assert [line.text for line in logs] == ["charged"]


async def test_an_agents_turn_emits_its_four_events(store: Store) -> None:
    """AF-6, AF-10."""

    async def reply(_: RunJob, __: RunListener) -> Outcome:
        return Succeeded(output=b'"Hello"', resolution=b'{"type":"solved","category":"billing","tags":["a"]}')

    async with running(store, work={SUPPORT: reply}) as bed:
        execution = await bed.start(SUPPORT, b'{"message":"Hi","user_id":"user_123"}')
        await bed.until_status(execution, "succeeded")
        events = await store.execution_events(execution.id)

    assert [event.type for event in events] == [
        "agent.conversation.started",
        "agent.message.received",
        "agent.message.sent",
        "agent.conversation.completed",
    ]
    data = parsed(events[-1].data)
    assert list(data) == COMPLETED_CONVERSATION
    assert (data["message_count"], data["user_id"], data["status"]) == (2, "user_123", "resolved")
    assert data["resolution"] == {"type": "solved", "category": "billing", "tags": ["a"]}


@pytest.mark.parametrize(("source", "status"), [("workflow", "killed"), ("flow", "succeeded")])
async def test_a_child_whose_parent_has_ended_does_not_begin(store: Store, source: str, status: str) -> None:
    """Issue 5, item 5: a parent's node that dies before it has written down what it started leaves such a one. A flow
    that was called goes on by itself.
    """
    ran: list[str] = []

    async def work(job: RunJob, _: RunListener) -> Outcome:
        ran.append(job.automation_id)
        return DONE

    async with running(store, work={ORDERS: work, RESUMABLE: work}) as bed:
        parent = await bed.until_status(await bed.start(), "succeeded")
        by = {"execution_id": public("execution", parent.id), "waits_for": "run_workflow:x:0"}
        child = await bed.start(RESUMABLE, source=source, trigger=msgspec.json.encode({"called_by": by}))
        ended = await bed.until_status(child, "killed", "succeeded")

    assert ended.status == status
    assert len(ran) == (1 if status == "killed" else 2)


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (Failed(failure=Failure(code="FAILED", message="no stock", type="ValueError")), "failed", "FAILED"),
        (Lost(failure=Failure(code="LOST", message="killed by signal 9")), "lost", "LOST"),
    ],
)
async def test_an_execution_that_does_not_succeed_ends_in_one_failed_event(
    store: Store, outcome: Outcome, status: str, code: str
) -> None:
    """CONTRACT section 5: exactly one terminal event, of the kind's own type, with its code."""

    async def work(_: RunJob, __: RunListener) -> Outcome:
        return outcome

    async with running(store, work={ORDERS: work}) as bed:
        execution = await bed.start()
        await bed.until_status(execution, status)
        events = await store.execution_events(execution.id)

    assert [event.type for event in events] == ["workflow.execution.started", "workflow.execution.failed"]
    assert parsed(events[-1].data)["error"]["code"] == code


async def test_a_lost_run_that_may_resume_starts_again_with_its_journal(store: Store) -> None:
    """K12: resumed only where declared."""

    async def work(job: RunJob, listener: RunListener) -> Outcome:
        if job.attempt == 1:
            at = bed.node.clock.now()
            await listener.recorded(
                [JournalEntry(op="step", name="a", occurrence=0, value=b"1", started_at=at)], [], 0.0, []
            )
            return Lost(failure=Failure(code="LOST", message="killed by signal 9"))
        return Succeeded(output=b"%d" % len(job.journal))

    async with running(store, work={RESUMABLE: work}) as bed:
        execution = await bed.start(RESUMABLE)
        ended = await bed.until_status(execution, "succeeded", "lost")
        types = await bed.event_types(execution)

    assert (ended.status, ended.output, ended.attempt) == ("succeeded", b"1", 2)
    assert types.count("workflow.execution.started") == 1


async def test_sleeping_holds_no_run_and_wakes_by_itself(store: Store) -> None:
    async def work(job: RunJob, _: RunListener) -> Outcome:
        if job.attempt == 1:
            return Suspended(wake_at=bed.node.clock.now() + timedelta(milliseconds=300))
        return DONE

    async with running(store, work={ORDERS: work}) as bed:
        execution = await bed.start()
        waiting = await bed.until_status(execution, "waiting")
        async with asyncio.timeout(5):
            while bed.node.executor._running:  # noqa: ASYNC110 -- it is stored a moment before its task is told
                await asyncio.sleep(0.001)
        ended = await bed.until_status(execution, "succeeded")

    assert waiting.attempt == 1
    assert ended.completed_at is not None
    assert ended.completed_at - execution.created_at >= timedelta(milliseconds=300)


def waiter(holder: list[Bed]) -> Work:
    async def work(job: RunJob, listener: RunListener) -> Outcome:
        answered = [entry for entry in job.journal if entry.op == "wait" and entry.value is not None]
        if answered:
            return Succeeded(output=answered[0].value or b"null")
        at = holder[0].node.clock.now()
        if not job.journal:
            entry = JournalEntry(op="wait", name="paid", occurrence=0, value=None, started_at=at)
            await listener.recorded([entry], [], 0.0, [])
        return Suspended(wake_at=None, waits=(OpenWait(name="paid", occurrence=0),))

    return work


async def test_an_event_resumes_what_waits_for_it_and_only_once(store: Store) -> None:
    """DEMANDS 29: one winner, the others are told."""
    holder: list[Bed] = []
    async with running(store, work={ORDERS: waiter(holder)}) as bed:
        holder.append(bed)
        execution = await bed.start()
        await bed.until_status(execution, "waiting")
        said = await asyncio.gather(
            *(bed.node.resume(bed.organization_id, execution.id, "paid", b'{"by":%d}' % n) for n in range(20))
        )
        ended = await bed.until_status(execution, "succeeded")
        late = await bed.node.resume(bed.organization_id, execution.id, "paid", b"1")

    assert sorted(said) == ["conflict"] * 19 + ["resumed"]
    assert ended.output is not None
    assert parsed(ended.output)["by"] == said.index("resumed")
    assert late == "conflict"


async def test_an_early_resume_is_kept_for_the_wait(store: Store) -> None:
    """DEMANDS 29: resuming before the wait works."""
    holder: list[Bed] = []
    go = asyncio.Event()
    inner = waiter(holder)

    async def work(job: RunJob, listener: RunListener) -> Outcome:
        await go.wait()
        return await inner(job, listener)

    async with running(store, work={ORDERS: work}) as bed:
        holder.append(bed)
        execution = await bed.start()
        await bed.until_status(execution, "running")
        said = await bed.node.resume(bed.organization_id, execution.id, "paid", b'"early"')
        go.set()
        ended = await bed.until_status(execution, "succeeded")

    assert said == "stored"
    assert ended.output == b'"early"'


async def test_cancel_ends_a_running_and_a_waiting_execution(store: Store) -> None:
    async def hang(_: RunJob, __: RunListener) -> Outcome:
        await asyncio.Event().wait()
        return DONE

    async def sleep(_: RunJob, __: RunListener) -> Outcome:
        return Suspended(wake_at=bed.node.clock.now() + timedelta(hours=1))

    async with running(store, work={ORDERS: hang, RESUMABLE: sleep}) as bed:
        run, wait = await bed.start(ORDERS), await bed.start(RESUMABLE)
        await bed.until_status(run, "running")
        await bed.until_status(wait, "waiting")
        await bed.node.cancel(bed.organization_id, run.id)
        await bed.node.cancel(bed.organization_id, wait.id)
        await bed.until_status(run, "killed")
        await bed.until_status(wait, "killed")
        types = [await bed.event_types(run), await bed.event_types(wait)]
        again = await bed.node.cancel(bed.organization_id, run.id)

    assert all(found.count("workflow.execution.failed") == 1 for found in types)
    assert again is not None
    assert again.status == "killed"


async def test_what_a_dead_node_ran_is_lost_once_and_what_it_queued_runs(store: Store) -> None:
    """K12, DEMANDS 3: exactly one terminal event whatever died."""

    async def hang(_: RunJob, __: RunListener) -> Outcome:
        await asyncio.Event().wait()
        return DONE

    async with running(store, work={ORDERS: hang}, stop=False) as first:
        execution = await first.start()
        await first.until_status(execution, "running")
    await asyncio.sleep(0.05)
    await first.node.lease.close()

    async with running(store, work={ORDERS: succeed}, organization_id=first.organization_id) as second:
        ended = await second.until_status(execution, "lost", "succeeded")
        fresh = await second.start()
        await second.until_status(fresh, "succeeded")
        types = await second.event_types(execution)

    assert ended.status == "lost"
    assert types == ["workflow.execution.started", "workflow.execution.failed"]


async def test_an_automations_own_limit_is_kept(store: Store) -> None:
    import msgspec

    limited = msgspec.structs.replace(ORDERS, concurrency=2)
    at_once = most = 0

    async def work(_: RunJob, __: RunListener) -> Outcome:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1
        return DONE

    async with running(store, work={limited: work}) as bed:
        executions = [await bed.start() for _ in range(12)]
        for execution in executions:
            await bed.until_status(execution, "succeeded")

    assert most == 2


async def test_the_estimate_comes_from_the_automations_own_history(store: Store) -> None:
    """AF-4."""

    async def work(_: RunJob, __: RunListener) -> Outcome:
        await asyncio.sleep(0.1)
        return DONE

    async with running(store, work={ORDERS: work}) as bed:
        for _ in range(3):
            await bed.until_status(await bed.start(), "succeeded")
        estimate = await bed.node.estimated_completion(ORDERS.kind, ORDERS.id)
        ahead = estimate - bed.node.clock.now()

    assert timedelta(milliseconds=50) < ahead < timedelta(milliseconds=600)
