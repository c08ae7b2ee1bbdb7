"""Agents that a model answers for, whole: a node, a child process, and a server that speaks OpenAI's protocol."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from model_server import ModelServer

from hookline.testing.nodes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from model_server import Asked

    from hookline.testing.postgres import PostgresServer

APP: Final = Path(__file__).parents[1] / "support" / "model_app.py"
SERVER_KEY: Final = "sk-server-1d0f6b2c77"
OWN_KEY: Final = "sk-own-6f1c0b7a9d"
PATIENCE: Final = 30.0


class Bed:
    """A node with the agents, and their model."""

    def __init__(self, node: NodeProcess, model: ModelServer, folder: Path) -> None:
        self.node, self.model, self.folder = node, model, folder

    def forget(self) -> None:
        """What earlier tests did."""
        self.model.asked.clear()
        (self.folder / "calls").unlink(missing_ok=True)

    def begin(self, agent: str, **fields: Any) -> str:
        made = self.node.api.call("POST", "/api/v1/conversations", {"agent_id": agent, **fields})
        return str(made["id"])

    def say(self, conversation: str, message: str) -> str:
        path = f"/api/v1/conversations/{conversation}/messages"
        return str(self.node.api.call("POST", path, {"message": message})["execution_id"])

    def ended(self, execution: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.node.api.call("GET", f"/api/v1/executions/{execution}")
            return found if found["completed_at"] else None

        ended: dict[str, Any] = waited(look)
        return ended

    def turn(self, agent: str, message: str = "hi") -> dict[str, Any]:
        """One turn of a new conversation, ended."""
        return self.ended(self.say(self.begin(agent), message))

    def logs(self, execution: dict[str, Any]) -> list[dict[str, Any]]:
        found = self.node.api.call("GET", f"/api/v1/executions/{execution['id']}/logs?limit=500")
        return list(found["logs"])

    def events(self, type_: str, conversation: str) -> list[dict[str, Any]]:
        found = self.node.api.call("GET", "/api/v1/events?limit=500")["events"]
        told = [one["data"] for one in found if one["type"] == type_]
        return [data for data in told if data["conversation_id"] == conversation]

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


def waited(look: Callable[[], Any]) -> Any:
    """Return the first answer that is none of None and False."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise TimeoutError


@contextmanager
def serving(database: str, folder: Path) -> Iterator[Bed]:
    with ModelServer() as model:
        settings = {
            "HOOKLINE_OPENAI_BASE_URL": model.url,
            "HOOKLINE_OPENAI_MODEL": "talk",
            "HOOKLINE_OPENAI_API_KEY": SERVER_KEY,
            "HOOKLINE_APP_FOLDER": str(folder),
            "HOOKLINE_APP_MODEL_URL": model.url,
        }
        node = NodeProcess(database=database, folder=folder, app=APP, settings=settings)
        node.start()
        try:
            yield Bed(node, model, folder)
        finally:
            model.closing.set()
            assert node.stop() == 0


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("models")
    with serving(f"sqlite:///{folder}/a.db", folder) as made:
        yield made


