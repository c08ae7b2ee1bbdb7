"""Dry runs over past events, and what became of one event for every webhook (issue points 5 and 9)."""

from __future__ import annotations

import asyncio
import json
import random
import re
from typing import TYPE_CHECKING, Any

import pytest
from api_bed import Api, serving

from hookline.core.event_types import CONVERSATION_ENDED, ENDED, OPERATIONAL, STARTED
from hookline.testing.fakes import OK, FakeSender, refused

if TYPE_CHECKING:
    from hookline.ports import Store

pytestmark = pytest.mark.asyncio

PATTERNS = ("*", "order.*", "*.paid", "user.left")
CONDITIONS: tuple[dict[str, Any] | None, ...] = (
    None,
    {"total": {"gt": 50}},
    {"country": {"in": ["AT", "DE"]}, "total": {"lte": 80}},
    {"note": {"exists": False}},
)


async def publish(api: Api, *events: dict[str, Any]) -> list[str]:
    answer = await api.admin("POST", "/api/v1/events", {"events": list(events)})
    assert answer.status == 202, answer
    return [one["id"] for one in answer.json["events"]]


def some_event(dice: random.Random) -> dict[str, Any]:
    data: dict[str, Any] = {"total": dice.choice([10, 50, 60, 90, "60", None])}
    if dice.random() < 0.5:
        data["country"] = dice.choice(["AT", "FR"])
    if dice.random() < 0.3:
        data["note"] = None
    return {"type": dice.choice(["order.paid", "order.sent", "user.left"]), "data": data}


async def settled(api: Api, least: int = 0) -> list[dict[str, Any]]:
    """Return all deliveries when they have ended. least: how many there are to be, as a batch comes a moment later."""
    async with asyncio.timeout(8):
        while True:
            found: list[dict[str, Any]] = (await api.admin("GET", "/api/v1/deliveries?limit=500")).json[
                "deliveries"
            ]
            have_ended = all(one["state"] not in {"pending", "in_flight"} for one in found)
            if have_ended and len(found) >= least:
                return found
            await asyncio.sleep(0.02)


async def test_a_dry_run_gives_exactly_what_live_delivery_gives(store: Store) -> None:
    """Issue point 5: for random events and sixteen webhooks, the same events, and the same bytes."""
    sender = FakeSender()
    dice = random.Random(5)
    async with serving(store, sender=sender) as api:
        webhooks = [
            await api.webhook(
                url=f"https://receiver.example.com/{number}",
                events=[pattern],
                conditions=conditions,
                filters={"exclude_fields": ["note"]},
            )
            for number, (pattern, conditions) in enumerate((p, c) for p in PATTERNS for c in CONDITIONS)
        ]
        ids = await publish(api, *(some_event(dice) for _ in range(40)))
        deliveries = await settled(api)
        wrong = []
        for webhook in webhooks:
            path = f"/api/v1/webhooks/{webhook['id']}/dry-run"
            answer = (await api.admin("POST", path, {"last": 1000, "bodies": 20})).json
            would = {one["id"] for one in answer["events"] if one["matches"]}
            got = {one["event_id"] for one in deliveries if one["webhook_id"] == webhook["id"]}
            sent = {
                dict(one.headers)["webhook-id"]: one.body for one in sender.sent if one.url == webhook["url"]
            }
            bodies = {one["id"]: one["body"].encode() for one in answer["events"] if "body" in one}
            if would != got or any(sent[id] != body for id, body in bodies.items()):
                wrong.append((webhook["events"], webhook.get("conditions"), would ^ got))
            assert answer["looked_at"] == len(ids)
            assert all(one["rule"] for one in answer["events"] if not one["matches"])

    assert wrong == []
    assert 0 < len(deliveries) < 16 * 40


async def test_data_that_is_no_object_lacks_every_field(store: Store) -> None:
    """AF-17, CONTRACT section 5: what is missing fails each operator but ``ne``, ``nin`` and ``exists: false``."""
    operators: dict[str, Any] = {"eq": 1, "lt": 9, "in": [1], "contains": 1, "exists": True}
    operators |= {"ne": 1, "nin": [1]}
    conditions = [{"a.b": {name: operand}} for name, operand in operators.items()] + [
        {"a": {"exists": False}}
    ]
    async with serving(store) as api:
        webhooks = {
            (await api.webhook(events=["odd"], conditions=one))["id"]: next(iter(one.values()))
            for one in conditions
        }
        ids = await publish(api, *({"type": "odd", "data": data} for data in ([1], "text", None, 5)))
        deliveries = await settled(api)

    owed = [webhooks[one["webhook_id"]] for one in deliveries]
    assert [owed.count({name: operators[name]}) for name in ("ne", "nin")] == [len(ids)] * 2
    assert owed.count({"exists": False}) == len(ids)
    assert len(owed) == 3 * len(ids)


