"""Serve HTTP to callers, none of whom is trusted to finish what they begin.

uvicorn's httptools protocol parses (strictly: two framings at once, a bare line feed or a folded header are
400) and runs the application; this module adds what uvicorn leaves out: deadlines for header, body, answer
and idleness, bounds for the header, caps for connections, and a stop that keeps its word. It installs no
signal handler, writes no log of its own and never exits the process.

The protocol class of uvicorn is no public seam. The version is pinned, and test_server_hardening.py speaks to
it over raw sockets: after an upgrade, that suite decides.

Deadlines cost the hot path a few assignments: each connection carries the instant at which it is due, and one
timer looks through all of them. uvicorn's own timer for idle connections is replaced by it.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections import Counter
from contextlib import suppress
from email.utils import formatdate
from enum import IntEnum
from typing import TYPE_CHECKING, Any, cast

import httptools
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    Application = Callable[[Any, Any, Any], Awaitable[None]]

# How often due connections are looked for, at most; a tenth of the shortest deadline if that is less.
_SWEEP_SECONDS = 0.5
# How long tasks that were cancelled when the grace was over have to let go.
_CANCEL_SECONDS = 1.0
_BACKLOG = 2048
_NEVER = math.inf


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one caller may take.

    header_seconds: from the connection, or the first byte of a later request, to the end of its header.
    body_seconds: from there to the end of the body, and one second more for each ``body_bytes_per_second``
    that arrived. Time in which the application does not read does not count.
    answer_seconds: how long a caller may leave a full write buffer unread.
    idle_seconds: a kept connection without a request; longer than the 60 s of common load balancers, so that
    the side that closes first is not the one that may just be writing.
    linger_seconds: how long a server that stops leaves such connections open, for the same reason: a request that
    comes meanwhile is answered, and told that it was the last one.
    header_bytes, header_lines: more is 431.
    connections, connections_per_address: more is 503. Addresses in ``uncounted`` have no cap of their own: a
    reverse proxy on this machine brings everyone's requests.
    """

    header_seconds: float = 10.0
    body_seconds: float = 30.0
    body_bytes_per_second: float = 16_384.0
    answer_seconds: float = 30.0
    idle_seconds: float = 75.0
    linger_seconds: float = 0.3
    header_bytes: int = 64 * 1024
    header_lines: int = 100
    connections: int = 8192
    connections_per_address: int = 512
    uncounted: frozenset[str] = frozenset({"127.0.0.1", "::1"})


class _Phase(IntEnum):
    IDLE = 0
    HEADER = 1
    BODY = 2
    ANSWER = 3


