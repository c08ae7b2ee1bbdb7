"""Flows that call flows of the same instance: results, failures, circles, queues, and callers that die."""

from __future__ import annotations

import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from world import database_of

from hookline.testing.nodes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


APP = """
import asyncio, os, pathlib
from hookline import App, ConfigVariable, FlowCallError, Queue, Retry

app = App()
acme = app.integration("acme", config={"folder": ConfigVariable(required=True)})

@acme.flow("double")
def double(ctx):
    if ctx.input is None:
        raise ValueError("there is nothing to double")
    ctx.log("called", by=ctx.trigger.called_by["execution_id"], hops=ctx.trigger.hops)
    raw = ctx.trigger.raw_body.data.decode()
    return {"twice": ctx.input["n"] * 2, "raw": raw, "of": ctx.trigger.customer.external_id}


@acme.flow("ask")
async def ask(ctx):
    many = await asyncio.gather(*[ctx.call_flow("double", {"n": n}) for n in (1, 2, 3)])
    return [one["twice"] for one in many] + [many[0]["raw"], many[0]["of"]]


@acme.flow("ask_shared", shared=True)
async def ask_shared(ctx):
    return await ctx.call_flow("double", {"n": 21})


@acme.flow("ask_plain", synchronous=True)
def ask_plain(ctx):
    first = ctx.call_flow("double", {"n": 5})
    return ctx.call_flow("double", {"n": first["twice"]})["twice"]


@acme.flow("ask_badly")
def ask_badly(ctx):
    try:
        ctx.call_flow("double")
    except FlowCallError as error:
        return {"code": error.code, "said": str(error), "id": error.execution_id}


@acme.flow("ask_late")
def ask_late(ctx):
    try:
        ctx.call_flow("slow", timeout_seconds=0.3)
    except FlowCallError as error:
        return error.code


@acme.flow("slow")
async def slow(ctx):
    await asyncio.sleep(1)
    return "slept"


@acme.flow("ask_nobody")
def ask_nobody(ctx):
    try:
        ctx.call_flow("nobody")
    except LookupError as error:
        return str(error)


@acme.flow("circle")
async def circle(ctx):
    try:
        return await ctx.call_flow("circle")
    except FlowCallError as error:
        return {"code": error.code, "hops": getattr(ctx.trigger, "hops", 0)} if error.code != "FAILED" else "passed on"


@acme.flow("spread")
async def spread(ctx):
    mark(ctx, "spread")
    await ctx.start_flow("spread")


@acme.flow("fan")
async def fan(ctx):
    for n in range(3):
        await ctx.start_flow("note", {"n": n})
    return "started"


@acme.flow("note", queue=Queue(type="sequential"))
def note(ctx):
    mark(ctx, f"note {ctx.input['n']}")


@acme.flow("narrow", queue=Queue(type="sequential"))
async def narrow(ctx):
    if ctx.input in ("narrow", "through"):
        return await said(ctx, ctx.input)
    if ctx.input == "start":
        await ctx.start_flow("narrow")
    if ctx.input == "given up":
        error = await said(ctx, "late", timeout_seconds=0.3)
        await ctx.wait_for_event("go on")
        return error
    return "passed"


@acme.flow("through")
async def through(ctx):
    return await ctx.call_flow("narrow")


@acme.flow("late")
async def late(ctx):
    await ctx.sleep(1)
    return await ctx.call_flow("narrow")


@acme.flow("two", queue=Queue(type="throttled", concurrency_limit=2))
async def two(ctx):
    return [ctx.input, *await said(ctx, "two", ctx.input + 1)] if ctx.input < 9 else []


async def said(ctx, name, given=None, **limit):
    try:
        return await ctx.call_flow(name, given, **limit)
    except FlowCallError as error:
        return [error.code, str(error)]


@acme.flow("dies", resumable=True)
def dies(ctx):
    told = ctx.call_flow("count")
    if not pathlib.Path(ctx.config["folder"], "died").exists():
        mark(ctx, "", "died")
        os._exit(9)
    return told


@acme.flow("count")
def count(ctx):
    mark(ctx, "counted")
    return "counted"


@acme.flow("ask_oddly")
def ask_oddly(ctx):
    odd = {"big": 10**400, "$base64": 1, "none": None, "text": "\\u2028\\U0001f600"}
    image = ctx.call_flow("picture", {"$base64": "no bytes"})
    return [ctx.call_flow("same", odd) == odd, image["data"] == bytes(range(256)), image["given"]]


@acme.flow("same")
def same(ctx):
    return ctx.input


@acme.flow("picture")
def picture(ctx):
    return {"data": bytes(range(256)), "content_type": "image/png", "given": ctx.input}


@app.workflow("alone")
async def alone(ctx):
    try:
        await ctx.call_flow("double")
    except RuntimeError as error:
        return str(error)


def mark(ctx, text, name="marks"):
    with open(pathlib.Path(ctx.config["folder"], name), "a") as file:
        file.write(text + "\\n")
"""


