"""A model that fails, misbehaves or hangs, and a process that dies in a turn (issue 5, faults)."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Final

import pytest
from model_bed import PATIENCE, waited

if TYPE_CHECKING:
    from collections.abc import Callable

    from model_bed import Bed
    from model_server import Asked


def test_a_request_that_may_pass_is_tried_again_and_says_so(models: Bed) -> None:
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

    models.model.answers["talk"] = answer
    turn = models.turn("support")
    lines = models.logs(turn)

    assert (turn["status"], turn["output"]) == ("succeeded", "whole")
    assert at[1] - at[0] >= 1.0
    warnings = [line["text"] for line in lines if line["level"] == "warning"]
    assert warnings[0].startswith("The model answered 429 (Too Many Requests): slow down. Retry 1 in ")
    assert warnings[1].startswith("The model ended its answer before it was complete. Retry 2 in ")
    shown = [line["fields"] for line in lines if line["stream"] == "progress"]
    assert [(one["delta"], one["attempt"]) for one in shown] == [("half", 2), ("whole", 3)]


def _hang(asked: Asked, models: Bed) -> None:
    asked.begin()
    asked.chunk({"content": "wait"})
    models.model.closing.wait(PATIENCE)


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
def test_a_model_that_misbehaves_ends_the_turn_with_a_plain_error(models: Bed, fault: str) -> None:
    """Issue 5, faults: garbage, an early end, an endless stream; retried where that may help, then said."""
    answer, words, tries = FAULTS[fault]
    models.model.answers[fault] = answer
    talk = models.begin(fault)
    turn = models.ended(models.say(talk, "hi"))
    (failed,) = models.events("agent.message.failed", talk)

    retries = {1: "it was not tried again", 2: "1 retry"}[tries]
    error = turn["error"]
    assert (turn["status"], error["code"], error["stack"]) == ("failed", "MODEL_FAILED", None)
    assert error["message"].startswith(f"The model {fault!r} at 127.0.0.1 {words}"), error["message"]
    assert error["message"].endswith(f"({retries}).")
    assert len(models.model.asked[fault]) == tries
    assert failed["error"] == {
        "code": "MODEL_FAILED",
        "message": error["message"],
        "type": "ModelFailedError",
    }
    assert (failed["status"], failed["credits_used"]) == ("failed", 0)


def test_one_that_hangs_holds_up_nobody_else(models: Bed) -> None:
    """Issue 5, faults: others are unaffected, in the same process too."""
    models.model.answers["hang"] = lambda asked: _hang(asked, models)
    models.model.answers["talk"] = lambda asked: asked.say("Hel", "lo")
    hanging = models.say(models.begin("hang"), "hi")
    waited(lambda: models.model.asked["hang"])
    other, plain = models.turn("support"), models.turn("plain")
    is_under_way = models.node.api.call("GET", f"/api/v1/executions/{hanging}")["completed_at"] is None
    ended = models.ended(hanging)

    assert is_under_way
    assert (other["output"], plain["output"]) == ("Hello", "HI")
    assert "did not finish its answer within 2 seconds (1 retry)" in ended["error"]["message"]


def test_a_turn_whose_process_dies_calls_and_asks_nothing_twice(models_on_both: Bed) -> None:
    """Issue 5, faults: kill -9 of the child between a tool's call and the answer; steps are taken up."""
    models = models_on_both
    may_answer = threading.Event()

    def answer(asked: Asked) -> None:
        if asked.body["messages"][-1]["role"] != "tool":
            asked.call(("look_up", '{"order": 7}'), given=20, made=3)
            return
        if not may_answer.is_set():
            asked.begin()
            asked.chunk({"content": "It is"})
            models.model.closing.wait(PATIENCE)
        asked.say("shipped")

    models.model.answers["talk"] = answer
    talk = models.begin("support", user_id="ada")
    execution = models.say(talk, "order 7")
    waited(lambda: len(models.model.asked["talk"]) == 2)
    may_answer.set()
    os.kill(int(models.calls()[0].split()[0]), signal.SIGKILL)
    turn = models.ended(execution)

    assert (turn["status"], turn["output"], turn["attempt"]) == ("succeeded", "shipped", 2)
    assert len(models.calls()) == 1
    roles = [messages[-1]["role"] for messages in models.model.talks("talk")]
    assert roles == ["user", "tool", "tool"]
    assert turn["credits_used"] == pytest.approx(2.0 + 3.0 + 1.0 + 5.0)
    assert len(models.events("agent.message.sent", talk)) == 1


def test_a_turn_that_is_cancelled_lets_go_of_its_model(models: Bed) -> None:
    """The endpoint sees the connection close, and the turn ends as what it is."""
    is_gone = threading.Event()

    def answer(asked: Asked) -> None:
        asked.begin()
        try:
            while not models.model.closing.wait(0.02):
                asked.chunk({"content": "x"})
        except OSError:
            is_gone.set()

    models.model.answers["talk"] = answer
    talk = models.begin("support")
    execution = models.say(talk, "hi")
    waited(lambda: models.model.asked["talk"])
    models.node.api.call("POST", f"/api/v1/executions/{execution}/cancel")
    turn = models.ended(execution)
    (failed,) = models.events("agent.message.failed", talk)

    assert (turn["status"], failed["error"]["code"]) == ("killed", "KILLED")
    assert is_gone.wait(PATIENCE)