class _Refusal(msgspec.Struct, frozen=True):
    """An answer that we give before the application is asked."""

    status: int
    reason: str
    code: str
    message: str
    extra: str = ""

    @property
    def wire(self) -> bytes:
        body = msgspec.json.encode({"success": False, "error": {"code": self.code, "message": self.message}})
        head = (
            f"HTTP/1.1 {self.status} {self.reason}\r\ncontent-type: application/json\r\n{self.extra}"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        return head.encode("ascii") + body


_MALFORMED = _Refusal(400, "Bad Request", "BAD_REQUEST", "The request is not valid HTTP/1.1.").wire
_LATE = _Refusal(408, "Request Timeout", "REQUEST_TIMEOUT", "The request did not arrive in time.").wire
_TOO_LARGE = _Refusal(
    431, "Request Header Fields Too Large", "HEADERS_TOO_LARGE", "The request header is too large."
).wire
_FULL = _Refusal(
    503, "Service Unavailable", "TOO_MANY_CONNECTIONS", "Too many connections.", "retry-after: 1\r\n"
).wire


class _HeaderTooLargeError(Exception):
    """Stops the parser in the middle of a header."""


class _State(ServerState):
    """What all connections of one server share."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self.connections: set[_Protocol] = set()  # type: ignore[assignment]
        self.by_address: Counter[str] = Counter()
        self.drained = asyncio.Event()
        self.is_stopping = False


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol with deadlines and bounds."""

    server_state: _State
    connections: set[_Protocol]  # type: ignore[assignment]

    def __init__(self, config: Config, state: _State, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config=config, server_state=state, app_state={}, _loop=loop)
        self._limits = state.limits
        self._phase = _Phase.HEADER
        self._due = loop.time() + state.limits.header_seconds
        # Bytes of the latest read, of the read in which the message began, and of those that followed it.
        self._read = self._first_read = self._received = 0
        self._address: str | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        state, limits = self.server_state, self._limits
        address = self.client[0] if self.client else ""
        is_full = len(state.connections) > limits.connections
        if address not in limits.uncounted:
            self._address = address
            state.by_address[address] += 1
            is_full = is_full or state.by_address[address] > limits.connections_per_address
        if is_full:
            self._refuse(_FULL)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        state = self.server_state
        if self._address is not None:
            state.by_address[self._address] -= 1
            if not state.by_address[self._address]:
                del state.by_address[self._address]
        if not state.connections:
            state.drained.set()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._read = len(data)
        self._received += self._read
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as exc:
            is_too_large = isinstance(exc.__context__, _HeaderTooLargeError)
            self._refuse(_TOO_LARGE if is_too_large else _MALFORMED)
            return
        except httptools.HttpParserUpgrade:
            return  # we speak nothing else: the request is served as it stands
        if self._phase is _Phase.HEADER and self._received > self._limits.header_bytes:
            self._refuse(_TOO_LARGE)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._due = min(self._due, self.loop.time() + self._limits.answer_seconds)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._phase is _Phase.ANSWER:
            self._due = _NEVER
        elif self._phase is _Phase.IDLE:
            self._rest()

    # httptools callbacks

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._phase is not _Phase.HEADER:
            self._phase = _Phase.HEADER
            self._due = self.loop.time() + self._limits.header_seconds
        # This read may hold the end of the message before: what of it is ours is not known here.
        self._first_read = self._read
        self._received = 0

    def on_headers_complete(self) -> None:
        limits = self._limits
        if len(self.headers) > limits.header_lines:
            raise _HeaderTooLargeError
        at_most = self._first_read + self._received
        if at_most > limits.header_bytes and self._header_size() > limits.header_bytes:
            raise _HeaderTooLargeError
        self._phase = _Phase.BODY
        self._due = self.loop.time() + limits.body_seconds
        super().on_headers_complete()
        if self.server_state.is_stopping:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._due += len(body) / self._limits.body_bytes_per_second
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self.cycle.response_complete:
            self._rest()
        else:
            self._phase = _Phase.ANSWER
            self._due = _NEVER

    # Ends

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._due = self.loop.time() + self._limits.answer_seconds
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._phase is _Phase.ANSWER:
            self._rest()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 -- uvicorn's signature
        self._refuse(_MALFORMED)

    def look(self, now: float) -> None:
        """End the connection if it is due, unless it is we who do not go on."""
        if self._due > now:
            return
        if self.transport.is_closing() or self.flow.write_paused:
            # The caller does not take what we have written.
            self.transport.abort()
        elif self.flow.read_paused or (self._phase is _Phase.HEADER and self._is_busy):
            # The request after the one that is being answered: its time has not begun.
            self._due = now + self._limits.header_seconds
        elif self._phase is _Phase.IDLE or not self._read:
            self._close()
        else:
            self._refuse(_LATE)

    def shutdown(self) -> None:
        """Close now if nothing is asked, else after the answer that is under way."""
        if self._is_busy:
            self.cycle.keep_alive = False
        else:
            self._close()

    @property
    def _is_busy(self) -> bool:
        """A request is with the application. uvicorn's types hide that there is none at first."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete

    def _rest(self) -> None:
        self._phase = _Phase.IDLE
        limits = self._limits
        seconds = limits.answer_seconds if self.flow.write_paused else limits.idle_seconds
        self._due = self.loop.time() + seconds

    def _refuse(self, wire: bytes) -> None:
        """Answer in the application's place and close; say nothing where an answer has begun already."""
        if self._is_busy:
            if self.cycle.response_started:
                self.transport.abort()
                return
            # The application must not add its own answer to ours.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(wire)
        self._close()

    def _close(self) -> None:
        # Should the caller not take what is still to be written, the next look finds it due again.
        self._due = self.loop.time() + self._limits.answer_seconds
        self.transport.close()

    def _header_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)


