"""Keys, organizations, members, triggers, executions, events over a real node; what never leaks; the first start."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from api_bed import PUBLIC_URL, Api, serving
from asgi import Client
from engine_bed import ORDERS

from hookline.core.times import rfc3339
from hookline.engine.clock import SystemClock
from hookline.engine.manage import first_admin_key, prepare
from hookline.engine.vault import Vault
from hookline.errors import SettingError
from hookline.model.configuration import ApiKey, Organization
from hookline.ports.runner import Failed, Succeeded
from hookline.stores.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from hookline.ports.runner import RunJob, RunListener

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "hookline.db", clock=SystemClock())
    await store.open()
    yield store
    await store.close()


@pytest_asyncio.fixture
async def api(store: SqliteStore) -> AsyncIterator[Api]:
    async with serving(store) as api:
        yield api


async def until(client: Client, url: str, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Ask again and again, as a user would, until the answer is what is waited for."""
    async with asyncio.timeout(5):
        while True:
            found: dict[str, Any] = (await client("GET", url)).json
            if holds(found):
                return found
            await asyncio.sleep(0.01)


async def until_ended(client: Client, execution_id: str) -> dict[str, Any]:
    url = f"/api/v1/executions/{execution_id}"
    return await until(client, url, lambda found: found["completed_at"] is not None)


# --- keys and organizations ---------------------------------------------------------------------------------


async def test_a_key_is_shown_once_and_works_at_once(api: Api) -> None:
    """P13."""
    made = await api.admin("POST", "/api/v1/keys", {"name": "ci", "scopes": ["read", "trigger"]})
    listed = await api.admin("GET", "/api/v1/keys")
    key = made.json["key"]
    used = await Client(api.front, {"Authorization": f"Bearer {key}"})("GET", "/api/v1/webhooks")

    assert made.status == 201
    assert (used.status, made.json["scopes"]) == (200, ["read", "trigger"])
    assert key.encode() not in listed.body
    assert key.startswith(made.json["hint"])


async def test_a_revoked_key_is_refused_at_once(api: Api) -> None:
    made = await api.admin("POST", "/api/v1/keys", {"name": "ci", "scopes": ["read"]})
    client = Client(api.front, {"Authorization": f"Bearer {made.json['key']}"})
    before = await client("GET", "/api/v1/webhooks")
    revoked = await api.admin("DELETE", f"/api/v1/keys/{made.json['id']}")
    after = await client("GET", "/api/v1/webhooks")

    assert (before.status, revoked.status, after.status) == (200, 200, 401)
    assert revoked.json["revoked_at"] is not None


async def test_the_last_admin_key_is_revoked_only_by_force(api: Api) -> None:
    """Nobody could make another one."""
    (first,) = (await api.admin("GET", "/api/v1/keys")).json["keys"]
    over = rfc3339(datetime.now(UTC) + timedelta(seconds=0.2))
    body = {"name": "soon over", "scopes": ["admin"], "expires_at": over}
    await api.admin("POST", "/api/v1/keys", body)
    await api.admin("POST", "/api/v1/keys", {"name": "ci", "scopes": ["write"]})
    await asyncio.sleep(0.25)
    alone = await api.admin("DELETE", f"/api/v1/keys/{first['id']}")
    second = await api.admin("POST", "/api/v1/keys", {"name": "second", "scopes": ["admin"]})
    client = Client(api.front, {"Authorization": f"Bearer {second.json['key']}"})
    beside = await client("DELETE", f"/api/v1/keys/{first['id']}")
    forced = await client("DELETE", f"/api/v1/keys/{second.json['id']}?force=true")

    assert (alone.status, alone.code) == (409, "LAST_ADMIN_KEY")
    assert (beside.status, forced.status) == (200, 200)
    assert (await client("GET", "/api/v1/keys")).status == 401


