"""Agents that a model answers for, whole: a node, a child process, and a server that speaks OpenAI's protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from model_bed import PATIENCE, SERVER_KEY, waited

from hookline.testing.nodes import ADMIN_KEY

if TYPE_CHECKING:
    from model_bed import Bed
    from model_server import Asked

OWN_KEY = "sk-own-6f1c0b7a9d"


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


def test_a_model_answers_with_history_and_tools_until_the_matter_is_settled(models_on_both: Bed) -> None:
    """AF-3, AF-6, AF-10 and issue 5: counts, credits of its tokens, resolution and score in the events."""
    models = models_on_both
    models.model.answers["talk"] = _talk
    talk = models.begin("support", user_id="ada")
    turns = [models.ended(models.say(talk, said)) for said in ("hi", "where is order 7?", "thanks")]
    shown = models.node.api.call("GET", f"/api/v1/conversations/{talk}")
    steps = models.node.api.call("GET", f"/api/v1/executions/{turns[1]['id']}/steps")["steps"]

    answer = 'It is so: {"order":7,"state":"shipped"}'
    assert [turn["status"] for turn in turns] == ["succeeded"] * 3
    assert turns[0]["output"] == "Hello"
    first, *_ = models.model.asked["talk"]
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
    second_round = list(models.model.talks("talk"))[2]
    assert [one["role"] for one in second_round] == [
        "system", "user", "assistant", "user", "assistant", "tool", "tool",
    ]  # fmt: skip
    assert second_round[-2]["content"] == '{"order":7,"state":"shipped"}'
    assert second_round[-1] == {"role": "tool", "tool_call_id": "call_1", "content": "100 for late"}
    assert turns[1]["output"] == "It is so: 100 for late"
    assert answer not in turns[1]["output"]
    assert [one["name"] for one in steps] == ["model", "tool look_up", "tool refund", "model"]
    assert [line.split(" ", 1)[1] for line in models.calls()] == ["ada 7"]
    # 100 credits for 1,000 tokens in, 1,000 for 1,000 out: (10, 5); (20, 3) and (30, 2); (10, 5) and (30, 2).
    assert [turn["credits_used"] for turn in turns] == pytest.approx([6.0, 10.0, 11.0])
    (completed,) = models.events("agent.conversation.completed", talk)
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
    assert [one["message"] for one in models.events("agent.message.received", talk)] == [
        "hi", "where is order 7?", "thanks",
    ]  # fmt: skip
    sent = models.events("agent.message.sent", talk)
    assert [one["message"] for one in sent] == [turn["output"] for turn in turns]
    assert [one["credits_used"] for one in sent] == pytest.approx([6.0, 10.0, 11.0])


def test_what_is_remembered_of_a_talk_is_bounded(models: Bed) -> None:
    """The agent's ``history_turns`` is 2; a message without an answer stands before the next one."""

    def answer(asked: Asked) -> None:
        if asked.body["messages"][-1]["content"].endswith("fail"):
            asked.refuse(400, "no")
        else:
            asked.say("ok")

    models.model.answers["talk"] = answer
    talk = models.begin("support")
    for said in ("one", "two", "fail", "three"):
        models.ended(models.say(talk, said))

    assert list(models.model.talks("talk"))[-1][1:] == [
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "fail\n\nthree"},
    ]


def test_an_answer_is_shown_while_it_comes(models: Bed) -> None:
    """Issue 5, point 6: tokens are on the execution's stream before the model has said its last word."""
    may_end = threading.Event()

    def answer(asked: Asked) -> None:
        asked.begin()
        asked.chunk({"role": "assistant", "content": "Once upon"})
        assert may_end.wait(PATIENCE)
        asked.chunk({"content": " a time"}, "stop")
        asked.end()

    models.model.answers["talk"] = answer
    execution = models.say(models.begin("support"), "a story")

    def told() -> list[dict[str, Any]]:
        found = models.node.api.call("GET", f"/api/v1/executions/{execution}/logs")["logs"]
        return [one["fields"] for one in found if one["stream"] == "progress"]

    early = waited(told)
    status = models.node.api.call("GET", f"/api/v1/executions/{execution}")["status"]
    may_end.set()

    assert (early, status) == ([{"delta": "Once upon", "round": 1, "attempt": 1}], "running")
    assert models.ended(execution)["output"] == "Once upon a time"
    assert "".join(one["delta"] for one in told()) == "Once upon a time"