@pytest.fixture(scope="module")
def on_postgres(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("models")
    with serving(postgres_server.fresh_database(), folder) as made:
        yield made


@pytest.fixture
def bed(on_sqlite: Bed) -> Bed:
    on_sqlite.forget()
    return on_sqlite


@pytest.fixture(params=["sqlite", "postgres"])
def either(request: pytest.FixtureRequest) -> Bed:
    """A node over either store."""
    made: Bed = request.getfixturevalue(f"on_{request.param}")
    made.forget()
    return made


def _talk(asked: Asked) -> None:
    last = asked.body["messages"][-1]
    if last["role"] == "tool":
        asked.say("It is ", f"so: {last['content']}", given=30, made=2)
    elif "order" in last["content"]:
        asked.call(("look_up", '{"order": 7}'), ("refund", '{"reason": "late"}'), given=20, made=3)
    elif last["content"] == "thanks":
        arguments = {"category": "billing", "tags": ["late"], "satisfaction_score": 4}
        asked.call(("resolve_conversation", json.dumps(arguments)))
    else:
        asked.say("Hel", "lo")


def test_a_model_answers_with_history_and_tools_until_the_matter_is_settled(either: Bed) -> None:
    """AF-3, AF-6, AF-10 and issue 5: counts, credits of its tokens, resolution and score in the events."""
    bed = either
    bed.model.answers["talk"] = _talk
    talk = bed.begin("support", user_id="ada")
    turns = [bed.ended(bed.say(talk, said)) for said in ("hi", "where is order 7?", "thanks")]
    shown = bed.node.api.call("GET", f"/api/v1/conversations/{talk}")
    steps = bed.node.api.call("GET", f"/api/v1/executions/{turns[1]['id']}/steps")["steps"]

    answer = 'It is so: {"order":7,"state":"shipped"}'
    assert [turn["status"] for turn in turns] == ["succeeded"] * 3
    assert turns[0]["output"] == "Hello"
    first, *_ = bed.model.asked["talk"]
    assert first.body["messages"] == [
        {"role": "system", "content": "You help ada."},
        {"role": "user", "content": "hi"},
    ]
    assert (first.body["temperature"], first.body["seed"], first.body["stream"]) == (0.5, 7, True)
    assert [tool["function"]["name"] for tool in first.body["tools"]] == [
        "look_up",
        "refund",
        "resolve_conversation",
    ]
    order = first.body["tools"][0]["function"]
    assert order["description"] == "Say where an order is."
    assert order["parameters"] == {
        "type": "object",
        "properties": {"order": {"type": "integer", "description": "The order's number."}},
        "required": ["order"],
        "additionalProperties": False,
    }
    second_round = list(bed.model.talks("talk"))[2]
    assert [one["role"] for one in second_round] == [
        "system", "user", "assistant", "user", "assistant", "tool", "tool",
    ]  # fmt: skip
    assert second_round[-2]["content"] == '{"order":7,"state":"shipped"}'
    assert second_round[-1] == {"role": "tool", "tool_call_id": "call_1", "content": "100 for late"}
    assert turns[1]["output"] == "It is so: 100 for late"
    assert answer not in turns[1]["output"]
    assert [one["name"] for one in steps] == ["model", "tool look_up", "tool refund", "model"]
    assert [line.split(" ", 1)[1] for line in bed.calls()] == ["ada 7"]
    # 100 credits for 1,000 tokens in, 1,000 for 1,000 out: (10, 5); (20, 3) and (30, 2); (10, 5) and (30, 2).
    assert [turn["credits_used"] for turn in turns] == pytest.approx([6.0, 10.0, 11.0])
    (completed,) = bed.events("agent.conversation.completed", talk)
    assert completed == {
        "agent_id": "support",
        "conversation_id": talk,
        "user_id": "ada",
        "status": "resolved",
        "started_at": shown["started_at"],
        "completed_at": shown["completed_at"],
        "message_count": 6,
        "satisfaction_score": 4,
        "credits_used": pytest.approx(27.0),
        "resolution": {"type": "solved", "category": "billing", "tags": ["late"]},
    }
    assert [one["message"] for one in bed.events("agent.message.received", talk)] == [
        "hi", "where is order 7?", "thanks",
    ]  # fmt: skip
    sent = bed.events("agent.message.sent", talk)
    assert [one["message"] for one in sent] == [turn["output"] for turn in turns]
    assert [one["credits_used"] for one in sent] == pytest.approx([6.0, 10.0, 11.0])


def test_what_is_remembered_of_a_talk_is_bounded(bed: Bed) -> None:
    """The agent's ``history_turns`` is 2; a message without an answer stands before the next one."""

    def answer(asked: Asked) -> None:
        if asked.body["messages"][-1]["content"].endswith("fail"):
            asked.refuse(400, "no")
        else:
            asked.say("ok")

    bed.model.answers["talk"] = answer
    talk = bed.begin("support")
    for said in ("one", "two", "fail", "three"):
        bed.ended(bed.say(talk, said))

    assert list(bed.model.talks("talk"))[-1][1:] == [
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "fail\n\nthree"},
    ]


