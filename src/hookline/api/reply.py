"""What the management routes share: who calls, where a page begins and ends, and how values become JSON."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import msgspec
from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from hookline.api.gate import BODY
from hookline.api.identity import CALLER, Caller
from hookline.api.services import Site
from hookline.core.times import parse_rfc3339, rfc3339
from hookline.errors import InputError, MissingError
from hookline.model.ids import Key, parse
from hookline.model.states import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

T = TypeVar("T")

_write: Final = msgspec.json.Encoder().encode
_HEADERS: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class Body(BaseModel):
    """Base of request bodies: no field is converted from another type, and none is unknown."""

    model_config = ConfigDict(strict=True, extra="forbid")


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a value as JSON; ``msgspec.Raw`` goes out byte for byte."""
    return Response(
        _write(value), status_code=status, media_type="application/json", headers=_HEADERS | (headers or {})
    )


def no_content() -> Response:
    return Response(status_code=204, headers=_HEADERS)


# --- who ----------------------------------------------------------------------------------------------------


class Need:
    """A dependency: the caller, if its key has this scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def __repr__(self) -> str:
        return f"Need({self.scope})"

    def __call__(self, request: Request) -> Caller:
        caller: Caller = request.scope[CALLER]
        caller.need(self.scope)
        return caller


def _site(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


def _raw_body(request: Request) -> bytes:
    body: bytes = request.scope[BODY]
    return body


AtSite = Annotated[Site, Depends(_site)]
RawBody = Annotated[bytes, Depends(_raw_body)]
"""The body's exact bytes, known to be JSON or empty."""
Admin = Annotated[Caller, Depends(Need(Scope.ADMIN))]
Writer = Annotated[Caller, Depends(Need(Scope.WRITE))]
Reader = Annotated[Caller, Depends(Need(Scope.READ))]
Starter = Annotated[Caller, Depends(Need(Scope.TRIGGER))]


# --- pages --------------------------------------------------------------------------------------------------


class Page:
    """The page that a caller asks for: newest first, ``cursor`` from the page before."""

    def __init__(
        self,
        limit: Annotated[int, Query(ge=1, le=500, description="How many, 1 to 500.")] = 50,
        cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
    ) -> None:
        self.limit = limit
        self.before = None if cursor is None else key_of_cursor(cursor)

    @property
    def enough(self) -> int:
        """How many to read to know whether more follow."""
        return self.limit + 1

    def reply(
        self, word: str, found: Sequence[T], key: Callable[[T], Key], view: Callable[[T], Any]
    ) -> Response:
        """Return a page of ``found``, which was read with ``enough`` as its limit."""
        shown = found[: self.limit]
        more = len(found) > self.limit
        return reply(
            {word: [view(item) for item in shown], "next": cursor_of(key(shown[-1])) if more else None}
        )


AtPage = Annotated[Page, Depends(Page)]


def cursor_of(key: Key) -> str:
    return urlsafe_b64encode(key).decode().rstrip("=")


def key_of_cursor(cursor: str) -> Key:
    """Return the key that ``cursor_of`` was given. Raises InputError for a text that is not one of ours."""
    try:
        key = urlsafe_b64decode(cursor.encode("ascii") + b"==")
    except (Base64Error, ValueError) as exc:
        raise _bad_cursor() from exc
    if len(key) != 16:
        raise _bad_cursor()
    return key


def _bad_cursor() -> InputError:
    return InputError(
        "The cursor is not one of ours.", field="cursor", expected="`next` of a page", received="string"
    )


# --- values -------------------------------------------------------------------------------------------------


def key_in_path(word: str, text: str) -> Key:
    """Return the key of an object named in a path; what cannot be one is as missing as one that is not there."""
    key = parse(word, text)
    if key is None:
        raise missing(word)
    return key


def missing(word: str) -> MissingError:
    """The one answer to an object that is not there and to one of another organization."""
    return MissingError(f"There is no such {word.replace('_', ' ')}.")


def found_or_missing(value: T | None, word: str) -> T:
    if value is None:
        raise missing(word)
    return value


def when(instant: datetime | None) -> str | None:
    return None if instant is None else rfc3339(instant)


def instant(text: str | None, field: str) -> datetime | None:
    """Return an instant from a query or body, None when it was left out. Raises InputError."""
    return None if text is None else parse_rfc3339(text, field=field)


def raw(text: bytes | None) -> Any:
    """Return JSON text to be shown as it is; None when there is none."""
    return None if text is None else msgspec.Raw(text)


def member(body: bytes, name: str) -> bytes | None:
    """Return the exact bytes of one member of a JSON object; None when it is not there."""
    if not body or body.strip() == b"null":
        return None
    found = msgspec.json.decode(body, type=dict[str, msgspec.Raw]).get(name)
    return None if found is None else bytes(found)


def body_view(name: str, body: bytes) -> dict[str, Any]:
    """Show bytes as text where they are text, else as base64."""
    try:
        return {name: body.decode(), f"{name}_encoding": "utf-8"}
    except UnicodeDecodeError:
        return {name: b64encode(body).decode(), f"{name}_encoding": "base64"}
