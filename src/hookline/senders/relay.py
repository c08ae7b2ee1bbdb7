"""The proxy through which a robot's browser, a script or an agent's model client reaches the network: the guard dials
each connection.

A browser resolves names and follows redirects by itself, so checking the URLs that it is told to open would check
nothing. It is started with this as its only way out: names are resolved here, every address is judged and dialled by
``guard.py``, and what is refused is remembered with its reason. Plain requests are relayed one a connection, since a
browser shares a connection to its proxy between hosts; everything else is a tunnel.

A client that knows the relay's secret, where it has one, is told why a connection was not made: by the status line,
since that is all that clients keep of a tunnel that was refused, and by RFC 9209's Proxy-Status, which tells it from
an answer of the origin's. A browser is told nothing: it would show the answer as the page.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from base64 import b64decode
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
_LINGER_SECONDS: Final = 1.0
_PARTING_SECONDS: Final = 10.0
_HEAD_SECONDS: Final = 30.0

_MOST_CONNECTIONS: Final = 512
"""At once. A browser opens six a host; a page that wants more waits."""

_MOST_BYTES: Final = 2 << 30
"""Relayed in one run, both ways; past this every connection is closed."""

_MOST_REASONS: Final = 1000

_REASON_LETTERS: Final = 500
_UNPRINTABLE: Final = re.compile(r"[^ -~]")
"""What a status line cannot hold."""

_REFUSED: Final = (403, "destination_ip_prohibited")
_UNREACHED: Final = (502, "destination_unavailable")
"""Status and RFC 9209's word for what became of a connection."""

_CREDENTIAL: Final = re.compile(
    rb"\r\nProxy-Authorization:[ \t]*Basic ([A-Za-z0-9+/=]+)[ \t]*\r\n", re.IGNORECASE
)

_HOP_BY_HOP: Final = re.compile(
    rb"\r\n(?:Connection|Keep-Alive|Proxy-Connection|Proxy-Authorization)[ \t]*:[^\r\n]*", re.IGNORECASE
)


class _UndialledError(Exception):
    """No connection was made. kind: status and word for whoever may be told."""

    def __init__(self, host: str, reason: str, kind: tuple[int, str]) -> None:
        super().__init__(reason)
        self.host = host
        self.status, self.word = kind


