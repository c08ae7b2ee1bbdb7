"""``/api/v1/webhooks`` over a real node: SEEDS AF-7, AF-11 to AF-14, AF-16, AF-X5, and CONTRACT section 5."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import trustme
from api_bed import Api, serving
from engine_bed import parsed

from hookline.engine.clock import SystemClock
from hookline.model.configuration import Webhook
from hookline.model.ids import parse
from hookline.model.states import AttemptOutcome, Origin
from hookline.ports.sender import Answer
from hookline.receiver import VerificationError, verify
from hookline.stores.sqlite.store import SqliteStore
from hookline.testing.fakes import FakeSender, refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asgi import Client

    from hookline.ports.sender import Outgoing

pytestmark = pytest.mark.asyncio

SEED: dict[str, Any] = {
    "name": "Order Processing Webhook",
    "url": "https://your-app.com/webhooks/orders",
    "events": ["workflow.execution.completed"],
    "authentication": {"type": "bearer", "token": "your_secret"},
}
URL = "/api/v1/webhooks"


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    store = SqliteStore(tmp_path / "hookline.db", clock=SystemClock())
    await store.open()
    async with serving(store) as api:
        yield api
    await store.close()


async def until_delivered(client: Client, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(5):
        while True:
            answer = await client("GET", "/api/v1/deliveries?state=succeeded")
            found: list[dict[str, Any]] = answer.json["deliveries"]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.01)


async def test_af12_create_shows_the_secret_once(api: Api) -> None:
    """AF-X4: ids ``wh_``; the signing secret is made here, and its whole text is AgenticFlow's key."""
    made = await api.admin("POST", URL, SEED)
    shown = await api.admin("GET", f"{URL}/{made.json['id']}")
    secret = made.json["secret"]

    assert made.status == 201
    assert made.json["id"].startswith("wh_")
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert made.json["authentication"] == {"type": "bearer"}
    assert b"your_secret" not in made.body + shown.body
    assert "secret" not in shown.json
    assert secret.encode() not in shown.body
    await api.admin("POST", f"{URL}/{made.json['id']}/test", {})
    (request,) = api.bed.sender.sent
    signed = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
    assert dict(request.headers)["X-AgenticFlow-Signature"] == f"sha256={signed}"


async def test_an_own_secret_is_kept(api: Api) -> None:
    own = "an-own-secret-brought-along"
    made = await api.admin("POST", URL, SEED | {"secret": own})
    same = await api.admin("PUT", f"{URL}/{made.json['id']}", made.json)
    other = await api.admin("PUT", f"{URL}/{made.json['id']}", {"secret": "another-secret"})
    weak = await api.admin("POST", URL, SEED | {"secret": "short"})

    assert made.json["secret"] == own
    assert same.json == {name: value for name, value in made.json.items() if name != "secret"}
    assert (other.status, other.details["field"]) == (400, "secret")
    assert (weak.status, weak.details["field"]) == (400, "secret")
    assert b"short" not in weak.body.replace(b"too short", b"")


async def test_one_without_a_name_is_called_by_where_it_leads(api: Api) -> None:
    """Those of one host are told apart; neither a query nor a chat room's secret is in the name."""
    token = "FHBJKcsQ9ELcrzh9aXTYZfWD"
    named = {
        "https://example.com/": "example.com",
        "https://example.com:8443/hooks/?secret=s3": "example.com:8443/hooks",
        "https://example.com/api/v2/orders": "example.com/…/orders",
        f"https://hooks.slack.com/services/T0/B0/{token}": "hooks.slack.com/…aXTYZfWD",
    }
    made = [await api.admin("POST", URL, {"url": url, "events": ["*"]}) for url in named]

    assert [one.json["name"] for one in made] == list(named.values())


async def test_a_robots_webhooks_are_kept_by_the_management_routes(api: Api) -> None:
    """MX-8, in our words: added, listed, changed, tested and removed for one robot; MX-7: one URL may stand twice."""
    robot = {"kind": "robot", "id": "rob_1"}
    both = [await api.webhook(dialect="maxun", automation=robot) for _ in range(2)]
    place = f"{URL}/{both[0]['id']}"
    changed = await api.admin("PUT", place, {"events": ["robot.run.failed"]})
    tested = await api.admin("POST", f"{place}/test", {})
    removed = await api.admin("DELETE", place)
    left = (await api.admin("GET", URL)).json["webhooks"]

    assert both[0]["url"] == both[1]["url"]
    assert (changed.json["events"], changed.json["automation"]) == (["robot.run.failed"], robot)
    assert (tested.json["success"], tested.json["response_code"]) == (True, 200)
    assert removed.status == 204
    assert [one["id"] for one in left] == [both[1]["id"]]


