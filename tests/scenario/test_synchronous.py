"""Synchronous answers in the words of each profile, over both stores (PR-4, PR-6, PR-14, PR-X5, P20).

The route is a bare one: what lies before (credentials, rates, bodies) has tests of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from api_bed import PUBLIC_URL, serving
from asgi import Client
from engine_bed import ORDERS

from hookline.api import prismatic, synchronous
from hookline.api.front import Front, HotRoute
from hookline.api.hot import hot_routes
from hookline.api.services import ApiSettings, Site
from hookline.core.addresses import AddressPolicy
from hookline.engine.receive import ExecutionStart
from hookline.model.executions import Failure
from hookline.model.ids import parse, public
from hookline.ports import ExecutionFilter, Once
from hookline.ports.runner import Failed, Succeeded, TimedOut

if TYPE_CHECKING:
    from api_bed import Api
    from asgi import Reply

    from hookline.api.errors import Answer
    from hookline.api.inbound import Inbound
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


class Caller:
    """Calls a trigger of these settings and this profile."""

    def __init__(self, api: Api, profile: str = "native", **settings: Any) -> None:
        self.api = api
        self.profile = profile
        self.settings = settings
        self.site = Site(
            services=api.bed.node,
            settings=ApiSettings(version="0", public_url=PUBLIC_URL),
            addresses=AddressPolicy(),
        )
        route = HotRoute(method="POST", path="/run", handler=self._receive)
        self.front = Front(api.front, (route, *hot_routes(self.site)))
        self.client = Client(self.front)

    async def __call__(self, body: bytes = b"{}", **headers: str) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client("POST", "/run", body, headers=sent)

    async def follow(self, answer: Reply) -> Reply:
        """As ``curl --location`` does."""
        return await self.client("GET", answer.headers["location"].removeprefix(PUBLIC_URL))

    async def _receive(self, request: Inbound) -> Answer:
        body = await request.body(1 << 20)
        start = ExecutionStart(
            organization_id=self.api.bed.organization_id,
            kind=ORDERS.kind,
            automation_id=ORDERS.id,
            input=body,
            once=self._once(request, body),
        )
        wish = synchronous.wish_of(self.settings, request.headers.get(b"prefer"))
        assert wish is not None
        return await synchronous.answer(
            self.site, request, start, wish, profile=self.profile, words=self._words
        )

    def _once(self, request: Inbound, body: bytes) -> Once | None:
        key = request.headers.get(b"idempotency-key")
        if key is None:
            return None
        return Once(
            scope=self.api.bed.organization_id,
            name=key.decode(),
            digest=hashlib.sha256(body).digest(),
            answer=b"",
            expires_at=self.api.bed.node.clock.now() + timedelta(hours=1),
        )

    def _words(self, execution: Execution) -> bytes:
        if self.profile == "native":
            return b'{"execution_id":"%b","status":"queued"}' % public("execution", execution.id).encode()
        return prismatic.executed(execution.id)


# --- which requests wait, and how long ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "prefer", "is_asked", "seconds"),
    [
        ({}, None, False, None),
        ({"synchronous": True}, None, False, 25),
        ({"synchronous": True, "wait_seconds": 60}, None, False, 60),
        ({}, None, True, 25),
        ({}, b"wait=10", False, 10),
        ({}, b"wait=1000", False, 90),
        ({}, b"wait=0", False, None),
        ({"synchronous": True}, b"wait=3", False, 3),
        ({"synchronous": True}, b"wait=soon", False, 25),
        ({"synchronous": True}, b"respond-async", False, None),
        ({"synchronous": True}, b"respond-async, wait=7", False, 7),
        ({}, b"return=minimal", False, None),
    ],
)
async def test_who_waits_and_how_long(
    settings: dict[str, Any], prefer: bytes | None, is_asked: bool, seconds: int | None
) -> None:
    """CONTRACT section 3: 25 s unless said otherwise, 90 s at most; RFC 7240; PR-14 for the profile's own header."""
    wish = synchronous.wish_of(settings, prefer, is_asked=is_asked)

    assert (None if wish is None else wish.seconds) == seconds


# --- native -------------------------------------------------------------------------------------------------


async def test_native_the_answer_is_the_result_itself(store: Store) -> None:
    """CONTRACT section 3."""
    async with serving(store, work={ORDERS: widgets}) as api:
        answer = await Caller(api)(Prefer="wait=9")
        id_ = parse("execution", answer.headers["hookline-execution-id"])
        assert id_ is not None
        stored = await store.execution(id_, organization_id=api.bed.organization_id)

    assert (answer.status, answer.body) == (200, WIDGETS)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["preference-applied"] == "wait=9"
    assert stored is not None
    assert stored.output == WIDGETS


