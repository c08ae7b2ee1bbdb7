"""Reach receivers through the operator's egress proxy: one door in the wall, one address that receivers see.

The proxy is asked for a tunnel (CONNECT, RFC 9110 section 9.3.6), to the address that the guard has judged and never to
the name: a proxy that resolved it again could be led elsewhere. Inside the tunnel stands the same connection as without
one, TLS with the receiver's name included, so the proxy sees the address and, for http alone, what is sent.
This module never opens a socket: guard.py does, here as everywhere.
"""

from __future__ import annotations

import asyncio
import errno
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import msgspec

from hookline.model.states import AttemptOutcome
from hookline.senders.dns import NameFailedError, NameMissingError
from hookline.senders.failures import UnopenedError, tunnel_failure
from hookline.senders.guard import Guard

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from hookline.senders.dns import Resolver

# The answer to a CONNECT is a status line and a few headers; nothing in it is of use to us but the status.
_ANSWER_BYTES: Final = 16 * 1024
# Within the connect deadline: a proxy is near, and what it takes is taken from the receiver.
_PROXY_SECONDS: Final = 3.0
# Addresses of a name that a proxy is asked for.
_TRIES: Final = 4
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r\n")


class EgressProxy(msgspec.Struct, frozen=True):
    """Where the proxy is. authorization: what ``Proxy-Authorization`` says, None without credentials."""

    host: str
    port: int
    authorization: str | None = None

    def __repr__(self) -> str:
        return f"EgressProxy({self.host}:{self.port})"


class _RefusedError(Exception):
    """The proxy opened no tunnel. status: what it answered, None when that was no HTTP."""

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status


def parse_proxy(url: str) -> EgressProxy:
    """Return what ``http://[USER:PASSWORD@]HOST:PORT`` says. ValueError for all else, without repeating it."""
    parts = urlsplit(url)
    port = parts.port
    if parts.scheme != "http" or not parts.hostname or port is None or parts.path not in {"", "/"}:
        raise ValueError("not http://HOST:PORT")
    if parts.query or parts.fragment:
        raise ValueError("has a query or a fragment")
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + b64encode(pair.encode()).decode()
    return EgressProxy(parts.hostname, port, authorization)


class Tunnels:
    """Connects like ``Guard``, through the proxy.

    guard: judges the receivers' addresses.  proxy: the operator's, whose own address is not judged: it is commonly a
    private one.
    """

    def __init__(self, guard: Guard, proxy: EgressProxy, resolver: Resolver) -> None:
        self._guard = guard
        self._proxy = proxy
        self._resolver = resolver
        self._proxy_guard = Guard(_AnyAddress())

    async def dial(self, addresses: Sequence[str], port: int) -> tuple[socket.socket, str]:
        """As ``Guard.dial``, one address after another. Raises AddressRefusedError, ExhaustedError, OSError, or
        UnopenedError for what the proxy said.
        """
        self._guard.check(addresses)
        failure: UnopenedError | None = None
        for address in addresses[:_TRIES]:
            try:
                return await self._tunnel(address, port), address
            except _RefusedError as exc:
                failure = tunnel_failure(exc.status, address)
                if failure.outcome is not AttemptOutcome.CONNECT_FAILED:
                    raise failure from exc
        assert failure is not None
        raise failure

    async def _tunnel(self, address: str, port: int) -> socket.socket:
        dialled = await self._dial_proxy()
        try:
            await _open_tunnel(dialled, self._proxy, address, port)
        except BaseException:
            dialled.close()
            raise
        return dialled

    async def _dial_proxy(self) -> socket.socket:
        """That this fails is no fault of the receiver, so it uses up no try. Raises UnopenedError."""
        host, port = self._proxy.host, self._proxy.port
        try:
            async with asyncio.timeout(_PROXY_SECONDS):
                found = await self._resolver.resolve(host, seconds=_PROXY_SECONDS)
                return (await self._proxy_guard.dial(found, port))[0]
        except (OSError, NameMissingError, NameFailedError) as exc:  # TimeoutError is an OSError
            message = f"No connection to the egress proxy at {host}:{port}."
            raise UnopenedError(AttemptOutcome.NOT_SENT, message) from exc


async def _open_tunnel(dialled: socket.socket, proxy: EgressProxy, address: str, port: int) -> None:
    """Ask for a tunnel on a socket that is connected to the proxy; from then on it leads to the address.

    Raises _RefusedError or OSError. The caller bounds the time and closes the socket.
    """
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    head = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n"
    if proxy.authorization is not None:
        head += f"Proxy-Authorization: {proxy.authorization}\r\n"
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(dialled, f"{head}\r\n".encode("ascii"))
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = await loop.sock_recv(dialled, 4096)
        answer += more
        if not more:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the egress proxy hung up")
        if len(answer) > _ANSWER_BYTES:
            raise _RefusedError(None)
    status = _STATUS.match(answer)
    if status is None:
        raise _RefusedError(None)
    # Behind a good answer a receiver speaks only when it was asked: bytes there are not from one.
    if not 200 <= int(status[1]) <= 299 or answer.index(b"\r\n\r\n") + 4 != len(answer):
        raise _RefusedError(int(status[1]))


class _AnyAddress:
    """An ``AddressRule`` that allows all."""

    def check(self, ip: str, /) -> None:
        """Allow it."""
