"""The management API, called in this process as the person who signed in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode

import msgspec

from hookline.api.identity import CALLER
from hookline.api.remember import capture

if TYPE_CHECKING:
    from hookline.api.identity import Caller
    from hookline.api.inbound import AsgiApp, Receive, Scope


class Refusal(Exception):  # noqa: N818 -- it is an answer, not a fault
    """The API said no. status: HTTP.  details: ``field``, ``expected``, ``received``, each may be None."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(error.get("message"))
        self.status = status
        self.code: str = error.get("code", "")
        self.message: str = error.get("message", "")
        nothing = dict.fromkeys(("field", "expected", "received"))
        # Render jobs say the place as their seed does (PF-9).
        self.details: dict[str, Any] = nothing | (error.get("details") or {"field": error.get("path")})


class Desk:
    """Asks and tells. app: the whole API.  client: (address, port) of the person, for what is logged."""

    def __init__(self, app: AsgiApp, caller: Caller, client: tuple[str, int] | None) -> None:
        self._app = app
        self._caller = caller
        self._client = client

    def __repr__(self) -> str:
        return "Desk()"

    async def get(self, path: str, **query: Any) -> Any:
        """Return what a GET answers; parameters that are None or empty are left out. Raises Refusal."""
        given = {name: value for name, value in query.items() if value not in (None, "")}
        return await self._call("GET", path, urlencode(given).encode(), b"")

    async def post(self, path: str, body: Any = None) -> Any:
        return await self.send("POST", path, body)

    async def send(self, method: str, path: str, body: Any = None) -> Any:
        """Return what the API answers, None without a body. Raises Refusal."""
        return await self._call(method, path, b"", b"" if body is None else msgspec.json.encode(body))

    async def knock(
        self, method: str, url: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Send a request as a stranger would, such as one to a trigger. Returns status, headers and body."""
        path, _, query = url.partition("?")
        sent = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        answer = await capture(
            self._app, self._scope(method, path, query.encode(), sent, len(body)), _given(body)
        )
        told = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers]
        return answer.status, [("content-type", answer.content_type.decode("latin-1")), *told], answer.body

    async def _call(self, method: str, path: str, query: bytes, body: bytes) -> Any:
        headers = [(b"content-type", b"application/json")]
        scope = self._scope(method, path, query, headers, len(body)) | {CALLER: self._caller}
        answer = await capture(self._app, scope, _given(body))
        told = json.loads(answer.body) if answer.body else None
        if answer.status >= 400:
            raise Refusal(answer.status, (told or {}).get("error", {}))
        return told

    def _scope(
        self, method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]], size: int
    ) -> Scope:
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query,
            "root_path": "",
            "headers": [(b"host", b"localhost"), *headers, (b"content-length", b"%d" % size)],
            "client": self._client,
            "server": None,
        }


def _given(body: bytes) -> Receive:
    """Give a body, once; then the caller is gone."""
    left = [body]

    async def receive() -> dict[str, Any]:
        if not left:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": left.pop(), "more_body": False}

    return receive


def path_of(*parts: str) -> str:
    """A path below ``/api/v1``; each part is one segment, whatever it holds."""
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts)