class Bed:
    """A node, an instance of its integration, and the folder where flows leave marks."""

    def __init__(self, node: NodeProcess, folder: Path) -> None:
        self.node = node
        self.folder = folder
        body = {
            "integration": "acme",
            "customer": {"external_id": "c-1"},
            "config": {"folder": str(folder)},
        }
        self.made: dict[str, Any] = node.api.call("POST", "/api/v1/instances", body)

    def start(self, flow: str, body: object = None) -> None:
        path = str(self.made["webhook_urls"][flow]).partition(f":{self.node.port}")[2]
        self.node.api.call("POST", path, body)

    def runs(self, flow: str) -> list[dict[str, Any]]:
        """Return the executions of a flow, newest first."""
        listed = self.node.api.call("GET", "/api/v1/executions?limit=200")["executions"]
        return [run for run in listed if run["automation"]["id"] == f"acme.{flow}"]

    def ended(self, flow: str) -> dict[str, Any]:
        """Wait for the end of the newest run of a flow."""

        def newest() -> dict[str, Any] | None:
            found = next(iter(self.runs(flow)), None)
            is_over = found is not None and found["status"] in {"succeeded", "failed", "timed_out", "lost"}
            return found if is_over else None

        run = until(newest)
        shown: dict[str, Any] = self.node.api.call("GET", f"/api/v1/executions/{run['id']}")
        return shown

    def output(self, flow: str) -> Any:
        self.start(flow)
        run = self.ended(flow)
        assert run["status"] == "succeeded", run
        return run["output"]

    def marks(self) -> list[str]:
        file = self.folder / "marks"
        return file.read_text().splitlines() if file.exists() else []


def until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 45
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def bed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("calls")
    app = folder / "app.py"
    app.write_text(APP)
    database = database_of(request, folder)
    # Two at once: callers that held theirs while they wait would be all there is.
    node = NodeProcess(database=database, folder=folder, app=app, settings={"HOOKLINE_MAX_EXECUTIONS": "2"})
    node.start()
    yield Bed(node, folder)
    assert node.stop() == 0


def test_a_flow_gets_the_results_of_those_it_calls_side_by_side(bed: Bed) -> None:
    """Issue 3, point 4: also with fewer places on the node than callers and called, since who waits holds none."""
    assert bed.output("ask") == [2, 4, 6, '{"n":1}', "c-1"]
    called = bed.runs("double")
    shown = bed.node.api.call("GET", f"/api/v1/executions/{called[0]['id']}")
    logs = bed.node.api.call("GET", f"/api/v1/executions/{called[0]['id']}/logs")["logs"]
    (caller,) = bed.runs("ask")
    told = bed.node.api.call("GET", f"/api/v1/executions/{caller['id']}/timeline")["timeline"]
    calls = [moment for moment in told if moment["what"] == "call"]

    assert len(called) == 3
    assert shown["trigger"]["called_by"] == caller["id"]
    assert {moment["execution_id"] for moment in calls} == {run["id"] for run in called}
    assert shown["trigger"]["source"] == "flow"
    assert logs[0]["fields"] == {"by": caller["id"], "hops": 1}


def test_a_shared_function_may_call_too(bed: Bed) -> None:
    assert bed.output("ask_shared")["twice"] == 42


def test_the_caller_of_a_plain_synchronous_flow_gets_what_comes_of_its_calls(bed: Bed) -> None:
    """PR-4, PR-13b: an answer that is made of two flows' answers."""
    with urllib.request.urlopen(bed.made["webhook_urls"]["ask_plain"], b"{}", timeout=30) as answer:
        assert answer.read() == b"20"


def test_what_is_called_gets_any_json_as_it_is_and_gives_bytes_as_bytes(bed: Bed) -> None:
    assert bed.output("ask_oddly") == [True, True, {"$base64": "no bytes"}]


def test_a_failure_is_told_with_its_code_and_its_execution(bed: Bed) -> None:
    told = bed.output("ask_badly")

    assert told["code"] == "FAILED"
    assert "there is nothing to double" in told["said"]
    assert bed.node.api.call("GET", f"/api/v1/executions/{told['id']}")["status"] == "failed"