async def test_native_a_run_that_failed_is_500_and_never_200(store: Store) -> None:
    """CONTRACT section 3, PR-X4: the error shape, and the id."""
    async with serving(store, work={ORDERS: throws}) as api:
        answer = await Caller(api, synchronous=True)()

    assert (answer.status, answer.code) == (500, "FAILED")
    assert answer.json["error"]["message"] == "The widget requested is not in the database"
    assert answer.json["execution_id"] == answer.headers["hookline-execution-id"]
    assert "preference-applied" not in answer.headers


async def test_native_a_run_that_took_too_long_is_504(store: Store) -> None:
    """CONTRACT section 3."""
    async with serving(store, work={ORDERS: too_long}) as api:
        answer = await Caller(api, synchronous=True)()

    assert (answer.status, answer.code) == (504, "TIMED_OUT")


async def test_native_when_the_wait_is_over_the_id_is_the_answer(store: Store) -> None:
    """P20, PR-X5, K11: 202, Location, Retry-After; and the run goes on to its end."""
    go = asyncio.Event()

    async def slow(_: RunJob, __: RunListener) -> Outcome:
        await go.wait()
        return Succeeded(output=WIDGETS)

    async with serving(store, work={ORDERS: slow}) as api:
        caller = Caller(api)
        answer = await caller(Prefer="wait=1")
        early = await caller.client("GET", answer.json["result_url"].removeprefix(PUBLIC_URL))
        go.set()
        url = answer.json["result_url"].removeprefix(PUBLIC_URL)
        late = await caller.client("GET", url, headers={"Prefer": "wait=10"})

    assert (answer.status, answer.json["status"]) == (202, "running")
    assert answer.headers["location"] == f"{PUBLIC_URL}/api/v1/executions/{answer.json['execution_id']}"
    assert answer.headers["retry-after"] == "1"
    assert early.status == 202
    assert (late.status, late.body) == (200, WIDGETS)


async def test_native_a_repeat_waits_for_the_first_and_gets_its_result(store: Store) -> None:
    """P5: one execution, the same result, marked as replayed; another body is a conflict."""
    async with serving(store, work={ORDERS: widgets}) as api:
        caller = Caller(api, synchronous=True)
        answers = await asyncio.gather(*(caller(b'{"a":1}', Idempotency_Key="k") for _ in range(8)))
        other = await caller(b'{"a":2}', Idempotency_Key="k")

    assert {(answer.status, answer.body) for answer in answers} == {(200, WIDGETS)}
    assert len({answer.headers["hookline-execution-id"] for answer in answers}) == 1
    assert sorted(answer.headers.get("idempotent-replayed", "") for answer in answers) == ["", *["true"] * 7]
    assert other.status == 409


async def test_a_caller_that_leaves_cancels_nothing_and_frees_what_it_held(store: Store) -> None:
    """P20: the execution goes on, nobody is answered, and no place is taken any more."""
    go = asyncio.Event()

    async def slow(_: RunJob, __: RunListener) -> Outcome:
        await go.wait()
        return Succeeded(output=WIDGETS)

    async with serving(store, work={ORDERS: slow}) as api:
        caller = Caller(api, synchronous=True)
        sent: list[dict[str, Any]] = []
        await caller.front(_scope(), _leaving(api), _collect(sent))
        waiting, budget = api.bed.node.endings.waiting, caller.front.budget
        go.set()
        ending = await api.bed.node.endings.join(api.bed.runner.started[0].execution_id, 10)

    assert sent == []
    assert (waiting, budget.under_way, budget.held_bytes) == (0, 0, 0)
    assert ending is not None
    assert ending.status == "succeeded"


async def test_who_waits_does_not_count_against_what_requests_may_hold(store: Store) -> None:
    """P19: callers that wait cannot keep others from being received."""
    go = asyncio.Event()

    async def slow(_: RunJob, __: RunListener) -> Outcome:
        await go.wait()
        return Succeeded(output=WIDGETS)

    async with serving(store, work={ORDERS: slow}) as api:
        caller = Caller(api, synchronous=True)
        waiting = [asyncio.create_task(caller(b"x" * 1000)) for _ in range(20)]
        async with asyncio.timeout(10):
            while api.bed.node.endings.waiting < 20 or caller.front.budget.under_way:  # noqa: ASYNC110 -- a counter
                await asyncio.sleep(0.01)
        held = caller.front.budget.held_bytes
        go.set()
        answers = await asyncio.gather(*waiting)

    assert held == 0
    assert {answer.status for answer in answers} == {200}
    assert (caller.front.budget.under_way, caller.front.budget.held_bytes) == (0, 0)