async def test_a_key_ends_when_it_was_said_to(api: Api) -> None:
    soon = rfc3339(datetime.now(UTC) + timedelta(seconds=0.3))
    made = await api.admin("POST", "/api/v1/keys", {"name": "ci", "scopes": ["read"], "expires_at": soon})
    client = Client(api.front, {"Authorization": f"Bearer {made.json['key']}"})
    before = await client("GET", "/api/v1/webhooks")
    await asyncio.sleep(0.35)
    after = await client("GET", "/api/v1/webhooks")
    past = await api.admin(
        "POST", "/api/v1/keys", {"name": "ci", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}
    )

    assert (before.status, after.status, past.status) == (200, 401, 400)


@pytest.mark.parametrize("scopes", [[], ["root"], "read", None])
async def test_a_key_needs_known_scopes(api: Api, scopes: Any) -> None:
    answer = await api.admin("POST", "/api/v1/keys", {"name": "ci", "scopes": scopes})

    assert (answer.status, answer.details["field"].partition(".")[0]) == (400, "scopes")


async def test_an_external_id_names_one_organization(api: Api) -> None:
    made = await api.admin("POST", "/api/v1/organizations", {"name": "Acme", "external_id": "customer-42"})
    again = await api.admin("POST", "/api/v1/organizations", {"name": "Acme", "external_id": "customer-42"})
    ours = await api.admin("POST", "/api/v1/organizations", {"name": "X", "external_id": made.json["id"]})
    changed = await api.admin(
        "PATCH", f"/api/v1/organizations/{made.json['id']}", {"external_id": "customer-43"}
    )
    by_old = await api.admin.having(Hookline_Organization="customer-42")("GET", "/api/v1/webhooks")
    by_new = await api.admin.having(Hookline_Organization="customer-43")("GET", "/api/v1/webhooks")

    assert (made.status, again.status, ours.status, changed.status) == (201, 409, 400, 200)
    assert (by_old.status, by_new.status) == (404, 200)


async def test_members_come_change_and_go(api: Api) -> None:
    made = await api.admin("POST", "/api/v1/members", {"name": "Zoë", "email": "zoe@example.com"})
    twice = await api.admin("POST", "/api/v1/members", {"name": "Zoë", "email": "ZOE@example.com"})
    bad = await api.admin("POST", "/api/v1/members", {"name": "Zoë", "email": "zoe@example.com\nBcc: x@y.z"})
    changed = await api.admin("PATCH", f"/api/v1/members/{made.json['id']}", {"email": "z@example.com"})
    deleted = await api.admin("DELETE", f"/api/v1/members/{made.json['id']}")
    listed = await api.admin("GET", "/api/v1/members")

    assert (made.status, twice.status, bad.status, deleted.status) == (201, 409, 400, 204)
    assert (changed.json["name"], changed.json["email"]) == ("Zoë", "z@example.com")
    assert listed.json == {"members": [], "next": None}


# --- triggers -----------------------------------------------------------------------------------------------


async def test_a_trigger_answers_its_full_public_url_with_the_token(api: Api) -> None:
    made = await api.trigger()
    listed = await api.admin("GET", "/api/v1/triggers")
    basic = await api.trigger(auth={"type": "basic", "username": "user", "password": "pass"})  # AF-2's own

    assert made["url"] == f"{PUBLIC_URL}/webhooks/workflows/orders?token={made['token']}"
    assert made["token"].startswith("wht_")
    assert len(made["token"]) >= 40
    assert made["token"].encode() not in listed.body
    assert basic["url"] == f"{PUBLIC_URL}/webhooks/workflows/orders"
    assert "password" not in json.dumps({name: value for name, value in basic.items() if name != "auth"})
    assert basic["auth"] == {"type": "basic", "username": "user"}


