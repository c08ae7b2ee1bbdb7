"""Values of settings: the kinds that there are, and what makes a text one of them.

A reader returns the value as it is kept and raises ValueError; what was wrong is worded where settings are gathered.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Final, Literal
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import BeforeValidator, Field, SecretStr

from hookline.core.mail_server import read_mail_server, read_sender

PREFIX: Final = "HOOKLINE_"

Role = Literal["receive", "execute", "deliver"]
ALL_ROLES: Final[tuple[Role, ...]] = ("receive", "execute", "deliver")
Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_VISIBLE_ASCII = re.compile(r"[!-~]{1,256}")

_STREAM = re.compile(r"[^\s.*>/\\\x00-\x1f\x7f]{1,200}")
"""What NATS takes for the name of a stream or a consumer."""


def _split(value: object) -> object:
    """Take a comma-separated text as a list; an empty one is an empty list."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _unset_when_empty(value: object) -> object:
    return None if value == "" else value


def _url(text: str, schemes: tuple[str, ...]) -> SplitResult:
    parts = urlsplit(text)
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"not a URL of {' or '.join(schemes)}")
    _ = parts.port  # raises ValueError for one that is no number
    return parts


def read_public_url(text: str | None) -> str | None:
    if text is None:
        return None
    parts = _url(text, ("http", "https"))
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("has a query, a fragment or credentials")
    return text.rstrip("/")


def read_api_key(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and not re.fullmatch(r"[!-~]{1,1000}", secret.get_secret_value()):
        raise ValueError("not visible ASCII letters, or too many")
    return secret


def read_smtp_url(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None:
        read_mail_server(secret.get_secret_value())
    return secret


def read_egress_proxy(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None:
        parts = _url(secret.get_secret_value(), ("http",))
        if parts.port is None or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("not http://HOST:PORT")
    return secret


def read_nats_url(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None:
        parts = _url(secret.get_secret_value(), ("nats", "tls"))
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("has more than a host and a port")
    return secret


def read_stream(text: str | None) -> str | None:
    if text is not None and not _STREAM.fullmatch(text):
        raise ValueError("not a name of a stream")
    return text


def read_mail_from(text: str | None) -> str | None:
    if text is not None:
        read_sender(text)
    return text


def read_database(text: str) -> str:
    if text.startswith("sqlite:///"):
        if text.removeprefix("sqlite:///") in {"", ":memory:"}:
            raise ValueError("names no file")
        return text
    parts = _url(text, ("postgresql", "postgres"))
    if not parts.path.strip("/"):
        raise ValueError("names no database")
    return text


def read_database_direct(text: str | None) -> str | None:
    if text is not None and read_database(text).startswith("sqlite:"):
        raise ValueError("is no PostgreSQL")
    return text


def read_blobs(text: str | None) -> str | None:
    if text is None or (text.startswith("file:///") and text != "file:///"):
        return text
    parts = _url(text, ("s3",))
    if parts.username is not None or parts.fragment:
        raise ValueError("has credentials or a fragment")
    if not set(parse_qs(parts.query, keep_blank_values=True)) <= {"endpoint", "region"}:
        raise ValueError("has an option that there is not")
    return text


def read_admin_key(secret: SecretStr | None) -> SecretStr | None:
    # It travels in a header, so only what a header can carry.
    if secret is not None and not _VISIBLE_ASCII.fullmatch(secret.get_secret_value()):
        raise ValueError("not visible ASCII")
    return secret


def read_secret_key(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and len(secret.get_secret_value()) < 16:
        raise ValueError("too short")
    return secret


def read_variable(name: str) -> str:
    if not _VARIABLE_NAME.fullmatch(name) or name.startswith(PREFIX):
        raise ValueError("not a variable that may be passed on")
    return name


def read_roles(roles: tuple[Role, ...]) -> tuple[Role, ...]:
    if not roles:
        raise ValueError("no role left")
    return tuple(role for role in ALL_ROLES if role in roles)


EmptyIsNone = BeforeValidator(_unset_when_empty)
CommaList = BeforeValidator(_split)
Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Days = Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
