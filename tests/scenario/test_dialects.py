"""Real runs through the dialects that only speak of ends, over both stores: what matches, and what is said."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from ended_runs import published
from engine_bed import ORDERS, RESUMABLE, SUPPORT, parsed, running

from hookline.core.matching import Mismatch
from hookline.engine.definitions import Definitions
from hookline.errors import StorageError
from hookline.model.executions import Automation, Failure, JournalEntry, ScriptFacts
from hookline.model.states import DeliveryState, Kind
from hookline.ports.runner import EmitDraft, Failed, LogDraft, Succeeded, TimedOut
from hookline.testing.fakes import OK, FakeSender, refused

if TYPE_CHECKING:
    from hookline.model.executions import Execution
    from hookline.ports import Store
    from hookline.ports.runner import Outcome, RunJob, RunListener
    from hookline.ports.sender import Answer, Outgoing

pytestmark = pytest.mark.asyncio

SCRIPT = Automation(kind=Kind.SCRIPT, id="sort", name="Sort")
ENDS = ("phantombuster", "maxun", "maxun-src", "phantomflow")


def all_succeeded(found: Any) -> bool:
    return bool(found) and all(delivery.state is DeliveryState.SUCCEEDED for delivery in found)


def by_url(sent: list[Outgoing]) -> dict[str, list[dict[str, Any]]]:
    told: dict[str, list[dict[str, Any]]] = {}
    for request in sent:
        told.setdefault(request.url.rsplit("/", 1)[1], []).append(parsed(request.body))
    return told


async def order(_: RunJob, listener: RunListener) -> Outcome:
    """One step, one event of its own, a result."""
    from datetime import UTC, datetime

    at = datetime.now(UTC)
    step = JournalEntry(op="step", name="charge", occurrence=0, value=b"1", started_at=at, duration_ms=1)
    emit = EmitDraft(type="order.charged", data=b'{"order_id":17}', occurrence=0, at=at)
    await listener.recorded([step], [LogDraft(at=at, stream="log", level="info", text="x")], 4.5, [emit])
    return Succeeded(output=b'{"total": 12.0}')


async def test_one_run_ends_once_in_every_dialect_of_ends(store: Store) -> None:
    """PB-2, MX-1, PF-2: one POST at the end; no start, no step. What the run emits itself is told besides."""
    async with running(store, work={ORDERS: order}, public_url="https://hooks.test") as bed:
        for dialect in (*ENDS, "raw"):
            await bed.webhook(url=f"http://receiver.test/{dialect}", dialect=dialect)
        execution = await bed.start()
        await bed.until_status(execution, "succeeded")
        await bed.until_deliveries(lambda found: len(found) == 4 * 2 + 4 and all_succeeded(found))
        ended = await store.execution(execution.id, organization_id=bed.organization_id)
        told = by_url(bed.sender.sent)

    assert ended is not None
    assert [len(told[dialect]) for dialect in (*ENDS, "raw")] == [2, 2, 2, 2, 4]
    buster = next(one for one in told["phantombuster"] if one["agentName"] == "Orders")
    assert (buster["exitMessage"], buster["exitCode"], buster["resultObject"]) == (
        "finished",
        0,
        {"total": 12},
    )
    assert (buster["launchDuration"], buster["runDuration"]) == (ended.launch_ms, ended.run_ms)
    maxun = next(one for one in told["maxun"] if one["data"]["robot_name"] == "Orders")
    assert maxun["data"]["extracted_data"]["captured_texts"] == [{"total": 12}]
    flow = next(one for one in told["phantomflow"] if one["output_url"] is not None)
    assert flow["job_id"] == maxun["data"]["run_id"]
    assert flow["output_url"] == f"https://hooks.test/api/v1/executions/exec_{flow['job_id']}"
    assert flow["credits_used"] == 5
    emitted = next(one for one in told["phantombuster"] if one["agentName"] == "order.charged")
    assert emitted["resultObject"] == {"order_id": 17}


async def test_a_scripts_own_facts_reach_the_receiver(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """PB-3, PB-6: the runner hands them over with its outcome; start and end have the kind's own types."""

    async def definition(*_: object) -> None:
        """The fake runner needs no source."""

    monkeypatch.setattr(Definitions, "definition", definition)
    facts = ScriptFacts(script="sort_1.js", script_org="acme", branch="main", exit_code=3)

    async def work(_: RunJob, __: RunListener) -> Outcome:
        return Failed(failure=Failure(code="FAILED", message="exit code 3"), facts=facts)

    async with running(store, work={SCRIPT: work}) as bed:
        await bed.webhook(dialect="phantombuster", url="http://receiver.test/phantombuster")
        execution = await bed.start(SCRIPT)
        await bed.until_deliveries(all_succeeded)
        types = await bed.event_types(execution)
        (told,) = by_url(bed.sender.sent)["phantombuster"]

    assert types == ["script.execution.started", "script.execution.ended"]
    assert (told["agentName"], told["script"], told["scriptOrg"], told["branch"]) == (
        "Sort",
        "sort_1.js",
        "acme",
        "main",
    )
    assert (told["exitMessage"], told["exitCode"], told["resultObject"]) == ("finished", 3, None)


