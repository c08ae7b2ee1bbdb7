"""``/api/v1/replays``: many deliveries again, paced, each once per job (CONTRACT section 5)."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from api_bed import Api, serving

from hookline.model.configuration import Webhook
from hookline.model.ids import parse
from hookline.testing.fakes import FakeSender

if TYPE_CHECKING:
    from asgi import Client

    from hookline.model.events import Attempt
    from hookline.ports import Store

pytestmark = pytest.mark.asyncio

URL = "/api/v1/replays"
LONG_AGO = "2020-01-01T00:00:00Z"


async def delivered(api: Api, count: int, *, types: tuple[str, ...] = ("order.paid",)) -> None:
    """Publish so many events to the first organization and wait until all have arrived."""
    webhook = (await api.admin("GET", "/api/v1/webhooks")).json["webhooks"][-1]
    key = parse("webhook", webhook["id"])
    assert key is not None
    stored = await api.bed.node.store.get(Webhook, key, organization_id=None)
    assert stored is not None
    api.bed.organization_id = stored.organization_id
    for number in range(count):
        await api.bed.publish(types[number % len(types)], b'{"n": %d}' % number)
    await api.bed.until_deliveries(lambda found: sum(one.state == "succeeded" for one in found) >= count)


async def until_status(client: Client, id: str, *statuses: str) -> dict[str, Any]:
    async with asyncio.timeout(40):  # another node waits for the lease of one that was killed
        while True:
            shown: dict[str, Any] = (await client("GET", f"{URL}/{id}")).json
            if shown["status"] in statuses:
                return shown
            await asyncio.sleep(0.02)


async def replays_of(api: Api) -> list[list[Attempt]]:
    """The attempts of every delivery that a replay made and that arrived, once none is under way."""
    found = await api.bed.until_deliveries(
        lambda found: all(one.state == "succeeded" for one in found), within=20
    )
    store = api.bed.node.store
    return [
        [one for one in await store.attempts(delivery.id) if one.cause == "replay" and one.status == 200]
        for delivery in found
    ]


async def test_a_replay_sends_the_same_bytes_and_id_with_a_fresh_signature(store: Store) -> None:
    """CONTRACT 5, issue point 10: verbatim body, same id, marked as a replay."""
    sender = FakeSender()
    async with serving(store, sender=sender) as api:
        await api.webhook()
        await delivered(api, 3)
        first = {dict(one.headers)["webhook-id"]: one for one in sender.sent}
        made = await api.admin("POST", URL, {"since": LONG_AGO})
        done = await until_status(api.admin, made.json["id"], "completed")
        attempts = await replays_of(api)
        again = sender.sent[3:]

    assert made.status == 201
    assert made.json["id"].startswith("rpl_")
    assert (made.json["count"], done["reopened"], done["skipped"], done["progress"]) == (3, 3, 0, 1.0)
    assert [len(one) for one in attempts] == [1, 1, 1]
    assert [one.number for group in attempts for one in group] == [2, 2, 2]
    assert {dict(one.headers)["webhook-id"]: one.body for one in again} == {
        id: one.body for id, one in first.items()
    }


async def test_a_preview_counts_and_sends_nothing(store: Store) -> None:
    """By webhook, type pattern, state and time."""
    async with serving(store) as api:
        webhook = await api.webhook()
        other = await api.webhook(events=["nothing"])
        await delivered(api, 4, types=("order.paid", "user.left"))
        counts = {}
        for name, body in {
            "all": {},
            "webhook": {"webhook_id": webhook["id"]},
            "other": {"webhook_id": other["id"]},
            "types": {"types": ["order.*"]},
            "state": {"state": ["exhausted"]},
            "time": {"until": "2020-01-02T00:00:00Z"},
        }.items():
            answer = await api.admin("POST", URL, {"since": LONG_AGO, "dry_run": True, **body})
            assert answer.status == 200
            counts[name] = answer.json["count"]
        listed = await api.admin("GET", URL)
        attempts = await replays_of(api)

    assert counts == {"all": 4, "webhook": 4, "other": 0, "types": 2, "state": 0, "time": 0}
    assert listed.json["replays"] == []
    assert attempts == [[]] * 4


async def test_a_replay_rests_when_paused_and_goes_on_when_resumed(store: Store) -> None:
    """Each delivery once, however often it rests; a cancelled one never goes on."""
    async with serving(store) as api:
        await api.webhook()
        await delivered(api, 40)
        made = await api.admin("POST", URL, {"since": LONG_AGO, "rate_per_second": 40})
        path = f"{URL}/{made.json['id']}"
        paused = await api.admin("POST", f"{path}/pause")
        await asyncio.sleep(0.8)  # the batch that was noted is still sent
        resting = (await api.admin("GET", path)).json
        resumed = await api.admin("POST", f"{path}/resume")
        done = await until_status(api.admin, made.json["id"], "completed")
        attempts = await replays_of(api)
        late = await api.admin("POST", f"{path}/pause")
        other = await api.admin("POST", URL, {"since": LONG_AGO, "rate_per_second": 1})
        cancelled = await api.admin("POST", f"{URL}/{other.json['id']}/cancel")
        again = await api.admin("POST", f"{URL}/{other.json['id']}/resume")

    assert (paused.json["status"], resting["status"]) == ("paused", "paused")
    assert resting["reopened"] < 40
    assert resumed.json["status"] == "running"
    assert done["reopened"] == 40
    assert [len(one) for one in attempts] == [1] * 40
    assert (late.status, late.code) == (409, "CONFLICT")
    assert (cancelled.json["status"], again.status) == ("cancelled", 409)


async def test_a_replay_survives_a_kill_without_sending_one_twice(store: Store) -> None:
    """Issue point 10: the cursor is durable, and what was noted is checked before it is sent again."""
    async with serving(store, stop=False) as api:
        await api.webhook()
        await delivered(api, 120)
        made = await api.admin("POST", URL, {"since": LONG_AGO, "rate_per_second": 60})
        await asyncio.sleep(0.7)
        before = (await api.admin("GET", f"{URL}/{made.json['id']}")).json
        organization, key = api.bed.organization_id, api.key
    async with serving(store, organization_id=organization, key=key) as api:
        done = await until_status(api.admin, made.json["id"], "completed")
        attempts = await replays_of(api)

    assert 0 < before["reopened"] < 120
    assert done["reopened"] == 120
    assert [len(one) for one in attempts] == [1] * 120


async def test_a_replay_holds_its_rate(store: Store) -> None:
    """Figures: a paced rate is held; never faster than 5 % above it, whatever this machine can do."""
    async with serving(store) as api:
        await api.webhook()
        await delivered(api, 60)
        begun = time.monotonic()
        made = await api.admin("POST", URL, {"since": LONG_AGO, "rate_per_second": 30})
        await until_status(api.admin, made.json["id"], "completed")
        took = time.monotonic() - begun
        attempts = await replays_of(api)
        starts = sorted(one.started_at for group in attempts for one in group)

    # 60 pieces at 30 a second: the last starts 59/30 s after the first.
    assert len(starts) == 60
    assert (starts[-1] - starts[0]).total_seconds() > 59 / 30 * 0.95
    assert took > 59 / 30 * 0.95


async def test_what_a_replay_reopens_for_a_paused_webhook_is_held(store: Store) -> None:
    """CONTRACT 5: a paused webhook's deliveries are held and drain on resume."""
    async with serving(store) as api:
        webhook = await api.webhook()
        await delivered(api, 5)
        await api.admin("POST", f"/api/v1/webhooks/{webhook['id']}/pause")
        made = await api.admin("POST", URL, {"since": LONG_AGO})
        await until_status(api.admin, made.json["id"], "completed")
        await api.bed.until_deliveries(lambda found: all(one.state == "held" for one in found))
        await api.admin("POST", f"/api/v1/webhooks/{webhook['id']}/resume")
        attempts = await replays_of(api)

    assert [len(one) for one in attempts] == [1] * 5


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2999-01-01T00:00:00Z"}, "since"),
        ({"since": LONG_AGO, "until": LONG_AGO}, "since"),
        ({"since": LONG_AGO, "rate_per_second": 0}, "rate_per_second"),
        ({"since": LONG_AGO, "types": ["a b"]}, "types.0"),
        ({"since": LONG_AGO, "state": "in_flight"}, "state"),
        ({"since": LONG_AGO, "state": ["exhausted", "failed"]}, "state.1"),
        ({"since": LONG_AGO, "state": {}}, "state"),
        ({"since": LONG_AGO, "speed": 1}, "speed"),
    ],
)
async def test_bad_replays_say_which_field(store: Store, body: dict[str, Any], field: str) -> None:
    async with serving(store) as api:
        answer = await api.admin("POST", URL, body)

    assert answer.status == 400
    assert answer.details["field"] == field


