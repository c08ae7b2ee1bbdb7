"""What a trigger's settings do to requests, over both stores (issue 3, points 2 and 5; CONTRACT section 3)."""

from __future__ import annotations

import asyncio
import json
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from api_bed import PUBLIC_URL
from engine_bed import ORDERS
from trigger_bed import Door, Seen, serving

from hookline.api.app import build_application
from hookline.api.services import ApiSettings
from hookline.core.addresses import AddressPolicy
from hookline.ports.runner import Succeeded

if TYPE_CHECKING:
    from api_bed import Api

    from hookline.ports import Store
    from hookline.ports.runner import Outcome, RunJob, RunListener

pytestmark = pytest.mark.asyncio


class Gate:
    """Work that goes on when it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.inputs: list[Any] = []

    async def __call__(self, job: RunJob, _: RunListener) -> Outcome:
        self.inputs.append(msgspec.json.decode(job.input or b"null"))
        await self.go.wait()
        return Succeeded(output=b"null")


async def until(api: Api, status: str, count: int = 1) -> list[dict[str, Any]]:
    """Wait until so many executions have a status."""
    async with asyncio.timeout(8):
        while True:
            found = (await api.admin("GET", f"/api/v1/executions?status={status}")).json["executions"]
            if len(found) == count:
                return list(found)
            await asyncio.sleep(0.01)


# --- the static answer --------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["native", "prismatic"])
async def test_pr3_a_trigger_may_say_what_it_answers(store: Store, profile: str) -> None:
    """PR-3: code, headers, body and content type; the execution runs all the same."""
    response = {
        "status": 201,
        "headers": {"X-Mine": "yes"},
        "body": "<p>Thanks</p>",
        "content_type": "text/html",
    }
    async with serving(store) as api:
        door = await Door.open(api, profile, response=response)
        answer = await door({})
        started = await door.executions()

    assert (answer.status, answer.body) == (201, b"<p>Thanks</p>")
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["x-mine"] == "yes"
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert len(started) == 1


async def test_pr3_without_a_body_it_is_the_profiles_own(store: Store) -> None:
    async with serving(store) as api:
        code = await (await Door.open(api, "prismatic", response={"status": 202}))({})
        json_body = await (await Door.open(api, response={"body": {"ok": True}}))({})
        empty = await (await Door.open(api, response={"status": 204}))({})

    assert (code.status, code.json.keys()) == (202, {"executionId"})
    assert (json_body.status, json_body.json) == (200, {"ok": True})
    assert json_body.headers["content-type"] == "application/json"
    assert json_body.headers["hookline-execution-id"].startswith("exec_")
    assert (empty.status, empty.body) == (204, b"")
    assert "content-length" not in empty.headers


# --- who and how much ---------------------------------------------------------------------------------------


async def test_a_body_is_cut_off_where_the_trigger_says(store: Store) -> None:
    """PR-20: 6 MB by default; declared or counted while it streams, with nothing stored."""
    async with serving(store) as api:
        small, usual = await Door.open(api, max_body_bytes=100), await Door.open(api, "prismatic")
        fits = await small(b"x" * 100)
        declared = await small(b"x" * 101)
        streamed = await api.anyone("POST", small.path, chunks=[b"x" * 60] * 4)
        large = await usual(b"x" * 5_999_999)
        too_large = await usual(b"x" * 6_000_001)
        started = await small.executions()

    assert (fits.status, declared.status, streamed.status) == (202, 413, 413)
    assert (large.status, too_large.status) == (200, 413)
    assert len(started) == 2


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "gzip, identity"])
async def test_a_compressed_body_is_415(store: Store, coding: str) -> None:
    async with serving(store) as api:
        answer = await (await Door.open(api, "prismatic"))(b"\x1f\x8b", content_encoding=coding)

    assert answer.status == 415


async def test_only_listed_addresses_and_forwarded_ones_of_trusted_proxies_alone(store: Store) -> None:
    """CONTRACT section 3: IP allow-list; forwarded headers only from listed proxies."""
    async with serving(store) as api:
        door = await Door.open(api, ip_allowlist=["198.51.100.0/24"])
        from_proxy = {"X-Forwarded-For": "198.51.100.9"}

        async def at(address: str, **headers: str) -> int:
            return (await api.anyone("POST", door.path, {}, headers=headers, address=address)).status

        unconfigured = [await at("198.51.100.7"), await at("10.0.0.1", **from_proxy), await at("203.0.113.1")]
        settings = ApiSettings(
            version="0", public_url=PUBLIC_URL, trusted_proxies=(ip_network("10.0.0.0/8"),)
        )
        api.anyone.app = build_application(api.bed.node, settings, AddressPolicy())
        behind = [
            await at("10.0.0.1", **from_proxy),
            await at("203.0.113.1", **from_proxy),
            await at("10.0.0.1", **{"X-Forwarded-For": "198.51.100.9, 203.0.113.1"}),
        ]
        kept = await door.refused()

    assert unconfigured == [202, 403, 403]
    assert behind == [202, 403, 403]
    assert kept[0]["remote_address"] == "203.0.113.1"


async def test_only_who_may_write_sees_a_path_id(store: Store) -> None:
    """CONTRACT section 3."""
    async with serving(store) as api:
        door = await Door.open(api)
        await door({})
        reader, writer = await api.client("read"), await api.client("write")
        path_id = door.made["path_id"].encode()
        paths = [
            "/api/v1/triggers",
            f"/api/v1/triggers/{door.made['id']}",
            "/api/v1/requests",
            "/api/v1/executions",
        ]
        read = [await reader("GET", path) for path in paths]
        written = await writer("GET", paths[1])

    assert {answer.status for answer in read} == {200}
    assert not any(path_id in answer.body for answer in read)
    assert read[1].json["url"] is None
    assert written.json["url"] == door.made["url"]
    assert door.made["url"].endswith("==")


@pytest.mark.parametrize("kind", ["token", "api_key"])
async def test_a_rotated_credential_overlaps_and_is_shown_once(store: Store, kind: str) -> None:
    async with serving(store) as api:
        door = await Door.open(api, auth={"type": kind})
        path = f"/api/v1/triggers/{door.made['id']}/rotate"

        async def works(text: str) -> int:
            header = {"token": "Authorization", "api_key": "Api-Key"}[kind]
            value = f"Bearer {text}" if kind == "token" else text
            return (await api.anyone("POST", door.path, {}, headers={header: value})).status

        old = door.made[kind]
        new = (await api.admin("POST", path)).json[kind]
        during = [await works(old), await works(new), (await door(rest=f"?token={new}")).status]
        last = (await api.admin("POST", path, {"overlap_seconds": 0})).json[kind]
        after = [await works(old), await works(new), await works(last)]
        view = await api.admin("GET", f"/api/v1/triggers/{door.made['id']}")

    assert during == [202, 202, 202 if kind == "token" else 401]
    assert after == [401, 401, 202]
    assert not any(text.encode() in view.body for text in (old, new, last))


async def test_options_is_answered_and_starts_nothing(store: Store) -> None:
    """PR-13b: browsers may call a trigger of the Prismatic profile."""
    async with serving(store) as api:
        prismatic, native = await Door.open(api, "prismatic"), await Door.open(api)
        answers = [await door(method="OPTIONS", Origin="https://a.example") for door in (prismatic, native)]
        posted = await prismatic({}, Origin="https://a.example")
        started = await native.executions()

    assert [answer.status for answer in answers] == [204, 204]
    assert answers[0].headers["access-control-allow-methods"] == "POST,PUT,PATCH,DELETE,GET"
    assert answers[0].headers["access-control-allow-origin"] == "*"
    assert "Idempotency-Key" in answers[0].headers["access-control-allow-headers"]
    assert not any(name.startswith("access-control") for name in answers[1].headers)
    assert posted.headers["access-control-allow-origin"] == "*"
    assert len(started) == 1


# --- once ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["native", "prismatic"])
async def test_an_idempotency_key_gets_the_first_answer_to_the_letter(store: Store, profile: str) -> None:
    """P5, CONTRACT section 2."""
    async with serving(store) as api:
        door = await Door.open(api, profile)
        answers = await asyncio.gather(*(door({"n": 1}, idempotency_key="k") for _ in range(6)))
        other = await door({"n": 2}, idempotency_key="k")
        elsewhere = await (await Door.open(api, profile))({"n": 2}, idempotency_key="k")
        started = await door.executions()

    assert len({(answer.status, answer.body) for answer in answers}) == 1
    assert sorted(answer.headers.get("idempotent-replayed", "") for answer in answers) == ["", *["true"] * 5]
    assert (other.status, elsewhere.status) == (409, answers[0].status)
    assert len(started) == 2


@pytest.mark.parametrize("dedupe", [{"header": "X-Delivery"}, {"path": "order.id"}])
async def test_what_the_sender_names_its_request_by_runs_once(store: Store, dedupe: dict[str, str]) -> None:
    """P5: by an explicit name, never by the body's hash; a repeat says how the first one stands."""
    gate = Gate()
    async with serving(store, work={ORDERS: gate}) as api:
        door = await Door.open(api, dedupe=dedupe)
        first = await door({"order": {"id": 7}}, x_delivery="7")
        again = await door({"order": {"id": 7}, "try": 2}, x_delivery="7")
        gate.go.set()
        await until(api, "succeeded")
        late = await door({"order": {"id": 7}}, x_delivery="7")
        without = [await door({"order": {}}) for _ in range(2)]
        started = await door.executions()

    assert again.json["execution_id"] == late.json["execution_id"] == first.json["execution_id"]
    assert again.json["status"] in {"queued", "running"}
    assert (late.json["status"], late.json["result"]) == ("succeeded", None)
    assert again.headers["idempotent-replayed"] == late.headers["idempotent-replayed"] == "true"
    assert len({answer.json["execution_id"] for answer in without}) == 2
    assert len(started) == 3


