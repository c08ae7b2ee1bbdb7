"""Handlers are called in child processes that serve one call after the other."""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import pytest_asyncio

from hookline.model.integrations import Handler
from hookline.ports.runner import CallJob, CallResult, Succeeded
from hookline.runners.host import RunnerHost, RunnerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Calls:
    """Calls handlers of the integration ``acme``."""

    def __init__(self, host: RunnerHost) -> None:
        self.host = host

    async def __call__(
        self,
        handler: Handler,
        flow: str | None = "orders",
        payload: Any = None,
        *,
        ms: int = 30_000,
        **context: Any,
    ) -> CallResult:
        return await self.host.call(
            CallJob(
                integration_id="acme",
                flow=flow,
                handler=handler,
                context=msgspec.json.encode({"flow": {"name": flow}, **context}),
                payload=None if payload is None else msgspec.json.encode(payload),
                timeout_ms=ms,
            )
        )

    async def value(self, *given: Any, **context: Any) -> Any:
        result = await self(*given, **context)
        assert result.failure is None, result.failure
        assert result.value is not None
        return msgspec.json.decode(result.value)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def call(apps: Path) -> AsyncIterator[Calls]:
    host = RunnerHost(RunnerSettings(app=str(apps / "handled.py"), warm=1, call_processes=2))
    await host.start()
    yield Calls(host)
    await host.close(0)


async def remove(call: Calls, token: str, **more: Any) -> CallResult:
    return await call(Handler.ON_REMOVE, config={"token": token}, **more)


async def test_the_node_is_told_what_the_app_declares(call: Calls) -> None:
    """PR-8, PR-16: endpoint, flows and handlers reach the node without it loading any user code."""
    (acme,) = call.host.integrations

    assert (acme.id, acme.endpoint, acme.has_route) == ("acme", "shared", True)
    assert [(flow.name, flow.automation_id) for flow in acme.flows] == [
        ("xml", "acme.xml"),
        ("orders", "acme.orders"),
    ]
    assert acme.flows[0].handlers == (Handler.ON_TRIGGER,)


async def test_on_deploy_sees_its_url_and_config_and_returns_state(call: Calls) -> None:
    """PR-13: ``webhook_urls[flow.name]`` and config variables come in, the instance's state goes out."""
    result = await call(
        Handler.ON_DEPLOY,
        webhook_urls={"orders": "https://x.test/trigger/a"},
        config={"token": "t0"},
        instance_state={"n": 1},
    )

    assert result.value is not None
    state = msgspec.json.decode(result.value)
    assert (state["seen"], state["before"]) == ("t0", {"n": 1})
    assert [(line.stream, line.text) for line in result.logs] == [
        ("log", "registering"),
        ("stdout", "printed"),
    ]
    assert result.logs[0].fields == b'{"url":"https://x.test/trigger/a"}'


async def test_a_process_serves_many_calls_one_at_a_time(call: Calls) -> None:
    """The next call finds a warm process, and two at once have one each."""
    alone = {(await call.value(Handler.ON_REMOVE, config={"token": ""})) for _ in range(3)}
    both = await asyncio.gather(*(call.value(Handler.ON_REMOVE, config={"token": ""}) for _ in range(8)))

    assert len(alone) == 1
    assert 1 <= len(set(both)) <= 2


async def test_processes_come_for_calls_that_wait_and_go_again(
    new_runs: Callable[..., Awaitable[Any]], apps: Path, children: Callable[[], set[int]]
) -> None:
    """P10: handlers that hang do not hold up the others, up to the limit; afterwards few processes are kept."""
    runs = await new_runs(apps / "handled.py", warm=1, call_processes=4)
    calls = Calls(runs.host)
    hanging = [asyncio.create_task(remove(calls, "hang", ms=3_000)) for _ in range(3)]
    others = await asyncio.gather(*(remove(calls, "") for _ in range(20)))
    many = len(children())
    outcomes = await asyncio.gather(*hanging)

    assert [each.failure for each in others] == [None] * 20
    assert {each.failure.code for each in outcomes if each.failure is not None} == {"TIMED_OUT"}
    async with asyncio.timeout(5):
        while len(children()) > 1 + max(2, os.cpu_count() or 2):  # noqa: ASYNC110 -- the kernel's to say
            await asyncio.sleep(0.05)
    assert many >= 4


@pytest.mark.parametrize(
    ("token", "code", "words"),
    [
        ("raise", "FAILED", "the other side said no"),
        ("exit", "LOST", "exited with status 3"),
        ("object", "FAILED", "not JSON"),
        ("quit", "FAILED", "sys.exit(1)"),
    ],
)
async def test_a_handler_that_fails_is_a_failure_with_its_words(
    call: Calls, token: str, code: str, words: str
) -> None:
    """What a handler does to itself or its process is a value; the next call is served."""
    failed = (await remove(call, token)).failure

    assert failed is not None
    assert failed.code == code
    assert words in failed.message
    assert (await remove(call, "")).failure is None


async def test_a_handler_that_hangs_is_ended(call: Calls) -> None:
    """PR-20: a handler has 30 seconds, here 300 ms; its process ends with it."""
    failed = (await remove(call, "hang", ms=300)).failure

    assert failed is not None
    assert failed.code == "TIMED_OUT"
    assert "0.3 seconds" in failed.message


