"""The server's own log: one JSON object a line whoever wrote it, and no secret in any of them (P13)."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from hookline.core.redact import REDACTED

PROGRAM = """
import logging, sys
import structlog
from hookline.cli.logs import configure
from hookline.engine.tracing import Tracing

configure(level="info", form=sys.argv[1])
log = structlog.get_logger("hookline.test")
received = Tracing().received([(b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")], "POST", "/x")
log.info("said", url="https://u:p4ssw0rd@receiver.example/hook?token=t0ps3cret&page=2", nested=7)
received.answered(202)
try:
    raise RuntimeError("no answer from https://receiver.example/trigger/AAAAAAAAAAAAAAAAAAAAAA==?api_key=t0ps3cret")
except RuntimeError:
    log.exception("failed")
    logging.getLogger("a.library").exception("Bearer t0ps3crett0ps3cret was refused")
logging.getLogger("a.library").info("chatter")
"""
SECRETS = ("p4ssw0rd", "t0ps3cret", "AAAAAAAAAAAAAAAAAAAAAA")


def lines(form: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, form], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == ""
    return done.stderr


def test_each_line_is_one_json_object_with_its_trace() -> None:
    found: list[dict[str, Any]] = [json.loads(line) for line in lines("json").splitlines()]

    said, failed, library = found
    assert (said["event"], said["nested"], said["trace_id"]) == ("said", 7, "a" * 32)
    assert said["url"] == f"https://{REDACTED}@receiver.example/hook?token={REDACTED}&page=2"
    assert "Traceback" in failed["exception"]
    assert "trace_id" not in failed
    assert (library["logger"], library["level"]) == ("a.library", "error")
    assert "Traceback" in library["exception"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_line_holds_a_secret(form: str) -> None:
    """P13: not in a value, a traceback or a library's words."""
    found = lines(form)

    assert "said" in found
    for secret in SECRETS:
        assert secret not in found


def test_this_process_keeps_its_own_logging() -> None:
    """Only ``serve`` sets logging up: an app that imports hookline keeps its handlers."""
    assert not any(
        type(handler.formatter).__name__ == "ProcessorFormatter" for handler in logging.root.handlers
    )


ATTEMPTS = """
import asyncio, sys
import structlog
from hookline.cli.logs import configure
from hookline.engine.watch import LOGGER

configure(level=sys.argv[2], form=sys.argv[1])
log = structlog.get_logger(LOGGER)

async def main():
    for number in range(int(sys.argv[3])):
        log.info("attempt", webhook="wh_1", number=number, status=None, duration_ms=3)
    await asyncio.sleep(float(sys.argv[4]))
    sys.stderr.write("left\\n")

asyncio.run(main())
"""


def attempts(form: str, level: str = "info", *, count: int = 3, stays: float = 0.0) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPTS, form, level, str(count), str(stays)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stderr.splitlines()


def test_lines_of_attempts_are_written_together_and_none_is_left_behind() -> None:
    *_, left = attempts("json", stays=1.0)
    first, *found = attempts("json")

    assert left == "left", "what waited was written while the process still ran"
    assert first == "left", "what waited at the end was written then"
    told: list[dict[str, Any]] = [json.loads(line) for line in found]
    assert [line["number"] for line in told] == [0, 1, 2]
    assert {(line["event"], line["level"], line["status"]) for line in told} == {("attempt", "info", None)}
    assert all(line["timestamp"].endswith("Z") for line in told)


def test_more_lines_than_are_kept_are_written_without_waiting() -> None:
    *found, left = attempts("json", count=1_000)

    assert left == "left"
    assert len(found) == 1_000


def test_lines_of_attempts_follow_level_and_form_like_all_others() -> None:
    assert attempts("json", "warning") == ["left"]
    assert "number" in attempts("text")[0]