async def test_af13_the_list_is_the_seeds(api: Api) -> None:
    webhook = await api.webhook(**SEED, headers={"X-Own": "1"})
    await api.admin("POST", f"/api/v1/webhooks/{webhook['id']}/test", {"event": "a.b", "test_data": {}})
    listed = await api.admin("GET", URL)
    (entry,) = listed.json["webhooks"]

    for name, value in SEED.items():
        if name != "authentication":
            assert entry[name] == value
    assert entry["status"] == "active"
    assert entry["created_at"].endswith("Z")
    assert entry["last_delivery"].endswith("Z")
    assert entry["delivery_stats"] == {
        "total_deliveries": 1,
        "successful_deliveries": 1,
        "failed_deliveries": 0,
    }
    assert listed.json["next"] is None


async def test_af12_put_merges(api: Api) -> None:
    """AF-X5: name and authentication stay; PATCH does the same."""
    webhook = await api.webhook(**SEED)
    for method in ("PUT", "PATCH"):
        changed = await api.admin(
            method,
            f"{URL}/{webhook['id']}",
            {
                "url": "https://new-app.com/webhooks/orders",
                "events": ["workflow.execution.completed", "workflow.execution.failed"],
            },
        )
        assert changed.status == 200
        assert changed.json["name"] == SEED["name"]
        assert changed.json["url"] == "https://new-app.com/webhooks/orders"
        assert changed.json["authentication"] == {"type": "bearer"}
    await api.admin("POST", f"{URL}/{webhook['id']}/test", {"event": "a.b"})
    (request,) = api.bed.sender.sent

    assert dict(request.headers)["Authorization"] == "Bearer your_secret"
    assert request.url == "https://new-app.com/webhooks/orders"


async def test_what_was_read_can_be_written_back(api: Api) -> None:
    webhook = await api.webhook(**SEED, filters={"include_fields": ["a.b"]}, retry_policy=POLICY)
    read = (await api.admin("GET", f"{URL}/{webhook['id']}")).json
    written = await api.admin("PUT", f"{URL}/{webhook['id']}", read)

    assert (written.status, written.json) == (200, read)


POLICY = {"max_retries": 3, "backoff_multiplier": 2}
PHANTOMBUSTER: dict[str, Any] = {
    "dialect": "phantombuster",
    "dialect_options": {"result_object": "json-string"},
}


@pytest.mark.parametrize(
    "policy",
    [
        POLICY,
        {"schedule_seconds": [5, 30.5, 3600], "jitter": 0},
        {"schedule_seconds": [], "jitter": 0.1},
    ],
)
async def test_a_policy_has_two_forms_and_is_shown_in_its_own(api: Api, policy: dict[str, Any]) -> None:
    """AF-7, AF-X2; issue point 2: own lists."""
    webhook = await api.webhook(retry_policy=policy)
    read = await api.admin("GET", f"{URL}/{webhook['id']}")

    assert read.json["retry_policy"] == policy


async def test_a_list_without_jitter_gets_ten_percent(api: Api) -> None:
    webhook = await api.webhook(retry_policy={"schedule_seconds": [60]})

    assert webhook["retry_policy"] == {"schedule_seconds": [60], "jitter": 0.1}


async def test_a_dialects_options_are_kept_until_the_dialect_changes(api: Api) -> None:
    """PB-X1, MX-X2: an option means something in one dialect only."""
    webhook = await api.webhook(**PHANTOMBUSTER)
    url = f"{URL}/{webhook['id']}"
    renamed = await api.admin("PUT", url, {"name": "Renamed"})
    same = await api.admin("PUT", url, {"dialect": "phantombuster"})
    written = await api.admin("PUT", url, same.json)
    other = await api.admin("PUT", url, {"dialect": "maxun"})
    again = await api.admin("PUT", url, {"dialect": "maxun-src", "dialect_options": {"dual_keys": True}})
    refused = await api.admin("PUT", url, {"dialect": "standard", "dialect_options": {"dual_keys": True}})
    unset = await api.admin("PUT", url, {"dialect_options": None})

    for kept in (renamed, same, written):
        assert kept.json["dialect_options"] == {"result_object": "json-string"}
    assert (other.json["dialect"], other.json["dialect_options"]) == ("maxun", {})
    assert again.json["dialect_options"] == {"dual_keys": True}
    assert (refused.status, refused.json["error"]["details"]["field"]) == (400, "dialect_options.dual_keys")
    assert (unset.json["dialect"], unset.json["dialect_options"]) == ("maxun-src", {})