class HttpServer:
    """An HTTP server in the running event loop.

    app: ASGI 3.  sock: a bound socket to listen on, which is then ours to close; else host and port are
    bound, with ``shares_port`` so that several processes can (SO_REUSEPORT). The port is known before
    ``start``. Raises OSError when the address cannot be bound.
    """

    def __init__(
        self,
        app: Application,
        *,
        sock: socket.socket | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        shares_port: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits if limits is not None else Limits()
        self._socket = sock if sock is not None else _bind(host, port, shares_port=shares_port)
        self.port: int = self._socket.getsockname()[1]
        self._config = Config(
            app,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        self._state: _State | None = None
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        shortest = min(
            self._limits.header_seconds,
            self._limits.body_seconds,
            self._limits.answer_seconds,
            self._limits.idle_seconds,
        )
        self._sweep_seconds = min(_SWEEP_SECONDS, shortest / 10)

    def __repr__(self) -> str:
        return f"<HttpServer port={self.port} connections={self.connections}>"

    @property
    def connections(self) -> int:
        """Open connections, idle ones included."""
        return len(self._state.connections) if self._state is not None else 0

    async def start(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        self._config.load()
        state = self._state = _State(self._limits)
        self._sweep()
        self._server = await loop.create_server(
            lambda: _Protocol(self._config, state, loop), sock=self._socket, backlog=_BACKLOG
        )

    async def stop(self, grace_seconds: float) -> None:
        """Accept no more, let what is asked be answered within the grace, close idle connections after a moment.

        What is left after the grace is cancelled and cut off. Safe to call twice.
        """
        state = self._state
        if state is None or self._server is None:
            self._socket.close()
            return
        if not state.is_stopping:
            state.is_stopping = True
            await self._stop_listening(self._server, state)
        lingering = min(self._limits.linger_seconds, grace_seconds)
        await _drained(state, lingering)
        for connection in tuple(state.connections):
            connection.shutdown()
        await _drained(state, grace_seconds - lingering)
        await self._cut_off(state)
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def _stop_listening(self, server: asyncio.Server, state: _State) -> None:
        """Close the listening socket, and take over the connections that nobody has accepted yet.

        The kernel has told their callers that they are connected, and would reset them with the socket.
        """
        loop = asyncio.get_running_loop()
        last_hold = self._socket.dup()
        last_hold.setblocking(False)
        server.close()
        accepted = []
        with last_hold, suppress(OSError):  # there is none left
            while True:
                accepted.append(last_hold.accept()[0])
        for connection in accepted:
            connection.setblocking(False)
            with suppress(OSError):  # it has gone already
                await loop.connect_accepted_socket(lambda: _Protocol(self._config, state, loop), connection)

    async def _cut_off(self, state: _State) -> None:
        for connection in tuple(state.connections):
            connection.transport.abort()
        tasks = tuple(state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
        # One turn of the loop for the transports to report that they are gone.
        await asyncio.sleep(0)

    def _sweep(self) -> None:
        """End what is due and refresh the date that goes into every answer."""
        assert self._state is not None
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode("ascii"))]
        for connection in tuple(self._state.connections):
            connection.look(now)
        self._sweeper = loop.call_later(self._sweep_seconds, self._sweep)


async def _drained(state: _State, seconds: float) -> None:
    """Wait until no connection is left, but no longer than so."""
    if state.connections:
        state.drained.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(state.drained.wait(), seconds)


def _bind(host: str, port: int, *, shares_port: bool) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound
