"""The dashboard as an ASGI application in front of the API: its own paths are pages, every other one is the API's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hookline.api.errors import status_of
from hookline.api.identity import identify
from hookline.api.sessions import COOKIE, LIFETIME, Sessions, caller_of
from hookline.errors import ForbiddenError, HooklineError, UnauthorizedError
from hookline.model.states import Scope
from hookline.web.desk import Desk, Refusal
from hookline.web.live import live_answer
from hookline.web.pages import PAGES
from hookline.web.render import STATIC_PREFIX, Renderer, read_assets
from hookline.web.visit import Away, View, Visit, form_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from hookline.api.inbound import AsgiApp, Receive, Send
    from hookline.api.inbound import Scope as AsgiScope
    from hookline.api.services import ApiSettings, Services
    from hookline.api.sessions import Session
    from hookline.web.pages.base import Page

_log = structlog.get_logger("hookline.web")

_OWN: Final = frozenset({"/", "/login", "/logout", "/sign-in"})
_PREFIX: Final = "/ui/"

_POLICY: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
"""Of every page: nothing from elsewhere, nothing inline, in nobody's frame."""

_FOR_EVER: Final = {
    "cache-control": "public, max-age=31536000, immutable",
    "x-content-type-options": "nosniff",
}


class Dashboard:
    """app: the whole API, which pages call and which answers every path that is not theirs."""

    def __init__(self, app: AsgiApp, services: Services, settings: ApiSettings) -> None:
        self._app = app
        self._services = services
        self._settings = settings
        self._sessions = Sessions(services)
        self._assets = read_assets()
        self._by_url = {asset.url: asset for asset in self._assets.values()}
        self._renderer = Renderer(self._assets)
        pages = Starlette(
            routes=[
                Route("/login", self._login, methods=["GET", "POST"]),
                Route("/logout", self._logout, methods=["POST"]),
                Route("/sign-in", self._sign_in, methods=["GET"]),
                Route(f"{STATIC_PREFIX}{{rest:path}}", self._static, methods=["GET"]),
                *(Route(page.path, self._handler(page), methods=page.methods) for page in PAGES),
            ],
            exception_handlers={HTTPException: self._not_here},
        )
        # Starlette types ASGI by MutableMapping where ours says dict: the same objects at run time.
        self._pages_app = cast("AsgiApp", pages)

    def __repr__(self) -> str:
        return "Dashboard()"

    def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> Awaitable[None]:
        # No coroutine of its own: it would stand around every event that is published.
        path = scope.get("path", "")
        is_page = scope["type"] == "http" and (path in _OWN or path.startswith(_PREFIX))
        return (self._pages_app if is_page else self._app)(scope, receive, send)

    # --- pages ---

    def _handler(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            session = await self._sessions.read(request.cookies.get(COOKIE))
            if session is None:
                return _to_login(request)
            try:
                return await self._show(page, request, session)
            except (Refusal, HooklineError) as error:
                return await self._refused(request, session, error)
            except Exception:  # noqa: BLE001 -- a page that fails says so; the log has the rest
                _log.exception("page_failed", page=page.path)
                return await self._error(
                    session, 500, "Something went wrong on our side. The server's log says what."
                )

        return handle

    async def _show(self, page: Page, request: Request, session: Session) -> Response:
        fields: dict[str, str] = {}
        if request.method == "POST":
            _check_site(request)
            fields = await form_of(request)
            if fields.pop("csrf", "") != self._sessions.token(session):
                raise ForbiddenError("This form is from another session. Load the page again.")
        desk = Desk(self._app, caller_of(session), _client_of(request))
        visit = Visit(request, session, desk, fields)
        if request.query_params.get("live") == "1":
            return live_answer(request, page, visit, self._block, lambda: self._is_alive(request))
        told = await page.answer(visit)
        if isinstance(told, Away):
            target = f"{told.to}{'&' if '?' in told.to else '?'}done={told.word}" if told.word else told.to
            if told.session is not None:
                return self._signed_in(told.session, target)
            return RedirectResponse(target, 303, _POLICY)
        if told.block is not None:
            return self._sent(await self._block(visit, told), told.status)
        context = await self._context(session, visit) | told.context
        return self._html(told.template, context, told.status)

    async def _block(self, visit: Visit, view: View) -> str:
        context = await self._context(visit.session, visit) | view.context
        return self._renderer.block(view.template, view.block or "live", context)

    async def _is_alive(self, request: Request) -> bool:
        return await self._sessions.read(request.cookies.get(COOKIE)) is not None

    async def _context(self, session: Session, visit: Visit | None) -> dict[str, Any]:
        organization = await self._services.organization(session.organization_id)
        return {
            "session": session,
            "organization": "" if organization is None else organization.document.name,
            "csrf": self._sessions.token(session),
            "visit": visit,
            "path": "" if visit is None else visit.path,
            "done": "" if visit is None else visit.query("done"),
            "can_write": session.scope in (Scope.WRITE, Scope.ADMIN),
            "is_admin": session.scope is Scope.ADMIN,
        }

    def _html(self, template: str, context: Mapping[str, Any], status: int = 200) -> Response:
        return self._sent(self._renderer.page(template, context), status)

    def _sent(self, text: str, status: int) -> Response:
        return Response(text, status, _POLICY, "text/html; charset=utf-8")

    async def _refused(self, request: Request, session: Session, error: Refusal | HooklineError) -> Response:
        if isinstance(error, UnauthorizedError) or (isinstance(error, Refusal) and error.status == 401):
            return _to_login(request)
        status = error.status if isinstance(error, Refusal) else status_of(error)
        return await self._error(session, status, error.message)

    async def _error(self, session: Session | None, status: int, message: str) -> Response:
        context = {"status": status, "message": message}
        if session is None:
            return self._html("bare.html", context, status)
        return self._html("error.html", await self._context(session, None) | context, status)

    async def _not_here(self, request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        session = await self._sessions.read(request.cookies.get(COOKIE))
        return await self._error(session, exc.status_code, "There is no such page.")

    # --- signing in and out ---

    async def _login(self, request: Request) -> Response:
        next_ = _own_path(request.query_params.get("next", "/"))
        if request.method == "GET":
            return self._html("login.html", {"error": "", "next": next_})
        _check_site(request)
        key = (await form_of(request)).get("key", "").strip()
        session = await self._session_of(key)
        if session is None:
            error = "This key is not valid, or it may not look at anything."
            return self._html("login.html", {"error": error, "next": next_}, 401)
        return self._signed_in(session, next_)

    async def _session_of(self, key: str) -> Session | None:
        try:
            headers = {b"authorization": b"Bearer " + key.encode("latin-1")}
            caller = await identify(self._services, headers)
        except (HooklineError, UnicodeEncodeError):
            return None
        return await self._sessions.begin(caller.key_id)

    async def _sign_in(self, request: Request) -> Response:
        session = await self._sessions.read(request.query_params.get("link"))
        if session is None:
            return await self._error(
                None, 403, "This link is not valid, or it has expired. Ask for a new one."
            )
        return self._signed_in(self._sessions.prolonged(session), "/")

    def _signed_in(self, session: Session, to: str) -> Response:
        answer = RedirectResponse(to, 303, _POLICY)
        answer.set_cookie(
            COOKIE,
            self._sessions.text(session),
            max_age=int(LIFETIME.total_seconds()),
            httponly=True,
            samesite="lax",
            secure=self._settings.public_url.startswith("https:"),
        )
        return answer

    async def _logout(self, request: Request) -> Response:
        _check_site(request)
        answer = RedirectResponse("/login", 303, _POLICY)
        answer.delete_cookie(COOKIE)
        return answer

    # --- static files ---

    async def _static(self, request: Request) -> Response:
        asset = self._by_url.get(request.url.path)
        if asset is None:
            return Response(status_code=404, headers=_POLICY)
        headers = {"vary": "accept-encoding"} | _FOR_EVER
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                asset.zipped, headers=headers | {"content-encoding": "gzip"}, media_type=asset.content_type
            )
        return Response(asset.body, headers=headers, media_type=asset.content_type)


def _to_login(request: Request) -> Response:
    next_ = request.url.path if request.method == "GET" and request.url.path != "/" else ""
    return RedirectResponse(f"/login?next={next_}" if next_ else "/login", 303, _POLICY)


def _own_path(path: str) -> str:
    """A path of ours: whoever wrote the link to the login must not choose where it leads."""
    return path if path == "/" or (path.startswith(_PREFIX) and "\\" not in path) else "/"


def _check_site(request: Request) -> None:
    """Refuse a form of another site. Browsers say where a request came from (Fetch Metadata); others need not."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ForbiddenError("This form is from another site.")


def _client_of(request: Request) -> tuple[str, int] | None:
    client = request.client
    return None if client is None else (client.host, client.port)