async def test_where_too_many_wait_the_answer_is_the_id(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P19, P20: accepted and durable all the same."""
    monkeypatch.setattr("hookline.engine.endings.MOST_WAITING", 0)
    async with serving(store, work={ORDERS: widgets}) as api:
        answer = await Caller(api, synchronous=True)()
        id_ = parse("execution", answer.json["execution_id"])
        assert id_ is not None
        stored = await store.execution(id_, organization_id=api.bed.organization_id)

    assert answer.status == 202
    assert stored is not None


# --- prismatic ----------------------------------------------------------------------------------------------


async def test_prismatic_is_a_303_to_the_result(store: Store) -> None:
    """PR-4, PR-13b: nothing in the body, and a GET at `location` returns the result."""
    async with serving(store, work={ORDERS: widgets}) as api:
        caller = Caller(api, "prismatic", synchronous=True)
        answer = await caller()
        result = await caller.follow(answer)
        (execution,) = await store.executions(
            api.bed.organization_id, ExecutionFilter(), before=None, limit=9
        )

    assert (answer.status, answer.body, answer.headers["content-length"]) == (303, b"", "0")
    assert prismatic.parse_execution_id(answer.headers["prismatic-executionid"]) == execution.id
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert "content-type" in answer.headers["access-control-allow-headers"]
    assert result.headers["prismatic-executionid"] == answer.headers["prismatic-executionid"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["location"].startswith(f"{PUBLIC_URL}/results/prismatic/exec_")
    assert (result.status, result.body) == (200, WIDGETS)


async def test_prismatic_a_thrown_error_is_400_with_its_message(store: Store) -> None:
    """PR-6, PR-X4: 55 bytes, as printed."""
    async with serving(store, work={ORDERS: throws}) as api:
        answer = await Caller(api, "prismatic", synchronous=True)()

    assert answer.status == 400
    assert answer.body == b'{"error":"The widget requested is not in the database"}'
    assert answer.headers["content-length"] == "55"
    assert answer.headers["prismatic-executionid"]


async def test_prismatic_a_longer_run_is_a_303_to_what_says_202_until_done(store: Store) -> None:
    """PR-X5."""
    go = asyncio.Event()

    async def slow(_: RunJob, __: RunListener) -> Outcome:
        await go.wait()
        return await throws(_, __)

    async with serving(store, work={ORDERS: slow}) as api:
        caller = Caller(api, "prismatic", synchronous=True, wait_seconds=1)
        answer = await caller()
        early = await caller.follow(answer)
        go.set()
        url = answer.headers["location"].removeprefix(PUBLIC_URL)
        late = await caller.client("GET", url, headers={"Prefer": "wait=10"})

    assert answer.status == 303
    assert (early.status, early.headers["retry-after"]) == (202, "1")
    assert (late.status, late.body) == (400, b'{"error":"The widget requested is not in the database"}')


async def test_prismatic_a_repeat_is_led_to_the_same_result(store: Store) -> None:
    async with serving(store, work={ORDERS: widgets}) as api:
        caller = Caller(api, "prismatic", synchronous=True)
        first, second = [await caller(Idempotency_Key="k") for _ in range(2)]
        places = [answer.headers["location"].partition("?")[0] for answer in (first, second)]

    assert places[0] == places[1]
    assert second.headers["idempotent-replayed"] == "true"


# --- a caller that leaves, in ASGI --------------------------------------------------------------------------


def _scope() -> dict[str, Any]:
    return {"type": "http", "method": "POST", "path": "/run", "query_string": b"", "headers": []}


def _leaving(api: Api) -> Any:
    """Send the body, and hang up once the run has begun."""
    is_sent = False

    async def receive() -> dict[str, Any]:
        nonlocal is_sent
        if not is_sent:
            is_sent = True
            return {"type": "http.request", "body": b"{}", "more_body": False}
        async with asyncio.timeout(10):
            while not api.bed.runner.started:  # noqa: ASYNC110 -- a list of the fake runner
                await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    return receive


def _collect(sent: list[dict[str, Any]]) -> Any:
    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    return send