def test_a_model_that_only_asks_for_tools_is_stopped(models: Bed) -> None:
    models.model.answers["stuck-in-tools"] = lambda asked: asked.call(("nothing", "{}"))
    turn = models.turn("stuck-in-tools")

    assert turn["error"]["code"] == "MODEL_FAILED"
    assert "asked for tools after 2 rounds" in turn["error"]["message"]
    assert (
        list(models.model.talks("stuck-in-tools"))[1][-1]["content"] == "Error: there is no tool 'nothing'."
    )


def test_what_goes_wrong_with_a_tool_the_model_is_told(models: Bed) -> None:
    def answer(asked: Asked) -> None:
        if asked.body["messages"][-1]["role"] == "tool":
            asked.say("sorry")
        else:
            asked.call(("look_up", '{"order": "x"}'), ("look_up", "{"), ("look_up", '{"order": 13}'))

    models.model.answers["talk"] = answer
    turn = models.turn("support")
    told = [one["content"] for one in list(models.model.talks("talk"))[-1] if one["role"] == "tool"]

    assert turn["output"] == "sorry"
    assert told[0].startswith("Error: The arguments do not fit: Expected `int`, got `str`")
    assert told[1].startswith("Error: The arguments do not fit: ")
    assert told[2] == "Error: LookupError: there is no order 13"
    assert "The tool look_up failed: LookupError" in str(models.logs(turn))


def test_a_tool_that_takes_too_long_does_not_hold_up_the_turn(models: Bed) -> None:
    """Issue 5, item 4: ``tool_seconds``; the model hears of it and finds another way."""

    def answer(asked: Asked) -> None:
        if asked.body["messages"][-1]["role"] == "tool":
            asked.say(asked.body["messages"][-1]["content"])
        else:
            asked.call(("dawdle", "{}"))

    models.model.answers["hurried"] = answer
    turn = models.turn("hurried")

    assert (turn["status"], turn["output"]) == (
        "succeeded",
        "Error: TimeoutError: it took longer than 0.2 s",
    )
    assert "The tool dawdle failed: TimeoutError" in str(models.logs(turn))


def test_an_endpoint_that_does_not_stream_is_understood(models: Bed) -> None:
    def answer(asked: Asked) -> None:
        asked.begin(kind="application/json")
        is_first = asked.body["messages"][-1]["role"] == "user"
        call = {
            "id": "a",
            "type": "function",
            "function": {"name": "refund", "arguments": '{"reason": "late"}'},
        }
        message = {"content": None, "tool_calls": [call]} if is_first else {"content": "in one piece"}
        choice = {"message": message, "finish_reason": "tool_calls" if is_first else "stop"}
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        asked.send(json.dumps({"choices": [choice], "usage": usage}).encode())

    models.model.answers["talk"] = answer
    turn = models.turn("support")

    assert (turn["status"], turn["output"], turn["credits_used"]) == ("succeeded", "in one piece", 12)
    assert list(models.model.talks("talk"))[1][-1]["content"] == "100 for late"


@pytest.mark.parametrize("agent", ["private", "private-tls"])
def test_an_address_that_is_not_allowed_is_not_dialled(models: Bed, agent: str) -> None:
    """P11: the guard judges a model's address like a receiver's; it says how to allow it, and is not asked again."""
    turn = models.turn(agent)

    assert turn["error"]["message"] == (
        f"The model {agent!r} at 10.1.2.3 was not reached: The address 10.1.2.3 is not allowed: private. "
        "The operator allows it with --allow-network 10.1.2.3/32 (it was not tried again)."
    )


def test_an_endpoint_is_spoken_to_over_tls_through_the_guard(models: Bed) -> None:
    """Its certificate is checked against this machine's authorities, or those of SSL_CERT_FILE."""
    models.secure.answers["secure"] = lambda asked: asked.say("safe")

    assert models.turn("secure")["output"] == "safe"
    assert models.secure.asked["secure"][0].headers["authorization"] == f"Bearer {OWN_KEY}"


