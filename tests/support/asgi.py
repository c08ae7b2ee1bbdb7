"""Speak ASGI to an application, as a server would: for tests that need no socket."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import unquote

import msgspec


class Reply(msgspec.Struct):
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error."""
        return str(self.json["error"]["code"])

    @property
    def details(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json["error"]["details"]
        return found


class Client:
    """Calls an application. headers: sent with every request."""

    def __init__(self, app: Any, headers: dict[str, str] | None = None) -> None:
        self.app = app
        self.headers = headers or {}

    def __repr__(self) -> str:
        return "Client()"

    def having(self, **headers: str) -> Client:
        """Return a client that sends these, too; ``_`` stands for ``-``."""
        return type(self)(
            self.app, self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        )

    async def __call__(
        self,
        method: str,
        url: str,
        body: Any = b"",
        *,
        headers: dict[str, str] | None = None,
        chunks: list[bytes] | None = None,
        address: str = "192.0.2.7",
        leaves: bool = False,
    ) -> Reply:
        """Send one request. body: bytes as they are, anything else as JSON.  chunks: instead of a body.

        leaves: hang up once the last chunk is sent, without saying that it was the last.
        """
        sent = {"host": "hookline.test"}
        sent |= {name.lower(): value for name, value in (self.headers | (headers or {})).items()}
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        waiting = [body] if chunks is None else list(chunks)
        path, _, query = url.partition("?")
        start: dict[str, Any] = {}
        answered_wholly = asyncio.Event()
        received: list[bytes] = []

        async def receive() -> dict[str, Any]:
            if waiting:
                return {
                    "type": "http.request",
                    "body": waiting.pop(0),
                    "more_body": leaves or bool(waiting),
                }
            if not leaves:
                await answered_wholly.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                assert not start, "two answers to one request"
                start.update(message)
            else:
                received.append(message.get("body", b""))
                if not message.get("more_body", False):
                    answered_wholly.set()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()],
            "client": (address, 50_000),
            "server": ("hookline.test", 80),
        }
        await self.app(scope, receive, send)
        answered = {name.decode(): value.decode() for name, value in start.get("headers", [])}
        return Reply(start.get("status", 0), answered, b"".join(received))