async def test_a_delivery_tells_which_numbers_could_not_be_told_exactly(store: Store) -> None:
    """AF-X1: said in the delivery log, alone and in a batch; other dialects send every number as it came."""
    async with serving(store) as api:
        plain: dict[str, Any] = {"events": ["big"], "filters": {"exclude_fields": ["left"]}}
        alone = await api.webhook(**plain)
        batch = await api.webhook(**plain, batch_settings={"max_events": 1, "max_wait_seconds": 60})
        exact = await api.webhook(events=["big"], dialect="standard")
        templated = await api.webhook(events=["big"], template="ntfy")
        data = {"id": 12345678901234567890, "n": 1.5, "left": 2**53 + 1}
        (event_id,) = await publish(api, {"type": "big", "data": data})
        warnings = {
            one["webhook_id"]: (await api.admin("GET", f"/api/v1/deliveries/{one['id']}")).json["warnings"]
            for one in await settled(api, least=4)
        }

    for webhook in (alone, batch):
        (warning,) = warnings[webhook["id"]]
        assert (warning["code"], warning["field"]) == ("NUMBER_ROUNDED", "data.id")
        assert warning["event_id"] == event_id
    assert [warnings[webhook["id"]] for webhook in (exact, templated)] == [[], []]


async def test_a_dry_run_tries_a_definition_that_is_not_stored(store: Store) -> None:
    async with serving(store) as api:
        webhook = await api.webhook(events=["nothing"])
        await publish(api, {"type": "order.paid", "data": {"total": 1}}, {"type": "x", "data": {}})
        path = f"/api/v1/webhooks/{webhook['id']}"
        changes = {"events": ["order.*"], "conditions": {"total": {"gte": 1}}}
        before = await api.admin("POST", f"{path}/dry-run")
        tried = await api.admin("POST", f"{path}/dry-run", {"changes": changes, "last": 10})
        since = await api.admin("POST", f"{path}/dry-run", {"since": "2999-01-01T00:00:00Z"})
        bad = await api.admin("POST", f"{path}/dry-run", {"changes": {"events": ["a b"]}})
        shown = await api.admin("GET", path)

    assert (before.json["matched"], tried.json["matched"], since.json["looked_at"]) == (0, 1, 0)
    assert {one["type"]: one["rule"] for one in tried.json["events"]} == {"order.paid": None, "x": "pattern"}
    assert (bad.status, bad.details["field"]) == (400, "changes.events.0")
    assert shown.json["events"] == ["nothing"]


async def test_an_event_is_explained_for_every_webhook(store: Store) -> None:
    """Issue point 9: sent, filtered, no_match, held, exhausted, by the definition of its time."""
    sender = FakeSender(lambda outgoing: refused(500) if "broken" in outgoing.url else OK)
    async with serving(store, sender=sender) as api:
        names = {}
        wanted: dict[str, dict[str, Any]] = {
            "sent": {},
            "filtered": {"conditions": {"total": {"gt": 100}}},
            "no_match": {"events": ["user.*"]},
            "held": {},
            "batched": {"batch_settings": {"max_events": 10, "max_wait_seconds": 60}},
            "exhausted": {
                "retry_policy": {"max_retries": 0, "backoff_multiplier": 1},
                "url": "https://broken.example.com/",
            },
        }
        for name, fields in wanted.items():
            names[name] = (await api.webhook(name=name, **fields))["id"]
        await api.admin("POST", f"/api/v1/webhooks/{names['held']}/pause")
        (event_id,) = await publish(api, {"type": "order.paid", "data": {"total": 60}})
        await settled(api)
        await asyncio.sleep(0.01)
        # What is decided is decided: a later definition changes nothing of it.
        await api.admin("PUT", f"/api/v1/webhooks/{names['filtered']}", {"conditions": {"total": {"gt": 1}}})
        await api.webhook(name="late")
        answer = await api.admin("GET", f"/api/v1/events/{event_id}/explain")
        missing = await api.admin("GET", "/api/v1/events/nothing/explain")
        waits = await api.webhook(events=["odd.*"], url="https://broken.example.com/")
        (odd_id,) = await publish(api, {"type": "odd.paid", "data": {}})
        async with asyncio.timeout(8):
            reason = ""
            while not re.fullmatch(r"[0-9] attempts?, next at [0-9T:.-]+Z", reason):
                reasons = {one["webhook_id"]: one["reason"] for one in await explained(api, odd_id)}
                reason = reasons[waits["id"]]

    told = {one["name"]: one for one in answer.json["webhooks"]}
    assert {name: told[name]["state"] for name in names} == {name: name for name in names}
    assert (told["late"]["state"], told["late"]["rule"]) == ("no_match", "created_later")
    assert told["filtered"]["rule"] == "condition"
    assert told["sent"]["delivery"]["attempts_made"] == 1
    assert json.dumps(told["held"]["reason"]).count("webhook_paused") == 1
    assert missing.status == 404


