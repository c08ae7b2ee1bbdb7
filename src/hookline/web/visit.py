"""A visit: one request of somebody who is signed in, and what a page answers it with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from hookline.api.sessions import Session
from hookline.errors import ForbiddenError, InputError
from hookline.model.states import Scope

if TYPE_CHECKING:
    from starlette.requests import Request

    from hookline.web.desk import Desk

_MOST_FORM_BYTES = 1 << 20


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A page. template: its file; its block ``live`` is what an open page is kept up to date with.

    context: what the template needs beside what every page has.
    block: the one that is sent instead of the whole page, to a script that asked for a part of it.
    """

    template: str
    context: dict[str, Any] = {}
    status: int = 200
    block: str | None = None


class Away(msgspec.Struct, frozen=True, kw_only=True):
    """Go to another page, with a word about what was done. session: the one to go on with, None for the same."""

    to: str
    word: str = ""
    session: Session | None = None


class Visit:
    """What a page is given."""

    def __init__(self, request: Request, session: Session, desk: Desk, fields: dict[str, str]) -> None:
        self._request = request
        self.session = session
        self.desk = desk
        self.fields = fields

    def __repr__(self) -> str:
        return f"Visit({self._request.url.path!r})"

    @property
    def is_of_script(self) -> bool:
        """Whether a script of the page asks, for a part of it; else a person, for the whole."""
        return self._request.headers.get("hx-request") == "true"

    @property
    def path(self) -> str:
        return self._request.url.path

    def part(self, name: str) -> str:
        """A segment of the path."""
        found: str = self._request.path_params[name]
        return found

    def query(self, name: str, default: str = "") -> str:
        return self._request.query_params.get(name, default)

    def url(self, **changes: str | None) -> str:
        """This page's URL with other parameters; None leaves one out."""
        query: dict[str, str | None] = dict(self._request.query_params)
        for gone in ("live", "done"):
            query.pop(gone, None)
        query |= changes
        given = {name: value for name, value in query.items() if value}
        return f"{self.path}?{urlencode(given)}" if given else self.path

    def need(self, scope: Scope) -> None:
        """Raise ForbiddenError unless the session may do this: a page then shows no form that would be refused."""
        if not self.may(scope):
            raise ForbiddenError("Your role does not allow this.")

    def may(self, scope: Scope) -> bool:
        order = (Scope.READ, Scope.WRITE, Scope.ADMIN)
        return order.index(self.session.scope) >= order.index(scope)


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that was sent; the last of a name counts. Raises InputError."""
    size = 0
    chunks = []
    async for chunk in request.stream():
        size += len(chunk)
        if size > _MOST_FORM_BYTES:
            raise InputError("The form is too large.", expected=f"{_MOST_FORM_BYTES} bytes at most")
        chunks.append(chunk)
    try:
        pairs = parse_qsl(
            b"".join(chunks).decode(), keep_blank_values=True, max_num_fields=500, errors="strict"
        )
    except ValueError as exc:
        raise InputError("The form cannot be read.") from exc
    return {name: value.replace("\r\n", "\n") for name, value in pairs}