async def test_an_option_words_what_is_sent(api: Api) -> None:
    """PB-X1: the table's string instead of the example's object."""
    webhook = await api.webhook(**PHANTOMBUSTER)
    await api.admin("POST", f"{URL}/{webhook['id']}/test", {"event": "a.b", "test_data": {"a": 1.0}})
    (request,) = api.bed.sender.sent

    assert parsed(request.body)["resultObject"] == '{"a":1}'
    assert dict(request.headers)["Hookline-Event"] == "a.b"


async def test_a_test_in_maxun_says_test(api: Api) -> None:
    """MX-11, MX-X1."""
    webhook = await api.webhook(dialect="maxun")
    await api.admin("POST", f"{URL}/{webhook['id']}/test", {"test_data": {"a": 1}})
    told = parsed(api.bed.sender.sent[0].body)

    assert (told["event_type"], told["data"]["status"]) == ("webhook_test", "test")
    assert told["data"]["metadata"]["test_mode"] is True


async def test_af7_every_setting_is_kept_and_null_unsets_it(api: Api) -> None:
    """AF-X5: what was read can be written back, and changes nothing."""
    settings: dict[str, Any] = {
        "authentication": {"type": "basic", "username": "user"},
        "dialect": "maxun",
        "dialect_options": {"dual_keys": True},
        "automation": {"kind": "workflow", "id": "orders"},
        "metadata": {"team": ["a", 1]},
        "retry_policy": POLICY,
        "conditions": {"satisfaction_score": {"lt": 3}, "message_count": {"gt": 10}},
        "filters": {"include_fields": ["workflow_id", "output_data.order_id"], "exclude_fields": ["status"]},
        "headers": {"X-Own": "value"},
        "batch_settings": {"max_events": 2, "max_wait_seconds": 9},
        "rate_per_second": 5,
        "max_in_flight": 4,
        "timeout_seconds": 7.5,
        "signature": "both",
    }
    sent = settings | {
        "authentication": settings["authentication"] | {"password": "p"},
        "tls": {"ca_pem": trustme.CA().cert_pem.bytes().decode()},
    }
    webhook = await api.webhook(**sent)
    blank = await api.webhook()
    shown = (await api.admin("GET", f"{URL}/{webhook['id']}")).json
    written_back = await api.admin("PUT", f"{URL}/{webhook['id']}", shown)
    settings["tls"] = shown["tls"]
    exchanged = await api.admin(
        "PUT", f"{URL}/{webhook['id']}", {"template": "slack", "batch_settings": None}
    )
    twice = await api.admin(
        "PUT", f"{URL}/{webhook['id']}", {"authentication": {"type": "header", "name": "x-own", "value": "v"}}
    )
    unset = await api.admin("PUT", f"{URL}/{webhook['id']}", dict.fromkeys(set(settings) - {"dialect"}))

    assert {name: webhook[name] for name in settings} == settings
    assert written_back.json == shown
    assert (exchanged.json["template"], exchanged.json["batch_settings"]) == ("slack", None)
    assert (twice.status, twice.details["field"]) == (400, "authentication.name")
    for name in set(settings) - {"dialect"}:
        assert unset.json[name] == blank[name], name


