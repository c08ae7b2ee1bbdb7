"""Requests that could not be routed are kept whole and run later where they belong, once (issue 3, point 4; PR-X8)."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from api_bed import PUBLIC_URL
from instance_bed import ACME_ORDERS, ALL, Instances, integrated
from instance_bed import SHARED as WITH_SETUP

from hookline.blobs.files import FileBlobs
from hookline.core.inbound import PRESETS, sign
from hookline.core.octets import BLOB, BYTES
from hookline.engine.clock import SystemClock
from hookline.model.integrations import FlowSignature, Handler, Security, Variable
from hookline.ports.runner import Succeeded

if TYPE_CHECKING:
    from asgi import Reply

    from hookline.ports import Store
    from hookline.ports.runner import CallJob, RunJob, RunListener

pytestmark = pytest.mark.asyncio

MB = 1 << 20
SHARED = msgspec.structs.replace(WITH_SETUP, flows=WITH_SETUP.flows[:2])
"""Nothing runs on deploy."""


class Noted:
    """Notes what each run is given. bodies: SHA-256 and size of ``ctx.trigger.raw_body.data``."""

    def __init__(self) -> None:
        self.triggers: list[dict[str, Any]] = []
        self.bodies: list[tuple[str, int]] = []

    async def work(self, job: RunJob, _: RunListener) -> Succeeded:
        shown = msgspec.json.decode(job.trigger or b"{}")
        data = shown["raw_body"]["data"]
        self.bodies.append(await asyncio.to_thread(_named_bytes, data))
        self.triggers.append(shown)
        return Succeeded(output=b"null")

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.bodies) < count:  # noqa: ASYNC110 -- the work notes it in another task
                await asyncio.sleep(0.01)


def _named_bytes(data: dict[str, str]) -> tuple[str, int]:
    return _named(Path(data[BLOB]).read_bytes() if BLOB in data else b64decode(data[BYTES]))


def _named(body: bytes) -> tuple[str, int]:
    return hashlib.sha256(body).hexdigest(), len(body)


async def send(acme: Instances, made: dict[str, Any], body: bytes, rest: str = "", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = made["invoke_url"].removeprefix(PUBLIC_URL) + rest
    return await acme.api.anyone("POST", url, body, headers={"content-type": "application/json"} | named)


async def unroutable(acme: Instances) -> list[dict[str, Any]]:
    """Oldest first."""
    found = await acme.api.admin("GET", "/api/v1/requests?refused=true")
    kept: list[dict[str, Any]] = found.json["requests"][::-1]
    return kept


async def reroute(acme: Instances, request: dict[str, Any], **asked: Any) -> Reply:
    return await acme.api.admin("POST", f"/api/v1/requests/{request['id']}/reroute", asked)


async def test_a_request_runs_once_when_its_customer_is_there(store: Store) -> None:
    """PR-X8: routed as it says, byte-exact, and never a second time."""
    noted = Noted()
    body = b'{ "tenant" : "c-2", "f": 1.0 }'
    async with integrated(store, SHARED, work={ACME_ORDERS: noted.work}) as acme:
        made = await acme.made("c-1")
        await send(acme, made, body, "/a/b%20c?x=1", X_Flow="orders")
        (kept,) = await unroutable(acme)
        before = await acme.api.admin("GET", f"/api/v1/requests/{kept['id']}")
        early = await reroute(acme, kept)
        await acme.made("c-2")
        after = await acme.api.admin("GET", f"/api/v1/requests/{kept['id']}/explain")
        many = await asyncio.gather(*(reroute(acme, kept) for _ in range(5)))
        await noted.until(1)
        runs = await acme.runs()
        (kept,) = await unroutable(acme)

    assert before.json["explain"]["is_good"] is False
    assert (early.status, early.code) == (409, "UNROUTABLE")
    assert "'c-2'" in early.json["error"]["message"]
    assert after.json["explain"]["findings"] == ["It would now go to flow 'orders' of customer 'c-2'."]
    assert sorted(one.status for one in many) == [202, 409, 409, 409, 409]
    assert {one.code for one in many if one.status == 409} == {"ALREADY_RAN"}
    assert [run["id"] for run in runs] == [kept["execution_id"]]
    assert noted.bodies == [_named(body)]
    shown = noted.triggers[0]
    assert (shown["path_fragment"], shown["query_parameters"]) == ("a/b c", {"x": "1"})
    assert shown["customer"]["external_id"] == "c-2"


async def test_whoever_routes_it_may_say_where(store: Store) -> None:
    """PR-X8: the instance and the flow that the request does not name; nothing of another organization's."""
    async with integrated(store, SHARED) as acme:
        made = await acme.made("c-1")
        await send(acme, made, b"{}")
        await send(acme, made, b"{}", "?token=x")
        (kept, with_token) = await unroutable(acme)
        wrong = [
            await reroute(acme, kept),
            await reroute(acme, kept, instance_id=made["id"]),
            await reroute(acme, kept, instance_id=made["id"], flow="nothing"),
            await reroute(acme, kept, instance_id="inst_01890000-0000-7000-8000-000000000000", flow="orders"),
        ]
        organization = await acme.api.organization("Other", "other")
        other = acme.api.admin.having(Hookline_Organization=organization)
        foreign = await other("POST", f"/api/v1/requests/{kept['id']}/reroute", {})
        good = await reroute(acme, kept, instance_id=made["id"], flow="invoices")
        redacted = await reroute(acme, with_token, instance_id=made["id"], flow="invoices")
        runs = await acme.runs()

    assert [(one.status, one.code) for one in wrong] == [(409, "UNROUTABLE")] * 4
    assert foreign.status == 404
    assert (good.status, good.json["status"]) == (202, "queued")
    assert (redacted.status, redacted.code) == (409, "URL_NOT_KEPT")
    assert [run["automation"]["id"] for run in runs] == ["acme.invoices"]


