"""``/trigger/…`` over both stores: SEEDS PR-1 to PR-11 and what resolves them."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import pytest
from trigger_bed import Door, Seen, serving

if TYPE_CHECKING:
    from hookline.ports import Store

pytestmark = pytest.mark.asyncio

METHODS = ["POST", "PUT", "PATCH", "DELETE", "GET"]


async def test_pr1_every_method_starts_an_execution_and_the_id_may_be_escaped(store: Store) -> None:
    """PR-1."""
    async with serving(store) as api:
        door = await Door.open(api, "prismatic")
        plain = [await door(method=method) for method in METHODS]
        door.path = door.path.replace("==", "%3D%3D")
        escaped = [await door(method=method) for method in METHODS]
        started = await door.executions()

    assert door.path.endswith("%3D%3D")
    assert {answer.status for answer in plain + escaped} == {200}
    assert len(started) == 10


async def test_pr2_the_default_answer_names_the_execution(store: Store) -> None:
    """PR-2, PR-13b: body, id and headers as printed."""
    async with serving(store) as api:
        door = await Door.open(api, "prismatic")
        answer = await door({})
        (execution,) = await door.executions()

    kind, _, uuid = b64decode(answer.json["executionId"]).decode().partition(":")
    assert answer.json.keys() == {"executionId"}
    assert kind == "InstanceExecutionResult"
    assert f"exec_{uuid}" == execution["id"]
    assert answer.headers["prismatic-executionid"] == answer.json["executionId"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert "content-type" in answer.headers["access-control-allow-headers"]


async def test_native_is_202_with_the_id(store: Store) -> None:
    """CONTRACT section 3."""
    async with serving(store) as api:
        answer = await (await Door.open(api))({})

    assert answer.status == 202
    assert answer.json.keys() == {"execution_id", "status"}
    assert answer.json["execution_id"].startswith("exec_")
    assert answer.json["status"] == "queued"


async def test_pr5_malformed_json_is_400_as_printed(store: Store) -> None:
    """PR-5: 44 bytes, prismatic-executionid; nothing ran, and the request is kept."""
    async with serving(store) as api:
        door = await Door.open(api, "prismatic")
        answer = await door(b"{bad-data", content_type="application/json")
        native = await (await Door.open(api))(b"{bad-data", content_type="application/json")
        kept, started = await door.refused(), await door.executions()

    assert (answer.status, answer.body) == (400, b'{"error":"Received malformed JSON payload."}')
    assert answer.headers["content-length"] == "44"
    assert answer.headers["prismatic-executionid"]
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert (native.status, native.code) == (400, "INVALID_JSON")
    assert started == []
    assert kept[0]["reason"].startswith("INVALID_JSON: ")
    assert door.made["path_id"] not in json.dumps(kept)


async def test_pr7_more_than_fifty_in_a_second_is_429_as_printed(store: Store) -> None:
    """PR-7, PR-X3, PR-X4: the text with the endpoint's id, its own length, Retry-After; no CORS, no execution."""
    async with serving(store) as api:
        door, other = await Door.open(api, "prismatic"), await Door.open(api, "prismatic")
        answers = [await door({}) for _ in range(51)]
        unhurt = await other({})

    refused = answers[-1]
    assert [answer.status for answer in answers] == [200] * 50 + [429]
    assert refused.body.decode() == (
        f'{{"error":"Endpoint with id: {door.made["path_id"]} has exceeded maximum allowed throughput of '
        '50 requests/second. Please throttle your requests."}'
    )
    assert refused.headers["content-length"] == str(len(refused.body))
    assert refused.headers["content-type"] == "application/json"
    assert refused.headers["retry-after"] == "1"
    assert not any(name.startswith(("access-control", "prismatic")) for name in refused.headers)
    assert unhurt.status == 200


async def test_pr9_what_the_flow_sees_of_a_request(store: Store) -> None:
    """PR-9, PR-X2: path fragment, parameters, headers, and names with spaces and question marks."""
    seen = Seen()
    sent = b'{"Payload Key 1":"Payload Value 1","Do Thing?":true,"quantity":123}'
    async with serving(store, work=seen.work) as api:
        door = await Door.open(api, "prismatic")
        await door(
            sent,
            "/my/custom/path?param-one=ParamValueOne&param-two=ParamValueTwo&a%20b%3F=c&param-two=again",
            header_one="First header value",
            header_two="Second header value",
            content_type="application/json",
        )
        shown = await seen.first()

    assert shown.path_fragment == "my/custom/path"
    assert shown.query_parameters == {"param-one": "ParamValueOne", "param-two": "again", "a b?": "c"}
    assert shown.headers["Header-One"] == "First header value"
    assert shown.headers["HEADER-TWO"] == "Second header value"
    assert shown.body.data == {"Payload Key 1": "Payload Value 1", "Do Thing?": True, "quantity": 123}
    assert (shown.raw_body.data, shown.raw_body.content_type) == (sent, "application/json")