BAD: list[tuple[dict[str, Any], str]] = [
    ({"url": "ftp://a.b/"}, "url"),
    ({"url": "https://user:pw@a.b/"}, "url"),
    ({"url": "http://127.0.0.1/"}, "url"),
    ({"url": "http://[::1]/"}, "url"),
    ({"url": "http://0x7f.1/"}, "url"),
    ({"url": "http://169.254.169.254/"}, "url"),
    ({"url": "http://a.b/\0"}, "url"),
    ({"url": "http://localhost/"}, "url"),
    ({"url": "https://api.LOCALHOST./hook"}, "url"),
    ({"url": None}, "url"),
    ({"events": []}, "events"),
    ({"events": [7]}, "events.0"),
    ({"events": ["ok", ""]}, "events.1"),
    ({"events": ["a b"]}, "events.0"),
    ({"events": ["*" * 60]}, "events.0"),
    ({"events": ["*"] * 101}, "events"),
    ({"events": None}, "events"),
    ({"name": ""}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": "x" * 201}, "name"),
    ({"dialect": "morse"}, "dialect"),
    ({"dialect": ""}, "dialect"),
    ({"metadata": {"a": "x" * 17_000}}, "metadata"),
    ({"dialect_options": []}, "dialect_options"),
    ({"dialect_options": {"x": 1}}, "dialect_options.x"),
    ({"dialect": "phantombuster", "dialect_options": {"result_object": 1}}, "dialect_options.result_object"),
    ({"dialect": "maxun", "dialect_options": {"dual_keys": "yes"}}, "dialect_options.dual_keys"),
    ({"authentication": {"type": "psychic"}}, "authentication.type"),
    ({"authentication": {}}, "authentication.type"),
    ({"authentication": {"type": "bearer"}}, "authentication.token"),
    ({"authentication": {"type": "bearer", "token": "a\r\nX: y"}}, "authentication.token"),
    ({"authentication": {"type": ["basic"]}}, "authentication.type"),
    ({"authentication": {"type": {}}}, "authentication.type"),
    ({"authentication": {"type": "basic", "username": "a:b", "password": "x"}}, "authentication.username"),
    ({"authentication": {"type": "header", "name": "Host", "value": "x"}}, "authentication.name"),
    ({"authentication": {"type": "header", "name": "X A", "value": "x"}}, "authentication.name"),
    ({"authentication": {"type": "bearer", "token": "x", "tokn": "y"}}, "authentication.tokn"),
    ({"authentication": {"type": "query", "value": "x"}}, "authentication.name"),
    ({"authentication": {"type": "query", "name": "a=b", "value": "x"}}, "authentication.name"),
    ({"authentication": {"type": "query", "name": "a"}}, "authentication.value"),
    ({"authentication": {"type": "query", "name": "a", "value": "x&y=z"}}, "authentication.value"),
    ({"authentication": {"type": "query", "name": "a", "value": "x y"}}, "authentication.value"),
    ({"authentication": {"type": "query", "name": "a", "value": "x#y"}}, "authentication.value"),
    ({"authentication": {"type": "query", "name": "a", "value": "\u00e9"}}, "authentication.value"),
    ({"authentication": {"type": "query", "name": "a", "value": "x\\y"}}, "authentication.value"),
    ({"retry_policy": {"max_retries": -1, "backoff_multiplier": 2}}, "retry_policy.max_retries"),
    ({"retry_policy": {}}, "retry_policy.max_retries"),
    ({"retry_policy": {"max_retries": 3, "backoff_multiplier": 0.5}}, "retry_policy.backoff_multiplier"),
    ({"retry_policy": {"schedule_seconds": 5}}, "retry_policy.schedule_seconds"),
    ({"retry_policy": {"schedule_seconds": ["5"]}}, "retry_policy.schedule_seconds.0"),
    ({"retry_policy": {"schedule_seconds": [5, 0.5]}}, "retry_policy.schedule_seconds.1"),
    ({"retry_policy": {"schedule_seconds": [604_801]}}, "retry_policy.schedule_seconds.0"),
    ({"retry_policy": {"schedule_seconds": [1e300]}}, "retry_policy.schedule_seconds.0"),
    ({"retry_policy": {"schedule_seconds": [1] * 21}}, "retry_policy.schedule_seconds"),
    ({"retry_policy": {"schedule_seconds": [1], "jitter": 1.5}}, "retry_policy.jitter"),
    ({"retry_policy": {"schedule_seconds": [1], "max_retries": 3}}, "retry_policy.max_retries"),
    ({"retry_policy": POLICY | {"jitter": 0.1}}, "retry_policy.jitter"),
    ({"conditions": {"a": {"regex": "x"}}}, "conditions.a.regex"),
    ({"conditions": {"a": 7}}, "conditions.a"),
    ({"filters": {"include_fields": [7]}}, "filters.include_fields.0"),
    ({"filters": {"include": []}}, "filters.include"),
    ({"batch_settings": {"max_events": 0}}, "batch_settings.max_events"),
    ({"headers": {"Content-Length": "1"}}, "headers.Content-Length"),
    ({"headers": {"webhook-id": "1"}}, "headers.webhook-id"),
    ({"headers": {"Authorization": "1"}}, "headers.Authorization"),
    ({"headers": {"Metadata-Flavor": "Google"}}, "headers.Metadata-Flavor"),
    ({"headers": {"X": "a\r\nb"}}, "headers.X"),
    ({"headers": {"X": 7}}, "headers.X"),
    ({"headers": {f"X-{number}": "x" for number in range(51)}}, "headers"),
    ({"headers": {"X-A": "1", "x-a": "2"}}, "headers"),
    (
        {"headers": {"X-A": "1"}, "authentication": {"type": "header", "name": "x-a", "value": "2"}},
        "headers.X-A",
    ),
    ({"template": {"txt": "x"}}, "template.txt"),
    ({"rate_per_second": 0.00001}, "rate_per_second"),
    ({"rate_per_second": 0}, "rate_per_second"),
    ({"max_in_flight": True}, "max_in_flight"),
    ({"max_in_flight": 1001}, "max_in_flight"),
    ({"ordered": "yes"}, "ordered"),
    ({"timeout_seconds": 1e9}, "timeout_seconds"),
    ({"max_redirects": 1.5}, "max_redirects"),
    ({"large_payloads": "no"}, "large_payloads"),
    ({"signature": "v2"}, "signature"),
    ({"signature": 1}, "signature"),
    ({"tls": {"ca_pem": "no"}}, "tls.ca_pem"),
    ({"tls": {"ca": "no"}}, "tls.ca"),
    ({"automation": {"kind": "poem", "id": "x"}}, "automation.kind"),
    ({"automation": {"kind": "workflow", "id": "a\0"}}, "automation.id"),
    ({"status": "paused"}, "status"),
    ({"organization_id": "org_x"}, "organization_id"),
    ({"sealed_secret": "x"}, "sealed_secret"),
]


@pytest.mark.parametrize(("field", "fields"), [(field, fields) for fields, field in BAD])
async def test_a_bad_field_is_named_with_what_was_expected(
    api: Api, field: str, fields: dict[str, Any]
) -> None:
    webhook = await api.webhook()
    created = await api.admin("POST", URL, SEED | fields)
    updated = await api.admin("PUT", f"{URL}/{webhook['id']}", fields)

    for answer in (created, updated):
        assert (answer.status, answer.details["field"]) == (400, field), answer
        assert answer.details["expected"], answer
        assert answer.details["received"], answer
    assert (await api.admin("GET", f"{URL}/{webhook['id']}")).json["updated_at"] == webhook["updated_at"]


@pytest.mark.parametrize(
    "secret",
    ["", " ", "        ", "hunter2", "a\nbcdefgh", " padded-secret", "whsec_", "whsec_!!", "x" * 513, 7],
)
async def test_an_own_secret_that_protects_nothing_is_refused(api: Api, secret: object) -> None:
    """An own secret has 8 bytes or more: what receivers know already comes along, what anybody tries does not."""
    created = await api.admin("POST", URL, SEED | {"secret": secret})

    assert (created.status, created.details["field"]) == (400, "secret")
    assert created.details["expected"]
    assert created.details["received"]
    assert len(str(secret).strip()) < 7 or str(secret) not in str(created.json)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"max_retries": 0}, {"max_retries": 0, "backoff_multiplier": 2}),
        ({"backoff_multiplier": 3}, {"max_retries": 6, "backoff_multiplier": 3}),
        ({"max_retries": 10, "backoff_multiplier": 2}, {"max_retries": 6, "backoff_multiplier": 2}),
    ],
)
async def test_a_policy_is_shown_as_it_is_kept_to(
    api: Api, given: dict[str, Any], kept: dict[str, Any]
) -> None:
    """AF-X2: at most six retries; what is left out is the seed's."""
    assert (await api.webhook(retry_policy=given))["retry_policy"] == kept