class PageRelay:
    """A forward proxy on loopback, for one browser, or for all who know its secret.

    rule: which addresses may be dialled.  egress: the operator's proxy behind this one, None for none.
    secret: the password of whoever may use it, under any name; None for one that only its user can reach.
    most_bytes: relayed in its life, None for no bound.
    """

    def __init__(
        self,
        rule: AddressRule,
        egress: EgressProxy | None = None,
        *,
        secret: str | None = None,
        most_bytes: int | None = _MOST_BYTES,
    ) -> None:
        self._resolver = Resolver()
        guard = Guard(rule)
        self._door = guard if egress is None else Tunnels(guard, egress, self._resolver)
        self._server: asyncio.Server | None = None
        self._room = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._open: set[asyncio.Task[None]] = set()
        self._secret = None if secret is None else secret.encode()
        self._left = most_bytes
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
        if self._secret is not None and not _knows(head, self._secret):
            await _refuse(reader, writer, 407, "Proxy Authentication Required")
            return
        method, url, version = _request_line(head)
        is_tunnel = method == b"CONNECT"
        try:
            target = self._target(b"https://" + url + b"/" if is_tunnel else url)
            far_reader, far_writer = await self._dial(target)
        except _UndialledError as exc:
            self._note(exc.host, str(exc))
            if self._secret is not None:
                await _refuse(reader, writer, exc.status, str(exc), exc.word)
            elif is_tunnel:
                await _refuse(reader, writer, 502, "Bad Gateway")
            return
        try:
            if is_tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await self._both_ways(reader, writer, far_reader, far_writer)
            else:
                far_writer.write(_as_origin_sees_it(head, method, target, version))
                await self._one_exchange(reader, writer, far_reader, far_writer)
        finally:
            far_writer.close()

    def _target(self, url: bytes) -> Target:
        text = url.decode("latin-1")
        try:
            return parse_target(text)
        except InputError as exc:
            host = text
            with suppress(ValueError):
                host = urlsplit(text).hostname or text
            raise _UndialledError(host, exc.message, _REFUSED) from exc

    async def _dial(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, kind = target.ascii_host, _UNREACHED
        try:
            async with asyncio.timeout(_DIAL_SECONDS):
                addresses = (
                    (target.address,)
                    if target.address is not None
                    else await self._resolver.resolve(target.ascii_host, seconds=_DIAL_SECONDS)
                )
                dialled, _ = await self._door.dial(addresses, target.port)
        except AddressRefusedError as exc:
            reason, kind = str(exc), _REFUSED
        except (NameMissingError, NameFailedError) as exc:
            reason = f"The name {target.ascii_host} was not found: {exc}"
        except (OSError, TimeoutError, ExhaustedError, UnopenedError) as exc:
            reason = f"No connection to {target.authority}: {str(exc) or 'no answer in time'}"
        else:
            self._reasons.pop(host, None)
            loop = asyncio.get_running_loop()
            reader = asyncio.StreamReader(limit=_HEAD_BYTES, loop=loop)
            protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
            transport, _ = await loop.create_connection(lambda: protocol, sock=dialled)
            return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
        raise _UndialledError(host, reason, kind)

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
        sending = asyncio.create_task(self._pour(near, to_far))
        await self._until_parted(sending, asyncio.create_task(self._pour(far, to_near)))

    async def _one_exchange(
        self,
        near: asyncio.StreamReader,
        to_near: asyncio.StreamWriter,
        far: asyncio.StreamReader,
        to_far: asyncio.StreamWriter,
    ) -> None:
        """Send the request's body on, the answer back, and then close: the next may be for another host."""
        sending = asyncio.create_task(self._pour(near, to_far, closes=False))
        await self._until_parted(sending, asyncio.create_task(self._answer(far, to_near)))

    async def _answer(self, far: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        is_interim = True
        while is_interim:
            head = await far.readuntil(b"\r\n\r\n")
            is_interim = head[9:10] == b"1"
            to_near.write(head if is_interim else _with_close(head))
        await self._pour(far, to_near)

    async def _until_parted(self, sending: asyncio.Task[None], receiving: asyncio.Task[None]) -> None:
        """Wait for the far end's last word. Once the near end has said its own, only a while longer: it may be gone,
        and who hangs at the far end would hold a connection for ever.
        """
        try:
            await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                await asyncio.wait({receiving}, timeout=_PARTING_SECONDS)
        finally:
            sending.cancel()
            receiving.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)

    async def _pour(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, *, closes: bool = True
    ) -> None:
        while piece := await source.read(_PIECE):
            if self._left is not None:
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


def _knows(head: bytes, secret: bytes) -> bool:
    """Say whether a request brings the relay's secret."""
    found = _CREDENTIAL.search(head)
    try:
        given = b64decode(found.group(1)) if found is not None else b""
    except ValueError:
        return False
    return hmac.compare_digest(given.partition(b":")[2], secret)


async def _refuse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    status: int,
    reason: str,
    word: str | None = None,
) -> None:
    """Answer ourselves, and wait a moment for the other end to have read it: a close on what it still sends would
    take the answer away. word: RFC 9209's, for who may be told.
    """
    line = _UNPRINTABLE.sub("?", reason)[:_REASON_LETTERS]
    told = f"Proxy-Status: hookline; error={word}\r\n" if word is not None else ""
    answer = f"HTTP/1.1 {status} {line}\r\n{told}Content-Length: 0\r\nConnection: close\r\n\r\n"
    writer.write(answer.encode("ascii"))
    writer.write_eof()
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while await reader.read(_PIECE):
                pass


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