BAD_TRIGGERS: list[tuple[dict[str, Any], str]] = [
    ({"auth": None}, "auth"),
    ({"auth": {}}, "auth.type"),
    ({"auth": {"type": "none"}}, "auth.type"),
    ({"auth": {"type": "magic"}}, "auth.type"),
    ({"auth": {"type": "signature", "preset": "github"}}, "auth.type"),
    ({"auth": {"type": "signature", "preset": "github", "secret": "s"}}, "auth.type"),
    ({"auth": {"type": "basic", "username": "u"}}, "auth.password"),
    ({"auth": {"type": "basic", "username": "a:b", "password": "password"}}, "auth.username"),
    ({"auth": {"type": "basic", "username": "u", "password": ""}}, "auth.password"),
    ({"auth": {"type": "token", "token": "short"}}, "auth.token"),
    ({"auth": {"type": "token", "extra": 1}}, "auth.extra"),
    ({"profile": "native", "auth": {"type": "magic"}}, "auth.type"),
    ({"profile": "native", "auth": {"type": "signature", "preset": "github"}}, "auth.secret"),
    ({"profile": "native", "auth": {"type": "signature", "preset": "x", "secret": "s"}}, "auth.preset"),
    ({"profile": "native", "auth": {"type": "none", "extra": 1}}, "auth.extra"),
    ({"profile": "native", "auth": {"type": "api_key", "api_key": "short"}}, "auth.api_key"),
    ({"profile": "native", "methods": []}, "methods"),
    ({"profile": "native", "methods": ["TRACE"]}, "methods"),
    ({"profile": "native", "wait_seconds": 91}, "wait_seconds"),
    ({"profile": "native", "max_body_bytes": 1 << 40}, "max_body_bytes"),
    ({"profile": "native", "response": {"status": 101}}, "response.status"),
    ({"profile": "native", "response": {"status": 204, "body": "x"}}, "response.body"),
    ({"profile": "native", "response": {"headers": {"Set-Cookie": "a=b"}}}, "response.headers.Set-Cookie"),
    ({"profile": "native", "response": {"headers": {"X-A": "b\r\nc: d"}}}, "response.headers.X-A"),
    ({"profile": "native", "response": {"body": "x", "content_type": "html"}}, "response.content_type"),
    ({"profile": "native", "response": {"body": "x" * 40_000}}, "response.body"),
    ({"concurrency": {"limit": 0}}, "concurrency.limit"),
    ({"concurrency": {"limit": 1, "mode": "drop"}}, "concurrency.mode"),
    ({"concurrency": {"limit": 1, "key": "tenant"}}, "concurrency.key"),
    ({"debounce": {"delay_seconds": 0}}, "debounce.delay_seconds"),
    ({"debounce": {"max_seconds": 1}}, "debounce"),
    ({"profile": "smoke"}, "profile"),
    ({"automation": {"kind": "workflow", "id": "nothing"}}, "automation.id"),
    ({"automation": {"kind": "poem", "id": "x"}}, "automation.kind"),
    ({"rate_per_second": 0}, "rate_per_second"),
    ({"ip_allowlist": ["nonsense"]}, "ip_allowlist.0"),
    ({"dedupe": {"header": "X", "path": "y"}}, "dedupe"),
    ({"dedupe": {"header": "a b"}}, "dedupe.header"),
    ({"dedupe": {"path": "x", "window_seconds": 0}}, "dedupe.window_seconds"),
    ({"synchronous": True}, "synchronous"),
    ({"organization_id": "x"}, "organization_id"),
]


@pytest.mark.parametrize(("field", "fields"), [(field, fields) for fields, field in BAD_TRIGGERS])
async def test_a_trigger_that_cannot_be_is_refused_by_field(
    api: Api, field: str, fields: dict[str, Any]
) -> None:
    sound = {"automation": {"kind": "workflow", "id": "orders"}, "auth": {"type": "token"}}
    answer = await api.admin("POST", "/api/v1/triggers", sound | fields)

    assert (answer.status, answer.details["field"]) == (400, field), answer


async def test_equal_basic_credentials_on_one_route_are_409(api: Api) -> None:
    auth = {"type": "basic", "username": "user", "password": "password"}
    body = {"automation": {"kind": "workflow", "id": "orders"}, "auth": auth}
    await api.organization("Other", "other")
    first = await api.admin("POST", "/api/v1/triggers", body)
    second = await api.admin("POST", "/api/v1/triggers", body)
    third = await api.admin.having(Hookline_Organization="other")("POST", "/api/v1/triggers", body)

    assert (first.status, second.status, third.status) == (201, 409, 409)