async def test_an_allowed_network_is_allowed(api: Api) -> None:
    assert (await api.admin("POST", URL, SEED | {"url": "http://10.1.2.3/"})).status == 201
    assert (await api.admin("POST", URL, SEED | {"url": "http://10.2.2.3/"})).status == 400


async def test_af12_test_sends_now_and_tells_how_it_went(api: Api) -> None:
    webhook = await api.webhook(dialect="standard")
    answer = await api.admin(
        "POST",
        f"{URL}/{webhook['id']}/test",
        b'{"event": "workflow.execution.completed", "test_data": {"workflow_id": "test_workflow", "n": 1.0}}',
    )
    (request,) = api.bed.sender.sent

    assert (answer.status, answer.json["success"], answer.json["response_code"]) == (200, True, 200)
    assert isinstance(answer.json["response_time_ms"], int)
    assert b'{"workflow_id":"test_workflow","n":1}' in request.body


async def test_a_refused_test_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "hookline.db", clock=SystemClock())
    await store.open()
    async with serving(store, sender=FakeSender(lambda _: refused(500))) as api:
        webhook = await api.webhook()
        answer = await api.admin("POST", f"{URL}/{webhook['id']}/test", {"event": "a.b"})
        logs = await api.admin("GET", f"{URL}/{webhook['id']}/logs")

        assert (answer.json["success"], answer.json["response_code"]) == (False, 500)
        assert logs.json["logs"][0]["status"] == "failed"
        assert logs.json["logs"][0]["response_code"] == 500
        found = await api.admin("GET", f"/api/v1/deliveries/{answer.json['delivery_id']}")
        assert (found.json["state"], found.json["state_reason"]) == ("exhausted", "test_failed")
        assert [one["cause"] for one in found.json["attempts"]] == ["test"]
    await store.close()


