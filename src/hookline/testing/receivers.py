"""Receivers of webhooks for tests, demonstrations and benchmarks: plain ones and hostile ones.

``async with Receiver() as receiver`` listens on ``receiver.url`` and records what comes. What it answers is a
script: a ``Reply`` for each request in turn, then ``default`` for all others, or a function of the request.
It is fast when it behaves (one write for each request) and knows the ways in which real receivers do not.
Never use it to receive anything that matters: it keeps everything in memory and acknowledges at once.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Self, cast

import httptools
import msgspec

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

# One write of an endless or hostile answer: large enough that Python is not what limits the flood.
_BLOCK = b"x" * 16_384
# A reset instead of a normal close: SO_LINGER on, zero seconds.
_LINGER_RESET = struct.pack("ii", 1, 0)


class Received(msgspec.Struct, frozen=True, gc=False):
    """One request as it came.

    target: path and query, byte for byte.  headers: names in the sender's spelling, in order.
    at: seconds of ``time.monotonic``.  connection: counts connections from 1.
    """

    method: str
    target: bytes
    headers: tuple[tuple[str, str], ...]
    body: bytes
    at: float
    connection: int

    def header(self, name: str) -> str | None:
        """The value of the first header of that name in any spelling, or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


class Reply(msgspec.Struct, frozen=True):
    """What to do with one request. The class methods below name the usual and the hostile ones.

    raw: bytes to send instead of a status line, headers and body, None to build them.
    delay_seconds: waited before the first byte.
    drip_seconds: pause between single bytes of the body, 0.0 for all at once.
    is_endless: blocks follow the body for as long as they are taken.
    then: what happens after the last byte: ``keep`` the connection, ``close`` it, ``reset`` it, or ``hang``.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    raw: bytes | None = None
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    is_endless: bool = False
    then: str = "keep"

    @classmethod
    def drip(cls, body: bytes = b"x" * 1000, *, seconds: float = 0.05) -> Reply:
        """Send the body one byte at a time."""
        return cls(body=body, drip_seconds=seconds)

    @classmethod
    def endless(cls) -> Reply:
        """A body without length that never ends."""
        return cls(raw=b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", is_endless=True)

    @classmethod
    def reset(cls) -> Reply:
        """RST instead of an answer."""
        return cls(raw=b"", then="reset")

    @classmethod
    def vanish(cls) -> Reply:
        """FIN instead of an answer."""
        return cls(raw=b"", then="close")

    @classmethod
    def hang(cls) -> Reply:
        """Read the request, answer nothing, keep the connection."""
        return cls(raw=b"", then="hang")

    @classmethod
    def hang_in_body(cls, status: int = 200) -> Reply:
        """Promise 1,000 bytes, send ten, fall silent."""
        return cls(raw=b"HTTP/1.1 %d Yes\r\nContent-Length: 1000\r\n\r\n0123456789" % status, then="hang")

    @classmethod
    def break_in_body(cls, status: int = 200) -> Reply:
        """Promise 1,000 bytes, send ten, reset."""
        return cls(raw=b"HTTP/1.1 %d Yes\r\nContent-Length: 1000\r\n\r\n0123456789" % status, then="reset")

    @classmethod
    def bomb(cls, megabytes: int = 100) -> Reply:
        """A small gzip body that unpacks to this many megabytes."""
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        zeros = bytes(1_000_000)
        body = b"".join(packer.compress(zeros) for _ in range(megabytes)) + packer.flush()
        return cls(headers=(("Content-Encoding", "gzip"),), body=body)

    @classmethod
    def many_headers(cls, count: int = 10_000) -> Reply:
        """An answer with this many header lines."""
        return cls(headers=tuple((f"X-Filler-{n}", "y" * 20) for n in range(count)))

    @classmethod
    def long_header(cls, size: int = 50_000_000) -> Reply:
        """An answer with one header value of this many bytes."""
        return cls(headers=(("X-Long", "y" * size),))

    @classmethod
    def bad_status_line(cls) -> Reply:
        """Something that is not HTTP."""
        return cls(raw=b"220 mail.example ESMTP ready\r\n", then="close")

    @classmethod
    def flood_of_hints(cls, count: int = 200_000) -> Reply:
        """This many 103 answers and never a final one."""
        return cls(raw=b"HTTP/1.1 103 Early Hints\r\n\r\n" * count, then="hang")

    @classmethod
    def redirect(cls, location: str, status: int = 302) -> Reply:
        """Point somewhere else."""
        return cls(status=status, headers=(("Location", location),))

    @property
    def is_plain(self) -> bool:
        """Can go out in one write without waiting."""
        return not (self.delay_seconds or self.drip_seconds or self.is_endless) and self.then == "keep"

    def head(self) -> bytes:
        """Status line and headers, with the length of the body."""
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.status >= 200 and self.status != 204:
            lines.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def wire(self) -> bytes:
        """All bytes of the answer."""
        return self.raw if self.raw is not None else self.head() + self.body


Answerer = Callable[[Received], Reply]


class Receiver:
    """Listens, records and answers. Use it with ``async with``.

    replies: answers for the first requests, in the order in which they come over all connections.
    default: the answer after those, or a function of the request.
    is_silent: accept connections and read nothing, so that neither TLS nor HTTP ever begins.
    keeps: record requests in ``received``; a benchmark that only counts turns it off.
    """

    def __init__(
        self,
        replies: Iterable[Reply] = (),
        *,
        default: Reply | Answerer | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        is_silent: bool = False,
        keeps: bool = True,
    ) -> None:
        self.received: list[Received] = []
        self.count = 0
        self.connections = 0
        self.is_silent = is_silent
        self._script = deque(replies)
        self._default: Reply | Answerer = default if default is not None else Reply()
        self._wires: dict[int, tuple[Reply, bytes]] = {}
        self._address = (host, port)
        self._ssl = ssl_context
        self._keeps = keeps
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()
        self._arrival = asyncio.Event()

    @property
    def port(self) -> int:
        return self._address[1]

    @property
    def origin(self) -> str:
        host, port = self._address
        return f"{'https' if self._ssl else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def url(self) -> str:
        return self.origin + "/webhook"

    @property
    def open_connections(self) -> int:
        return len(self._open)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), *self._address, ssl=self._ssl, backlog=1024
        )
        self._address = self._server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Refuse new connections and abort the open ones."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._open):
            connection.abort()
        await asyncio.sleep(0)

    async def wait_for(self, count: int, *, seconds: float = 5.0) -> list[Received]:
        """Return what was received as soon as it is that many. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while self.count < count:
                self._arrival.clear()
                await self._arrival.wait()
        return self.received

    def reply_to(self, request: Received) -> Reply:
        """Record the request and choose its answer."""
        self.count += 1
        if self._keeps:
            self.received.append(request)
        self._arrival.set()
        if self._script:
            return self._script.popleft()
        return self._default(request) if callable(self._default) else self._default

    def wire_of(self, reply: Reply) -> bytes:
        """Bytes of a reply, built once for the default one."""
        known = self._wires.get(id(reply))
        if known is not None:
            return known[1]
        wire = reply.wire()
        if reply is self._default:
            # The reply is kept beside its bytes so that its id cannot pass to another.
            self._wires[id(reply)] = (reply, wire)
        return wire