async def test_a_trigger_starts_its_own_organizations_execution(api: Api) -> None:
    """The credential selects the organization."""
    await api.organization("Other", "other")
    other = api.admin.having(Hookline_Organization="other")
    trigger = await api.trigger(other)
    started = await api.anyone("POST", trigger["path"], {"input_data": {"a": 1.0}})
    execution = await until_ended(other, started.json["execution_id"])

    assert execution["trigger"]["id"] == trigger["id"]
    assert execution["output"] == {"a": 1.0}
    assert (await api.admin("GET", f"/api/v1/executions/{execution['id']}")).status == 404


async def test_a_deleted_or_disabled_trigger_answers_401_at_once(api: Api) -> None:
    trigger = await api.trigger()
    place = f"/api/v1/triggers/{trigger['id']}"
    statuses = [(await api.anyone("POST", trigger["path"], {})).status]
    for is_enabled in (False, True):
        await api.admin("PATCH", place, {"is_enabled": is_enabled})
        statuses.append((await api.anyone("POST", trigger["path"], {})).status)
    await api.admin("DELETE", place)
    statuses.append((await api.anyone("POST", trigger["path"], {})).status)

    assert statuses == [202, 401, 202, 401]


async def test_a_rotated_token_and_the_old_one_work(api: Api) -> None:
    trigger = await api.trigger()
    rotated = await api.admin("POST", f"/api/v1/triggers/{trigger['id']}/rotate")
    new = rotated.json["url"].removeprefix(PUBLIC_URL)
    both = [(await api.anyone("POST", path, {})).status for path in (trigger["path"], new)]
    ended = await api.admin("POST", f"/api/v1/triggers/{trigger['id']}/rotate", {"overlap_seconds": 0})
    newest = ended.json["url"].removeprefix(PUBLIC_URL)
    last = [(await api.anyone("POST", path, {})).status for path in (trigger["path"], new, newest)]

    assert (both, last) == ([202, 202], [401, 401, 202])


async def test_refused_requests_are_listed_with_their_reason(api: Api) -> None:
    trigger = await api.trigger(kind="agent")
    await api.anyone("POST", trigger["path"], {"message": 7})
    await api.anyone("POST", trigger["path"], {"message": "hi"})
    place = f"/api/v1/triggers/{trigger['id']}/requests"
    refused = (await api.admin("GET", f"{place}?refused=true")).json["requests"]
    accepted = (await api.admin("GET", f"{place}?refused=false")).json["requests"]
    shown = (await api.admin("GET", f"/api/v1/requests/{refused[0]['id']}")).json

    assert [request["status"] for request in refused] == [400]
    assert refused[0]["reason"].startswith("INVALID_INPUT")
    assert accepted[0]["execution_id"].startswith("exec_")
    assert json.loads(shown["body"]) == {"message": 7}
    assert trigger["token"] not in json.dumps(shown)


# --- executions and events ----------------------------------------------------------------------------------

EXECUTION_FIELDS = [
    "id",
    "automation",
    "status",
    "trigger",
    "input",
    "output",
    "error",
    "created_at",
    "started_at",
    "completed_at",
    "launch_duration_ms",
    "run_duration_ms",
    "steps",
    "credits_used",
    "attempt",
]


async def test_an_execution_has_the_contracts_fields(api: Api) -> None:
    started = await api.admin("POST", "/api/v1/workflows/orders/executions", b'{"input": {"x": 1.50}}')
    await until_ended(api.admin, started.json["execution_id"])
    shown = await api.admin("GET", f"/api/v1/executions/{started.json['execution_id']}")

    assert (started.status, started.json["status"]) == (202, "queued")
    assert list(shown.json) == EXECUTION_FIELDS
    assert shown.json["automation"] == {"kind": "workflow", "id": "orders", "name": "Orders"}
    assert b'"input":{"x": 1.50}' in shown.body
    assert b'"output":{"x": 1.50}' in shown.body