async def test_af14_logs_are_the_seeds(api: Api) -> None:
    webhook = await api.webhook()
    await api.admin("POST", "/api/v1/events", {"type": "order.paid", "data": {}})
    await until_delivered(api.admin, 1)
    logs = await api.admin("GET", f"{URL}/{webhook['id']}/logs")
    (entry,) = logs.json["logs"]

    assert entry["id"].startswith("log_")
    assert entry["timestamp"].endswith("Z")
    assert {name: entry[name] for name in ("event", "status", "response_code", "attempts")} == {
        "event": "order.paid",
        "status": "success",
        "response_code": 200,
        "attempts": 1,
    }
    assert entry["response_time_ms"] >= 0
    assert entry["payload_size"] == len(api.bed.sender.sent[0].body)
    for status, count in (("success", 1), ("failed", 0), ("pending", 0)):
        found = await api.admin("GET", f"{URL}/{webhook['id']}/logs?status={status}")
        assert len(found.json["logs"]) == count


async def test_stats_tell_the_window(api: Api) -> None:
    webhook = await api.webhook()
    await api.admin("POST", "/api/v1/events", {"events": [{"type": "a", "data": 1}] * 3})
    await until_delivered(api.admin, 3)
    stats = (await api.admin("GET", f"{URL}/{webhook['id']}/stats?window=1h")).json
    bad = await api.admin("GET", f"{URL}/{webhook['id']}/stats?window=1y")

    assert (stats["total_deliveries"], stats["success_rate"], stats["by_class"]) == (3, 1.0, {"2xx": 3})
    assert set(stats["latency_ms"]) == {"p50", "p95", "p99"}
    assert sum(point["successful"] for point in stats["series"]) == 3
    assert (bad.status, bad.details["field"]) == (400, "window")


async def test_a_rotation_keeps_both_secrets_until_it_is_finished(api: Api) -> None:
    webhook = await api.webhook(dialect="standard")
    place = f"{URL}/{webhook['id']}/secret/rotate"
    rotated = await api.admin("POST", place)
    again = await api.admin("POST", place)
    await api.admin("POST", f"{URL}/{webhook['id']}/test", {})
    finished = await api.admin("POST", place, {"finish": True})
    await api.admin("POST", f"{URL}/{webhook['id']}/test", {})
    during, after = (dict(request.headers)["webhook-signature"] for request in api.bed.sender.sent)

    assert rotated.json["secret"] != webhook["secret"]
    assert rotated.json["previous_secret_until"] is not None
    assert (again.status, again.code) == (409, "ROTATION_UNDER_WAY")
    assert finished.json["previous_secret_until"] is None
    assert (len(during.split()), len(after.split())) == (2, 1)


@pytest.mark.parametrize(("signature", "versions"), [("v1a", ["v1a"]), ("both", ["v1", "v1a"])])
async def test_a_public_key_verifies_what_a_webhook_sends(
    api: Api, signature: str, versions: list[str]
) -> None:
    """P12: Standard Webhooks v1a; the private key is never shown, and rotates with the secret."""
    webhook = await api.webhook(dialect="standard", signature=signature)
    await api.admin("POST", f"{URL}/{webhook['id']}/test", {})
    rotated = (await api.admin("POST", f"{URL}/{webhook['id']}/secret/rotate")).json
    await api.admin("POST", f"{URL}/{webhook['id']}/test", {})
    shown = (await api.admin("GET", f"{URL}/{webhook['id']}")).json
    await api.admin("POST", f"{URL}/{webhook['id']}/secret/rotate", {"finish": True})
    await api.admin("POST", f"{URL}/{webhook['id']}/test", {})
    back = (await api.admin("PUT", f"{URL}/{webhook['id']}", {"signature": None})).json
    await api.admin("POST", f"{URL}/{webhook['id']}/test", {})
    first, during, after, last = api.bed.sender.sent

    def entries(request: Outgoing) -> list[str]:
        return [entry.split(",")[0] for entry in dict(request.headers)["webhook-signature"].split(" ")]

    assert (rotated["previous_public_key"], shown["public_key"]) == (
        webhook["public_key"],
        rotated["public_key"],
    )
    assert [entries(one) for one in (first, during, after, last)] == [
        versions,
        versions * 2,
        versions,
        ["v1"],
    ]
    for request, key in (
        (first, webhook["public_key"]),
        (during, webhook["public_key"]),
        (during, rotated["public_key"]),
        (after, rotated["public_key"]),
    ):
        assert verify(request.body, request.headers, key)["type"] == "webhook.test"
    with pytest.raises(VerificationError):
        verify(after.body, after.headers, webhook["public_key"])
    assert (back["signature"], back["public_key"]) == ("v1", rotated["public_key"])
    assert "whsk_" not in json.dumps([webhook, rotated, shown, back])


