"""Word the head of an outgoing request: nothing in it can become a second header or a second request.

Header names must be tokens and none of those that frame a message, steer a proxy or unlock a cloud's
metadata service; values must be visible ASCII. The same is checked when a webhook is saved; this is the check
that counts. Names that passed are remembered together, because every delivery of a webhook has the same.
This module never opens a connection.
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import TYPE_CHECKING

from hookline.errors import InputError

if TYPE_CHECKING:
    from hookline.ports.sender import Outgoing

# RFC 9110 section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")
# Framing and connection headers are ours alone (RFC 9110 section 7.6.1, RFC 9112 sections 6 and 9); an
# encoding that we do not undo is not asked for; the rest would please a metadata service.
_REFUSED = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "metadata",
        "metadata-flavor",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
        "x-google-metadata-request",
    }
)
_REFUSED_STARTS = ("x-aws-ec2-metadata-",)
_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"})
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
# Sets of names remembered as good: webhooks may choose their own, so the memory has an end.
_REMEMBERED = 2048
_NAME, _VALUE = itemgetter(0), itemgetter(1)


# What a header name tells about the request. Plain integers: an IntFlag cost as much as the rest of the head.
_IS_USER_AGENT = 1
_IS_ACCEPT = 2
_KINDS = {"user-agent": _IS_USER_AGENT, "accept": _IS_ACCEPT}


class Wording:
    """Builds request heads.

    user_agent: sent unless the request brings its own.
    """

    def __init__(self, user_agent: str) -> None:
        self._agent_line = f"User-Agent: {user_agent}\r\n"
        self._judged: dict[tuple[str, ...], int] = {}

    def head(self, target: str, request: Outgoing) -> bytes:
        """The request line and headers, ended by an empty line. Raises InputError.

        target: what stands between the method and the first of the request's headers: path and query byte for
        byte, the version and the Host line.
        """
        if request.method not in _METHODS:
            raise InputError(
                f"The method {request.method[:20]!r} is not one of those we send.", field="method"
            )
        headers = request.headers
        names = tuple(map(_NAME, headers))
        has = self._judged.get(names)
        if has is None:
            has = self._judge(names)
        values = "".join(map(_VALUE, headers))
        # Printable ASCII is 0x20 to 0x7e: no line feed, carriage return, NUL or tab can be among them.
        if not (values.isascii() and values.isprintable()):
            raise InputError("A header value is not visible ASCII.", field="headers")
        parts = [request.method, target]
        if headers:
            parts += ("\r\n".join(map(": ".join, headers)), "\r\n")
        if not has & _IS_USER_AGENT:
            parts.append(self._agent_line)
        if not has & _IS_ACCEPT:
            parts.append("Accept: */*\r\n")
        if request.body or request.method in _METHODS_WITH_BODY:
            parts.append(f"Accept-Encoding: identity\r\nContent-Length: {len(request.body)}\r\n\r\n")
        else:
            parts.append("Accept-Encoding: identity\r\n\r\n")
        return "".join(parts).encode("ascii")

    def _judge(self, names: tuple[str, ...]) -> int:
        """What the names tell together, remembered. Raises InputError for one that may not be set."""
        has = 0
        for name in names:
            has |= _kind_of(name)
        if len(self._judged) >= _REMEMBERED:
            self._judged.clear()
        self._judged[names] = has
        return has


def _kind_of(name: str) -> int:
    if not _TOKEN.fullmatch(name):
        raise InputError("A header name is not a token.", field="headers")
    low = name.lower()
    if low in _REFUSED or low.startswith(_REFUSED_STARTS):
        raise InputError(f"The header {name} may not be set.", field="headers")
    return _KINDS.get(low, 0)