async def test_a_failed_run_tells_its_error(store: SqliteStore) -> None:
    async def fail(_: RunJob, __: RunListener) -> Failed:
        raise ValueError("no stock")

    async with serving(store, work={ORDERS: fail}) as api:
        started = await api.admin("POST", "/api/v1/workflows/orders/executions")
        execution = await until_ended(api.admin, started.json["execution_id"])

    assert execution["status"] == "failed"
    assert (execution["error"]["code"], execution["error"]["message"]) == ("FAILED", "no stock")


async def test_filters_narrow_the_list(api: Api) -> None:
    workflow = await api.admin("POST", "/api/v1/workflows/orders/executions")
    await api.admin("POST", "/api/v1/agents/support/executions", {"input": {"message": "hi"}})
    await until_ended(api.admin, workflow.json["execution_id"])
    for query, count in (
        ("kind=workflow", 1),
        ("kind=agent", 1),
        ("kind=script", 0),
        ("automation=orders", 1),
        ("status=succeeded&kind=workflow", 1),
        ("status=lost", 0),
        ("state=succeeded&kind=workflow", 1),
        ("state=lost", 0),
        ("since=2100-01-01T00:00:00Z", 0),
        ("until=2100-01-01T00:00:00Z", 2),
    ):
        found = await api.admin("GET", f"/api/v1/executions?{query}")
        assert len(found.json["executions"]) == count, query


async def test_a_replay_starts_from_the_same_bytes(api: Api) -> None:
    """P4."""
    first = await api.admin("POST", "/api/v1/workflows/orders/executions", b'{"input":{ "x":1.0 }}')
    again = await api.admin("POST", f"/api/v1/executions/{first.json['execution_id']}/replay")
    replayed = await until_ended(api.admin, again.json["execution_id"])
    shown = await api.admin("GET", f"/api/v1/executions/{replayed['id']}")

    assert again.status == 202
    assert replayed["trigger"]["replay_of"] == first.json["execution_id"]
    assert b'"input":{ "x":1.0 }' in shown.body


async def test_a_cancelled_run_is_killed_and_stays_so(store: SqliteStore) -> None:
    async def wait(_: RunJob, __: RunListener) -> Succeeded:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(store, work={ORDERS: wait}) as api:
        started = await api.admin("POST", "/api/v1/workflows/orders/executions")
        place = f"/api/v1/executions/{started.json['execution_id']}"
        cancelled = await api.admin("POST", f"{place}/cancel")
        execution = await until_ended(api.admin, started.json["execution_id"])
        again = await api.admin("POST", f"{place}/cancel")

    assert (cancelled.status, execution["status"], again.json["status"]) == (202, "killed", "killed")


def frames(body: bytes) -> list[dict[str, str]]:
    """The events of a server-sent stream."""
    found = []
    for block in body.decode().split("\n\n"):
        lines = dict(
            line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":")
        )
        if lines:
            found.append(lines)
    return found


async def test_a_stream_tells_every_event_and_goes_on_after_the_last(api: Api) -> None:
    started = await api.admin("POST", "/api/v1/workflows/orders/executions")
    place = f"/api/v1/executions/{started.json['execution_id']}/events"
    answer = await api.admin("GET", place)
    rest = await api.admin("GET", place, headers={"Last-Event-ID": "1"})
    strange = await api.admin("GET", place, headers={"Last-Event-ID": "x" * 50})
    seen = frames(answer.body)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [frame["event"] for frame in seen] == [
        "workflow.execution.started",
        "workflow.execution.completed",
    ]
    assert [frame["id"] for frame in seen] == ["1", "2"]
    assert json.loads(seen[1]["data"])["type"] == "workflow.execution.completed"
    assert frames(rest.body) == seen[1:]
    assert frames(strange.body) == seen


async def test_a_caller_that_leaves_a_stream_stops_nothing(store: SqliteStore) -> None:
    """P20."""
    go_on = asyncio.Event()

    async def wait(job: RunJob, _: RunListener) -> Succeeded:
        await go_on.wait()
        return Succeeded(output=job.input or b"null")

    async with serving(store, work={ORDERS: wait}) as api:
        started = await api.admin("POST", "/api/v1/workflows/orders/executions")
        place = f"/api/v1/executions/{started.json['execution_id']}/events"
        async with asyncio.timeout(5):
            await api.admin("GET", place, chunks=[b""], leaves=True)
        go_on.set()
        execution = await until_ended(api.admin, started.json["execution_id"])

    assert execution["status"] == "succeeded"