# --- turns --------------------------------------------------------------------------------------------------


async def test_concurrency_queues_what_is_too_much_for_each_key(store: Store) -> None:
    """CONTRACT section 3: at most so many at once of one key; the rest wait."""
    gate = Gate()
    async with serving(store, work={ORDERS: gate}) as api:
        door = await Door.open(api, concurrency={"limit": 1, "key": "body.data.tenant"})
        for tenant in ("a", "a", "b"):
            assert (await door({"tenant": tenant})).json["status"] == "queued"
        await until(api, "running", 2)
        waiting = await until(api, "queued")
        gate.go.set()
        await until(api, "succeeded", 3)

    assert waiting
    assert sorted(one["tenant"] for one in gate.inputs) == ["a", "a", "b"]


async def test_concurrency_may_skip_what_is_too_much(store: Store) -> None:
    """The answer is the one that runs."""
    gate = Gate()
    async with serving(store, work={ORDERS: gate}) as api:
        door = await Door.open(api, concurrency={"limit": 1, "mode": "skip"})
        first, second = await door({"n": 1}), await door({"n": 2})
        gate.go.set()
        await until(api, "succeeded")
        started = await door.executions()

    assert first.json["execution_id"] == second.json["execution_id"]
    assert len(started) == 1


async def test_concurrency_may_replace_what_runs(store: Store) -> None:
    gate = Gate()
    async with serving(store, work={ORDERS: gate}) as api:
        door = await Door.open(api, concurrency={"limit": 1, "mode": "replace", "key": "headers.x-tenant"})
        first = await door({"n": 1}, x_tenant="a")
        await until(api, "running")
        second = await door({"n": 2}, x_tenant="a")
        (killed,) = await until(api, "killed")
        gate.go.set()
        (succeeded,) = await until(api, "succeeded")

    assert killed["id"] == first.json["execution_id"]
    assert succeeded["id"] == second.json["execution_id"]


