"""The management API, called in this process as the person who signed in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec

from hookline.api.identity import CALLER
from hookline.api.remember import capture

if TYPE_CHECKING:
    from hookline.api.identity import Caller
    from hookline.api.inbound import AsgiApp


class Refusal(Exception):  # noqa: N818 -- it is an answer, not a fault
    """The API said no. status: HTTP.  details: ``field``, ``expected``, ``received``, each may be None."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(error.get("message"))
        self.status = status
        self.code: str = error.get("code", "")
        self.message: str = error.get("message", "")
        self.details: dict[str, Any] = error.get("details") or {}


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

    async def _call(self, method: str, path: str, query: bytes, body: bytes) -> Any:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "root_path": "",
            "headers": [
                (b"host", b"localhost"),
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
            ],
            "client": self._client,
            "server": None,
            CALLER: self._caller,
        }
        is_read = False

        async def receive() -> dict[str, Any]:
            nonlocal is_read
            if is_read:
                return {"type": "http.disconnect"}
            is_read = True
            return {"type": "http.request", "body": body, "more_body": False}

        answer = await capture(self._app, scope, receive)
        told = json.loads(answer.body) if answer.body else None
        if answer.status >= 400:
            raise Refusal(answer.status, (told or {}).get("error", {}))
        return told


def path_of(*parts: str) -> str:
    """A path below ``/api/v1``; each part is one segment, whatever it holds."""
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts)