async def test_the_timeline_goes_from_request_to_attempt(api: Api) -> None:
    await api.webhook()
    started = await api.admin("POST", "/api/v1/workflows/orders/executions")
    await until_ended(api.admin, started.json["execution_id"])
    place = f"/api/v1/executions/{started.json['execution_id']}/timeline"
    told = await until(api.admin, place, lambda answer: str(answer).count("'attempt'") == 2)
    moments = told["timeline"]
    words = [moment["what"] for moment in moments]

    assert words[0] == "queued"
    assert {"started", "ended", "event", "delivery", "attempt"} <= set(words)
    assert [moment["at"] for moment in moments] == sorted(moment["at"] for moment in moments)


async def test_the_feed_ascends_and_goes_on_from_its_cursor(api: Api) -> None:
    events = [{"type": f"t.{number % 2}", "data": number} for number in range(5)]
    await api.admin("POST", "/api/v1/events", {"events": events})
    first = (await api.admin("GET", "/api/v1/events?limit=3")).json
    second = (await api.admin("GET", f"/api/v1/events?after={first['next']}")).json
    third = (await api.admin("GET", f"/api/v1/events?after={second['next']}")).json
    odd = (await api.admin("GET", "/api/v1/events?type=t.1")).json

    assert [event["data"] for event in first["events"] + second["events"]] == [0, 1, 2, 3, 4]
    assert (third["events"], third["next"]) == ([], second["next"])
    assert [event["data"] for event in odd["events"]] == [1, 3]


async def test_an_event_shows_what_it_owes_by_either_of_its_ids(api: Api) -> None:
    webhook = await api.webhook()
    await api.admin("POST", "/api/v1/events", b'{"type":"a","data":{"x":1.0},"id":"own-1"}')
    shown = await api.admin("GET", "/api/v1/events/own-1")
    (delivery,) = shown.json["deliveries"]
    by_key = await api.admin("GET", f"/api/v1/events/{delivery['event_id']}")

    assert b'"data":{"x":1.0}' in shown.body
    assert delivery["webhook_id"] == webhook["id"]
    assert (by_key.status, by_key.json["id"]) == (200, "own-1")


async def test_a_delivery_shows_its_attempts_and_can_be_sent_again(api: Api) -> None:
    await api.webhook()
    await api.admin("POST", "/api/v1/events", {"type": "a", "data": 1})
    await api.bed.sender.received(1)
    found = await until(api.admin, "/api/v1/deliveries?state=succeeded", lambda answer: answer["deliveries"])
    same = await api.admin("GET", "/api/v1/deliveries?status=succeeded&type=a")
    other = await api.admin("GET", "/api/v1/deliveries?status=succeeded&type=b")
    of_event = await api.admin("GET", f"/api/v1/deliveries?event_id={found['deliveries'][0]['event_id']}")
    of_none = await api.admin("GET", "/api/v1/deliveries?event_id=nobody")
    assert (same.json, other.json["deliveries"], of_event.json, of_none.status) == (found, [], found, 404)
    place = f"/api/v1/deliveries/{found['deliveries'][0]['id']}"
    retried = await api.admin("POST", f"{place}/retry")
    await api.bed.sender.received(2)
    shown = await until(api.admin, place, lambda answer: len(answer["attempts"]) == 2)

    assert retried.status == 202
    assert [attempt["number"] for attempt in shown["attempts"]] == [1, 2]
    assert {attempt["status"] for attempt in shown["attempts"]} == {200}
    assert api.bed.sender.sent[0].body == api.bed.sender.sent[1].body


# --- the server itself --------------------------------------------------------------------------------------


