"""Synchronous answers of ``/trigger/{path_id}``, in each profile's words, over both stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from api_bed import PUBLIC_URL, serving
from asgi import Client
from engine_bed import ORDERS

from hookline.model.executions import Failure
from hookline.ports.runner import Failed, Succeeded

if TYPE_CHECKING:
    from api_bed import Api
    from asgi import Reply

    from hookline.ports import Store
    from hookline.ports.runner import Outcome, RunJob, RunListener

pytestmark = pytest.mark.asyncio

JSON = {"Content-Type": "application/json"}


async def show(job: RunJob, _: RunListener) -> Outcome:
    """Return what came in: the input, and some of ``ctx.trigger``."""
    trigger = msgspec.json.decode(job.trigger or b"{}")
    shown = {name: trigger[name] for name in ("method", "path_fragment", "query_parameters")}
    return Succeeded(output=msgspec.json.encode({"input": msgspec.Raw(job.input or b"null"), **shown}))


async def throws(_: RunJob, __: RunListener) -> Outcome:
    message = "The widget requested is not in the database"
    return Failed(failure=Failure(code="FAILED", message=message))


async def made(api: Api, **fields: Any) -> dict[str, Any]:
    """A trigger; ``path`` of the answer is its URL without the server."""
    return await api.trigger(**({"profile": "native", "auth": {"type": "none"}} | fields))


async def send(api: Api, path: str, body: Any = b"{}", method: str = "POST", **headers: str) -> Reply:
    sent = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.anyone(method, path, body, headers=sent)


async def test_pr4_pr14_the_result_is_a_redirect_away(store: Store) -> None:
    """PR-4 by the trigger's setting, PR-14 by the request's header."""
    async with serving(store, work={ORDERS: show}) as api:
        asked = await made(api, profile="prismatic")
        always = await made(api, profile="prismatic", synchronous=True)
        answers = [
            await send(api, asked["path"], prismatic_synchronous="true"),
            await send(api, always["path"]),
            await send(api, asked["path"], Prefer="wait=5"),
        ]
        results = [
            await Client(api.front)("GET", answer.headers["location"].removeprefix(PUBLIC_URL))
            for answer in answers[:2]
        ]

    assert [answer.status for answer in answers] == [303, 303, 200]
    assert [result.json["method"] for result in results] == ["POST", "POST"]


async def test_pr6_what_was_thrown_is_400(store: Store) -> None:
    async with serving(store, work={ORDERS: throws}) as api:
        answer = await send(api, (await made(api, profile="prismatic", synchronous=True))["path"])

    assert answer.status == 400
    assert answer.body == b'{"error":"The widget requested is not in the database"}'


async def test_native_answers_queue_wait_and_fail_as_the_contract_says(store: Store) -> None:
    """CONTRACT section 3."""
    async with serving(store, work={ORDERS: show}) as api:
        path = (await made(api))["path"]
        queued = await send(api, path)
        waited = await send(api, path, Prefer="wait=10")

    assert (queued.status, queued.json["status"]) == (202, "queued")
    assert (waited.status, waited.headers["preference-applied"]) == (200, "wait=10")


async def test_a_repeat_is_answered_with_the_first_execution(store: Store) -> None:
    """P5, in the words of each profile, at once and with the result."""
    async with serving(store, work={ORDERS: show}) as api:
        for profile, synchronous in (("native", False), ("prismatic", False), ("native", True)):
            path = (await made(api, profile=profile, synchronous=synchronous))["path"]
            first, second = [await send(api, path, Idempotency_Key="k") for _ in range(2)]
            other = await send(api, path, {"a": 1}, Idempotency_Key="k")

            assert (first.status, first.body) == (second.status, second.body)
            assert second.headers["idempotent-replayed"] == "true"
            assert other.status == 409