class _Connection(asyncio.Protocol):
    """One connection: parses with httptools, answers in order."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Received] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's, so this cannot be an assert.
        self._transport = cast("asyncio.Transport", transport)
        self._receiver.connections += 1
        self._number = self._receiver.connections
        self._receiver._open.add(self)  # noqa: SLF001 -- one module, two halves
        if self._receiver.is_silent:
            # uvloop starts to read after this method, and would undo a pause made in it.
            asyncio.get_running_loop().call_soon(self._transport.pause_reading)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        self._receiver._open.discard(self)  # noqa: SLF001 -- one module, two halves
        self._writable.set()
        if self._task is not None:
            self._task.cancel()

    def abort(self) -> None:
        self._transport.abort()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if self._receiver.is_silent:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            self._transport.close()

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        request = Received(
            self._parser.get_method().decode(),
            self._target,
            tuple(self._headers),
            b"".join(self._body),
            time.monotonic(),
            self._number,
        )
        if self._task is not None:
            self._waiting.append(request)
            return
        self._answer(request)

    def _answer(self, request: Received) -> None:
        reply = self._receiver.reply_to(request)
        if not reply.is_plain:
            self._task = asyncio.get_running_loop().create_task(self._play(reply))
            return
        self._transport.write(self._receiver.wire_of(reply))
        if not self._parser.should_keep_alive():
            self._transport.close()

    async def _play(self, reply: Reply) -> None:
        if reply.delay_seconds:
            await asyncio.sleep(reply.delay_seconds)
        await self._write(reply)
        while reply.is_endless and not self._transport.is_closing():
            self._transport.write(_BLOCK)
            await self._writable.wait()
            await asyncio.sleep(0)
        self._end(reply.then)

    async def _write(self, reply: Reply) -> None:
        if not reply.drip_seconds:
            self._transport.write(reply.wire())
            return
        self._transport.write(reply.head())
        for byte in reply.body:
            self._transport.write(bytes((byte,)))
            await asyncio.sleep(reply.drip_seconds)

    def _end(self, then: str) -> None:
        if then == "hang":
            return
        if then == "reset":
            with suppress(OSError):
                self._transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET
                )
            self._transport.abort()
        elif then == "close":
            self._transport.close()
        self._task = None
        while self._waiting and self._task is None:
            self._answer(self._waiting.popleft())


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
