"""Triggers whose senders sign, over both stores: presets, handshakes, rotation, dedupe (issue 3, points 5 to 7)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from api_bed import PUBLIC_URL
from trigger_bed import Door, Seen, serving

from hookline.core.inbound import scheme_from, sign

if TYPE_CHECKING:
    from asgi import Reply

    from hookline.ports import Store

pytestmark = pytest.mark.asyncio

SECRET = "It's a Secret to Everybody"
GITHUB = {"type": "signature", "preset": "github", "secret": SECRET}


async def signed(
    door: Door, body: bytes, *, secret: str = SECRET, rest: str = "", id: str = "msg_1"
) -> Reply:
    """Send as the trigger's sender would."""
    scheme = scheme_from({name: door.made["auth"][name] for name in door.made["auth"] if name != "type"})
    made = sign(
        scheme,
        secret,
        now=door.api.bed.node.clock.now(),
        body=body,
        url=PUBLIC_URL + door.path + rest,
        headers={"content-type": "application/json"},
        message_id=id,
    )
    return await door.api.anyone("POST", door.path + rest, made.body, headers=dict(made.headers))


async def test_what_its_sender_signed_runs_and_nothing_else(store: Store) -> None:
    """Issue 3, point 6: the raw bytes; every refusal is the same 401, and its reason is kept for the owner."""
    seen = Seen()
    async with serving(store, work=seen.work) as api:
        door = await Door.open(api, auth=GITHUB)
        good = await signed(door, b'{"zen": 1.0}')
        shown = await seen.first()
        good_header = {"x-hub-signature-256": "sha256=" + "0" * 64}
        bad = [
            await door(b"{}"),
            await signed(door, b"{}", secret="another"),
            *[await door(b"{}", x_hub_signature_256=text) for text in GARBAGE],
            await api.anyone("POST", door.path, b"{}", headers=good_header),
        ]
        kept, started = await door.refused(), await door.executions()

    assert good.status == 202
    assert shown.body.data == {"zen": 1.0}
    assert {(answer.status, answer.body) for answer in bad} == {(401, bad[0].body)}
    assert bad[0].code == "UNAUTHORIZED"
    assert len(started) == 1
    assert {line["status"] for line in kept} == {401}
    assert all(line["reason"].startswith("SIGNATURE_INVALID: ") for line in kept)
    assert SECRET not in json.dumps(kept)


GARBAGE = [
    "",
    "sha256=",
    "sha256=zz",
    "=",
    ",,,,",
    "a" * 60_000,
    "\x80\xff",
    "sha256=" + "é" * 32,
    "v1=1,v1=2",
    "sha1=00",
]


async def test_the_secret_is_sealed_and_a_view_shows_none_of_it(store: Store) -> None:
    async with serving(store) as api:
        door = await Door.open(api, auth={**GITHUB, "previous_secret": "older secret"})
        view = await api.admin("GET", f"/api/v1/triggers/{door.made['id']}")
        listed = await api.admin("GET", "/api/v1/triggers")

    assert view.json["auth"] == {"type": "signature", "preset": "github"}
    for answer in (view, listed):
        assert b"Everybody" not in answer.body
        assert b"older" not in answer.body
        assert b"sealed" not in answer.body


async def test_a_rotated_secret_overlaps_and_then_is_gone(store: Store) -> None:
    """CONTRACT section 3: credential rotation with overlap; the new secret is the sender's own."""
    async with serving(store) as api:
        door = await Door.open(api, auth=GITHUB)
        path = f"/api/v1/triggers/{door.made['id']}/rotate"
        missing = await api.admin("POST", path, {})
        rotated = await api.admin("POST", path, {"secret": "the next secret"})
        during = [(await signed(door, b"{}", secret=secret)).status for secret in (SECRET, "the next secret")]
        at_once = await api.admin("POST", path, {"secret": "the last secret", "overlap_seconds": 0})
        after = [
            (await signed(door, b"{}", secret=secret)).status
            for secret in ("the next secret", "the last secret")
        ]

    assert (missing.status, missing.details["field"]) == (400, "secret")
    assert (rotated.status, at_once.status) == (200, 200)
    assert b"next secret" not in rotated.body
    assert during == [202, 202]
    assert after == [401, 202]


