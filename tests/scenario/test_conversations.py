"""Conversations over the API: turns in order, the history an agent sees, every way in which one ends."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from api_bed import Api, serving
from engine_bed import SUPPORT, StandingClock

from hookline.engine.manage.start import default_organization
from hookline.model.executions import Automation
from hookline.model.states import Kind
from hookline.ports.runner import Succeeded

if TYPE_CHECKING:
    from hookline.ports import Store
    from hookline.ports.runner import Outcome, RunJob, RunListener

pytestmark = pytest.mark.asyncio

COMPLETED = "agent.conversation.completed"


class Agent:
    """Answers each message with it in capitals, once it may; ``RESOLVE`` settles the conversation."""

    def __init__(self) -> None:
        self.histories: list[Any] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.at_once = self.most_at_once = 0

    async def __call__(self, job: RunJob, listener: RunListener) -> Outcome:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.histories.append(json.loads(job.private or b"null"))
        await self.may_answer.wait()
        await listener.recorded([], [], 1.5, [])
        self.at_once -= 1
        message = json.loads(job.input or b"{}")["message"]
        if message == "fail":
            raise ValueError("no words")
        resolution = b'{"type":"refunded","category":"billing","tags":["x"],"satisfaction_score":4.5}'
        return Succeeded(
            output=json.dumps(message.upper()).encode(),
            resolution=resolution if message == "resolve" else None,
        )


async def _begun(api: Api, **fields: Any) -> dict[str, Any]:
    made = await api.admin("POST", "/api/v1/conversations", {"agent_id": "support", **fields})
    assert made.status == 201, made
    found: dict[str, Any] = made.json
    return found


async def _said(api: Api, id: str, message: str, **fields: Any) -> str:
    answer = await api.admin("POST", f"/api/v1/conversations/{id}/messages", {"message": message, **fields})
    assert (answer.status, answer.json["conversation_id"], answer.json["status"]) == (202, id, "queued")
    return str(answer.json["execution_id"])


async def _shown(api: Api, id: str, ended: int, within: float = 40.0) -> dict[str, Any]:
    """Wait until so many turns have ended."""
    async with asyncio.timeout(within):
        while True:
            found = (await api.admin("GET", f"/api/v1/conversations/{id}")).json
            if sum(turn["completed_at"] is not None for turn in found["turns"]) >= ended:
                return dict(found)
            await asyncio.sleep(0.02)


async def _told(api: Api, type_: str) -> list[Any]:
    store = api.bed.node.store
    organization_id = await default_organization(store)
    assert organization_id is not None
    found = await store.recent_events(organization_id, before=None, types=(type_,), limit=100)
    return [json.loads(one.data) for one in reversed(found)]


async def test_turns_of_a_conversation_run_in_order_and_see_what_was_said(store: Store) -> None:
    """AF-3, AF-6, AF-10 and issue 5: one at a time, with the history; a resolve in a turn ends it, once."""
    agent = Agent()
    agent.may_answer.clear()
    async with serving(store, work={SUPPORT: agent}) as api:
        made = await _begun(api, user_id="ada", message="hello", metadata={"n": 1.0}, context={"page": "x"})
        for message in ("second", "fail", "resolve"):
            await _said(api, made["id"], message)
        busy = await api.admin("POST", f"/api/v1/conversations/{made['id']}/complete")
        agent.may_answer.set()
        shown = await _shown(api, made["id"], 4)
        late = await api.admin("POST", f"/api/v1/conversations/{made['id']}/messages", {"message": "more"})
        twice = await api.admin("POST", f"/api/v1/conversations/{made['id']}/complete")
        received = await _told(api, "agent.message.received")
        sent, failed = await _told(api, "agent.message.sent"), await _told(api, "agent.message.failed")
        started, completed = await _told(api, "agent.conversation.started"), await _told(api, COMPLETED)

    turns = shown["turns"]
    assert (made["status"], made["execution_id"]) == ("open", turns[0]["execution_id"])
    assert turns[0]["input"] == {
        "message": "hello",
        "user_id": "ada",
        "metadata": {"n": 1.0},
        "context": {"page": "x"},
    }
    assert [turn["output"] for turn in turns] == ["HELLO", "SECOND", None, "RESOLVE"]
    assert agent.most_at_once == 1
    assert agent.histories[0] == {"history": []}
    assert agent.histories[3] == {
        "history": [
            {"message": "hello", "reply": "HELLO"},
            {"message": "second", "reply": "SECOND"},
            {"message": "fail", "reply": None},
        ]
    }
    assert (busy.status, busy.code) == (409, "CONVERSATION_BUSY")
    assert (late.status, late.code) == (409, "CONVERSATION_ENDED")
    assert (twice.status, twice.code) == (409, "CONVERSATION_ENDED")
    assert [one["message"] for one in received] == ["hello", "second", "fail", "resolve"]
    assert [one["user_id"] for one in received] == ["ada"] * 4
    assert [one["message"] for one in sent] == ["HELLO", "SECOND", "RESOLVE"]
    assert [one["error"]["code"] for one in failed] == ["FAILED"]
    assert len(started) == len(completed) == 1
    assert completed[0] == {
        "agent_id": "support",
        "conversation_id": made["id"],
        "user_id": "ada",
        "status": "resolved",
        "started_at": made["started_at"],
        "completed_at": shown["completed_at"],
        "message_count": 7,
        "satisfaction_score": 4.5,
        "credits_used": 6.0,
        "resolution": {"type": "refunded", "category": "billing", "tags": ["x"]},
    }


async def test_a_caller_opens_and_completes_a_conversation(store: Store) -> None:
    async with serving(store, work={SUPPORT: Agent()}) as api:
        made = await _begun(api, user_id="bob", metadata={"plan": "free"})
        await _said(api, made["id"], "hi")
        await _shown(api, made["id"], 1)
        body = {"satisfaction_score": 2, "resolution": {"type": "refund", "tags": ["late"]}}
        ended = await api.admin("POST", f"/api/v1/conversations/{made['id']}/complete", body)
        listed = await api.admin("GET", "/api/v1/conversations?agent=support&user=bob&status=resolved")
        nobody = await api.admin("GET", "/api/v1/conversations?user=eve")
        started, completed = await _told(api, "agent.conversation.started"), await _told(api, COMPLETED)

    assert "execution_id" not in made
    assert started[0]["metadata"] == {"plan": "free"}
    assert (ended.status, ended.json["status"], ended.json["message_count"]) == (200, "resolved", 2)
    assert [one["id"] for one in listed.json["conversations"]] == [made["id"]]
    assert nobody.json == {"conversations": [], "next": None}
    assert [one["satisfaction_score"] for one in completed] == [2]
    assert completed[0]["resolution"] == {"type": "refund", "category": None, "tags": ["late"]}


async def test_a_message_that_was_cancelled_in_the_queue_counts_for_nothing(store: Store) -> None:
    agent = Agent()
    agent.may_answer.clear()
    async with serving(store, work={SUPPORT: agent}) as api:
        made = await _begun(api, message="one")
        waiting = await _said(api, made["id"], "two")
        await api.admin("POST", f"/api/v1/executions/{waiting}/cancel")
        await _shown(api, made["id"], 1)
        agent.may_answer.set()
        shown = await _shown(api, made["id"], 2)

    assert [turn["status"] for turn in shown["turns"]] == ["succeeded", "killed"]
    assert (shown["status"], shown["message_count"]) == ("open", 2)


async def test_silence_completes_a_conversation_once(store: Store) -> None:
    """Two rounds, and the node's own: one end. A turn under way is no silence."""
    clock, agent = StandingClock(), Agent()
    agent.may_answer.clear()
    async with serving(
        store, work={SUPPORT: agent}, clock=clock, limits={"conversation_idle_seconds": 60}
    ) as api:
        silent = await _begun(api)
        busy = await _begun(api, message="slow")
        clock.move_to(clock.now() + timedelta(seconds=61))
        await asyncio.gather(*(api.bed.node.conversations.close_idle() for _ in range(2)))
        completed = await _told(api, COMPLETED)
        still = await api.admin("GET", f"/api/v1/conversations/{busy['id']}")
        agent.may_answer.set()
        await _shown(api, busy["id"], 1)

    assert [one["conversation_id"] for one in completed] == [silent["id"]]
    assert completed[0]["resolution"]["type"] == "timeout"
    assert still.json["status"] == "open"