def test_an_answer_is_shown_while_it_comes(bed: Bed) -> None:
    """Issue 5, point 6: tokens are on the execution's stream before the model has said its last word."""
    may_end = threading.Event()

    def answer(asked: Asked) -> None:
        asked.begin()
        asked.chunk({"role": "assistant", "content": "Once upon"})
        assert may_end.wait(PATIENCE)
        asked.chunk({"content": " a time"}, "stop")
        asked.end()

    bed.model.answers["talk"] = answer
    execution = bed.say(bed.begin("support"), "a story")

    def told() -> list[dict[str, Any]]:
        found = bed.node.api.call("GET", f"/api/v1/executions/{execution}/logs")["logs"]
        return [one["fields"] for one in found if one["stream"] == "progress"]

    early = waited(told)
    status = bed.node.api.call("GET", f"/api/v1/executions/{execution}")["status"]
    may_end.set()

    assert (early, status) == ([{"delta": "Once upon", "round": 1, "attempt": 1}], "running")
    assert bed.ended(execution)["output"] == "Once upon a time"
    assert "".join(one["delta"] for one in told()) == "Once upon a time"


def test_a_request_that_may_pass_is_tried_again_and_says_so(bed: Bed) -> None:
    """Retry-After is heard, within bounds; the words of a broken try are told apart from those of the next."""
    at: list[float] = []

    def answer(asked: Asked) -> None:
        at.append(time.monotonic())
        if len(at) == 1:
            asked.refuse(429, "slow down", Retry_After="1")
        elif len(at) == 2:
            asked.begin()
            asked.chunk({"content": "half"})
        else:
            asked.say("whole")

    bed.model.answers["talk"] = answer
    turn = bed.turn("support")
    lines = bed.logs(turn)

    assert (turn["status"], turn["output"]) == ("succeeded", "whole")
    assert at[1] - at[0] >= 1.0
    warnings = [line["text"] for line in lines if line["level"] == "warning"]
    assert warnings[0].startswith("The model answered 429 (Too Many Requests): slow down. Retry 1 in ")
    assert warnings[1].startswith("The model ended its answer before it was complete. Retry 2 in ")
    shown = [line["fields"] for line in lines if line["stream"] == "progress"]
    assert [(one["delta"], one["attempt"]) for one in shown] == [("half", 2), ("whole", 3)]


def _hang(asked: Asked, bed: Bed) -> None:
    asked.begin()
    asked.chunk({"content": "wait"})
    bed.model.closing.wait(PATIENCE)


def _endless(asked: Asked) -> None:
    asked.begin()
    while True:
        asked.chunk({"content": "x" * 4096})


def _line(asked: Asked) -> None:
    asked.begin()
    asked.send(b"data: ")
    while True:
        asked.send(b"x" * 65_536)


def _lines(asked: Asked, *lines: bytes) -> None:
    asked.begin()
    for line in lines:
        asked.send(b"data: " + line + b"\n\n")


def _page(asked: Asked) -> None:
    asked.begin(kind="text/html")
    asked.send(b"<h1>Welcome</h1>")


def _zipped(asked: Asked) -> None:
    asked.begin(Content_Encoding="gzip")
    asked.send(b"\x1f\x8b" + bytes(64))


def _redirect(asked: Asked) -> None:
    asked.begin(307, "text/plain", Location="http://169.254.169.254/latest/meta-data", Content_Length="0")


def _withheld(asked: Asked) -> None:
    asked.begin()
    asked.chunk({"content": "I"}, "content_filter")
    asked.end()


def _half(asked: Asked) -> None:
    asked.begin()
    asked.chunk({"content": "Hel"})


def _empty(asked: Asked) -> None:
    asked.begin()
    asked.chunk({}, "stop")
    asked.end()