async def test_only_what_could_not_be_routed_is_routed_again(store: Store) -> None:
    async with integrated(store, SHARED) as acme:
        made = await acme.made("c-1")
        accepted = await send(acme, made, b'{"tenant":"c-1"}', X_Flow="orders")
        found = (await acme.api.admin("GET", "/api/v1/requests")).json["requests"]
        answer = await reroute(acme, found[0])

    assert accepted.status == 200
    assert (answer.status, answer.code) == (409, "NOT_UNROUTABLE")


async def test_keys_are_not_asked_for_again(store: Store) -> None:
    """PR-17: the key that came is not kept; whoever may route it vouches for it."""
    secured = msgspec.structs.replace(SHARED, security=Security.CUSTOMER_REQUIRED)
    async with integrated(store, secured) as acme:
        made = await acme.made("c-1")
        await send(acme, made, b'{"tenant":"c-2"}', X_Flow="orders", Api_Key="hwk_of-another")
        two = await acme.made("c-2")
        (kept,) = await unroutable(acme)
        answer = await reroute(acme, kept)
        shown = await acme.api.admin("GET", f"/api/v1/requests/{kept['id']}")

    assert two["status"] == "active"
    assert answer.status == 202
    assert "hwk_of-another" not in shown.body.decode()


async def test_on_trigger_is_asked_once_whoever_takes_a_request_up(store: Store) -> None:
    """PR-12: five at once and one later ask for the same request; what was decided is remembered for all of them."""
    asked: list[str] = []

    async def decide(job: CallJob) -> bytes:
        asked.append(msgspec.json.decode(job.payload or b"")["request_id"])
        if len(asked) == 1:
            raise RuntimeError("not now")
        await asyncio.sleep(0.05)
        replaced = {"path_fragment": "decided"}
        return msgspec.json.encode({"runs": True, "payload": replaced, "response": None})

    work, flows = Noted(), tuple(msgspec.structs.replace(flow, handlers=ALL) for flow in SHARED.flows)
    asking = msgspec.structs.replace(SHARED, flows=flows)
    handlers = {Handler.ON_TRIGGER: decide}
    async with integrated(store, asking, handlers=handlers, work={ACME_ORDERS: work.work}) as acme:
        made = await acme.made("c-1")
        await send(acme, made, b"{}")
        (kept,) = await unroutable(acme)
        where = {"instance_id": made["id"], "flow": "orders"}
        failed = await reroute(acme, kept, **where)
        many = await asyncio.gather(*(reroute(acme, kept, **where) for _ in range(5)))
        await work.until(1)

    assert (failed.status, failed.code) == (502, "HANDLER_FAILED")
    assert sorted(one.status for one in many) == [202, 409, 409, 409, 409]
    assert asked == [kept["id"], kept["id"]]
    assert [shown["path_fragment"] for shown in work.triggers] == ["decided"]


