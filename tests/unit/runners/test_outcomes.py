"""How a run ends, whatever its code does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from hookline.model.states import Kind
from hookline.ports.runner import Failed, Lost, Succeeded, TimedOut

pytestmark = pytest.mark.asyncio(loop_scope="session")

OWN = pytest.mark.parametrize("bad", ["bad", "bad_async"])
ALL = pytest.mark.parametrize("bad", ["bad", "bad_async", "bad_shared"])


@pytest.mark.parametrize("echo", ["echo", "echo_async", "echo_shared"])
@pytest.mark.parametrize("value", [None, {"a": [1, "é", 1e300, 123456789012345678901234567890]}, ""])
async def test_the_return_value_is_the_output(runs: Any, echo: str, value: Any) -> None:
    outcome, kept = await runs.run(echo, input=json.dumps(value).encode())

    assert isinstance(outcome, Succeeded)
    assert json.loads(outcome.output) == value
    assert kept.started_at is not None
    assert kept.calls == 0


async def test_json_that_only_some_parsers_read_is_an_input_like_any_other(runs: Any) -> None:
    outcome, _ = await runs.run("bad", input=b'"\\ud800"')

    assert outcome.failure.type == "KeyError"


@ALL
async def test_an_exception_fails_the_run_with_the_users_own_frames(runs: Any, bad: str) -> None:
    outcome, _ = await runs.run(bad, "chain")

    assert isinstance(outcome, Failed)
    assert (outcome.failure.code, outcome.failure.type) == ("FAILED", "ValueError")
    assert outcome.failure.message == "bad order"
    stack = outcome.failure.stack or ""
    assert "no such order" in stack
    assert "apps/every_way.py" in stack
    assert "hookline/runners" not in stack


@ALL
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("nan", "the return value is not JSON: Out of range float values"),
        ("date", "the return value is not JSON: Object of type datetime"),
        ("set", "the return value is not JSON: Object of type set"),
        ("inner bytes", "the return value is not JSON: Object of type bytes"),
        ("endless", "the return value is not JSON: Circular"),
        ("surrogate", "the return value is not JSON: it holds text that is not valid Unicode"),
    ],
)
async def test_a_result_that_is_not_json_fails_the_run_and_says_so(
    runs: Any, bad: str, how: str, message: str
) -> None:
    outcome, _ = await runs.run(bad, how)

    assert isinstance(outcome, Failed)
    assert outcome.failure.message.startswith(message)


@ALL
@pytest.mark.parametrize(
    ("how", "output"),
    [
        ("bytes", b'{"$base64":"eA=="}'),
        ("typed bytes", b'{"data":{"$base64":"eA=="},"content_type":"image/png"}'),
    ],
)
async def test_bytes_come_back_in_the_form_in_which_they_travel_as_json(
    runs: Any, bad: str, how: str, output: bytes
) -> None:
    """PR-10, the way back: what is answered is these bytes (core.content)."""
    outcome, _ = await runs.run(bad, how)

    assert isinstance(outcome, Succeeded)
    assert outcome.output == output


async def test_a_result_that_is_too_large_fails_the_run(runs: Any) -> None:
    outcome, _ = await runs.run("bad", "big")

    assert isinstance(outcome, Failed)
    assert "at most 67108864 cross" in outcome.failure.message


@ALL
@pytest.mark.parametrize(
    ("how", "type_", "message"),
    [
        ("exit", "SystemExit", "called sys.exit(3)"),
        ("unprintable", "UnprintableError", "<UnprintableError>"),
        ("recurse", "RecursionError", "maximum recursion depth exceeded"),
    ],
)
async def test_odd_exceptions_fail_the_run_too(
    runs: Any, bad: str, how: str, type_: str, message: str
) -> None:
    outcome, _ = await runs.run(bad, how)

    assert isinstance(outcome, Failed)
    assert outcome.failure.type == type_
    assert outcome.failure.message.startswith(message)
    assert len(outcome.failure.stack or "") <= 64 * 1024


@ALL
@pytest.mark.parametrize(("how", "message"), [("_exit", "status 7"), ("kill", "SIGKILL")])
async def test_a_process_that_dies_loses_the_run(runs: Any, bad: str, how: str, message: str) -> None:
    """K12: the death of the child is an outcome."""
    outcome, _ = await runs.run(bad, how)

    assert isinstance(outcome, Lost)
    assert outcome.has_started
    assert outcome.failure.code == "LOST"
    assert message in outcome.failure.message


@OWN
@pytest.mark.parametrize("how", ["hang", "sleep"])
async def test_a_run_that_hangs_is_timed_out(runs: Any, bad: str, how: str) -> None:
    outcome, _ = await runs.run(bad, how, timeout_ms=300, limit="org")

    assert isinstance(outcome, TimedOut)
    assert outcome.failure.limit == "org"
    assert outcome.failure.message == "The organization's run time of this period is used up."


async def test_a_shared_run_is_timed_out_alone(runs: Any) -> None:
    """The other run of the same process goes on."""
    slow = asyncio.create_task(runs.run("tidy_shared", timeout_ms=200))
    other = asyncio.create_task(runs.run("nap_shared", {"seconds": 0.09, "path": "/dev/null"}))
    outcome, kept = await slow

    assert isinstance(outcome, TimedOut)
    assert outcome.failure.limit == "agent"
    assert kept.texts() == ["waiting", "tidied up"]
    assert isinstance((await other)[0], Succeeded)


async def test_one_shared_run_that_raises_leaves_the_others_alone(runs: Any) -> None:
    outcomes = await asyncio.gather(
        *(runs.run(name, data) for name, data in [("bad_shared", "raise"), ("bad_shared", "exit")]),
        runs.run("late_exit_shared"),
        runs.run("echo_shared", 1),
    )

    assert [type(outcome) for outcome, _ in outcomes] == [Failed, Failed, Succeeded, Succeeded]


async def test_an_automation_nobody_declared_fails(runs: Any) -> None:
    outcome, kept = await runs.run("nowhere")

    assert isinstance(outcome, Failed)
    assert "nowhere" in outcome.failure.message
    assert kept.started_at is None


async def test_an_agent_answers_and_resolves(runs: Any) -> None:
    data = {"message": "hi", "user_id": "u1", "context": {"room": 5}}
    outcome, _ = await runs.run("answer", data, kind=Kind.AGENT)

    assert json.loads(outcome.output) == "u1 said hi in 5 {}"
    assert json.loads(outcome.resolution) == {
        "type": "solved",
        "category": "orders",
        "tags": ["a", "b"],
        "satisfaction_score": 4.5,
    }


async def test_an_agent_returns_text_or_an_object(runs: Any) -> None:
    outcome, _ = await runs.run("number", kind=Kind.AGENT)

    assert outcome.failure.message == "an agent returns its reply, a text or a JSON object; got int"


async def test_a_trigger_is_shown_by_attribute(runs: Any) -> None:
    trigger = {
        "headers": {"Content-Type": "multipart/form-data; boundary=x"},
        "raw_body": {"data": {"$base64": "AP8="}},
        "body": {
            "data": {"file": {"data": "x", "content_type": "text/plain", "filename": "a.txt"}},
            "content_type": "multipart/form-data; boundary=x",
        },
        "customer": {"id": "c1"},
        "started_at": "2026-01-02T03:04:05Z",
    }
    outcome, _ = await runs.run("trigger", trigger=json.dumps(trigger).encode())

    assert json.loads(outcome.output) == {
        "header": "multipart/form-data; boundary=x",
        "raw": [0, 255],
        "customer": "c1",
        "missing": None,
        "started": "2026-01-02T03:04:05+00:00",
        "part": "a.txt",
    }