async def test_what_was_never_owed_is_counted_and_sent(store: Store) -> None:
    """Issue point 10, include never-attempted: what the webhook would get now and never did, and nothing twice."""
    sender = FakeSender()
    async with serving(store, sender=sender) as api:
        first = await api.webhook(events=["order.*"])
        await delivered(api, 20, types=("order.paid",))
        await api.bed.publish("user.left")
        late = await api.webhook(
            events=["order.*"], conditions={"n": {"lt": 10}}, url="http://receiver.test/late"
        )
        await api.bed.publish("order.paid", b'{"n": 3}')
        await api.bed.until_deliveries(lambda found: len(found) == 22 and all(one.ended_at for one in found))
        wanted = {"since": LONG_AGO, "state": "exhausted", "include_never_attempted": True}
        unnamed = await api.admin("POST", URL, wanted)
        preview = await api.admin("POST", URL, wanted | {"webhook_id": late["id"], "dry_run": True})
        nothing = await api.admin("POST", URL, wanted | {"webhook_id": first["id"], "dry_run": True})
        made = await api.admin("POST", URL, wanted | {"webhook_id": late["id"]})
        done = await until_status(api.admin, made.json["id"], "completed")
        await api.bed.until_deliveries(lambda found: len(found) == 32 and all(one.ended_at for one in found))
        again = await api.admin("POST", URL, wanted | {"webhook_id": late["id"]})
        over = await until_status(api.admin, again.json["id"], "completed")
        attempts = await replays_of(api)

    arrived = [dict(one.headers)["webhook-id"] for one in sender.sent if one.url.endswith("late")]
    assert (unnamed.status, unnamed.details["field"]) == (400, "webhook_id")
    assert (preview.json["count"], nothing.json["count"]) == (10, 0)
    assert (done["added"], done["reopened"], done["progress"]) == (10, 0, 1.0)
    assert (over["count"], over["added"]) == (0, 0)
    assert len(arrived) == len(set(arrived)) == 11
    assert sum(len(one) for one in attempts) == 10  # marked as a replay