async def test_a_redelivery_is_the_first_execution_with_its_state_and_result(store: Store) -> None:
    """P5: the scheme's own delivery id dedupes without being asked to; another body makes no difference."""
    seen = Seen()
    async with serving(store, work=seen.work) as api:
        door = await Door.open(api, auth=GITHUB)
        first = await signed(door, b'{"n":1}', id="d-1")
        await api.bed.node.endings.join(_key(first), 8)
        again = await signed(door, b'{"n":2}', id="d-1")
        other = await signed(door, b'{"n":1}', id="d-2")
        started = await door.executions()

    assert again.status == 202
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json == {"execution_id": first.json["execution_id"], "status": "succeeded", "result": "done"}
    assert other.json["execution_id"] != first.json["execution_id"]
    assert len(started) == 2


def _key(answer: Reply) -> bytes:
    return bytes.fromhex(answer.json["execution_id"].removeprefix("exec_").replace("-", ""))


async def test_slack_and_meta_ask_whether_the_url_is_ours_and_start_nothing(store: Store) -> None:
    """Issue 3, point 6: answered before the methods are looked at, only to who proves itself."""
    slack_auth: dict[str, Any] = {"type": "signature", "preset": "slack", "secret": SECRET}
    meta_auth = {"type": "signature", "preset": "meta", "secret": SECRET, "verify_token": "mine"}
    question = b'{"type":"url_verification","challenge":"3eZbrw1aB"}'
    async with serving(store) as api:
        slack, meta = await Door.open(api, auth=slack_auth), await Door.open(api, auth=meta_auth)
        told = await signed(slack, question)
        forged = await slack(question, content_type="application/json")
        query = "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
        asked = [await meta(rest=query + token, method="GET") for token in ("mine", "yours")]
        plain_get = await meta(method="GET")
        started = await slack.executions()

    assert (told.status, told.body) == (200, b"3eZbrw1aB")
    assert told.headers["content-type"].startswith("text/plain")
    assert (asked[0].status, asked[0].body) == (200, b"1158201444")
    assert [forged.status, asked[1].status, plain_get.status] == [401, 401, 405]
    assert started == []


@pytest.mark.parametrize("rest", ["", "/sub/path", "?a=1&b=%20x+y&b=%7E"])
async def test_a_url_that_is_signed_is_the_one_we_gave_out_with_its_query_as_it_came(
    store: Store, rest: str
) -> None:
    """Square signs URL and body; an escaped id in the request changes nothing."""
    async with serving(store) as api:
        door = await Door.open(api, auth={"type": "signature", "preset": "square", "secret": SECRET})
        plain = await signed(door, b'{"event_id":"1"}', rest=rest)
        made = sign(
            scheme_from({"preset": "square"}),
            SECRET,
            now=api.bed.node.clock.now(),
            body=b"{}",
            url=PUBLIC_URL + door.path + rest,
        )
        escaped_path = door.path.replace("=", "%3D") + rest
        escaped = await api.anyone("POST", escaped_path, b"{}", headers=dict(made.headers))

    assert (plain.status, escaped.status) == (202, 202)


async def test_what_is_wrong_with_a_signature_is_told_to_its_owner(store: Store) -> None:
    """Issue 3, point 7."""
    async with serving(store) as api:
        door = await Door.open(api, auth=GITHUB)
        scheme = scheme_from({"preset": "github"})
        made = sign(scheme, SECRET, now=api.bed.node.clock.now(), body=b'{"a": 1}')
        await door.api.anyone("POST", door.path, b'{"a":1}', headers=dict(made.headers))
        (kept,) = await door.refused()

    assert "re-serialized" in kept["reason"]


async def test_a_credential_in_the_query_is_not_shown_to_the_automation(store: Store) -> None:
    """P13: PhantomBuster repeats its secret there; a parameter of that name elsewhere is the sender's own."""
    seen = Seen()
    async with serving(store, work=seen.work) as api:
        auth = {"type": "signature", "preset": "phantombuster", "secret": "s3cret+x"}
        phantom, plain = await Door.open(api, auth=auth), await Door.open(api)
        answers = [await phantom({}, "?secret=s3cret+x&token=1"), await plain({}, "?secret=a&token=1")]
        token = await Door.open(api, auth={"type": "token"})
        answers.append(await token({}, f"?token={token.made['token']}&a=b"))
        async with asyncio.timeout(8):
            while len(seen.triggers) < 3:  # noqa: ASYNC110 -- a list of the fake runner
                await asyncio.sleep(0.01)

    assert [answer.status for answer in answers] == [202] * 3
    shown = sorted((trigger.query_parameters for trigger in seen.triggers), key=str)
    assert shown == [{"a": "b"}, {"secret": "a", "token": "1"}, {"token": "1"}]
