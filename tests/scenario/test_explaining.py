"""Dry runs over past events, and what became of one event for every webhook (issue points 5 and 9)."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from api_bed import Api, serving

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


async def settled(api: Api) -> list[dict[str, Any]]:
    async with asyncio.timeout(8):
        while True:
            found: list[dict[str, Any]] = (await api.admin("GET", "/api/v1/deliveries?limit=500")).json[
                "deliveries"
            ]
            if all(one["state"] not in {"pending", "in_flight"} for one in found):
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
    assert (bad.status, bad.details["field"]) == (400, "events.0")
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