async def test_a_paused_webhook_holds_and_a_resumed_one_drains(api: Api) -> None:
    webhook = await api.webhook()
    paused = await api.admin("POST", f"{URL}/{webhook['id']}/pause")
    await api.admin("POST", "/api/v1/events", {"type": "a", "data": 1})
    held = await api.admin("GET", "/api/v1/deliveries?state=held")
    resumed = await api.admin("POST", f"{URL}/{webhook['id']}/resume")
    await until_delivered(api.admin, 1)

    assert (paused.json["status"], paused.json["status_reason"]) == ("paused", "paused")
    assert len(held.json["deliveries"]) == 1
    assert (resumed.json["status"], resumed.json["status_reason"]) == ("active", None)


async def test_a_deleted_webhook_is_gone_and_what_waited_is_cancelled(api: Api) -> None:
    """P24."""
    webhook = await api.webhook()
    await api.admin("POST", f"{URL}/{webhook['id']}/pause")
    await api.admin("POST", "/api/v1/events", {"type": "a", "data": 1})
    deleted = await api.admin("DELETE", f"{URL}/{webhook['id']}")
    await api.admin("POST", "/api/v1/events", {"type": "a", "data": 1})
    found = await api.admin("GET", "/api/v1/deliveries")

    assert (deleted.status, deleted.body) == (204, b"")
    assert (await api.admin("GET", f"{URL}/{webhook['id']}")).status == 404
    assert (await api.admin("DELETE", f"{URL}/{webhook['id']}")).status == 404
    assert [delivery["state"] for delivery in found.json["deliveries"]] == ["cancelled"]


async def test_what_was_owed_to_a_deleted_webhook_cannot_be_sent_again(api: Api) -> None:
    """Nobody would ever send it: it would wait for ever."""
    webhook = await api.webhook()
    await api.admin("POST", f"{URL}/{webhook['id']}/pause")
    await api.admin("POST", "/api/v1/events", {"type": "a", "data": 1})
    await api.admin("DELETE", f"{URL}/{webhook['id']}")
    (before,) = (await api.admin("GET", "/api/v1/deliveries")).json["deliveries"]
    again = await api.admin("POST", f"/api/v1/deliveries/{before['id']}/retry")
    after = await api.admin("GET", "/api/v1/deliveries")

    assert (again.status, again.code) == (409, "WEBHOOK_DELETED")
    assert after.json["deliveries"] == [before]


async def test_targets_that_nobody_registered_stay_hidden(api: Api) -> None:
    """A render's and a trigger's callback targets are rows like any other, but nobody's to see."""
    shown = [await api.webhook() for _ in range(2)]
    hidden = [
        await api.bed.webhook(origin=Origin.CALLBACK) if number % 2 else await api.webhook()
        for number in range(6)
    ]
    organization = (await api.bed.node.store.list(Webhook, organization_id=None, limit=1))[0].organization_id
    assert organization is not None
    first = await api.admin("GET", f"{URL}?limit=3")
    second = await api.admin("GET", f"{URL}?limit=3&cursor={first.json['next']}")
    ids = [webhook["id"] for page in (first, second) for webhook in page.json["webhooks"]]

    assert len(hidden) == 6
    assert len(ids) == len(set(ids)) == 5
    assert second.json["next"] is None
    assert {webhook["id"] for webhook in shown} <= set(ids)