async def test_pr11_what_the_flow_knows_of_its_own_url(store: Store) -> None:
    """PR-11, PR-15."""
    seen = Seen()
    async with serving(store, work=seen.work) as api:
        door = await Door.open(api, "prismatic")
        answer = await door({}, "/a/b?c=d")
        shown = await seen.first()

    kind, _, uuid = b64decode(answer.json["executionId"]).decode().partition(":")
    assert shown.invoke_url == door.made["url"]
    assert shown.webhook_urls == {"Orders": door.made["url"]}
    assert shown.webhook_api_keys == {}
    assert shown.flow.name == "Orders"
    assert shown.execution_id == f"exec_{uuid}"
    assert shown.started_at is not None
    assert kind == "InstanceExecutionResult"


async def test_a_request_to_nowhere_is_kept_without_its_path_id(store: Store) -> None:
    """Issue 3, point 7."""
    async with serving(store) as api:
        await api.anyone("POST", "/trigger/AAAAAAAAAAAAAAAAAAAAAA==/a/b?token=secret", {"a": 1})
        (kept,) = (await api.admin("GET", "/api/v1/requests?refused=true")).json["requests"]
        whole = (await api.admin("GET", f"/api/v1/requests/{kept['id']}")).json

    assert (kept["status"], kept["path"]) == (404, "/trigger/[redacted]/a/b")
    assert kept["reason"].startswith("NOT_FOUND: ")
    assert whole["body"] == ""  # who is unknown is not read
    assert "secret" not in json.dumps(whole)


async def test_prx1_a_body_of_no_known_type_is_its_bytes(store: Store) -> None:
    """PR-10, PR-X1."""
    seen = Seen()
    image = bytes(range(256)) * 3
    async with serving(store, work=seen.work) as api:
        door = await Door.open(api, "prismatic")
        answer = await door(image, content_type="image/png")
        shown = await seen.first()

    assert answer.status == 200
    assert shown.body.data == shown.raw_body.data == image
    assert shown.body.content_type == "image/png"


async def test_prx6_head_never_runs_and_a_native_trigger_takes_get_only_when_it_says_so(store: Store) -> None:
    """PR-X6."""
    async with serving(store) as api:
        native, opened = await Door.open(api), await Door.open(api, methods=["GET", "HEAD"])
        prismatic = await Door.open(api, "prismatic")
        answers = [await native(method="GET"), await opened(method="GET"), await opened(method="POST")]
        heads = [await door(method="HEAD") for door in (native, prismatic, opened)]
        started = await native.executions()

    assert [answer.status for answer in answers] == [405, 202, 405]
    assert answers[0].headers["allow"] == "POST, PUT, PATCH, DELETE"
    assert [answer.status for answer in heads] == [405, 405, 200]
    assert len(started) == 1


AUTHS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "token": (
        {"type": "token", "token": "wh_1234567890abcdef"},
        {"Authorization": "Bearer wh_1234567890abcdef"},
    ),
    "api_key": ({"type": "api_key", "api_key": "k1234567890abcdef"}, {"Api-Key": "k1234567890abcdef"}),
    "basic": (
        {"type": "basic", "username": "u", "password": "password"},
        {"Authorization": "Basic " + b64encode(b"u:password").decode()},
    ),
}


@pytest.mark.parametrize("profile", ["native", "prismatic"])
@pytest.mark.parametrize("kind", list(AUTHS))
async def test_prx8_a_missing_or_wrong_credential_is_401(store: Store, profile: str, kind: str) -> None:
    """PR-X8, CONTRACT section 3: every way of knowing a caller, in both profiles; nobody else's will do."""
    auth, headers = AUTHS[kind]
    async with serving(store) as api:
        door, other = (
            await Door.open(api, profile, auth),
            await Door.open(api, profile, {"type": kind, **_other(kind)}),
        )
        good = await api.anyone("POST", door.path, {}, headers=headers)
        missing = await api.anyone("POST", door.path, {})
        wrong = await api.anyone(
            "POST", door.path, {}, headers={name: text[:-2] for name, text in headers.items()}
        )
        foreign = await api.anyone("POST", other.path, {}, headers=headers)
        started, kept = await door.executions(), await door.refused()

    assert good.status in {200, 202}
    assert {(answer.status, answer.body) for answer in (missing, wrong, foreign)} == {(401, missing.body)}
    assert len(started) == 1
    assert [line["status"] for line in kept] == [401, 401]


def _other(kind: str) -> dict[str, str]:
    return {"username": "u", "password": "passwore"} if kind == "basic" else {}


async def test_prx8_unknown_disabled_and_deleted_look_the_same(store: Store) -> None:
    """PR-X8, P14."""
    async with serving(store) as api:
        disabled, deleted = await Door.open(api, "prismatic"), await Door.open(api, "prismatic")
        await api.admin("PATCH", f"/api/v1/triggers/{disabled.made['id']}", {"is_enabled": False})
        await api.admin("DELETE", f"/api/v1/triggers/{deleted.made['id']}")
        answers = [
            await api.anyone(method, path, {})
            for path in (
                disabled.path,
                deleted.path,
                "/trigger/AAAAAAAAAAAAAAAAAAAAAA==",
                "/trigger/",
                "/trigger/x",
            )
            for method in ("POST", "GET", "OPTIONS")
        ]

    assert {(answer.status, answer.body) for answer in answers} == {(404, answers[0].body)}
    assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1