async def test_debounced_requests_are_one_execution_with_the_last_body(store: Store) -> None:
    """CONTRACT section 3; the synchronous caller waits for the one that stands for its own."""
    seen = Seen()
    async with serving(store, work=seen.work) as api:
        door = await Door.open(api, debounce={"delay_seconds": 0.4, "key": "body.data.id"})
        answers = [await door({"id": 1, "n": n}) for n in range(3)]
        other = await door({"id": 2, "n": 9}, Prefer="wait=8")
        await until(api, "succeeded", 2)
        started = await door.executions()

    assert {answer.json["status"] for answer in answers} == {"waiting"}
    assert len({answer.json["execution_id"] for answer in answers}) == 1
    assert other.status == 200
    assert len(started) == 2
    assert sorted(shown["n"] for shown in seen.inputs) == [2, 9]


# --- loops --------------------------------------------------------------------------------------------------


async def test_a_request_that_came_in_a_circle_is_refused(store: Store) -> None:
    """Issue 3, point 5: what a run's events are delivered with says one more; more than five are too many."""
    async with serving(store) as api:
        await api.webhook(events=["workflow.execution.completed"], dialect="standard")
        door = await Door.open(api)
        await door({}, hookline_hops="4")
        await api.bed.sender.received(1)
        last, circle, nonsense = [await door({}, hookline_hops=text) for text in ("5", "6", "-1")]
        kept = await door.refused()

    assert dict(api.bed.sender.sent[0].headers)["Hookline-Hops"] == "5"
    assert (last.status, circle.status, circle.code, nonsense.status) == (202, 409, "LOOP_DETECTED", 400)
    assert "LOOP_DETECTED" in json.dumps(kept)
