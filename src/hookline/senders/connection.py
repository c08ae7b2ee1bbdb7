"""One HTTP/1.1 connection to a receiver: write a request, read one answer, within bounds.

The parser is httptools (llhttp, strict): two framings at once, a bare line feed or a folded header end the
connection. This module never chooses an address, opens a socket, retries or decides what an answer means.
Everything a receiver can make us hold is bounded here, while the bytes arrive: the head of the answer, the
number of interim answers, the body, and what chunked framing adds around it.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, cast

import httptools

from hookline import failpoints
from hookline.ports.sender import KEPT_ANSWER_BYTES

if TYPE_CHECKING:
    from typing import BinaryIO

# All header lines together, interim answers included: eight times what servers commonly send or accept.
_HEAD_BYTES = 64 * 1024
# Header lines: more than any honest receiver sends, and what aiohttp allows as well.
_HEADER_LINES = 128
# Interim answers (100, 102, 103): one or two are honest; a flood of them keeps a connection busy for nothing.
_INTERIM_ANSWERS = 8
# Bytes of one answer as they come off the wire. Chunks of one byte cost six each, so a body that we keep
# needs at most 400 KB; beyond that it is chunk extensions or trailers, which nobody reads.
_WIRE_BYTES = 1024 * 1024


class Intake:
    """Where the body of a file goes instead of into memory.

    file: open for writing.  room: bytes it may still get.  refusal: why it takes no more, None while it does.
    """

    __slots__ = ("_file", "most_bytes", "refusal", "room")

    def __init__(self, file: BinaryIO, most_bytes: int) -> None:
        self._file = file
        self.most_bytes = self.room = most_bytes
        self.refusal: str | None = None

    def take(self, data: bytes) -> bool:
        """Write; return whether more is welcome."""
        self.room -= len(data)
        if self.room < 0:
            self.refusal = f"it is larger than {self.most_bytes} bytes"
            return False
        try:
            self._file.write(data)
        except OSError as exc:
            self.refusal = f"it cannot be kept here: {exc.strerror}"
            return False
        return True


class Ending(Enum):
    """Why an exchange is over."""

    COMPLETE = "complete"
    CUT = "cut"
    EXPIRED = "expired"
    LOST = "lost"
    MALFORMED = "malformed"
    STOPPED = "stopped"


class _MalformedError(Exception):
    """The answer breaks a bound of ours; stops the parser in the middle of its input."""


class Connection(asyncio.Protocol):
    """A connection that carries one exchange at a time.

    address: the IP at its other end.  used_at, opened_at: ``time.monotonic`` seconds, kept by the pool.
    status: of the latest exchange, None before its status line was read.  headers: as received.
    is_answered: at least one byte came back in the latest exchange.
    """

    __slots__ = (
        "_body",
        "_body_size",
        "_done",
        "_early",
        "_has_no_body",
        "_intake",
        "_interim",
        "_is_keepable",
        "_loop",
        "_parser",
        "_received",
        "_transport",
        "address",
        "detail",
        "ending",
        "headers",
        "is_answered",
        "opened_at",
        "status",
        "used_at",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str, opened_at: float) -> None:
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[None] | None = None
        self._early = b""
        self._is_keepable = False
        self._has_no_body = False
        self._intake: Intake | None = None
        self._body: list[bytes] = []
        self._body_size = 0
        self._received = 0
        self._interim = 0
        self.address = address
        self.opened_at = opened_at
        self.used_at = opened_at
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_answered = False
        self.ending: Ending | None = None
        self.detail = ""

    def __repr__(self) -> str:
        state = "closed" if self._transport is None else "idle" if self._done is None else "busy"
        return f"<Connection to {self.address} {state}>"

    @property
    def is_reusable(self) -> bool:
        """Another exchange may follow: the last one ended cleanly and the receiver keeps the connection."""
        return self._is_keepable and self._transport is not None and not self._transport.is_closing()

    @property
    def body(self) -> bytes:
        """What was kept of the body of the latest answer."""
        return b"".join(self._body)

    async def exchange(
        self, head: bytes, body: bytes, *, has_no_body: bool = False, intake: Intake | None = None
    ) -> None:
        """Send a request and return when its answer is over, whatever the reason; see ``ending``.

        has_no_body: the answer has none although its headers may announce one (HEAD).  intake: where the body of a
        200 goes; that of any other answer is kept as usual.
        """
        transport = self._transport
        done = self._done = self._loop.create_future()
        self._is_keepable = False
        self._has_no_body = has_no_body
        self._intake = intake
        self._body = []
        self._body_size = self._received = self._interim = 0
        self.status = None
        self.headers = []
        self.is_answered = False
        self.ending = None
        if transport is None or transport.is_closing():
            self.end(Ending.LOST, "the receiver closed the connection")
        elif len(body) <= KEPT_ANSWER_BYTES:
            # One write, one packet: a separate small head would wait for an acknowledgement on some paths.
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        if self._early and transport is not None:
            transport.resume_reading()
            self.data_received(self._early)
        failpoints.hit("in_send")
        try:
            await done
        finally:
            self._intake = None
            if self.ending is None:  # cancelled
                self.end(Ending.STOPPED)

    def end(self, ending: Ending, detail: str = "") -> None:
        """End the exchange under way, if any; all but a complete answer aborts the connection."""
        if self.ending is None:
            self.ending = ending
            self.detail = detail
            done, self._done = self._done, None
            if done is not None and not done.done():
                done.set_result(None)
        if ending is not Ending.COMPLETE:
            self.abort()

    def forget(self) -> None:
        """Let go of the latest answer: idle connections would hold 64 KiB each."""
        self._body = []
        self.headers = []

    def expire(self) -> None:
        """The deadline has passed."""
        self.end(Ending.EXPIRED)

    def stop(self) -> None:
        """This node is closing."""
        self.end(Ending.STOPPED)

    def abort(self) -> None:
        """Drop the connection and what is still to be written.

        A mere close would wait for a receiver that does not read, for as long as the kernel keeps trying.
        """
        self._is_keepable = False
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's, so this cannot be an assert.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._done is None:
            self._take_unasked(data)
            return
        self.is_answered = True
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as exc:
            cause = exc.__context__
            self.end(Ending.MALFORMED, str(cause if isinstance(cause, _MalformedError) else exc))
            return
        except httptools.HttpParserUpgrade:
            self.end(Ending.MALFORMED, "it switches to another protocol")
            return
        if self.ending is None and self._received > _HEAD_BYTES:
            self._bound()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._is_keepable = False
        # The parser holds our methods: without this the two keep each other until the next collection.
        del self._parser
        if self._done is None:
            return
        if exc is None and self.status is not None and self._ends_with_connection():
            self.end(Ending.COMPLETE)
        elif exc is None:
            self.end(Ending.LOST, "the receiver closed the connection")
        else:
            self.end(Ending.LOST, "the connection was reset")

    # httptools callbacks

    def on_message_begin(self) -> None:
        # Bytes after a complete answer: not the start of anything that we asked for.
        if self.ending is not None:
            self._is_keepable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status is not None or self.ending is not None:
            return  # a trailer
        self.headers.append((name, value))
        if len(self.headers) > _HEADER_LINES:
            raise _MalformedError(f"it has more than {_HEADER_LINES} header lines")

    def on_headers_complete(self) -> None:
        if self.ending is not None:
            return
        status = self._parser.get_status_code()
        if 100 <= status <= 199 and status != 101:
            self._interim += 1
            self.headers = []
            if self._interim > _INTERIM_ANSWERS:
                raise _MalformedError(f"more than {_INTERIM_ANSWERS} interim answers came before it")
            return
        if status < 200:
            raise _MalformedError(f"its status {status} is none that ends a request")
        self.status = status
        if self._has_no_body:
            self.end(Ending.COMPLETE)

    def on_body(self, data: bytes) -> None:
        if self.ending is not None:
            return
        if self._intake is not None and self.status == 200:
            if not self._intake.take(data):
                self.end(Ending.CUT)
            return
        room = KEPT_ANSWER_BYTES - self._body_size
        if len(data) > room:
            self._body.append(data[:room])
            self.end(Ending.CUT)
            return
        self._body.append(data)
        self._body_size += len(data)

    def on_message_complete(self) -> None:
        if self.status is None or self.ending is not None:
            return
        transport = self._transport
        # An answer that came before the request was written leaves bytes that the next request would follow, and one
        # that came before there was a request may be followed by another to the same.
        self._is_keepable = (
            self._parser.should_keep_alive()
            and not self._early
            and transport is not None
            and transport.get_write_buffer_size() == 0
        )
        self.end(Ending.COMPLETE)

    def _take_unasked(self, data: bytes) -> None:
        if self.ending is None and not self._early and self._transport is not None:
            # A server that is full says so as soon as it is dialled: it is heard when the request is written.
            self._early = data
            self._transport.pause_reading()
        else:
            # Between two requests: an answer to no request must not become the answer to the next one.
            self.abort()

    def _bound(self) -> None:
        if self.status is None:
            self.end(Ending.MALFORMED, f"its headers exceed {_HEAD_BYTES // 1024} KiB")
        elif self._received > self._most_wire_bytes():
            self.end(Ending.CUT)

    def _most_wire_bytes(self) -> int:
        if self._intake is None or self.status != 200:
            return _WIRE_BYTES
        # Chunked framing may double a file of small chunks; one that is mostly framing is an attack on our time.
        return _WIRE_BYTES + 2 * self._intake.most_bytes

    def _ends_with_connection(self) -> bool:
        """RFC 9112 section 6.3: without length and chunks, the body ends where the connection does."""
        return not any(
            name.lower() == b"content-length"
            or (name.lower() == b"transfer-encoding" and value.lower().endswith(b"chunked"))
            for name, value in self.headers
        )