async def test_on_trigger_may_answer_it_without_a_run(store: Store) -> None:
    """PR-12: a challenge that comes late starts nothing, and the request stays as it is."""

    async def challenge(_: CallJob) -> bytes:
        return msgspec.json.encode(
            {
                "runs": False,
                "payload": None,
                "response": {"status": 200, "content_type": None, "headers": {}, "body": None},
            }
        )

    flows = tuple(msgspec.structs.replace(flow, handlers=ALL) for flow in SHARED.flows)
    asking = msgspec.structs.replace(SHARED, flows=flows)
    async with integrated(store, asking, handlers={Handler.ON_TRIGGER: challenge}) as acme:
        made = await acme.made("c-1")
        await send(acme, made, b"{}")
        (kept,) = await unroutable(acme)
        answer = await reroute(acme, kept, instance_id=made["id"], flow="orders")
        runs = await acme.runs()

    assert (answer.status, answer.json["status"], answer.json["execution_id"]) == (200, "answered", None)
    assert runs == []


@pytest.mark.parametrize("size", [2 * MB, 9 * MB])
async def test_large_bodies_are_routed_again_byte_for_byte(store: Store, tmp_path: Path, size: int) -> None:
    """PR-X8, P4: what does not fit a row is kept beside it, whether it was held or went to disk as it came."""
    noted = Noted()
    blobs = FileBlobs(tmp_path / "blobs")
    await blobs.open()
    body = bytes(range(256)) * (size // 256)
    async with integrated(store, SHARED, work={ACME_ORDERS: noted.work}, blobs=blobs) as acme:
        made = await acme.made("c-1")
        trigger = (await acme.api.admin("GET", "/api/v1/triggers")).json["triggers"][0]
        await acme.api.admin("PATCH", f"/api/v1/triggers/{trigger['id']}", {"max_body_bytes": 20 * MB})
        answer = await send(acme, made, body, content_type="application/octet-stream")
        (kept,) = await unroutable(acme)
        raw = await acme.api.admin("GET", f"/api/v1/requests/{kept['id']}/body")
        routed = await reroute(acme, kept, instance_id=made["id"], flow="orders")
        await noted.until(1)

    assert answer.status == 404
    assert kept["body_size"] == size
    assert raw.body == body
    assert routed.status == 202
    assert noted.bodies == [_named(body)]


async def test_a_large_body_that_is_gone_is_refused_with_the_reason(store: Store, tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    await blobs.open()
    async with integrated(store, SHARED, blobs=blobs) as acme:
        made = await acme.made("c-1")
        await send(acme, made, b"x" * (2 * MB), content_type="text/plain")
        (kept,) = await unroutable(acme)
        for path in (tmp_path / "blobs").iterdir():
            path.unlink()
        answer = await reroute(acme, kept, instance_id=made["id"], flow="orders")
        shown = await acme.api.admin("GET", f"/api/v1/requests/{kept['id']}")

    assert (answer.status, answer.code) == (409, "BODY_GONE")
    assert shown.json["explain"]["reason"] == "body_gone"


async def test_a_flow_that_asks_for_a_signature_gets_one_when_it_is_routed_again(store: Store) -> None:
    """PR-17, PR-X8: checked with the secret of the instance that it is for, by the time of its arrival."""
    by = FlowSignature(definition={"preset": "github"}, secrets=("secret",))
    first, *others = SHARED.flows
    flows = (msgspec.structs.replace(first, signature=by, handlers=()), *others)
    variables = (Variable(name="secret", is_secret=True),)
    signing = msgspec.structs.replace(SHARED, flows=flows, variables=variables)
    async with integrated(store, signing) as acme:
        made = await acme.made("c-1", config={"secret": "of one"})
        for secret in ("of one", "of two"):
            request = sign(PRESETS["github"], secret, now=SystemClock().now(), body=b"{}", message_id=secret)
            await send(acme, made, b"{}", **dict(request.headers))
        good, bad = await unroutable(acme)
        answers = [await reroute(acme, one, instance_id=made["id"], flow="orders") for one in (good, bad)]
        runs = await acme.runs()

    assert [(one.status, one.json.get("status")) for one in answers] == [(202, "queued"), (409, None)]
    assert answers[1].code == "SIGNATURE_INVALID"
    assert len(runs) == 1
