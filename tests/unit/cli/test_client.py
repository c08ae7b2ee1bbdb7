"""The command line's HTTP client: answers, errors with a next step, and pages."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from hookline.cli.client import AnswerError, Client, CommandError, segment

if TYPE_CHECKING:
    from collections.abc import Iterator


class Handler(BaseHTTPRequestHandler):
    """Answers by path; remembers headers."""

    seen: dict[str, str]

    def do_GET(self) -> None:
        type(self).seen = dict(self.headers.items())
        path, _, query = self.path.partition("?")
        answers: dict[str, tuple[int, object]] = {
            "/ok": (200, {"fine": True}),
            "/401": (401, {"error": {"code": "UNAUTHORIZED", "message": "The key is not valid."}}),
            "/400": (
                400,
                {
                    "error": {
                        "code": "INVALID_INPUT",
                        "message": "A field is wrong.",
                        "details": {"field": "url", "expected": "string", "received": "null"},
                    }
                },
            ),
            "/no-route": (404, {"error": {"code": "NOT_FOUND", "message": "There is no such route."}}),
            "/api/v1/webhooks": (
                404,
                {
                    "error": {
                        "code": "NOT_FOUND",
                        "message": "There is no such organization.",
                        "path": "Hookline-Organization",
                        "details": {"field": "Hookline-Organization", "expected": None, "received": None},
                    }
                },
            ),
            "/page": (
                200,
                {"things": [1, 2], "next": "c"} if "cursor" not in query else {"things": [3], "next": None},
            ),
        }
        status, body = answers.get(path, (404, "<html>not ours</html>"))
        raw = (
            b"event: tick\ndata: 1\n\ndata: 2\ndata: 3\n\n"
            if path == "/stream"
            else json.dumps(body).encode()
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *args: object) -> None:
        """Stay silent."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_answer_is_parsed_and_the_key_is_sent(url: str) -> None:
    assert Client(url, "k3y", "customer-1").get("/ok") == {"fine": True}

    assert Handler.seen["Authorization"] == "Bearer k3y"
    assert Handler.seen["Hookline-Organization"] == "customer-1"


def test_no_server_says_how_to_start_one() -> None:
    with pytest.raises(
        CommandError, match=r"no server at http://127\.0\.0\.1:9: start one with `hookline serve`"
    ):
        Client("http://127.0.0.1:9").get("/ok")


def test_a_refused_key_says_which_variable_to_set(url: str) -> None:
    with pytest.raises(AnswerError, match="set HOOKLINE_API_KEY") as caught:
        Client(url).get("/401")

    assert caught.value.status == 401


def test_a_key_with_an_ellipsis_is_a_placeholder_and_says_so(url: str) -> None:
    with pytest.raises(CommandError, match="paste the whole line"):
        Client(url, "hlk_…")


def test_a_wrong_field_is_shown_with_expected_and_received(url: str) -> None:
    with pytest.raises(AnswerError, match=r"url: expected string, got null.*INVALID_INPUT"):
        Client(url).get("/400")


def test_an_organization_that_is_not_there_is_looked_for_without_it(url: str) -> None:
    with pytest.raises(AnswerError, match="`env -u HOOKLINE_ORGANIZATION hookline orgs list` shows"):
        Client(url, "k3y", "nope").get("/api/v1/webhooks")


def test_an_answer_that_is_not_ours_asks_for_the_right_url(url: str) -> None:
    with pytest.raises(AnswerError, match="is HOOKLINE_URL right"):
        Client(url).get("/elsewhere")


def test_pages_follow_the_cursor(url: str) -> None:
    assert Client(url).pages("/page", "things", limit=10) == [1, 2, 3]


def test_a_typed_id_cannot_leave_its_path_segment() -> None:
    assert segment("../keys?x=1") == "..%2Fkeys%3Fx%3D1"


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("localhost:8700", "such as 'http://localhost:8700'"),
        ("ftp://localhost", "such as 'http://127.0.0.1:8700'"),
        ("http://127.0.0.1:99999", "such as 'http://127.0.0.1:8700'"),
        ("http://", "such as 'http://127.0.0.1:8700'"),
    ],
)
def test_a_url_that_is_none_is_refused_with_one_that_is(url: str, meant: str) -> None:
    with pytest.raises(CommandError, match=meant):
        Client(url)


def test_a_url_with_a_path_is_told_from_an_object_that_is_missing(url: str) -> None:
    with pytest.raises(AnswerError, match="the server's address alone"):
        Client(url).get("/no-route")