@pytest.mark.parametrize(
    ("outcome", "message", "code"),
    [
        (
            Failed(failure=Failure(code="FAILED", message="no", type="ValueError", stack="at 7")),
            "finished",
            1,
        ),
        (TimedOut(failure=Failure(code="TIMED_OUT", message="late", limit="org")), "org timeout", 137),
    ],
)
async def test_a_run_that_did_not_succeed_says_so(
    store: Store, outcome: Outcome, message: str, code: int
) -> None:
    """PB-6, PB-7, MX-5, PF-3."""

    async def work(_: RunJob, __: RunListener) -> Outcome:
        return outcome

    async with running(store, work={ORDERS: work}) as bed:
        for dialect in ENDS:
            await bed.webhook(url=f"http://receiver.test/{dialect}", dialect=dialect)
        await bed.start()
        await bed.until_deliveries(lambda found: len(found) == 4 and all_succeeded(found))
        told = {name: one for name, (one,) in by_url(bed.sender.sent).items()}

    assert (told["phantombuster"]["exitMessage"], told["phantombuster"]["exitCode"]) == (message, code)
    assert told["maxun"]["event_type"] == told["maxun-src"]["event_type"] == "run_failed"
    assert told["maxun"]["data"]["error"]["stack"] == outcome.failure.stack  # type: ignore[union-attr]
    assert told["phantomflow"]["error"] == {
        "code": outcome.failure.code,  # type: ignore[union-attr]
        "message": outcome.failure.message,  # type: ignore[union-attr]
    }


async def test_an_agents_turn_ends_once(store: Store) -> None:
    """PB-2: the conversation that ends with the turn is not told a second time."""

    async def answer(_: RunJob, __: RunListener) -> Outcome:
        return Succeeded(output=b'"Hello!"')

    async with running(store, work={SUPPORT: answer}) as bed:
        await bed.webhook(dialect="phantombuster", url="http://receiver.test/phantombuster")
        execution = await bed.start(SUPPORT, b'{"message":"hi"}')
        await bed.until_status(execution, "succeeded")
        await bed.until_deliveries(all_succeeded)
        types = await bed.event_types(execution)
        await asyncio.sleep(0.05)
        (told,) = by_url(bed.sender.sent)["phantombuster"]

    assert {"agent.message.received", "agent.message.sent"} <= set(types)
    assert (told["agentName"], told["resultObject"]) == ("Support", "Hello!")


@pytest.mark.parametrize("is_success", [True, False])
async def test_a_webhook_for_conversations_alone_is_told_how_they_end(store: Store, is_success: bool) -> None:
    """A conversation whose turn failed is no success, in any dialect."""

    async def answer(_: RunJob, __: RunListener) -> Outcome:
        if is_success:
            return Succeeded(output=b'"Hello!"')
        return Failed(failure=Failure(code="FAILED", message="no", type="ValueError", stack="at 7"))

    async with running(store, work={SUPPORT: answer}) as bed:
        for dialect in ENDS:
            await bed.webhook(
                dialect=dialect,
                events=("agent.conversation.completed",),
                url=f"http://receiver.test/{dialect}",
            )
        await bed.start(SUPPORT, b'{"message":"hi","user_id":"u1"}')
        await bed.until_deliveries(lambda found: len(found) == 4 and all_succeeded(found))
        told = {name: one for name, (one,) in by_url(bed.sender.sent).items()}

    assert told["phantombuster"]["agentName"] == "Support"
    assert told["phantombuster"]["exitCode"] == (0 if is_success else 1)
    assert told["maxun-src"]["data"]["status"] == ("success" if is_success else "failed")
    if is_success:
        assert told["phantombuster"]["resultObject"]["user_id"] == "u1"
    else:
        assert told["maxun"]["data"]["error"] == {"message": "no", "type": "ValueError", "stack": "at 7"}
        assert told["phantomflow"]["error"] == {"code": "FAILED", "message": "no"}


async def test_a_body_is_the_same_after_a_failed_attempt_and_an_edit(store: Store) -> None:
    """CONTRACT section 5: frozen at the first attempt, options of the dialect too."""
    release = asyncio.Event()

    async def answer(request: Outgoing) -> Answer:
        release.set()
        return refused(500) if len(sender.sent) == 1 else OK

    sender = FakeSender(answer)
    async with running(store, work={ORDERS: order}, sender=sender, time_scale=0.02) as bed:
        webhook = await bed.webhook(
            dialect="maxun", events=("workflow.*",), url="http://receiver.test/maxun", options={}
        )
        await bed.start()
        await release.wait()
        edited = msgspec.structs.replace(webhook.document, options={"dual_keys": True})
        await store.put(msgspec.structs.replace(webhook, document=edited), at=bed.node.clock.now())
        await bed.node.directory.refresh()
        await bed.until_deliveries(all_succeeded)

    first, second = sender.sent
    assert first.body == second.body
    assert b"robotId" not in first.body