def test_a_caller_waits_no_longer_than_it_says_and_what_it_called_goes_on(bed: Bed) -> None:
    assert bed.output("ask_late") == "TIMED_OUT"
    assert bed.ended("slow")["output"] == "slept"


def test_a_name_that_no_flow_has_is_an_error_that_names_those_there_are(bed: Bed) -> None:
    assert "no flow 'nobody': it has 'double', 'ask'" in bed.output("ask_nobody")


def test_flows_that_wait_for_each_other_in_a_circle_end(bed: Bed) -> None:
    """Hops are counted over calls as over deliveries: five, then an error."""
    bed.output("circle")
    until(lambda: len([run for run in bed.runs("circle") if run["status"] == "succeeded"]) == 6)
    deepest = bed.node.api.call("GET", f"/api/v1/executions/{bed.runs('circle')[0]['id']}")

    assert deepest["output"] == {"code": "LOOP_DETECTED", "hops": 5}


def test_flows_that_start_each_other_in_a_circle_end(bed: Bed) -> None:
    bed.start("spread")
    until(lambda: [run["status"] for run in bed.runs("spread")].count("failed") == 1)

    assert bed.marks().count("spread") == 6
    assert len(bed.runs("spread")) == 6
    assert bed.ended("spread")["error"]["type"] == "FlowCallError"


def test_what_is_only_started_keeps_to_its_own_queue(bed: Bed) -> None:
    """PR-19: one after the other, as they were called."""
    assert bed.output("fan") == "started"
    until(lambda: len([mark for mark in bed.marks() if mark.startswith("note")]) == 3)

    assert [mark for mark in bed.marks() if mark.startswith("note")] == ["note 0", "note 1", "note 2"]


SELF_WAIT = "flow 'narrow': it could begin only when those that wait for it have ended"


@pytest.mark.parametrize("through", ["narrow", "through"])
def test_a_flow_that_would_wait_for_itself_in_its_queue_is_told_at_once(bed: Bed, through: str) -> None:
    """PR-19: its queue is sequential, so what it calls would begin after it. Else both wait until the time is up."""
    bed.start("narrow", through)
    code, words = bed.ended("narrow")["output"]

    if through == "narrow":
        assert (code, words) == ("WAITS_FOR_ITSELF", SELF_WAIT)
    else:
        assert (code, words) == ("FAILED", f"flow 'through': {SELF_WAIT}")


def test_a_flow_may_wait_for_itself_as_long_as_its_queue_has_room(bed: Bed) -> None:
    """A throttled queue of two holds the first and the second, which are told what came of the third."""
    bed.start("two", 0)
    output = until(lambda: next((run["output"] for run in bed.runs("two") if run["input"] == 0), None))

    assert output[:3] == [0, 1, "WAITS_FOR_ITSELF"]


def test_a_flow_may_start_itself_in_its_queue(bed: Bed) -> None:
    """Nobody waits for what is only started."""
    before = len(bed.runs("narrow"))
    bed.start("narrow", "start")
    until(lambda: len(bed.runs("narrow")) == before + 2)

    assert bed.ended("narrow")["output"] == "passed"


def test_a_caller_that_has_given_up_waiting_stands_in_nobodys_way_for_ever(bed: Bed) -> None:
    """What it called goes on, and waits for its end like anyone else in the queue."""
    bed.start("narrow", "given up")
    first = until(lambda: _held_up(bed.runs("narrow")[:2]))
    bed.node.api.call("POST", f"/api/v1/executions/{first['id']}/resume", {"name": "go on"})

    assert bed.ended("late")["output"] == "passed"


def _held_up(newest: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the run that waits for somebody's answer, once the next one stands behind it."""
    behind, first = newest
    return first if (behind["status"], first["status"]) == ("queued", "waiting") else None


def test_a_caller_that_dies_takes_up_the_call_that_it_made(bed: Bed) -> None:
    """The called flow runs once, whatever becomes of its caller's process."""
    assert bed.output("dies") == "counted"

    assert bed.marks().count("counted") == 1
    assert len(bed.runs("count")) == 1


def test_a_workflow_of_no_instance_has_no_siblings(bed: Bed) -> None:
    made = bed.node.api.call("POST", "/api/v1/workflows/alone/executions", {})
    run = until(
        lambda: next(
            (
                found
                for found in [bed.node.api.call("GET", f"/api/v1/executions/{made['execution_id']}")]
                if found["status"] == "succeeded"
            ),
            None,
        )
    )

    assert "only a flow of an instance has siblings" in run["output"]
