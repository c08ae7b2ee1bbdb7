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
