"""A request as it came, and how a scheme's sources are read from it.

A value that a check rests on is there exactly once, or the request is refused: two parsers must not be able to see
two different ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

import msgspec

from hookline.core.canonical import decode
from hookline.errors import InputError, VerificationError

if TYPE_CHECKING:
    from hookline.core.inbound.scheme import Source

Headers = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]

_MOST_PARAMETERS: Final = 1000
_VISIBLE: Final = re.compile(r"[\x21-\x7e]{1,256}", re.ASCII)
_MOST_DEDUPE_CHARACTERS: Final = 512


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was received.

    url: the whole public URL as the sender was given it, with its query exactly as it came; empty if unknown.
    headers: in order, names in lower case; bytes were read as Latin-1, so no byte is lost.  body: the raw bytes.
    """

    method: str = "POST"
    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __repr__(self) -> str:
        # Headers and URLs carry secrets.
        return f"Request({self.method}, {len(self.headers)} headers, {len(self.body)} bytes)"


def received(*, method: str, url: str, headers: Headers, body: bytes) -> Request:
    """Make a Request. headers: a mapping or pairs, text or bytes, any spelling of the names."""
    pairs: Iterable[tuple[str | bytes, str | bytes]] = (
        list(headers.items()) if isinstance(headers, Mapping) else headers
    )
    return Request(
        method=method.upper(),
        url=url,
        headers=tuple((_text(name).lower(), _text(value)) for name, value in pairs),
        body=bytes(body),
    )


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


# --- headers and query ----------------------------------------------------------------------------------------


def header(request: Request, name: str) -> str | None:
    """Return a header's value, None when it is missing or empty. Raises VerificationError when it is repeated."""
    values = [value for each, value in request.headers if each == name]
    if len(values) > 1:
        raise VerificationError(f"The header {name} is there more than once.", reason="header_repeated")
    return values[0] if values and values[0] else None


def needed_header(request: Request, name: str) -> str:
    """``header`` for one that must be there. Raises VerificationError."""
    value = header(request, name)
    if value is None:
        raise VerificationError(f"The header {name} is missing.", reason="header_missing")
    return value


def visible(text: str, name: str) -> str:
    """Return an id if it is 1 to 256 visible ASCII characters; else raise VerificationError."""
    if _VISIBLE.fullmatch(text) is None:
        raise VerificationError(f"The value of {name} is not a plain id.", reason="signature_malformed")
    return text


def query_values(url: str, name: str) -> list[str]:
    """Return every value of a query parameter. Raises VerificationError for a query that cannot be read."""
    return [decoded for _, decoded in query_spellings(url, name)]


def query_spellings(url: str, name: str) -> list[tuple[str, str]]:
    """Return every value of a query parameter, with ``+`` as it stands and as the space that forms write so.

    A secret that somebody typed into a URL may hold a ``+`` (PB-8: the bytes are kept exactly). Raises
    VerificationError for a query that cannot be read.
    """
    try:
        pairs = urlsplit(url).query.split("&", _MOST_PARAMETERS)
        return [
            (unquote(value, errors="strict"), unquote_plus(value, errors="strict"))
            for key, _, value in (pair.partition("=") for pair in pairs[:_MOST_PARAMETERS])
            if unquote_plus(key, errors="strict") == name
        ]
    except ValueError as exc:
        raise VerificationError("The query cannot be read.", reason="signature_malformed") from exc


# --- body -----------------------------------------------------------------------------------------------------


def is_form(request: Request) -> bool:
    """Say whether the body is declared as ``application/x-www-form-urlencoded``."""
    declared = header(request, "content-type") or ""
    return declared.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded"


def form(request: Request) -> list[tuple[str, str]]:
    """Return the parameters of a form body in order. Raises VerificationError for one that cannot be read."""
    try:
        return parse_qsl(
            request.body.decode("utf-8"),
            keep_blank_values=True,
            max_num_fields=_MOST_PARAMETERS,
            errors="strict",  # replacement characters would make different bodies look the same
        )
    except ValueError as exc:
        raise VerificationError("The form body cannot be read.", reason="body_malformed") from exc


def json_body(request: Request) -> Any:
    """Return the decoded body, None when it is not JSON."""
    try:
        return decode(request.body)
    except InputError:
        return None


def at_path(value: Any, path: str) -> list[Any]:
    """Return what stands at a path of a decoded JSON value; ``[]`` goes into each element. [] when nothing does.

    A path that leads nowhere in one element leads nowhere in all: a check of each element must not skip any.
    """
    found = [value]
    for step in path.split("."):
        name = step.removesuffix("[]")
        children = [_child(parent, name) for parent in found]
        if any(child is msgspec.UNSET for child in children):
            return []
        if step.endswith("[]"):
            if not all(isinstance(child, list) for child in children):
                return []
            children = [element for child in children for element in child]
        found = children
    return found


def _child(parent: Any, name: str) -> Any:
    if isinstance(parent, dict):
        return parent.get(name, msgspec.UNSET)
    if isinstance(parent, list) and name.isascii() and name.isdigit() and len(name) < 6:
        index = int(name)
        return parent[index] if index < len(parent) else msgspec.UNSET
    return msgspec.UNSET


def body_values(request: Request, path: str) -> list[Any]:
    """Return what stands at a path of the body: of its JSON, or a parameter of its form.

    What the body is decides first: Content-Type is not signed, and must not make a form of signed JSON.
    Raises VerificationError for a form that cannot be read.
    """
    value = json_body(request)
    if isinstance(value, (dict, list)) or not is_form(request):
        return at_path(value, path)
    return [value for name, value in form(request) if name == path]


def dedupe_id(sources: tuple[Source, ...], request: Request) -> str | None:
    """Return the first of the sender's ids that is there, None for none: a bad one is no reason to refuse."""
    for source in sources:
        try:
            values = [_id_part(request, source.place, name) for name in source.names]
        except VerificationError:
            continue
        text = ":".join(value for value in values if value is not None)
        if None not in values and len(text) <= _MOST_DEDUPE_CHARACTERS:
            return text
    return None


def _id_part(request: Request, place: str, name: str) -> str | None:
    if place == "header":
        values: list[Any] = [value for each, value in request.headers if each == name]
    else:
        values = body_values(request, name)
    if len(values) != 1 or isinstance(values[0], bool) or not isinstance(values[0], (str, int)):
        return None
    text = str(values[0])
    return text if text.isprintable() and text else None
