"""The answer that a trigger gives instead of its profile's own (PR-3): status, headers, body, content type.

Framing, cookies and what guards every answer are the server's. A page is shown without scripts and without the
rights of this origin, since whoever may change a trigger must not act as its operator.
"""

from __future__ import annotations

import re
from typing import Any, Final

from hookline.core.canonical import type_name
from hookline.errors import InputError

MOST_BYTES: Final = 32 * 1024
"""Of the body, as UTF-8 or JSON text."""

_MOST_HEADERS: Final = 20
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)
_VALUE: Final = re.compile(r"[\t\x20-\x7e]{0,1024}", re.ASCII)
_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:;[\x20-\x7e]{0,200})?", re.ASCII)
_OURS: Final = frozenset(
    {
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-security-policy",
        "content-type",
        "date",
        "keep-alive",
        "prismatic-executionid",
        "proxy-authenticate",
        "proxy-connection",
        "referrer-policy",
        "server",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
        "x-content-type-options",
    }
)
_OUR_PREFIXES: Final = ("access-control-", "hookline-", "idempotent-")
_EMPTY: Final = frozenset({204, 205, 304})


def check_response(value: Any) -> dict[str, Any]:
    """Return a trigger's ``response`` as it is stored. Raises InputError.

    status: 200 to 599, 200 unless given.  body: a text, or any JSON value but null; without it the profile's own.
    content_type: ``text/plain; charset=utf-8`` for a text and JSON's for the rest, unless given.
    """
    if not isinstance(value, dict):
        raise _wrong("response", "object with status, headers, body, content_type", value)
    for name in value:
        if name not in {"status", "headers", "body", "content_type"}:
            raise InputError(
                f"There is no field 'response.{name[:40]}' here",
                code="UNKNOWN_FIELD",
                field=f"response.{name[:40]}",
                expected="status headers body content_type",
                received=type_name(value[name]),
            )
    status = value.get("status", 200)
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise _wrong("response.status", "whole number, 200 to 599", status)
    checked: dict[str, Any] = {"status": status, "headers": _headers(value.get("headers") or {})}
    body = value.get("body")
    if body is not None:
        if status in _EMPTY:
            raise _wrong("response.body", f"left out with status {status}", body)
        checked["body"] = _body(body)
        checked["content_type"] = _content_type(value.get("content_type"), is_text=isinstance(body, str))
    elif value.get("content_type") is not None:
        raise _wrong("response.content_type", "left out without a body", value["content_type"])
    return checked


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > _MOST_HEADERS:
        raise _wrong("response.headers", f"object of at most {_MOST_HEADERS} texts", value)
    for name, text in value.items():
        lower = name.lower()
        if _NAME.fullmatch(name) is None or lower in _OURS or lower.startswith(_OUR_PREFIXES):
            raise _wrong(f"response.headers.{name[:64]}", "another header: this one is the server's", text)
        if not isinstance(text, str) or _VALUE.fullmatch(text) is None:
            raise _wrong(f"response.headers.{name[:64]}", "at most 1024 printable ASCII characters", text)
    return dict(value)


def _body(value: Any) -> Any:
    size = len(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else len(repr(value))
    if size > MOST_BYTES:
        raise _wrong("response.body", f"at most {MOST_BYTES} bytes", value)
    return value


def _content_type(value: Any, *, is_text: bool) -> str:
    if value is None:
        return "text/plain; charset=utf-8" if is_text else "application/json"
    if not isinstance(value, str) or _TYPE.fullmatch(value) is None:
        raise _wrong("response.content_type", "media type such as text/xml", value)
    return value


def _wrong(field: str, expected: str, value: Any) -> InputError:
    return InputError(f"{field} cannot be used.", field=field, expected=expected, received=type_name(value))