async def test_a_call_waits_no_longer_for_a_process_than_it_may_take(call: Calls) -> None:
    """While every process is busy, others are told so in time."""
    busy = [asyncio.create_task(remove(call, "hang", ms=2_000)) for _ in range(2)]
    await asyncio.sleep(0.5)
    failed = (await remove(call, "", ms=100)).failure
    for each in busy:
        each.cancel()
    await asyncio.gather(*busy, return_exceptions=True)

    assert failed is not None
    assert failed.code == "TIMED_OUT"
    assert (await remove(call, "")).failure is None


async def test_the_xml_example_of_the_seed(call: Calls) -> None:
    """PR-12: ``on_trigger`` parses XML, replaces ``body.data`` and answers the challenge as ``text/plain``."""
    body = b"<notification><challenge>c-17</challenge><event>paid</event></notification>"
    raw = {"data": {"$base64": b64encode(body).decode()}, "content_type": "application/xml"}
    answered = await call.value(Handler.ON_TRIGGER, "xml", {"raw_body": raw, "body": raw})

    assert answered["runs"] is True
    assert answered["payload"]["body"]["data"] == {"notification": {"challenge": "c-17", "event": "paid"}}
    assert answered["response"] == {
        "status": 200,
        "content_type": "text/plain",
        "headers": {"X-Seen": "yes"},
        "body": {"$base64": b64encode(b"c-17").decode()},
    }


async def test_on_trigger_may_answer_without_an_execution(call: Calls) -> None:
    """PR-12: a bare HttpResponse is the whole answer."""
    answered = await call.value(Handler.ON_TRIGGER, "orders", {"query_parameters": {"do": "challenge"}})

    assert answered["runs"] is False
    assert answered["response"]["status"] == 201
    assert answered["response"]["content_type"] == "application/json"


async def test_on_trigger_may_change_the_payload_in_place(call: Calls) -> None:
    """PR-3: without a response of its own, the default answer is given."""
    answered = await call.value(
        Handler.ON_TRIGGER, "orders", {"body": {"data": {"id": 1}, "content_type": "application/json"}}
    )

    assert answered == {
        "runs": True,
        "payload": {
            "headers": {},
            "query_parameters": {},
            "path_fragment": None,
            "body": {"data": {"id": 1, "added": True}, "content_type": "application/json"},
        },
        "response": None,
    }


async def test_on_trigger_may_replace_the_body_by_bytes(call: Calls) -> None:
    """PR-10: bytes stay bytes."""
    answered = await call.value(Handler.ON_TRIGGER, "orders", {"query_parameters": {"do": "mapping"}})

    assert answered["payload"]["body"] == {"data": {"$base64": "AP8="}, "content_type": "image/png"}


@pytest.mark.parametrize(
    ("do", "words"),
    [
        ("wrong", "on_trigger returns"),
        ("status", "200 to 599"),
        ("cookie", "cannot be set"),
        ("split", "printable"),
    ],
)
async def test_an_answer_that_cannot_be_given_is_the_handlers_failure(
    call: Calls, do: str, words: str
) -> None:
    """No header is split and no cookie set by what a handler returns."""
    failed = (await call(Handler.ON_TRIGGER, "orders", {"query_parameters": {"do": do}})).failure

    assert failed is not None
    assert words in failed.message


async def test_a_route_function_says_flow_and_customer(call: Calls) -> None:
    """PR-16: a Python function may route instead of fields."""
    payload = {"headers": {"X-Flow": "orders"}, "body": {"data": {"tenant": "t-1"}}}

    assert await call.value(Handler.ROUTE, None, payload) == {"flow": "orders", "customer": "t-1"}
    failed = (await call(Handler.ROUTE, None, {"headers": {"x-odd": "number"}})).failure
    assert failed is not None
    assert "route returns" in failed.message


async def test_an_execution_of_a_flow_sees_what_is_private(
    new_runs: Callable[..., Awaitable[Any]], apps: Path
) -> None:
    """PR-11, PR-13: config, state and keys are handed to the running process and stand nowhere else."""
    runs = await new_runs(apps / "handled.py", warm=1)
    private = {
        "config": {"token": "t0"},
        "instance_state": {"id": 7},
        "webhook_api_keys": {"orders": ["k1", "k2"]},
    }
    outcome, _ = await runs.run(
        "acme.orders", private=msgspec.json.encode(private), trigger=b'{"customer":{"external_id":"c-1"}}'
    )

    assert isinstance(outcome, Succeeded)
    assert msgspec.json.decode(outcome.output) == {
        "config": {"token": "t0"},
        "state": {"id": 7},
        "keys": {"orders": ["k1", "k2"]},
        "customer": "c-1",
    }


async def test_closing_ends_calls_and_leaves_no_process(
    new_runs: Callable[..., Awaitable[Any]], apps: Path, children: Callable[[], set[int]]
) -> None:
    """A node that stops ends a call that hangs, and says that it was the node."""
    runs = await new_runs(apps / "handled.py", warm=1)
    hanging = asyncio.create_task(remove(Calls(runs.host), "hang"))
    await asyncio.sleep(0.5)
    await runs.host.close(0)

    failed = (await hanging).failure
    assert failed is not None
    assert failed.code == "LOST"
    assert "the node was stopped" in failed.message
    assert children() == set()
