"""One connection of a caller, who is not trusted to finish what it begins: deadlines and bounds over uvicorn's parser.

The protocol class of uvicorn is no public seam. The version is pinned, and test_server_hardening.py speaks to
it over raw sockets: after an upgrade, that suite decides.

Deadlines cost the hot path a few assignments: each connection carries the instant at which it is due, and the
server's one timer looks through all of them. uvicorn's own timer for idle connections is replaced by it.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from email.utils import formatdate
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, cast

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_NEVER = math.inf

WHOLE: Final = "hookline.whole"
"""In the scope of each request: ``write_whole`` of its answer. Two ASGI messages cost two system calls, and a
look at every header with two patterns each: a tenth of what it takes to accept an event and deliver it.
"""

BODY: Final = "hookline.body"
"""In the scope of each request: ``read_whole`` of its body, which nearly always came with the head."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one caller may take.

    header_seconds: from the connection, or the first byte of a later request, to the end of its header.
    body_seconds: from there to the end of the body, and one second more for each ``body_bytes_per_second``
    that arrived. Time in which the application does not read does not count.
    answer_seconds: how long a caller may leave a full write buffer unread.
    idle_seconds: a kept connection without a request; longer than the 60 s of common load balancers, so that
    the side that closes first is not the one that may just be writing.
    leaving_seconds: how long the answer to a caller that has closed its side may take: it may be listening still, as
    programs that pipe a request into a socket are, or be gone, which cannot be told apart before something is written.
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
    leaving_seconds: float = 2.0
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
    LEAVING = 4


class _Refusal(msgspec.Struct, frozen=True):
    """An answer that we give before the application is asked."""

    status: int
    reason: str
    code: str
    message: str
    extra: str = ""

    @property
    def wire(self) -> bytes:
        details = {"field": None, "expected": None, "received": None}
        error = {"code": self.code, "message": self.message, "details": details}
        body = msgspec.json.encode({"success": False, "error": error})
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


class State(ServerState):
    """What all connections of one server share."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self.connections: set[Protocol] = set()  # type: ignore[assignment]
        self.by_address: Counter[str] = Counter()
        self.drained = asyncio.Event()
        self.is_stopping = False
        self.date_line = b""

    def tell_time(self) -> None:
        """Refresh the date that goes into every answer."""
        date = formatdate(usegmt=True).encode("ascii")
        self.default_headers = [(b"date", date)]
        self.date_line = b"date: %b\r\n" % date


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol with deadlines and bounds."""

    server_state: State
    connections: set[Protocol]  # type: ignore[assignment]

    def __init__(self, config: Config, state: State, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config=config, server_state=state, app_state={}, _loop=loop)
        self._limits = state.limits
        self._phase = _Phase.HEADER
        self._due = loop.time() + state.limits.header_seconds
        # Bytes of the latest read, of the read in which the message began, and of those that followed it.
        self._read = self._first_read = self._received = 0
        self._is_offer = False
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
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as exc:
                self._pass_over_offer(memoryview(data)[exc.args[0] :])
        except httptools.HttpParserError as exc:
            is_too_large = isinstance(exc.__context__, _HeaderTooLargeError)
            self._refuse(_TOO_LARGE if is_too_large else _MALFORMED)
            return
        if self._phase is _Phase.HEADER and self._received > self._limits.header_bytes:
            self._refuse(_TOO_LARGE)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The caller says no more. Return whether it may still hear the answer."""
        cycle = self.cycle
        if not self._is_busy or cycle.more_body or cycle.response_started:
            return False
        cycle.keep_alive = False
        self._phase = _Phase.LEAVING
        self._due = self.loop.time() + self._limits.leaving_seconds
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        due = self.loop.time() + self._limits.answer_seconds
        self._due = due if self._phase is _Phase.LEAVING else min(self._due, due)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._phase in (_Phase.ANSWER, _Phase.LEAVING):
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
        self._is_offer = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._is_offer:
            return
        limits = self._limits
        if len(self.headers) > limits.header_lines:
            raise _HeaderTooLargeError
        at_most = self._first_read + self._received
        if at_most > limits.header_bytes and self._header_size() > limits.header_bytes:
            raise _HeaderTooLargeError
        self._phase = _Phase.BODY
        self._due = self.loop.time() + limits.body_seconds
        super().on_headers_complete()
        cycle = self.cycle
        if self.server_state.is_stopping:
            cycle.keep_alive = False
        scope = cast("dict[str, Any]", cycle.scope)
        scope[WHOLE], scope[BODY] = self.write_whole, self.read_whole

    def on_body(self, body: bytes) -> None:
        self._due += len(body) / self._limits.body_bytes_per_second
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._is_offer:
            return
        super().on_message_complete()
        if self.cycle.response_complete:
            self._rest()
        else:
            self._phase = _Phase.ANSWER
            self._due = _NEVER

    def _pass_over_offer(self, rest: memoryview) -> None:
        """Read a request that offers another protocol as one that does not (RFC 9110 section 7.8).

        The parser takes what follows the head for the other protocol, so a new one gets the head without the offer.
        rest: what came behind the head. Nothing is done about CONNECT: it is served as it stands.
        """
        while self._is_offer:
            method, version = self.parser.get_method(), self.parser.get_http_version().encode()
            lines = [b"%b: %b\r\n" % line for line in self.headers if line[0] != b"upgrade"]
            head = b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(lines))
            self.parser = httptools.HttpRequestParser(self)
            self.parser.feed_data(head)
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as exc:
                rest = rest[exc.args[0] :]

    # Shortcuts

    def read_whole(self) -> bytes | None:
        """The request's body, if all of it is here. None: nothing was done, and it comes in ASGI's messages."""
        cycle = self.cycle
        if (
            self.pipeline  # then the cycle is not that of the request that asks
            or cycle.more_body
            or cycle.disconnected
            or cycle.response_complete
            or cycle.waiting_for_100_continue
        ):
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        cycle.message_event.clear()
        self.flow.resume_reading()
        return body

    def write_whole(self, status: int, head: bytes, body: bytes) -> bool:
        """Answer with one write. False: nothing was done, because this answer needs ASGI's messages.

        head: whole header lines, known to be clean, with the body's length among them.
        """
        cycle = self.cycle
        if (
            self.pipeline
            or self.flow.write_paused
            or cycle.response_started
            or cycle.scope["method"] == "HEAD"
        ):
            return False  # with more in the pipeline, the cycle is not that of the request that is answered
        if cycle.disconnected:
            return True
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        close = b"" if cycle.keep_alive else b"connection: close\r\n"
        date = self.server_state.date_line
        self.transport.write(b"%b%b%b%b\r\n%b" % (STATUS_LINE[status], date, head, close, body))
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

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
        elif self._phase is _Phase.LEAVING and self.cycle.response_started:
            self._due = _NEVER
        elif self._phase in (_Phase.IDLE, _Phase.LEAVING) or not self._read:
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
