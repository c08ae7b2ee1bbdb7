"""Result links: what a run returned, for whoever holds the link, over both stores."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from api_bed import PUBLIC_URL, serving
from asgi import Client
from engine_bed import ORDERS

from hookline.api.results import LIFETIME, result_url
from hookline.api.services import ApiSettings, Site
from hookline.core.addresses import AddressPolicy
from hookline.model.executions import Failure
from hookline.model.ids import new_key, public
from hookline.ports.runner import Failed, Succeeded, TimedOut

if TYPE_CHECKING:
    from api_bed import Api

    from hookline.model.executions import Execution
    from hookline.ports import Store
    from hookline.ports.runner import Outcome, RunJob, RunListener

pytestmark = pytest.mark.asyncio

WIDGETS = b'{"item":"Widgets","quantity":5}'


async def widgets(_: RunJob, __: RunListener) -> Outcome:
    return Succeeded(output=WIDGETS)


async def throws(_: RunJob, __: RunListener) -> Outcome:
    message = "The widget requested is not in the database"
    return Failed(failure=Failure(code="FAILED", message=message, type="KeyError"))


async def too_long(_: RunJob, __: RunListener) -> Outcome:
    return TimedOut(failure=Failure(code="TIMED_OUT", message="It took too long.", limit="agent"))


def link(api: Api, execution_id: bytes, profile: str = "prismatic") -> str:
    """The path and query of a link."""
    return result_url(site_of(api), execution_id, profile=profile).removeprefix(PUBLIC_URL)


def site_of(api: Api) -> Site:
    settings = ApiSettings(version="0", public_url=PUBLIC_URL)
    return Site(services=api.bed.node, settings=settings, addresses=AddressPolicy())


async def ended(api: Api) -> Execution:
    started = await api.bed.start()
    return await api.bed.until_status(started, "succeeded", "failed", "timed_out")


async def test_a_link_gives_the_result_as_the_seed_prints_it(store: Store) -> None:
    """PR-4, PR-13b, PR-X3: body, ETag, Accept-Ranges, its real type and length."""
    async with serving(store, work={ORDERS: widgets}) as api:
        execution = await ended(api)
        answer = await Client(api.front)("GET", link(api, execution.id))

    assert (answer.status, answer.body) == (200, WIDGETS)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == "31"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"].startswith('"')
    assert answer.headers["last-modified"].endswith("GMT")


async def test_ranges_and_entity_tags_are_honoured(store: Store) -> None:
    """PR-13b: `Accept-Ranges: bytes` is meant."""
    async with serving(store, work={ORDERS: widgets}) as api:
        url = link(api, (await ended(api)).id)
        whole = await api.admin("GET", url)
        tag = whole.headers["etag"]
        part = await api.admin("GET", url, headers={"Range": "bytes=9-15"})
        rest = await api.admin("GET", url, headers={"Range": "bytes=-2", "If-Range": tag})
        stale = await api.admin("GET", url, headers={"Range": "bytes=-2", "If-Range": '"old"'})
        behind = await api.admin("GET", url, headers={"Range": "bytes=31-"})
        known = await api.admin("GET", url, headers={"If-None-Match": f'"x", W/{tag}'})

    assert (part.status, part.body, part.headers["content-range"]) == (206, b"Widgets"[:7], "bytes 9-15/31")
    assert (rest.status, rest.body) == (206, b"5}")
    assert (stale.status, stale.body) == (200, WIDGETS)
    assert (behind.status, behind.headers["content-range"]) == (416, "bytes */31")
    assert (known.status, known.body, known.headers["etag"]) == (304, b"", tag)
    assert "content-length" not in known.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
async def test_another_method_fails(store: Store, method: str) -> None:
    """PR-4: `curl --location -X POST` is refused there, as the seed says."""
    async with serving(store, work={ORDERS: widgets}) as api:
        answer = await api.admin(method, link(api, (await ended(api)).id))

    assert (answer.status, answer.headers["allow"]) == (405, "GET")


async def test_a_link_that_is_forged_or_expired_is_refused(store: Store) -> None:
    """PR-13b: the signature covers the execution, the profile and the date."""
    async with serving(store, work={ORDERS: widgets}) as api:
        one, other = await ended(api), await ended(api)
        url = link(api, one.id)
        path, _, token = url.partition("?token=")
        seconds, _, mac = token.partition(".")
        forged = [
            path,
            f"{path}?token=",
            f"{path}?token={token}&token={token}",
            f"{path}?token={int(seconds) + 1}.{mac}",
            url.replace(public("execution", one.id), public("execution", other.id)),
            url.replace("/prismatic/", "/native/"),
            url.replace("/prismatic/", "/"),
            f"{path}x?token={token}",
        ]
        refused = [(await api.admin("GET", one_url)).status for one_url in forged]
        too_late = api.bed.node.clock.now() - LIFETIME - timedelta(seconds=1)
        old = api.bed.node.vault.sign_link(path, too_late + LIFETIME)
        expired = await api.admin("GET", f"{path}?token={old}")

    assert refused == [403] * len(forged)
    assert (expired.status, expired.code) == (403, "LINK_INVALID")


async def test_a_result_that_is_gone_is_404(store: Store) -> None:
    async with serving(store) as api:
        answer = await api.admin("GET", link(api, new_key()))

    assert answer.status == 404


async def test_while_it_runs_the_answer_is_202_and_then_the_result(store: Store) -> None:
    """PR-X5, K11: the link is good before the run has ended, and waits when asked to."""
    go = asyncio.Event()

    async def slow(_: RunJob, __: RunListener) -> Outcome:
        await go.wait()
        return Succeeded(output=b"1")

    async with serving(store, work={ORDERS: slow}) as api:
        execution = await api.bed.start()
        await api.bed.until_status(execution, "running")
        url = link(api, execution.id)
        early = await api.admin("GET", url)
        waiting = asyncio.create_task(api.admin("GET", url, headers={"Prefer": "wait=20"}))
        await asyncio.sleep(0.05)
        go.set()
        late = await waiting

    assert early.status == 202
    assert early.headers["retry-after"] == "1"
    assert early.json["status"] == "running"
    assert early.json["execution_id"] == public("execution", execution.id)
    assert early.headers["location"] == f"{PUBLIC_URL}/api/v1/executions/{early.json['execution_id']}"
    assert (late.status, late.body) == (200, b"1")


async def test_a_failure_is_told_in_the_words_of_the_link(store: Store) -> None:
    """PR-6 exactly, 55 bytes; CONTRACT section 3 for the native link."""
    async with serving(store, work={ORDERS: throws}) as api:
        execution = await ended(api)
        prismatic = await api.admin("GET", link(api, execution.id))
        native = await api.admin("GET", link(api, execution.id, "native"))

    assert prismatic.status == 400
    assert prismatic.body == b'{"error":"The widget requested is not in the database"}'
    assert len(prismatic.body) == 55
    assert (native.status, native.code) == (500, "FAILED")
    assert native.json["execution_id"] == public("execution", execution.id)
    assert native.json["success"] is False


async def test_a_run_that_took_too_long_is_504(store: Store) -> None:
    async with serving(store, work={ORDERS: too_long}) as api:
        answer = await api.admin("GET", link(api, (await ended(api)).id, "native"))

    assert (answer.status, answer.code) == (504, "TIMED_OUT")


async def test_a_page_that_a_run_made_up_is_not_a_page_of_ours(store: Store) -> None:
    """PROMISES section 2, incoming: HTML answers are sandboxed."""

    async def page(_: RunJob, __: RunListener) -> Outcome:
        return Succeeded(
            output=json.dumps({"data": "<script>1</script>", "content_type": "text/html"}).encode()
        )

    async with serving(store, work={ORDERS: page}) as api:
        answer = await api.admin("GET", link(api, (await ended(api)).id))

    assert (answer.body, answer.headers["content-type"]) == (b"<script>1</script>", "text/html")
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["x-content-type-options"] == "nosniff"