async def test_health_readiness_and_metrics_need_no_key(api: Api) -> None:
    health, ready, metrics = [await api.anyone("GET", path) for path in ("/healthz", "/readyz", "/metrics")]
    api.bed.node.is_ready = False
    stopping = await api.anyone("GET", "/readyz")

    assert (health.status, ready.status, metrics.status) == (200, 200, 200)
    assert ready.json["ready"] is True
    assert b"hookline_commits_total" in metrics.body
    assert (stopping.status, stopping.headers["retry-after"]) == (503, "1")


async def test_the_description_holds_every_route(api: Api) -> None:
    document = (await api.anyone("GET", "/openapi.json")).json
    hot = [(route.method.lower(), route.path) for route in api.front.routes]

    assert document["openapi"].startswith("3.1")
    assert {
        "/api/v1/events",
        "/webhooks/agents/{agent_id}",
        "/trigger/{path_id}",
        "/results/{profile}/{execution_id}",
    } <= {p for _, p in hot}
    for method, path in hot:
        assert method in document["paths"][path]
    assert "get" in document["paths"]["/api/v1/events"]
    assert not any(
        "422" in one["responses"] for methods in document["paths"].values() for one in methods.values()
    )
    for path, operations in document["paths"].items():
        for operation in operations.values():
            needs_key = path != "/api/render/schema" and path.startswith(
                ("/api/v1", "/api/jobs", "/api/render", "/api/templates", "/webhooks", "/trigger")
            )
            assert ("security" in operation) == needs_key, path
            assert operation["summary"]


async def test_the_docs_work_without_a_network(api: Api) -> None:
    page = await api.anyone("GET", "/docs")

    assert page.status == 200
    assert b"<script" not in page.body
    assert b"http://" not in page.body.replace(b"http://localhost", b"")
    assert b"src=" not in page.body
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert b"/webhooks/workflows/{workflow_id}" in page.body


async def test_an_automation_that_is_not_there_is_answered_with_those_that_are(api: Api) -> None:
    workflow = await api.admin("POST", "/api/v1/workflows/nope/executions", {})
    agent = await api.admin("POST", "/api/v1/agents/nope/executions", {})

    assert (workflow.status, agent.status) == (404, 404)
    assert workflow.json["error"]["message"] == "There is no such workflow. Loaded: orders."
    assert agent.json["error"]["message"] == "There is no such agent. Loaded: support."


async def test_a_refused_address_says_how_the_operator_allows_it(api: Api) -> None:
    """But for metadata services, which nobody can allow (P11)."""
    refused = await api.admin("POST", "/api/v1/webhooks", {"url": "http://10.2.0.1/x", "events": ["*"]})
    never = await api.admin("POST", "/api/v1/webhooks", {"url": "http://169.254.169.254/", "events": ["*"]})

    assert refused.json["error"]["code"] == "ADDRESS_REFUSED"
    assert "--allow-network 10.2.0.1/32" in refused.json["error"]["message"]
    assert "--allow-network" not in never.json["error"]["message"]


async def test_unknown_routes_and_methods_are_worded_like_everything(api: Api) -> None:
    unknown = await api.admin("GET", "/api/v1/nothing")
    method = await api.admin("DELETE", "/api/v1/events")
    of_one = await api.admin("POST", "/api/v1/webhooks/wh_1")
    guessed = await api.anyone("GET", "/api/v1/nothing")

    assert (unknown.status, unknown.code) == (404, "NOT_FOUND")
    assert (method.status, method.code) == (405, "METHOD_NOT_ALLOWED")
    assert (method.headers["allow"], of_one.headers["allow"]) == ("GET, POST", "DELETE, GET, PATCH, PUT")
    assert guessed.status == 401