async def test_pages_hold_everything_once_newest_first(api: Api) -> None:
    made = [(await api.webhook())["id"] for _ in range(5)]
    found: list[str] = []
    cursor = ""
    while True:
        page = (await api.admin("GET", f"{URL}?limit=2{cursor}")).json
        found += [webhook["id"] for webhook in page["webhooks"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"

    assert found == made[::-1]
    assert all(parse("webhook", id) for id in found)


async def test_two_changes_at_once_both_count(api: Api) -> None:
    webhook = await api.webhook()
    fields: list[dict[str, Any]] = [{"name": "A"}, {"max_in_flight": 3}, {"metadata": {"a": 1}}]
    answers = await asyncio.gather(*(api.admin("PATCH", f"{URL}/{webhook['id']}", field) for field in fields))
    now = (await api.admin("GET", f"{URL}/{webhook['id']}")).json

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert (now["name"], now["max_in_flight"], now["metadata"]) == ("A", 3, {"a": 1})


async def test_af16_meta_shows_where_deliveries_come_from(api: Api) -> None:
    meta = (await api.admin("GET", "/api/v1/meta")).json

    assert meta["source_ips"] == []
    assert "agenticflow" in meta["dialects"]
    assert meta["limits"]["events_per_request"] == 1000


SEED_KEY = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="
WHOLE_KEY = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
WHOLE_KEY_PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
"""The two keys published for ``v1a``: a seed alone, and a seed with its public key behind it."""


async def test_an_own_signing_key_is_brought_along_and_rotated(api: Api) -> None:
    """P12: a receiver that has the public key of before notices nothing; the private ones are never shown (P13)."""
    webhook = await api.webhook(dialect="standard", signing_key=WHOLE_KEY)
    place = f"{URL}/{webhook['id']}"
    await api.admin("POST", f"{place}/test", {})
    rotated = (await api.admin("POST", f"{place}/secret/rotate", {"signing_key": SEED_KEY})).json
    await api.admin("POST", f"{place}/test", {})
    shown = (await api.admin("GET", place)).json
    first, during = api.bed.sender.sent

    assert (webhook["signature"], webhook["public_key"]) == ("v1a", WHOLE_KEY_PUBLIC)
    assert rotated["previous_public_key"] == WHOLE_KEY_PUBLIC
    for request, key in (
        (first, WHOLE_KEY_PUBLIC),
        (during, WHOLE_KEY_PUBLIC),
        (during, rotated["public_key"]),
    ):
        assert verify(request.body, request.headers, key)["type"] == "webhook.test"
    assert "whsk_" not in json.dumps([webhook, rotated, shown])


async def test_a_webhook_that_signs_with_its_secret_may_get_an_own_key_later(api: Api) -> None:
    webhook = await api.webhook(dialect="standard")
    place = f"{URL}/{webhook['id']}"
    early = await api.admin("POST", f"{place}/secret/rotate", {"signing_key": WHOLE_KEY})
    given = await api.admin("PUT", place, {"signature": "both", "signing_key": WHOLE_KEY})
    again = await api.admin("PUT", place, {"signing_key": SEED_KEY})

    assert (early.status, early.json["error"]["details"]["field"]) == (400, "signing_key")
    assert (given.json["signature"], given.json["public_key"]) == ("both", WHOLE_KEY_PUBLIC)
    assert (again.status, again.json["error"]["details"]["field"]) == (400, "signing_key")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"signing_key": "whsk_AAAA"}, "signing_key"),
        ({"signing_key": WHOLE_KEY[:-5] + "AAA=="}, "signing_key"),
        ({"signing_key": 7}, "signing_key"),
        ({"signing_key": SEED_KEY, "signature": "v1"}, "signature"),
    ],
)
async def test_a_signing_key_that_cannot_sign_is_refused_without_being_repeated(
    api: Api, fields: dict[str, Any], field: str
) -> None:
    refusal = await api.admin("POST", URL, SEED | fields)

    assert (refusal.status, refusal.json["error"]["details"]["field"]) == (400, field)
    assert str(fields["signing_key"]) not in refusal.body.decode() or fields["signing_key"] == 7


@pytest.mark.parametrize("dialect", ["agenticflow", "maxun"])
async def test_a_test_of_a_paused_webhook_is_sent_now(tmp_path: Path, dialect: str) -> None:
    """CONTRACT section 5: sends now, answers status and time; what else there is stays held, and it stays paused."""
    store = SqliteStore(tmp_path / "hookline.db", clock=SystemClock())
    await store.open()
    answers = iter((Answer(AttemptOutcome.DELIVERED, status=200, duration_ms=4), refused(500)))
    async with serving(store, sender=FakeSender(lambda _: next(answers))) as api:
        webhook = await api.webhook(dialect=dialect, ordered=True)
        place = f"{URL}/{webhook['id']}"
        await api.admin("POST", f"{place}/pause")
        await api.admin("POST", "/api/v1/events", {"type": "order.paid", "data": {}})
        tested = await api.admin("POST", f"{place}/test", {})
        failed = await api.admin("POST", f"{place}/test", {})
        shown = await api.admin("GET", place)
        found = (await api.admin("GET", "/api/v1/deliveries")).json["deliveries"]
    await store.close()

    assert (tested.json["status"], tested.json["response_code"]) == ("success", 200)
    assert tested.json["response_time_ms"] == 4
    assert (failed.json["status"], failed.json["response_code"]) == ("failed", 500)
    assert (shown.json["status"], len(api.bed.sender.sent)) == ("paused", 2)
    assert [one["state"] for one in found] == ["exhausted", "succeeded", "held"]


async def test_the_operator_may_allow_more_retries(tmp_path: Path) -> None:
    """AF-X2."""
    store = SqliteStore(tmp_path / "hookline.db", clock=SystemClock())
    await store.open()
    async with serving(store, limits={"max_retries": 8}) as api:
        webhook = await api.webhook(retry_policy={"max_retries": 10, "backoff_multiplier": 2})
    await store.close()

    assert webhook["retry_policy"]["max_retries"] == 8