def test_a_key_goes_to_its_own_endpoint_and_nowhere_else(models: Bed) -> None:
    """P13: in the request alone; not in errors that repeat it, logs, steps, the record or the node's log."""
    for name in ("own", "own-url", "talk"):
        models.model.answers[name] = lambda asked: asked.say("ok")
    models.model.answers["echoes-key"] = lambda asked: asked.refuse(
        400, f"Incorrect API key provided: {asked.headers['authorization']}"
    )
    turns = {agent: models.turn(agent) for agent in ("own", "own-url", "support", "echoes-key")}
    seen = {
        name: models.model.asked[name][-1].headers["authorization"] for name in ("own", "own-url", "talk")
    }
    told = json.dumps([turns, *(models.logs(turn) for turn in turns.values())])
    kept = b"".join(path.read_bytes() for path in models.folder.glob("a.db*") if path.is_file())

    assert seen == {"own": f"Bearer {OWN_KEY}", "own-url": "Bearer none", "talk": f"Bearer {SERVER_KEY}"}
    assert turns["echoes-key"]["error"]["message"].startswith(
        "The model 'echoes-key' at 127.0.0.1 answered 400 (Bad Request): Incorrect API key provided: "
    )
    for key in (OWN_KEY, SERVER_KEY):
        assert key not in told
        assert key.encode() not in kept
        assert key not in models.node.log.read_text()


def test_an_agent_may_have_a_process_to_itself(models: Bed) -> None:
    models.model.answers["lone"] = lambda asked: asked.say("alone")

    assert models.turn("lone")["output"] == "alone"
    body = models.model.asked["lone"][0].body
    assert "stream_options" not in body
    assert body["top_p"] == 0.5


def _hookline(models: Bed, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "HOOKLINE_URL": f"http://127.0.0.1:{models.node.port}",
        "HOOKLINE_API_KEY": ADMIN_KEY,
    }
    done = subprocess.run(
        [sys.executable, "-m", "hookline", "conversations", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_a_talk_from_a_shell(models: Bed) -> None:
    """Begun, gone on with, shown and ended; an answer is printed once, whether it was shown as it came or not."""
    models.model.answers["talk"] = _talk
    begun = _hookline(models, "say", "support", "hi", "--user", "ada", "--wait")
    talk = begun.stderr.split()[-1]
    more = json.loads(
        _hookline(models, "say", "support", "order 7", "--conversation", talk, "--wait", "--json").stdout
    )
    plain = _hookline(models, "say", "plain", "hi", "--wait")
    shown = _hookline(models, "show", talk).stdout
    ended = json.loads(_hookline(models, "complete", talk, "--tag", "a", "--score", "4", "--json").stdout)
    listed = _hookline(models, "list", "--user", "ada", "--status", "resolved").stdout
    late = _hookline(models, "say", "support", "more", "--conversation", talk, code=1)
    other = _hookline(models, "say", "plain", "x", "--conversation", talk, code=1)
    queued = json.loads(_hookline(models, "say", "plain", "x", "--json").stdout)

    assert begun.stdout == "Hello\n"
    assert (more["status"], more["reply"], more["error"]) == ("succeeded", "It is so: 100 for late", None)
    assert plain.stdout == "HI\n"
    for said in ("ada", "  hi", "  Hello", "  order 7", "  It is so: 100 for late"):
        assert said in shown
    assert (ended["status"], ended["satisfaction_score"]) == ("resolved", 4)
    assert ended["resolution"] == {"type": "solved", "category": None, "tags": ["a"]}
    assert talk in listed
    assert "CONVERSATION_ENDED" in late.stderr
    assert "is a conversation with 'support'" in other.stderr
    assert queued["status"] == "queued"


def test_a_shell_hears_why_there_is_no_answer(models: Bed) -> None:
    """The words of a broken try stand on a line of their own; the exit code is 1."""

    def answer(asked: Asked) -> None:
        asked.begin()
        asked.chunk({"content": f"half {asked.number}\x1b[2J"})

    models.model.answers["early"] = answer
    done = _hookline(models, "say", "early", "hi", "--wait", code=1)
    talk = _hookline(models, "list", "--agent", "early", "--json")
    shown = _hookline(models, "show", json.loads(talk.stdout)[0]["id"])

    assert done.stdout == "half 1\ufffd[2J\nhalf 2\ufffd[2J\n"
    assert "failed: The model 'early' at 127.0.0.1 ended its answer before it was complete" in done.stderr
    assert done.stderr.rstrip().endswith("[MODEL_FAILED]")
    assert "[MODEL_FAILED]" in shown.stdout