async def test_a_backup_is_a_database_of_its_own(api: Api, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    made = await api.admin("POST", "/api/v1/backup", {"target": str(target)})
    again = await api.admin("POST", "/api/v1/backup", {"target": str(target)})

    assert (made.status, again.status) == (201, 400)
    assert made.json["bytes"] > 0


# --- P13 ----------------------------------------------------------------------------------------------------


async def test_no_secret_is_readable_anywhere(
    store: SqliteStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """P13: not in the database, not in a log, not in any answer but the one that made it."""
    canaries = {
        "bearer": "canary-bearer-token",
        "own": "canary-signing-secret-1",
        "password": "canary-password",
    }
    async with serving(store) as api:
        made = await api.admin(
            "POST",
            "/api/v1/webhooks",
            {
                "url": "https://example.com/",
                "events": ["*"],
                "secret": canaries["own"],
                "authentication": {"type": "bearer", "token": canaries["bearer"]},
            },
            headers={"Idempotency-Key": "k"},
        )
        await api.trigger(auth={"type": "basic", "username": "u", "password": canaries["password"]})
        trigger = await api.trigger()
        key = (await api.admin("POST", "/api/v1/keys", {"name": "x", "scopes": ["read"]})).json["key"]
        await api.anyone("POST", trigger["path"], {}, headers={"Authorization": f"Bearer {trigger['token']}"})
        await api.anyone("POST", trigger["path"], b"{")
        await api.anyone("POST", f"/webhooks/agents/nobody?token={key}", b"{}")
        await api.admin("POST", f"/api/v1/webhooks/{made.json['id']}/test", {})
        answers = b"".join(
            [
                (await api.admin("GET", path)).body
                for path in (
                    "/api/v1/webhooks",
                    f"/api/v1/webhooks/{made.json['id']}",
                    "/api/v1/triggers",
                    "/api/v1/keys",
                    "/api/v1/requests",
                    "/api/v1/executions",
                    "/api/v1/deliveries",
                    "/metrics",
                    "/readyz",
                    "/api/v1/meta",
                )
            ]
        )
        delivery = (await api.admin("GET", "/api/v1/deliveries")).json["deliveries"][0]
        answers += (await api.admin("GET", f"/api/v1/deliveries/{delivery['id']}")).body
    await store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())  # noqa: ASYNC240 -- nothing else runs in this test
    printed = "".join(capsys.readouterr())

    for secret in [*canaries.values(), trigger["token"], key]:
        assert secret.encode() not in kept, secret
        assert secret.encode() not in answers, secret
        assert secret not in printed, secret


# --- the first start ----------------------------------------------------------------------------------------

CLOCK = SystemClock()
VAULT = Vault("the key of this database")


async def first_start(store: SqliteStore, vault: Vault, *, fixed_admin_key: str | None = None) -> str | None:
    """Do what a start does to the store."""
    await prepare(store, vault, clock=CLOCK, fixed_admin_key=fixed_admin_key)
    return await first_admin_key(store, clock=CLOCK)


async def test_the_first_start_makes_one_key_and_later_ones_none(store: SqliteStore) -> None:
    first = await first_start(store, VAULT)
    second = await first_start(store, VAULT)

    assert first is not None
    assert second is None
    assert len(await store.list(Organization, organization_id=None)) == 1
    assert len(await store.list(ApiKey, organization_id=None)) == 1


async def test_nodes_that_start_together_make_one_of_each(store: SqliteStore) -> None:
    keys = await asyncio.gather(*(first_start(store, VAULT) for _ in range(8)))

    assert sum(key is not None for key in keys) == 1
    assert len(await store.list(Organization, organization_id=None)) == 1


async def test_a_fixed_key_is_valid_and_the_one_before_it_not(store: SqliteStore) -> None:
    for text in ("first-key", "first-key", "second-key", "first-key"):
        assert await first_start(store, VAULT, fixed_admin_key=text) is None
    keys = await store.list(ApiKey, organization_id=None)

    assert len(keys) == 2
    assert sorted(key.document.revoked_at is None for key in keys) == [False, True]
    assert await first_start(store, VAULT) is None


async def test_another_secret_key_stops_the_start(store: SqliteStore) -> None:
    await first_start(store, VAULT)

    with pytest.raises(SettingError) as caught:
        await first_start(store, Vault("another key altogether"))
    assert "another key altogether" not in str(caught.value)
    with contextlib.suppress(AttributeError):
        assert caught.value.field == "secret_key"