FAULTS: Final[dict[str, tuple[Callable[[Asked], None], str, int]]] = {
    "quota": (lambda asked: asked.refuse(401, "no such key"), "answered 401 (Unauthorized): no such key", 1),
    "busy": (
        lambda asked: asked.refuse(503, "overloaded"),
        "answered 503 (Service Unavailable): overloaded",
        2,
    ),
    "garbage": (lambda asked: _lines(asked, b"\xff\xfe{", b"not json"), "sent what cannot be read", 2),
    "other-shape": (lambda asked: _lines(asked, b'{"choices":"x"}'), "sent what is no part of an answer", 2),
    "early": (_half, "ended its answer before it was complete", 2),
    "endless": (_endless, "sent more than 262144 characters", 1),
    "line": (_line, "sent more than 32 MB", 1),
    "html": (_page, "answered with text/html, not with a stream", 2),
    "redirect": (_redirect, "answered 307 (Temporary Redirect)", 1),
    "empty": (_empty, "gave an empty answer", 2),
    "zipped": (_zipped, "sent its answer compressed", 1),
    "error-in-stream": (
        lambda asked: _lines(asked, b'{"error":{"message":"the GPU fell off"}}'),
        "broke off with an error: the GPU fell off",
        2,
    ),
    "cut-off": (_withheld, "withheld its answer (content_filter)", 1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_model_that_misbehaves_ends_the_turn_with_a_plain_error(bed: Bed, fault: str) -> None:
    """Issue 5, faults: garbage, an early end, an endless stream; retried where that may help, then said."""
    answer, words, tries = FAULTS[fault]
    bed.model.answers[fault] = answer
    talk = bed.begin(fault)
    turn = bed.ended(bed.say(talk, "hi"))
    (failed,) = bed.events("agent.message.failed", talk)

    retries = {1: "it was not tried again", 2: "1 retry"}[tries]
    error = turn["error"]
    assert (turn["status"], error["code"], error["stack"]) == ("failed", "MODEL_FAILED", None)
    assert error["message"].startswith(f"The model {fault!r} at 127.0.0.1 {words}"), error["message"]
    assert error["message"].endswith(f"({retries}).")
    assert len(bed.model.asked[fault]) == tries
    assert failed["error"] == {
        "code": "MODEL_FAILED",
        "message": error["message"],
        "type": "ModelFailedError",
    }
    assert (failed["status"], failed["credits_used"]) == ("failed", 0)


def test_one_that_hangs_holds_up_nobody_else(bed: Bed) -> None:
    """Issue 5, faults: others are unaffected, in the same process too."""
    bed.model.answers["hang"] = lambda asked: _hang(asked, bed)
    bed.model.answers["talk"] = _talk
    hanging = bed.say(bed.begin("hang"), "hi")
    waited(lambda: bed.model.asked["hang"])
    other, plain = bed.turn("support"), bed.turn("plain")
    is_under_way = bed.node.api.call("GET", f"/api/v1/executions/{hanging}")["completed_at"] is None
    ended = bed.ended(hanging)

    assert is_under_way
    assert (other["output"], plain["output"]) == ("Hello", "HI")
    assert "did not finish its answer within 2 seconds (1 retry)" in ended["error"]["message"]


def test_a_model_that_only_asks_for_tools_is_stopped(bed: Bed) -> None:
    bed.model.answers["stuck-in-tools"] = lambda asked: asked.call(("nothing", "{}"))
    turn = bed.turn("stuck-in-tools")

    assert turn["error"]["code"] == "MODEL_FAILED"
    assert "asked for tools after 2 rounds" in turn["error"]["message"]
    assert list(bed.model.talks("stuck-in-tools"))[1][-1]["content"] == "Error: there is no tool 'nothing'."


def test_what_goes_wrong_with_a_tool_the_model_is_told(bed: Bed) -> None:
    def answer(asked: Asked) -> None:
        if asked.body["messages"][-1]["role"] == "tool":
            asked.say("sorry")
        else:
            asked.call(("look_up", '{"order": "x"}'), ("look_up", "{"), ("look_up", '{"order": 13}'))

    bed.model.answers["talk"] = answer
    turn = bed.turn("support")
    told = [one["content"] for one in list(bed.model.talks("talk"))[-1] if one["role"] == "tool"]

    assert turn["output"] == "sorry"
    assert told[0].startswith("Error: The arguments do not fit: Expected `int`, got `str`")
    assert told[1].startswith("Error: The arguments do not fit: ")
    assert told[2] == "Error: LookupError: there is no order 13"
    assert "The tool look_up failed: LookupError" in str(bed.logs(turn))


def test_a_turn_whose_process_dies_calls_and_asks_nothing_twice(either: Bed) -> None:
    """Issue 5, faults: kill -9 of the child between a tool's call and the answer; steps are taken up."""
    bed = either
    may_answer = threading.Event()

    def answer(asked: Asked) -> None:
        if asked.body["messages"][-1]["role"] != "tool":
            asked.call(("look_up", '{"order": 7}'), given=20, made=3)
            return
        if not may_answer.is_set():
            asked.begin()
            asked.chunk({"content": "It is"})
            bed.model.closing.wait(PATIENCE)
        asked.say("shipped")

    bed.model.answers["talk"] = answer
    talk = bed.begin("support", user_id="ada")
    execution = bed.say(talk, "order 7")
    waited(lambda: len(bed.model.asked["talk"]) == 2)
    may_answer.set()
    os.kill(int(bed.calls()[0].split()[0]), signal.SIGKILL)
    turn = bed.ended(execution)

    assert (turn["status"], turn["output"], turn["attempt"]) == ("succeeded", "shipped", 2)
    assert len(bed.calls()) == 1
    roles = [messages[-1]["role"] for messages in bed.model.talks("talk")]
    assert roles == ["user", "tool", "tool"]
    assert turn["credits_used"] == pytest.approx(2.0 + 3.0 + 1.0 + 5.0)
    assert len(bed.events("agent.message.sent", talk)) == 1


def test_an_address_that_is_not_allowed_is_not_dialled(bed: Bed) -> None:
    """P11: the guard judges a model's address like a receiver's; it says how to allow it, and is not asked again."""
    turn = bed.turn("private")

    assert turn["error"]["message"] == (
        "The model 'private' at 10.1.2.3 was not reached: The address 10.1.2.3 is not allowed: private. "
        "The operator allows it with --allow-network 10.1.2.3/32 (it was not tried again)."
    )


def test_a_key_goes_to_its_own_endpoint_and_nowhere_else(bed: Bed) -> None:
    """P13: in the request alone; not in errors that repeat it, logs, steps, the record or the node's log."""
    for name in ("own", "own-url", "talk"):
        bed.model.answers[name] = lambda asked: asked.say("ok")
    bed.model.answers["echoes-key"] = lambda asked: asked.refuse(
        400, f"Incorrect API key provided: {asked.headers['authorization']}"
    )
    turns = {agent: bed.turn(agent) for agent in ("own", "own-url", "support", "echoes-key")}
    seen = {name: bed.model.asked[name][-1].headers["authorization"] for name in ("own", "own-url", "talk")}
    told = json.dumps([turns, *(bed.logs(turn) for turn in turns.values())])
    kept = b"".join(path.read_bytes() for path in bed.folder.glob("a.db*") if path.is_file())

    assert seen == {"own": f"Bearer {OWN_KEY}", "own-url": "Bearer none", "talk": f"Bearer {SERVER_KEY}"}
    assert turns["echoes-key"]["error"]["message"].startswith(
        "The model 'echoes-key' at 127.0.0.1 answered 400 (Bad Request): Incorrect API key provided: "
    )
    for key in (OWN_KEY, SERVER_KEY):
        assert key not in told
        assert key.encode() not in kept
        assert key not in bed.node.log.read_text()


def test_an_agent_may_have_a_process_to_itself(bed: Bed) -> None:
    bed.model.answers["lone"] = lambda asked: asked.say("alone")

    assert bed.turn("lone")["output"] == "alone"