async def test_a_batch_is_plain_json_whatever_stands_in_it(store: Store) -> None:
    """AF-X7: the frame of a batch is ours; inside, each event is worded as it would be alone."""
    async with running(store) as bed:
        await bed.webhook(dialect="cloudevents", batch={"max_events": 2, "max_wait_seconds": 60})
        await bed.publish(data=b'{"n":1}')
        await bed.publish(data=b'{"n":2}')
        (request,) = await bed.sender.received(1)

    assert dict(request.headers)["Content-Type"] == "application/json"
    assert [one["data"] for one in parsed(request.body)["events"]] == [{"n": 1}, {"n": 2}]


async def test_a_store_that_is_away_while_a_body_is_worded_is_no_poison(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P22 is for our own code: the delivery waits for the store, and its attempts stay for the receiver."""
    read, refusals = store.execution, iter(range(5))

    async def execution(id_: bytes, *, organization_id: bytes | None) -> Execution | None:
        if organization_id is not None and next(refusals, None) is not None:
            raise StorageError("The database is away.")
        return await read(id_, organization_id=organization_id)

    monkeypatch.setattr(store, "execution", execution)
    async with running(store, work={ORDERS: order}) as bed:
        await bed.webhook(dialect="phantombuster", events=("workflow.*",))
        await bed.start()
        (delivery,) = await bed.until_deliveries(all_succeeded)

    assert next(refusals, None) is None
    assert (delivery.crashes, delivery.attempts_made) == (0, 1)
    assert parsed(bed.sender.sent[0].body)["agentName"] == "Orders"


async def test_phantombuster_may_follow_two_redirects_and_the_others_none(store: Store) -> None:
    """PB-9, PB-X2: the rule is the dialect's, and the sender gets it with every request."""
    async with running(store) as bed:
        for dialect in (*ENDS, "standard"):
            await bed.webhook(url=f"http://receiver.test/{dialect}", dialect=dialect)
        await bed.publish()
        await bed.until_deliveries(lambda found: len(found) == 5 and all_succeeded(found))

    assert {request.url.rsplit("/", 1)[1]: request.max_redirects for request in bed.sender.sent} == {
        "phantombuster": 2,
        "maxun": 0,
        "maxun-src": 0,
        "phantomflow": 0,
        "standard": 0,
    }


@pytest.mark.parametrize(
    ("settings", "type_", "rule"),
    [
        ({}, "order.paid", None),
        ({"events": ("user.*",)}, "order.paid", Mismatch.PATTERN),
        ({"dialect": "phantombuster"}, "workflow.execution.started", Mismatch.DIALECT),
        ({"dialect": "phantombuster"}, "order.paid", None),
        ({"dialect": "standard"}, "workflow.execution.started", None),
        (
            {"automation_kind": Kind.WORKFLOW, "automation_id": "orders"},
            "order.paid",
            Mismatch.AUTOMATION,
        ),
        ({"conditions": {"total": {"gt": 5}}}, "order.paid", Mismatch.CONDITION),
        ({"events": ("x",), "conditions": {"total": {"gt": 5}}}, "order.paid", Mismatch.PATTERN),
    ],
)
async def test_the_rule_that_keeps_an_event_away_has_a_name(
    store: Store, settings: dict[str, Any], type_: str, rule: Mismatch | None
) -> None:
    """Issue point 9: live matching and its explanation are one function."""
    async with running(store) as bed:
        webhook = await bed.webhook(**settings)
        event = msgspec.structs.replace(published(b'{"total":1}', type_), organization_id=bed.organization_id)
        await bed.node.directory.load(bed.organization_id)
        target = bed.node.directory.known_target(bed.organization_id, webhook.id)
        assert target is not None

        assert bed.node.directory.mismatch(target, event, None) is rule
        assert bool(bed.node.directory.matches(event, None)) is (rule is None)
        other = msgspec.structs.replace(event, target_id=b"w" * 16)
        assert bed.node.directory.mismatch(target, other, None) is Mismatch.TARGET


async def test_a_webhook_of_one_automation_hears_of_no_other(store: Store) -> None:
    """PB-1: one URL for one agent, as long as PhantomBuster takes them; MX-7: the same URL may stand there twice."""
    url = "http://receiver.test/" + "p" * 1979
    assert len(url) == 2000

    async def work(_: RunJob, __: RunListener) -> Outcome:
        return Succeeded(output=b"{}")

    async with running(store, work={ORDERS: work, RESUMABLE: work}) as bed:
        for _ in range(2):
            await bed.webhook(
                url=url, dialect="phantombuster", automation_kind=ORDERS.kind, automation_id=ORDERS.id
            )
        ours, other = await bed.start(ORDERS), await bed.start(RESUMABLE)
        for execution in (ours, other):
            await bed.until_status(execution, "succeeded")
        await bed.until_deliveries(lambda found: len(found) == 2 and all_succeeded(found))

    assert {parsed(request.body)["agentName"] for request in bed.sender.sent} == {"Orders"}
    assert [request.url for request in bed.sender.sent] == [url] * 2
