"""How a receiver knows us: credentials and headers of a webhook, checked when they are saved (AF-11)."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

from hookline.core.canonical import type_name
from hookline.engine.vault import AUTHENTICATION
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hookline.engine.vault import Vault
    from hookline.model.configuration import Webhook


_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)
# What may stand in a query as it is; & would begin another parameter, # the fragment (RFC 3986 section 3.4).
_PARAMETER_NAME: Final = re.compile(r"[A-Za-z0-9._~\[\]-]{1,128}", re.ASCII)
_PARAMETER_VALUE: Final = re.compile(r"[!$%'-;=?-\[\]-~]{1,1024}", re.ASCII)
_HEADER_VALUE: Final = re.compile(r"[!-~](?:[ -~]{0,4094}[!-~])?", re.ASCII)
_OURS: Final = frozenset(
    {
        # Framing and hop-by-hop: another value would let a receiver's proxy read another request than we sent.
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade",
        "http2-settings",
        "expect", "content-type", "content-encoding", "accept-encoding", "date", "user-agent",
        # Kept sealed elsewhere.
        "authorization", "cookie",
        # What opens metadata services of clouds.
        "metadata", "metadata-flavor", "x-google-metadata-request", "x-metadata-token",
        # Ours.
        "x-agenticflow-signature",
    }
)  # fmt: skip
_OUR_PREFIXES: Final = ("proxy-", "webhook-", "hookline-", "x-aws-ec2-metadata", "x-forwarded-")


def authentication(vault: Vault, webhook: Webhook, value: Any) -> dict[str, Any]:
    """AF-7 and AF-11. Without its secret, the one that is stored stays, if the rest of it is the same."""
    given = {"type": "none"} if value is None else dict(value)
    kind = given.get("type")
    if kind == "none":
        _only(given, {"type"})
        return {"authentication": {"type": "none"}, "sealed_authentication": None}
    if not isinstance(kind, str) or kind not in _SECRETS:
        raise InputError(
            "There is no such authentication.",
            field="authentication.type",
            expected="one of none bearer basic header query",
            received=kind[:40] if isinstance(kind, str) else type_name(kind),
        )
    public, secret = _SECRETS[kind](given)
    if secret is None:
        if webhook.authentication == public and webhook.sealed_authentication is not None:
            return {}
        field = _SECRET_FIELDS[kind]
        raise InputError(
            f"Required field 'authentication.{field}' is missing",
            field=f"authentication.{field}",
            expected="string",
            received="null",
        )
    return {
        "authentication": public,
        "sealed_authentication": vault.seal(secret.encode(), AUTHENTICATION),
    }


def _bearer(given: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    _only(given, {"type", "token"})
    token = given.get("token")
    if token is not None:
        check_visible(token, "authentication.token")
    return {"type": "bearer"}, token


def _basic(given: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    _only(given, {"type", "username", "password"})
    username, password = given.get("username"), given.get("password")
    if (
        not isinstance(username, str)
        or not 0 < len(username) <= 256
        or ":" in username
        or not username.isprintable()
    ):
        raise InputError(
            "authentication.username must be a text without colon.",
            field="authentication.username",
            expected="string without :",
            received=type_name(username),
        )
    if password is None:
        return {"type": "basic", "username": username}, None
    if not isinstance(password, str) or len(password) > 1024 or not password.isprintable():
        raise InputError(
            "authentication.password must be a printable text.",
            field="authentication.password",
            expected="string",
            received=type_name(password),
        )
    return {"type": "basic", "username": username}, b64encode(f"{username}:{password}".encode()).decode()


def _header(given: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    _only(given, {"type", "name", "value"})
    name, value = given.get("name"), given.get("value")
    if not isinstance(name, str):
        raise InputError(
            "Required field 'authentication.name' is missing",
            field="authentication.name",
            expected="string",
            received=type_name(name),
        )
    if name.lower() not in {"authorization", "cookie"}:
        check_header_name(name, "authentication.name")
    if value is not None:
        check_visible(value, "authentication.value")
    return {"type": "header", "name": name}, value


def _query(given: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """PB-8: a secret in the query, kept byte for byte."""
    _only(given, {"type", "name", "value"})
    name, value = given.get("name"), given.get("value")
    if not isinstance(name, str) or _PARAMETER_NAME.fullmatch(name) is None:
        raise InputError(
            "authentication.name must be the name of a query parameter.",
            field="authentication.name",
            expected="1 to 128 letters, digits or . _ ~ - [ ]",
            received=type_name(name),
        )
    if value is not None and (not isinstance(value, str) or _PARAMETER_VALUE.fullmatch(value) is None):
        raise InputError(
            "authentication.value must be as it stands in a URL: percent-encode what a query cannot hold.",
            field="authentication.value",
            expected='1 to 1024 visible ASCII characters without " # & \\',
            received=type_name(value),
        )
    return {"type": "query", "name": name}, value


_SECRETS: Final[dict[Any, Callable[[dict[str, Any]], tuple[dict[str, Any], str | None]]]] = {
    "bearer": _bearer,
    "basic": _basic,
    "header": _header,
    "query": _query,
}


_SECRET_FIELDS: Final[dict[Any, str]] = {
    "bearer": "token",
    "basic": "password",
    "header": "value",
    "query": "value",
}


def _only(given: Mapping[str, Any], known: set[str]) -> None:
    for name in given:
        if name not in known:
            raise InputError(
                f"There is no field 'authentication.{name[:40]}' here",
                code="UNKNOWN_FIELD",
                field=f"authentication.{name[:40]}",
                expected=" ".join(sorted(known)),
                received=type_name(given[name]),
            )


def check_visible(value: Any, field: str) -> None:
    if not isinstance(value, str) or _HEADER_VALUE.fullmatch(value) is None:
        raise InputError(
            f"{field} must hold 1 to 4096 visible ASCII characters.",
            field=field,
            expected="1 to 4096 visible ASCII characters",
            received=type_name(value),
        )


def check_header_name(name: str, field: str) -> None:
    lower = name.lower()
    if _HEADER_NAME.fullmatch(name) is None:
        raise InputError(
            "This is not a header's name.", field=field, expected="header name", received="string"
        )
    if lower in _OURS or lower.startswith(_OUR_PREFIXES):
        raise InputError(
            "This header cannot be set here.",
            code="HEADER_REFUSED",
            field=field,
            expected="a header of your own",
            received=lower[:64],
        )
