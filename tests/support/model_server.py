"""A real HTTP server on loopback that speaks OpenAI's chat completions, as well or as badly as a test wants."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from types import TracebackType


class Asked:
    """One request, and the means to answer it."""

    def __init__(self, handler: BaseHTTPRequestHandler, body: dict[str, Any], number: int) -> None:
        self.path = handler.path
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        self.body = body
        self.number = number
        self._handler = handler

    def begin(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        self._handler.send_response(status)
        self._handler.send_header("Content-Type", kind)
        self._handler.send_header("Connection", "close")
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()

    def send(self, data: bytes) -> None:
        self._handler.wfile.write(data)
        self._handler.wfile.flush()

    def chunk(self, delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> None:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
        self.send(f"data: {json.dumps(body | more)}\n\n".encode())

    def usage(self, given: int, made: int) -> None:
        self.chunk(usage={"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made})

    def end(self) -> None:
        self.send(b"data: [DONE]\n\n")

    def say(self, *words: str, given: int = 10, made: int = 5) -> None:
        """A whole answer."""
        self.begin()
        for word in words:
            self.chunk({"content": word})
        self.chunk({}, "stop")
        self.usage(given, made)
        self.end()

    def call(self, *calls: tuple[str, str], given: int = 10, made: int = 5) -> None:
        """An answer that asks for tools: name and arguments, sent in two pieces each."""
        self.begin()
        for index, (name, arguments) in enumerate(calls):
            half = len(arguments) // 2
            first = {"index": index, "id": f"call_{index}", "type": "function"}
            self.chunk({"tool_calls": [first | {"function": {"name": name, "arguments": arguments[:half]}}]})
            self.chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments[half:]}}]})
        self.chunk({}, "tool_calls")
        self.usage(given, made)
        self.end()

    def refuse(self, status: int, message: str, **headers: str) -> None:
        self.begin(status, "application/json", **headers)
        self.send(json.dumps({"error": {"message": message, "type": "x", "code": None}}).encode())


class ModelServer:
    """answers: by model name, what each request to it gets. asked: by model name, what came.

    tls: None to speak plain HTTP.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Callable[[Asked], None]] = {}
        self.asked: dict[str, list[Asked]] = defaultdict(list)
        self.closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                seen = outer.asked[body["model"]]
                asked = Asked(self, body, len(seen) + 1)
                seen.append(asked)
                with suppress(OSError):
                    outer.answers[body["model"]](asked)
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def talks(self, name: str) -> Iterator[list[dict[str, Any]]]:
        """The messages of each request to a model."""
        return (one.body["messages"] for one in self.asked[name])