async def test_events_in_batches_are_explained(store: Store) -> None:
    """Issue point 9: waiting for a batch, sent in one, or failed with it."""
    sender = FakeSender(lambda request: refused(500) if "bad" in request.url else OK)
    async with serving(store, sender=sender) as api:
        two: dict[str, Any] = {"batch_settings": {"max_events": 2, "max_wait_seconds": 600}}
        good = await api.webhook(url="http://receiver.test/good", **two)
        bad = await api.webhook(
            url="http://receiver.test/bad", retry_policy={"max_retries": 0, "backoff_multiplier": 1}, **two
        )
        ids = await publish(api, *[{"type": "order.paid", "data": {"n": n}} for n in range(3)])
        async with asyncio.timeout(8):
            while len(await settled(api)) < 2:  # noqa: ASYNC110 -- asks the API, as a user would
                await asyncio.sleep(0.01)
        sent = {one["webhook_id"]: one for one in await explained(api, ids[0])}
        waits = {one["webhook_id"]: one for one in await explained(api, ids[2])}

    assert (sent[good["id"]]["state"], sent[bad["id"]]["state"]) == ("sent", "exhausted")
    assert sent[good["id"]]["reason"].startswith("in batch bat_")
    assert sent[bad["id"]]["delivery"]["id"].startswith("dlv_")
    assert {one["state"] for one in waits.values()} == {"batched"}


async def explained(api: Api, event_id: str) -> list[dict[str, Any]]:
    webhooks: list[dict[str, Any]] = (await api.admin("GET", f"/api/v1/events/{event_id}/explain")).json[
        "webhooks"
    ]
    return webhooks


async def test_a_webhook_that_is_not_there_is_tried(store: Store) -> None:
    """Which past events it would get, in which words; nothing is stored or sent; a bad field is told by its path."""
    sender = FakeSender()
    async with serving(store, sender=sender) as api:
        await publish(api, {"type": "order.paid", "data": {"n": 1}}, {"type": "order.paid", "data": {"n": 9}})
        changes = {"url": "https://example.com/in", "events": ["order.*"], "conditions": {"n": {"gt": 5}}}
        told = (await api.admin("POST", "/api/v1/webhooks/dry-run", {"changes": changes})).json
        fitting = next(one for one in told["events"] if one["matches"])
        asked = {"event_id": fitting["id"], "changes": changes | {"dialect": "raw"}}
        worded = await api.admin("POST", "/api/v1/webhooks/preview", asked)
        refused_ = await api.admin(
            "POST", "/api/v1/webhooks/preview", {"changes": changes | {"dialect": "none"}}
        )

        assert (told["looked_at"], told["matched"]) == (2, 1)
        assert [one["rule"] for one in told["events"] if not one["matches"]] == ["condition"]
        assert worded.json["body"] == '{"n": 9}'
        assert refused_.status == 400
        assert refused_.json["error"]["details"]["field"] == "changes.dialect"
        assert (await api.admin("GET", "/api/v1/webhooks")).json["webhooks"] == []
    assert sender.sent == []


async def test_events_are_listed_newest_first_for_people(store: Store) -> None:
    """By pages and by type, each once; the feed itself stays ascending."""
    async with serving(store, sender=FakeSender()) as api:
        ids = await publish(api, *({"type": f"kind.{n % 2}", "data": n} for n in range(7)))
        found: list[str] = []
        path: str | None = "/api/v1/events?order=newest&limit=3"
        while path is not None:
            page = (await api.admin("GET", path)).json
            found += [one["id"] for one in page["events"]]
            path = page["next"] and f"/api/v1/events?order=newest&limit=3&cursor={page['next']}"
        odd = (await api.admin("GET", "/api/v1/events?order=newest&type=kind.1")).json["events"]
        feed = (await api.admin("GET", "/api/v1/events")).json["events"]

        assert found == ids[::-1]
        assert [one["data"] for one in odd] == [5, 3, 1]
        assert [one["id"] for one in feed] == ids


async def test_the_catalogue_has_every_type_that_this_engine_emits(store: Store) -> None:
    """CONTRACT section 5's list; each with a sentence."""
    emitted = {*STARTED.values(), *(type_ for types in ENDED.values() for type_ in types), *OPERATIONAL}
    emitted |= {CONVERSATION_ENDED, "workflow.step.completed", "agent.message.received"}
    async with serving(store, sender=FakeSender()) as api:
        told = (await api.admin("GET", "/api/v1/event-types")).json["event_types"]
        meta = (await api.admin("GET", "/api/v1/meta")).json

        assert {one["type"] for one in told} == emitted == set(meta["event_types"])
        assert all(one["description"].endswith(".") for one in told)
        ends = {one["type"] for one in told if one["ends_a_run"]}
        assert ends == {type_ for types in ENDED.values() for type_ in types} | {CONVERSATION_ENDED}
        assert meta["retention"]["days"] > 0
        assert meta["alerts"]["disable_after_days"] > 0
