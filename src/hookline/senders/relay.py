"""The proxy through which a robot's browser or a script reaches the network: the guard dials each connection.

A browser resolves names and follows redirects by itself, so checking the URLs that it is told to open would check
nothing. It is started with this as its only way out: names are resolved here, every address is judged and dialled by
``guard.py``, and what is refused is remembered with its reason. Plain requests are relayed one a connection, since a
browser shares a connection to its proxy between hosts; everything else is a tunnel.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from hookline.core.addresses import Target, parse_target
from hookline.errors import InputError
from hookline.senders.dns import NameFailedError, NameMissingError, Resolver
from hookline.senders.failures import UnopenedError
from hookline.senders.guard import AddressRefusedError, ExhaustedError, Guard
from hookline.senders.proxy import Tunnels

if TYPE_CHECKING:
    import socket

    from hookline.senders.guard import AddressRule
    from hookline.senders.proxy import EgressProxy

_HEAD_BYTES: Final = 256 * 1024
"""Longest head of a request or answer: cookies of a whole site travel in one."""

_PIECE: Final = 64 * 1024
_DIAL_SECONDS: Final = 10.0
_HEAD_SECONDS: Final = 30.0

_MOST_CONNECTIONS: Final = 512
"""At once. A browser opens six a host; a page that wants more waits."""

_MOST_BYTES: Final = 2 << 30
"""Relayed in one run, both ways; past this every connection is closed."""

_MOST_REASONS: Final = 1000

_HOP_BY_HOP: Final = re.compile(
    rb"\r\n(?:Connection|Keep-Alive|Proxy-Connection|Proxy-Authorization)[ \t]*:[^\r\n]*", re.IGNORECASE
)


class PageRelay:
    """A forward proxy on loopback, for one browser.

    rule: which addresses may be dialled.  egress: the operator's proxy behind this one, None for none.
    """

    def __init__(self, rule: AddressRule, egress: EgressProxy | None = None) -> None:
        self._resolver = Resolver()
        guard = Guard(rule)
        self._door = guard if egress is None else Tunnels(guard, egress, self._resolver)
        self._server: asyncio.Server | None = None
        self._room = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._open: set[asyncio.Task[None]] = set()
        self._left = _MOST_BYTES
        self._reasons: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"PageRelay({len(self._open)} connections, {len(self._reasons)} failures)"

    async def start(self) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_HEAD_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    async def adopt(self, near: socket.socket) -> None:
        """Serve a connection that somebody else accepted, such as one out of another network namespace."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_HEAD_BYTES, loop=loop)
        await loop.connect_accepted_socket(
            lambda: asyncio.StreamReaderProtocol(reader, self._accept, loop=loop), near
        )

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        self._resolver.close()

    def why(self, host: str) -> str | None:
        """Say why the last connection to a host could not be made, for people; None when it could."""
        return self._reasons.get(host)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            async with self._room:
                await self._serve(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whichever end went away, the other is told by the close
        except asyncio.CancelledError:
            pass  # the run is over; the server logs what its handlers raise
        finally:
            self._open.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        method, url, version = _request_line(head)
        is_tunnel = method == b"CONNECT"
        target = self._target(b"https://" + url + b"/" if is_tunnel else url)
        far = None if target is None else await self._dial(target)
        if target is None or far is None:
            if is_tunnel:
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
            return
        far_reader, far_writer = far
        try:
            if is_tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await self._both_ways(reader, writer, far_reader, far_writer)
            else:
                far_writer.write(_as_origin_sees_it(head, method, target, version))
                await self._one_exchange(reader, writer, far_reader, far_writer)
        finally:
            far_writer.close()

    def _target(self, url: bytes) -> Target | None:
        text = url.decode("latin-1")
        try:
            return parse_target(text)
        except InputError as exc:
            with suppress(ValueError):
                self._note(urlsplit(text).hostname or text, exc.message)
            return None

    async def _dial(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        reason: str
        try:
            async with asyncio.timeout(_DIAL_SECONDS):
                addresses = (
                    (target.address,)
                    if target.address is not None
                    else await self._resolver.resolve(target.ascii_host, seconds=_DIAL_SECONDS)
                )
                dialled, _ = await self._door.dial(addresses, target.port)
        except AddressRefusedError as exc:
            reason = str(exc)
        except (NameMissingError, NameFailedError) as exc:
            reason = f"The name {target.ascii_host} was not found: {exc}"
        except (OSError, TimeoutError, ExhaustedError, UnopenedError) as exc:
            reason = f"No connection to {target.authority}: {str(exc) or 'no answer in time'}"
        else:
            self._reasons.pop(target.ascii_host, None)
            loop = asyncio.get_running_loop()
            reader = asyncio.StreamReader(limit=_HEAD_BYTES, loop=loop)
            protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
            transport, _ = await loop.create_connection(lambda: protocol, sock=dialled)
            return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
        self._note(target.ascii_host, reason)
        return None

    def _note(self, host: str, reason: str) -> None:
        if len(self._reasons) < _MOST_REASONS:
            self._reasons[host] = reason

    async def _both_ways(
        self,
        near: asyncio.StreamReader,
        to_near: asyncio.StreamWriter,
        far: asyncio.StreamReader,
        to_far: asyncio.StreamWriter,
    ) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pour(near, to_far))
            group.create_task(self._pour(far, to_near))

    async def _one_exchange(
        self,
        near: asyncio.StreamReader,
        to_near: asyncio.StreamWriter,
        far: asyncio.StreamReader,
        to_far: asyncio.StreamWriter,
    ) -> None:
        """Send the request's body on, the answer back, and then close: the next may be for another host."""
        sending = asyncio.create_task(self._pour(near, to_far, closes=False))
        try:
            while True:
                head = await far.readuntil(b"\r\n\r\n")
                is_interim = head[9:10] == b"1"
                to_near.write(head if is_interim else _with_close(head))
                if not is_interim:
                    break
            await self._pour(far, to_near)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _pour(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, *, closes: bool = True
    ) -> None:
        while piece := await source.read(_PIECE):
            self._left -= len(piece)
            if self._left < 0:
                raise ConnectionAbortedError("this run has relayed all that it may")
            to.write(piece)
            await to.drain()
        if closes and to.can_write_eof():
            to.write_eof()


def _request_line(head: bytes) -> tuple[bytes, bytes, bytes]:
    parts = head.partition(b"\r\n")[0].split(b" ")
    if len(parts) != 3:
        raise ConnectionAbortedError("not a request")
    return parts[0], parts[1], parts[2]


def _as_origin_sees_it(head: bytes, method: bytes, target: Target, version: bytes) -> bytes:
    """The head of a request for the origin itself, which is asked to close when it has answered."""
    fields = _HOP_BY_HOP.sub(b"", b"\r\n" + head.partition(b"\r\n")[2])
    return b"%b %b %b\r\nConnection: close%b" % (
        method,
        target.path_and_query.encode("ascii"),
        version,
        fields,
    )


def _with_close(head: bytes) -> bytes:
    status, _, fields = head.partition(b"\r\n")
    return b"%b\r\nConnection: close%b" % (status, _HOP_BY_HOP.sub(b"", b"\r\n" + fields))
