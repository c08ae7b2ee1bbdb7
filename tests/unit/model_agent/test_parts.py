"""The parts of a model agent: its settings, its tools, what it is shown, and what it says, piece by piece."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable  # noqa: TC003 -- a tool's hint is read when it is declared
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from hookline import App
from hookline.errors import ModelFailedError, SettingError
from hookline.model.states import Kind
from hookline.model_agent.answer import BadAnswerError, Collecting
from hookline.model_agent.definition import Endpoint, Model, endpoint_of
from hookline.model_agent.messages import opening
from hookline.model_agent.tools import ArgumentsError, tool_of
from hookline.model_agent.turn import resolve_conversation
from hookline.runners.model_access import ModelSettings

KEY = "sk-a-secret-0123456789"


@dataclass
class Place:
    street: str
    number: int | None = None


async def go(ctx: Any, to: Place, tags: list[str] = ["a"], *, fast: bool = False) -> Any:  # noqa: B006
    """Go there."""
    return {"to": to.street, "tags": tags, "fast": fast, "who": ctx}


def when() -> datetime:
    return datetime(2026, 1, 2, tzinfo=UTC)


def untyped(x):  # type: ignore[no-untyped-def]  # noqa: ANN001
    return x


def starred(*x: int) -> None: ...


def odd(x: Callable[[], int]) -> None: ...


def test_a_tool_is_described_by_its_signature() -> None:
    tool = tool_of("agent 'x'", go)

    assert tool.described["function"]["description"] == "Go there."
    assert tool.schema["required"] == ["to"]
    assert tool.schema["properties"]["to"] == {"$ref": "#/$defs/Place"}
    assert tool.schema["$defs"]["Place"]["required"] == ["street"]
    assert "ctx" not in tool.schema["properties"]


@pytest.mark.asyncio
async def test_a_tool_is_called_with_what_fits() -> None:
    tool = tool_of("agent 'x'", go)
    given = tool.read('{"to": {"street": "Elm"}, "fast": true}')

    assert given == {"to": Place("Elm"), "tags": ["a"], "fast": True}
    assert await tool.call("me", given, seconds=9) == '{"to":"Elm","tags":["a"],"fast":true,"who":"me"}'
    assert await tool_of("agent 'x'", when).call(None, {}, seconds=9) == '"2026-01-02T00:00:00Z"'


@pytest.mark.asyncio
async def test_a_tool_that_takes_too_long_is_given_up() -> None:
    """Issue 5: async code is cancelled; a plain function goes on in a thread of its own, and keeps nobody waiting."""
    leave, left = threading.Event(), threading.Event()

    async def hang() -> None:
        await asyncio.Event().wait()

    def block() -> str:
        leave.wait(30)
        left.set()
        return "late"

    for function in (hang, *[block] * 40):  # more than any pool has threads
        with pytest.raises(TimeoutError, match=r"it took longer than 0\.01 s"):
            await tool_of("agent 'x'", function).call(None, {}, seconds=0.01)
    fresh = await tool_of("agent 'x'", when).call(None, {}, seconds=9)
    leave.set()

    assert fresh == '"2026-01-02T00:00:00Z"'
    assert await asyncio.to_thread(left.wait, 9)


@pytest.mark.asyncio
async def test_what_a_tool_raises_is_passed_on() -> None:
    """Also its own TimeoutError, which says more than ours would."""

    def fail() -> None:
        raise LookupError("no such order")

    async def give_up() -> None:
        raise TimeoutError("the shop does not answer")

    with pytest.raises(LookupError, match="no such order"):
        await tool_of("agent 'x'", fail).call(None, {}, seconds=9)
    with pytest.raises(TimeoutError, match="the shop does not answer"):
        await tool_of("agent 'x'", give_up).call(None, {}, seconds=9)


@pytest.mark.parametrize("text", ["{", "[]", '{"to": 1}', '{"to": {"street": "x"}, "more": 1}', "\xff"])
def test_arguments_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(ArgumentsError, match="do not fit"):
        tool_of("agent 'x'", go).read(text)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (untyped, "parameter 'x' needs a type hint"),
        (starred, "can be given by name"),
        (odd, "not of a type that JSON has"),
        (lambda: 1, "a function with a name"),
    ],
)
def test_tools_that_cannot_be_described_are_refused_where_they_are_declared(
    function: Any, words: str
) -> None:
    with pytest.raises(SettingError, match=words):
        App().openai_agent("x", tools=[function])


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 3},
        {"max_rounds": 0},
        {"tool_seconds": 0},
        {"history_turns": 101},
        {"base_url": "ftp://x"},
        {"base_url": "http://user:password@x"},
        {"api_key": "a\nb"},
        {"system": 5},
        {"tools": [go, go]},
        {"tools": [resolve_conversation], "can_resolve": True},
        {"no_such": 1},
    ],
)
def test_bad_settings_are_refused_where_they_are_declared(options: Any) -> None:
    with pytest.raises(SettingError, match="agent 'x'"):
        App().openai_agent("x", **options)


def test_a_model_agent_shares_and_resumes_and_never_shows_its_key() -> None:
    """P13: neither its own repr nor that of anything it is made of has the key."""
    app = App()
    app.openai_agent("x", model="m", api_key=KEY, base_url="http://x/v1", idle_seconds=5)
    (agent,) = app.automations
    function = app.function(Kind.AGENT, "x")
    endpoint = endpoint_of(Model(api_key=KEY, model="m"), {"relay": f"http://a:{KEY}@b"})

    assert (agent.is_shared, agent.is_resumable, agent.uses_model, agent.idle_ms) == (True, True, True, 5000)
    assert agent.description == "Answered by m."
    shown = repr((function, endpoint, Model(api_key=KEY), ModelSettings(api_key=KEY), agent))
    assert KEY not in shown


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Model(), ("http://server/v1", "server-key", "server-model")),
        (Model(model="own"), ("http://server/v1", "server-key", "own")),
        (Model(base_url="http://own/v1"), ("http://own/v1", None, "server-model")),
        (Model(api_key="own"), ("http://server/v1", "own", "server-model")),
    ],
)
def test_the_servers_key_goes_to_the_servers_url_only(
    model: Model, expected: tuple[str, str | None, str]
) -> None:
    server = {"relay": "r", "base_url": "http://server/v1", "model": "server-model", "api_key": "server-key"}
    found = endpoint_of(model, server)

    assert (found.url, found.key, found.model) == expected


def test_a_turn_without_a_model_says_what_to_set() -> None:
    with pytest.raises(ModelFailedError, match="set HOOKLINE_OPENAI_MODEL"):
        endpoint_of(Model(), {"relay": "r"})
    assert Endpoint(url="https://a.example/v1", key=None, model="m", relay="r").host == "a.example"


def test_an_unanswered_message_stands_before_the_next() -> None:
    history: list[dict[str, Any]] = [
        {"message": "a", "reply": {"x": 1}},
        {"message": "b", "reply": None},
        {"message": {"y": 2}, "reply": "c"},
    ]

    assert opening("s", history, "d", turns=9) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": '{"x":1}'},
        {"role": "user", "content": 'b\n\n{"y":2}'},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "d"},
    ]
    assert opening("", history, "d", turns=0) == [{"role": "user", "content": "d"}]
    assert len(opening("", [{"message": "x" * 60_000, "reply": "y"}] * 3, "d", turns=3)) == 3


def _collect(*deltas: dict[str, Any], finish: str = "stop") -> Any:
    collecting = Collecting()
    for delta in deltas:
        collecting.add({"choices": [{"delta": delta, "finish_reason": None}]})
    collecting.add({"choices": [{"delta": {}, "finish_reason": finish}]})
    return collecting.done()


def _piece(index: int | None, id_: str | None, arguments: str, name: str | None = None) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "id": id_, "function": {"name": name, "arguments": arguments}}]}


@pytest.mark.parametrize("second", [1, 0, None])
def test_calls_are_put_together_however_they_are_numbered(second: int | None) -> None:
    """Endpoints number calls from 0, or give all of them 0, or none a number."""
    first = None if second is None else 0
    answer = _collect(
        _piece(first, "a", '{"x"', "f"),
        _piece(first, None, ":1}"),
        _piece(second, "b", "{", "g"),
        _piece(second, None, "}"),
    )

    assert [(call.id, call.name, call.arguments) for call in answer.calls] == [
        ("a", "f", '{"x":1}'),
        ("b", "g", "{}"),
    ]


def test_more_calls_than_anybody_needs_are_refused() -> None:
    with pytest.raises(BadAnswerError, match="more than 16 tools") as caught:
        _collect(*(_piece(number, f"c{number}", "{}", "f") for number in range(17)))
    assert caught.value.is_final
    with pytest.raises(BadAnswerError, match="characters of arguments"):
        _collect(_piece(0, "a", "x" * 140_000, "f"))


@pytest.mark.parametrize(
    "chunk", [5, None, [], {}, {"choices": [5]}, {"choices": [{"delta": {"content": 5}}]}]
)
def test_what_is_no_chunk_is_refused(chunk: Any) -> None:
    with pytest.raises(BadAnswerError, match="no part of an answer"):
        Collecting().add(chunk)


@pytest.mark.parametrize(
    "whole", [5, None, [], {}, {"choices": 5}, {"choices": [5]}, {"choices": [{"message": 5}]}]
)
def test_what_is_no_answer_in_one_piece_is_refused(whole: Any) -> None:
    with pytest.raises(BadAnswerError, match="is no "):
        Collecting().add_whole(whole)


def test_halves_of_a_character_are_put_together_and_half_of_one_is_replaced() -> None:
    """Both would be refused by the journal."""
    answer = _collect({"content": "a\ud83d"}, {"content": "\ude00b\ud800"}, _piece(0, "i", "\udc00", "f"))

    assert answer.text == "a\U0001f600b\ufffd"
    assert answer.calls[0].arguments == "\ufffd"


@pytest.mark.parametrize("tokens", [-1, 10**400, 1.5, "7"])
def test_tokens_that_cannot_be_are_refused(tokens: Any) -> None:
    """AF-10: credits are reckoned from them."""
    with pytest.raises(BadAnswerError, match="no part of an answer"):
        Collecting().add({"choices": [], "usage": {"prompt_tokens": tokens, "completion_tokens": 1}})


def test_a_plain_tool_does_not_stop_the_loop() -> None:
    """Turns share a process: a function that blocks runs in a thread."""

    entered = threading.Event()
    may_end = threading.Event()

    def block() -> str:
        entered.set()
        assert may_end.wait(10)
        return "done"

    async def both() -> str:
        call = asyncio.create_task(tool_of("agent 'x'", block).call(None, {}, seconds=9))
        await asyncio.to_thread(entered.wait, 10)
        may_end.set()
        return await call

    assert asyncio.run(both()) == "done"


class _Turn:
    """A session of which only what the agent reads is there."""

    def __init__(self, model: dict[str, Any] | None) -> None:
        self.model = model


@pytest.mark.asyncio
async def test_without_the_client_a_turn_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hookline.model_agent.client", None)
    app = App()
    app.openai_agent("x", model="m")

    class Ctx:
        message, history = "hi", ()
        _session = _Turn({"relay": "http://a:b@127.0.0.1:1"})

        async def step(self, _name: str, function: Any, *given: Any) -> Any:
            return await function(*given)

    function: Any = app.function(Kind.AGENT, "x")
    with pytest.raises(ModelFailedError, match=r"pip install 'hookline\[agent\]'") as caught:
        await function(Ctx())
    assert caught.value.code == "RUNNER_UNAVAILABLE"
