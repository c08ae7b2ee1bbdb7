"""The door: hot routes go straight to their handlers, everything else to the management application.

A path is looked at twice at most (an exact look-up, then a handful of prefixes), so what the framework costs is
paid only by routes that use it. Handlers return an ``Answer`` or raise; only this module sends.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.api.connection import WHOLE
from hookline.api.errors import JSON, Answer, CallerGoneError, MethodError, answer_of, answer_unexpected
from hookline.api.inbound import Budget, Inbound
from hookline.core.redact import redact_url
from hookline.engine.meter import Meter
from hookline.engine.tracing import Tracing
from hookline.errors import HooklineError, InputError, MissingError

if TYPE_CHECKING:
    from hookline.api.inbound import AsgiApp, Receive, Scope, Send

Handler = Callable[[Inbound], Awaitable[Answer]]

_ALWAYS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    # The URL of a trigger holds its token: it must not travel on in a Referer.
    (b"referrer-policy", b"no-referrer"),
)
_ALWAYS_LINES: Final = b"".join([b"%b: %b\r\n" % line for line in _ALWAYS])
_JSON_LINES: Final = b"content-type: %b\r\n%b" % (JSON, _ALWAYS_LINES)
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FRAMING: Final = frozenset({b"connection", b"content-length", b"transfer-encoding"})

_WITHOUT_BODY: Final = frozenset({204, 304})
"""Answers whose headers may not speak of a body (RFC 9110 section 8.6)."""


class HotRoute(msgspec.Struct, frozen=True, kw_only=True):
    """One route beside the framework.

    method: the one that is described.  others: methods that the handler takes, too; it says which of them it answers.
    path: as OpenAPI writes it.  prefix: what paths must begin with, None for an exact path.
    is_shared: other methods of this path belong to the management application.
    operation: its description for ``/openapi.json``.
    """

    method: str
    path: str
    handler: Handler
    others: tuple[str, ...] = ()
    prefix: str | None = None
    is_shared: bool = False
    operation: dict[str, object] = {}


_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

_HEALTH: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class HealthOnly:
    """The door of a node without the role ``receive``: it says how it is, and takes nothing in."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in _HEALTH:
            await send_answer(send, answer_of(MissingError("This node does not receive requests.")))
            return
        await self._app(scope, receive, send)


class Front:
    """An ASGI 3 application. The seam for further raw routes is one more ``HotRoute``."""

    def __init__(
        self,
        app: AsgiApp,
        routes: tuple[HotRoute, ...],
        budget: Budget | None = None,
        meter: Meter | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.routes = routes
        self._meter = meter if meter is not None else Meter()
        self._tracing = tracing if tracing is not None else Tracing()
        self.budget = budget if budget is not None else Budget()
        self._app = app
        self._exact = {route.path: route for route in routes if route.prefix is None}
        self._prefixed = tuple((route.prefix, route) for route in routes if route.prefix is not None)

    def __repr__(self) -> str:
        return f"Front(routes={len(self.routes)}, {self.budget!r})"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        route = self._exact.get(path) or self._find(path)
        if route is None or (route.is_shared and scope["method"] != route.method):
            await self._pass_on(scope, receive, send)
            return
        received = self._tracing.received(scope["headers"], scope["method"], route.path)
        answer = None
        try:
            answer = await self._answer(route, scope, receive)
        finally:
            if received is not None:
                received.answered(None if answer is None else answer.status)
        if answer is not None:
            self._meter.answered(route.path, answer.status)
            if not _send_at_once(scope, answer):
                await send_answer(send, answer)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the management application. Only what may start something belongs to a trace."""
        received = None
        if scope["method"] not in _SAFE:
            received = self._tracing.received(scope["headers"], scope["method"])
        if received is None:
            await self._app(scope, receive, send)
            return
        status: int | None = None

        async def noting(message: dict[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            received.answered(status)

    def _find(self, path: str) -> HotRoute | None:
        for prefix, route in self._prefixed:
            if path.startswith(prefix):
                return route
        return None

    async def _answer(self, route: HotRoute, scope: Scope, receive: Receive) -> Answer | None:
        """Return the answer; None when nobody is there to read it."""
        request = None
        try:
            _check_method(scope, route)
            check_path(scope)
            self.budget.enter()
            try:
                request = Inbound(scope, receive, self.budget)
                return await route.handler(request)
            finally:
                self.budget.leave(request.held if request is not None else 0)
        except CallerGoneError:
            return None
        except HooklineError as error:
            return answer_of(error)
        except Exception as exc:  # noqa: BLE001 -- whatever it is, the caller gets an answer and the log gets it all
            return answer_unexpected(exc, method=scope["method"], path=redact_url(scope["path"]))


def _check_method(scope: Scope, route: HotRoute) -> None:
    if scope["method"] != route.method and scope["method"] not in route.others:
        raise MethodError("This URL takes no such method.", allow=", ".join((route.method, *route.others)))


def check_path(scope: Scope) -> None:
    """Refuse a NUL in path or query, escaped or not (CONTRACT section 2)."""
    query: bytes = scope.get("query_string", b"")
    if "\0" in scope["path"] or b"%00" in query or b"\0" in query:
        raise InputError(
            "A URL cannot hold a NUL character.", field="url", expected="URL without %00", received="NUL"
        )


async def send_answer(send: Send, answer: Answer) -> None:
    """Send a complete answer."""
    headers = [*_ALWAYS, *answer.headers]
    if answer.status not in _WITHOUT_BODY:
        headers = [
            (b"content-type", answer.content_type),
            (b"content-length", b"%d" % len(answer.body)),
            *headers,
        ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _send_at_once(scope: Scope, answer: Answer) -> bool:
    """Send an answer with one write, where the server can. False: it was not sent."""
    write: Callable[[int, bytes, bytes], bool] | None = scope.get(WHOLE)
    if write is None or answer.status in _WITHOUT_BODY:
        return False
    head = _head(answer)
    return head is not None and write(answer.status, head, answer.body)


def _head(answer: Answer) -> bytes | None:
    """The lines of an answer's headers; None when one of them is more than that, and not to be sent."""
    if not answer.headers and answer.content_type == JSON:
        return b"%bcontent-length: %d\r\n" % (_JSON_LINES, len(answer.body))
    lines = b"content-type: %b\r\ncontent-length: %d\r\n%b%b" % (
        answer.content_type,
        len(answer.body),
        _ALWAYS_LINES,
        b"".join([b"%b: %b\r\n" % header for header in answer.headers]),
    )
    count = 2 + len(_ALWAYS) + len(answer.headers)
    is_plain = (
        lines.count(b"\r") == lines.count(b"\n") == count
        and b"\0" not in lines
        and all(_is_plain(name) for name, _ in answer.headers)
    )
    return lines if is_plain else None


@lru_cache(maxsize=1024)
def _is_plain(name: bytes) -> bool:
    """Say whether a header is only a header: a token (RFC 9110 section 5.6.2) that does not frame the answer."""
    return _TOKEN.fullmatch(name) is not None and name.lower() not in _FRAMING
