"""What every management request passes before the framework sees it.

In this order: no NUL in the URL, a valid key, a body within bounds that is strict JSON, and for a POST with an
Idempotency-Key only the first of its kind. Handlers find the ``Caller`` and the exact bytes in the ASGI scope.
The framework then parses a body that is known to be sound, so it has no failure of its own to word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.api.errors import CallerGoneError, answer_of, answer_unexpected, is_job_path
from hookline.api.front import check_path, send_answer
from hookline.api.identity import CALLER, caller_of
from hookline.api.inbound import Budget, Inbound, idempotency_key
from hookline.api.remember import answer_once, capture
from hookline.core.canonical import decode
from hookline.core.redact import redact_url
from hookline.errors import HooklineError

if TYPE_CHECKING:
    from hookline.api.inbound import AsgiApp, Receive, Scope, Send
    from hookline.api.services import Site

BODY: Final = "hookline.body"
"""Where the scope holds the body's exact bytes."""
PREFIX: Final = "/api/v1/"
OPEN: Final = "/api/render/schema"
"""What a movie may hold is no secret."""


class Gate:
    """An ASGI 3 application around the framework's. Only ``/api/v1`` and render jobs need a key."""

    def __init__(self, app: AsgiApp, site: Site, budget: Budget) -> None:
        self._app = app
        self._site = site
        self._budget = budget

    def __repr__(self) -> str:
        return "Gate()"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        is_started = False

        async def watched(message: dict[str, Any]) -> None:
            nonlocal is_started
            if not is_started:
                is_started = True
                self._site.services.meter.answered("/api/v1", message["status"])
            await send(message)

        try:
            await self._pass(scope, receive, watched)
        except CallerGoneError:
            return
        except HooklineError as error:
            answer = answer_of(error, scope["path"])
        except Exception as exc:  # noqa: BLE001 -- the caller gets an answer, the log gets all of it
            answer = answer_unexpected(exc, method=scope["method"], path=redact_url(scope["path"]))
        else:
            return
        if not is_started:
            await send_answer(watched, answer)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        check_path(scope)
        if not needs_key(scope["path"]):
            await self._app(scope, receive, send)
            return
        self._budget.enter()
        request = None
        try:
            request = Inbound(scope, receive, self._budget)
            await self._guarded(request, receive, send)
        finally:
            self._budget.leave(request.held if request is not None else 0)

    async def _guarded(self, request: Inbound, receive: Receive, send: Send) -> None:
        services, method = self._site.services, request.method
        caller = await caller_of(services, request)
        body = b""
        if method not in ("GET", "HEAD"):
            body = await request.body(self._site.settings.max_body_bytes)
        scope = _with_body(request, body) | {CALLER: caller, BODY: body}
        key = idempotency_key(request.headers.get(b"idempotency-key")) if method == "POST" else None
        if key is None:
            await self._app(scope, _replay(body, receive), send)
            return
        answer = await answer_once(
            services,
            caller,
            scope,
            key=key,
            body=body,
            run=lambda: capture(self._app, scope, _replay(body, receive)),
        )
        await send_answer(send, answer)


def needs_key(path: str) -> bool:
    """Say whether a path is open to holders of keys only."""
    return path.startswith(PREFIX) or (is_job_path(path) and path != OPEN)


def _with_body(request: Inbound, body: bytes) -> Scope:
    """Return the scope for a body that was read, after checking it."""
    if not body:
        return dict(request.scope)
    request.check_json()
    decode(body)
    if b"content-type" in request.headers:
        return dict(request.scope)
    # A body without a declared type is JSON here; the framework wants to be told.
    return request.scope | {"headers": [*request.scope["headers"], (b"content-type", b"application/json")]}


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body once, then whatever the caller does next: streams notice there when it leaves."""
    is_given = False

    async def again() -> dict[str, Any]:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