async def test_an_agent_has_a_patience_of_its_own(store: Store) -> None:
    """Issue 5: the idle time-out of the agent stands before the server's."""
    clock = StandingClock()
    hasty = Automation(kind=Kind.AGENT, id="hasty", name="Hasty", idle_ms=5_000)
    async with serving(
        store,
        work={SUPPORT: Agent(), hasty: Agent()},
        clock=clock,
        limits={"conversation_idle_seconds": 60},
    ) as api:
        usual, quick = await _begun(api), await _begun(api, agent_id="hasty")
        clock.move_to(clock.now() + timedelta(seconds=6))
        await api.bed.node.conversations.close_idle()
        shown = [await api.admin("GET", f"/api/v1/conversations/{one['id']}") for one in (usual, quick)]
        completed = await _told(api, COMPLETED)

    assert [one.json["status"] for one in shown] == ["open", "resolved"]
    assert [one["conversation_id"] for one in completed] == [quick["id"]]


async def test_what_is_not_there_and_what_is_anothers_look_the_same(store: Store) -> None:
    async with serving(store, work={SUPPORT: Agent()}) as api:
        made = await _begun(api)
        other = await api.client("admin", organization=await api.organization("Other"))
        unknown = await api.admin("POST", "/api/v1/conversations", {"agent_id": "nobody"})
        wrong = await api.admin("POST", f"/api/v1/conversations/{made['id']}/messages", {"message": 1})
        nul = await api.admin("POST", "/api/v1/conversations", {"agent_id": "support", "user_id": "a\0"})
        foreign = [
            await other(method, f"/api/v1/conversations/{made['id']}{rest}", body)
            for method, rest, body in (
                ("GET", "", None),
                ("POST", "/messages", {"message": "hi"}),
                ("POST", "/complete", {}),
            )
        ]

    assert (unknown.status, wrong.status, nul.status) == (404, 400, 400)
    assert {(one.status, one.code) for one in foreign} == {(404, "NOT_FOUND")}


async def test_every_dialect_words_the_end_that_a_caller_gives(store: Store) -> None:
    """CONTRACT section 5: dialects word every event and never refuse, also one of no execution."""
    async with serving(store, work={SUPPORT: Agent()}) as api:
        dialects = ("agenticflow", "phantombuster", "maxun", "phantomflow", "standard", "cloudevents", "raw")
        for dialect in dialects:
            await api.webhook(dialect=dialect, events=[COMPLETED])
        made = await _begun(api)
        await api.admin("POST", f"/api/v1/conversations/{made['id']}/complete")
        sent = await api.bed.sender.received(len(dialects))

    assert all(json.loads(request.body) for request in sent)
    assert sum(made["id"].encode() in request.body for request in sent) >= 4
