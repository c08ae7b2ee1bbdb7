"""Read the URL of the operator's mail server: ``smtp://USER:PASSWORD@HOST:PORT?starttls=auto|required|never``.

``smtps://`` is TLS from the first byte. A password is never sent in the clear unless the server is on this machine or
``starttls=never`` says so.
"""

from __future__ import annotations

from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from enum import StrEnum
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

_OPTION: Final = "starttls"
_PORTS: Final = {"smtp": 587, "smtps": 465}


class StartTls(StrEnum):
    """auto: when the server offers it."""

    AUTO = "auto"
    REQUIRED = "required"
    NEVER = "never"


class MailServer(msgspec.Struct, frozen=True, kw_only=True):
    """is_tls: from the first byte.  user: None for a server that takes mail from anyone here."""

    host: str
    port: int
    is_tls: bool
    start_tls: StartTls
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"MailServer({self.host!r}, {self.port})"


def read_mail_server(url: str) -> MailServer:
    """Raises ValueError, whose text holds nothing of the URL's user and password."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("not a URL of smtp or smtps")
    if parts.path.strip("/") or parts.fragment:
        raise ValueError("has a path or a fragment")
    options = parse_qsl(parts.query, keep_blank_values=True)
    if any(name != _OPTION for name, _ in options) or len(options) > 1:
        raise ValueError("has another option than starttls")
    is_tls = parts.scheme == "smtps"
    if is_tls and options:
        raise ValueError("smtps needs no starttls")
    user, password = _plain(parts.username), _plain(parts.password)
    if (user is None) is not (password is None):
        raise ValueError("has a user without a password")
    if user is not None and not (user + (password or "")).isprintable():
        raise ValueError("has control characters in its user or password")
    start_tls = StartTls(options[0][1]) if options else StartTls.AUTO
    if password is not None and start_tls is StartTls.AUTO and not _is_here(parts.hostname):
        start_tls = StartTls.REQUIRED
    return MailServer(
        host=parts.hostname,
        port=parts.port if parts.port is not None else _PORTS[parts.scheme],
        is_tls=is_tls,
        start_tls=start_tls,
        user=user,
        password=password,
    )


def read_sender(text: str) -> Address:
    """Read ``Name <address>`` or an address. Raises ValueError."""
    name, address = parseaddr(text)
    if not text.isprintable() or "@" not in address:
        raise ValueError("not a mail address")
    try:
        return Address(display_name=name, addr_spec=address)
    except (MessageError, IndexError, ValueError) as exc:
        raise ValueError("not a mail address") from exc


def default_sender(server: MailServer, public_url: str | None) -> str:
    """The sender where the operator names none. public_url: of this installation."""
    if server.user is not None and "@" in server.user:
        return server.user
    host = urlsplit(public_url).hostname if public_url is not None else None
    return f"hookline@{host if host is not None and ':' not in host else 'localhost'}"


def _plain(text: str | None) -> str | None:
    return unquote(text) if text else None


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