async def test_never_owed_events_survive_a_kill_and_a_pause(store: Store) -> None:
    """Each is owed once, however often its job is taken up."""
    async with serving(store, stop=False) as api:
        await api.webhook(events=["none"])
        await until_published(api, 60)
        late = await api.webhook(url="http://receiver.test/late")
        wanted = {"since": LONG_AGO, "webhook_id": late["id"], "include_never_attempted": True}
        made = await api.admin("POST", URL, wanted | {"rate_per_second": 60})
        await api.bed.until_deliveries(lambda found: len(found) >= 5)
        paused = await api.admin("POST", f"{URL}/{made.json['id']}/pause")
        resumed = await api.admin("POST", f"{URL}/{made.json['id']}/resume")
        organization, key = api.bed.organization_id, api.key
    async with serving(store, organization_id=organization, key=key) as api:
        done = await until_status(api.admin, made.json["id"], "completed")
        found = await api.bed.until_deliveries(
            lambda all_: all(one.state == "succeeded" for one in all_), within=20
        )

    assert (paused.json["status"], resumed.json["status"]) == ("paused", "running")
    assert done["progress"] == 1.0
    assert len(found) == 60


async def until_published(api: Api, count: int) -> None:
    webhook = (await api.admin("GET", "/api/v1/webhooks")).json["webhooks"][-1]
    key = parse("webhook", webhook["id"])
    assert key is not None
    stored = await api.bed.node.store.get(Webhook, key, organization_id=None)
    assert stored is not None
    api.bed.organization_id = stored.organization_id
    for number in range(count):
        await api.bed.publish(data=b'{"n": %d}' % number)


async def test_a_webhook_with_batches_gets_what_it_was_never_owed_in_batches(store: Store) -> None:
    sender = FakeSender()
    async with serving(store, sender=sender) as api:
        await api.webhook(events=["none"])
        await until_published(api, 6)
        late = await api.webhook(batch_settings={"max_events": 3, "max_wait_seconds": 60})
        wanted = {"since": LONG_AGO, "webhook_id": late["id"], "include_never_attempted": True}
        made = await api.admin("POST", URL, wanted)
        done = await until_status(api.admin, made.json["id"], "completed")
        requests = await sender.received(2)

    assert done["added"] == 6
    assert [json.loads(one.body)["count"] for one in requests] == [3, 3]
