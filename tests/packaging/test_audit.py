"""The audit fails for what is known, and never for a service that does not answer: judged, and run as CI runs it."""

from __future__ import annotations

import json
import runpy
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def audit() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "audit.py"))


def known(id_: str, *aliases: str) -> dict[str, Any]:
    return {"id": id_, "fix_versions": ["1.1"], "aliases": list(aliases)}


CLEAN = {"name": "clean", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "1.0", "vulns": [known("PYSEC-1", "CVE-2026-1")]}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "fails", "said"),
    [
        ([CLEAN, CLEAN], False, "nothing known against 2 packages"),
        ([CLEAN, BAD], True, "bad 1.0: PYSEC-1, fixed in 1.1"),
        ([CLEAN, UNKNOWN], False, "1 unknown to it: unknown"),
        ([UNKNOWN, UNKNOWN], False, "not made"),
        ([UNKNOWN, BAD], True, "PYSEC-1"),
    ],
)
def test_only_what_is_known_fails(
    audit: dict[str, Any], packages: list[dict[str, Any]], said: str, *, fails: bool
) -> None:
    text, is_bad = audit["verdict"]({"dependencies": packages})

    assert is_bad is fails
    assert said in text


def test_a_service_that_is_away_is_said_and_fails_nothing(audit: dict[str, Any]) -> None:
    text, is_bad = audit["verdict"]("connection refused")

    assert not is_bad
    assert text == "not made, the vulnerability service cannot be reached: connection refused"


def test_what_is_accepted_by_any_of_its_names_does_not_fail(
    audit: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(audit["ACCEPTED"], "CVE-2026-1", "we do not call it")

    assert audit["verdict"]({"dependencies": [CLEAN, BAD]}) == ("nothing known against 2 packages", False)


def test_what_is_audited_is_what_users_install(audit: dict[str, Any]) -> None:
    """The extras' packages with all that these need, and no test tool."""
    found = {line.partition("==")[0].lower() for line in audit["needed"](Path(sys.executable))}

    assert {"fastapi", "starlette", "asyncpg", "opentelemetry-sdk", "protobuf"} <= found
    assert not {"pytest", "moto", "hookline", "mypy"} & found


class Service(BaseHTTPRequestHandler):
    """Speaks OSV's protocol. It knows something against every version of one package, and nothing of others."""

    bad: str | None = None

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["package"]
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9999"}]}]
        found = {"id": "PYSEC-2026-1", "summary": "bad", "affected": [{"package": asked, "ranges": ranges}]}
        answer = json.dumps({"vulns": [found]} if asked["name"] == self.bad else {}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def service(bad: str | None) -> Iterator[str]:
    """A vulnerability service on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Known", (Service,), {"bad": bad}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("starlette", "FAILED: starlette 1.0: PYSEC-2026-1, fixed in 9999"),
        (None, "nothing known against 2 packages"),
    ],
)
def test_a_build_fails_by_what_a_service_answers(audit: dict[str, Any], bad: str | None, said: str) -> None:
    """Issue 6, item 6: with the tools that CI has."""
    audit["make_tools"]()
    with service(bad) as url:
        text, is_bad = audit["verdict"](audit["ask"](["starlette==1.0", "msgspec==0.19"], osv=url))

    assert (text, is_bad) == (said, bad is not None)


def test_a_build_goes_on_when_nobody_answers_and_says_so(audit: dict[str, Any]) -> None:
    audit["make_tools"]()
    with service(None) as url:
        pass

    text, is_bad = audit["verdict"](audit["ask"](["starlette==1.0"], osv=url))

    assert not is_bad
    assert text.startswith("not made, the vulnerability service cannot be reached: ")
    assert "refused" in text
