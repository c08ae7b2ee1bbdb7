"""One HTTP request, as the hot routes see it: what ASGI gives, read once, within bounds.

Bodies are counted while they stream, each against its route's cap and all together against one budget, so that
neither a lying Content-Length nor a crowd of large requests takes the process's memory (PROMISES P19).
Deadlines are the server's (``api/server.py``): a caller that stops sending is cut off there.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from hookline.api.connection import BODY
from hookline.api.errors import CallerGoneError, UnavailableError
from hookline.errors import InputError, MediaTypeError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]
    AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_UNDER_WAY: Final = 4096
"""Requests inside hot routes at once; more are told to come back. Commits of 512 drain this in a few milliseconds."""

MOST_HELD_BYTES: Final = 128 << 20
"""Bytes of bodies held at once by all requests together."""

_JSON_TYPES: Final = frozenset({b"application/json", b"application/json; charset=utf-8"})


class Budget:
    """What all requests together may hold. One per node."""

    __slots__ = ("held_bytes", "most_held_bytes", "most_under_way", "under_way")

    def __init__(self, most_under_way: int = MOST_UNDER_WAY, most_held_bytes: int = MOST_HELD_BYTES) -> None:
        self.most_under_way = most_under_way
        self.most_held_bytes = most_held_bytes
        self.under_way = 0
        self.held_bytes = 0

    def __repr__(self) -> str:
        return f"Budget(under_way={self.under_way}, held_bytes={self.held_bytes})"

    def enter(self) -> None:
        """Raises UnavailableError when there are too many already; else ``leave`` must follow."""
        if self.under_way >= self.most_under_way:
            raise _overloaded()
        self.under_way += 1

    def hold(self, size: int) -> None:
        if self.held_bytes + size > self.most_held_bytes:
            raise _overloaded()
        self.held_bytes += size

    def release(self, size: int) -> None:
        self.held_bytes -= size

    def reenter(self) -> None:
        """Count again what had left for a while: it was let in before."""
        self.under_way += 1

    def leave(self, size: int) -> None:
        self.under_way -= 1
        self.held_bytes -= size


def _overloaded() -> UnavailableError:
    return UnavailableError("The server has as much to do as it can hold; try again.", code="OVERLOADED")


class Inbound:
    """A request under way.

    headers: the last value of each header, names in lower case; a second Authorization is an InputError.
    held: bytes of its body that count against the budget.
    """

    __slots__ = ("_budget", "_receive", "headers", "held", "method", "path", "scope")

    def __init__(self, scope: Scope, receive: Receive, budget: Budget) -> None:
        self.scope = scope
        self._receive = receive
        self._budget = budget
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.held = 0
        headers = scope["headers"]
        self.headers: dict[bytes, bytes] = dict(headers)
        if len(self.headers) < len(headers) and [name for name, _ in headers].count(b"authorization") > 1:
            raise InputError(
                "There is more than one Authorization header.",
                field="Authorization",
                expected="one",
                received="several",
            )

    def __repr__(self) -> str:
        return f"Inbound({self.method} {self.path})"

    @property
    def remote_address(self) -> str:
        """The peer's IP, empty when unknown."""
        client = self.scope.get("client")
        return str(client[0]) if client else ""

    def check_declared_size(self, cap: int) -> None:
        """Refuse by Content-Length before a byte is read. Raises TooLargeError."""
        declared = self.headers.get(b"content-length")
        if declared is not None and declared.isdigit() and int(declared[:20]) > cap:
            raise too_large(cap)

    def check_encoding(self) -> None:
        """Raise MediaTypeError for a compressed body."""
        if self.headers.get(b"content-encoding", b"identity") != b"identity":
            # A compressed body can be a thousand times larger than what the cap counted.
            raise MediaTypeError(
                "Compressed request bodies are not accepted.", field="Content-Encoding", expected="identity"
            )

    def check_json(self) -> None:
        """Raise MediaTypeError unless the body is declared as plain JSON, or not declared at all."""
        self.check_encoding()
        declared = self.headers.get(b"content-type")
        if declared is None or declared in _JSON_TYPES:
            return
        kind = declared.partition(b";")[0].strip().lower()
        if kind != b"application/json" and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
            raise MediaTypeError(
                "The body must be sent as application/json.",
                field="Content-Type",
                expected="application/json",
                received=kind.decode("latin-1")[:100],
            )

    async def body(self, cap: int) -> bytes:
        """Return the whole body. Raises TooLargeError past the cap, UnavailableError past the common budget."""
        read_whole: Callable[[], bytes | None] | None = self.scope.get(BODY)
        whole = None if read_whole is None else read_whole()
        if whole is not None:
            self._count(len(whole), cap)
            return whole
        self.check_declared_size(cap)
        message = await self._next()
        first: bytes = message.get("body", b"")
        self._count(len(first), cap)
        if not message.get("more_body", False):
            return first
        chunks = [first]
        while message.get("more_body", False):
            message = await self._next()
            chunk = message.get("body", b"")
            self._count(len(chunk), cap)
            chunks.append(chunk)
        return b"".join(chunks)

    def hold(self, size: int) -> None:
        """Count bytes that are held against the common budget. Raises UnavailableError past it."""
        self._budget.hold(size)
        self.held += size

    def release(self, size: int) -> None:
        """Count bytes no longer, since they went elsewhere."""
        self._budget.release(size)
        self.held -= size

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, neither capped nor counted here: who keeps some of it says so with ``hold``."""
        more = True
        while more:
            message = await self._next()
            more = message.get("more_body", False)
            if chunk := message.get("body", b""):
                yield chunk

    @contextmanager
    def waiting(self) -> Iterator[asyncio.Task[None]]:
        """Wait for something that takes long, once the body is read: it does not count against the common budget.

        Yields a task that ends when the caller leaves; CallerGoneError is raised on the way out if it did.
        """
        self._budget.leave(self.held)
        self.held = 0
        leaving = asyncio.create_task(self._left())
        try:
            yield leaving
        finally:
            has_left = leaving.done()
            leaving.cancel()
            self._budget.reenter()
        if has_left:
            raise CallerGoneError("The caller left before it was answered.")

    async def _left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _next(self) -> dict[str, Any]:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise CallerGoneError("The caller left before the request was complete.")
        return message

    def _count(self, size: int, cap: int) -> None:
        if self.held + size > cap:
            raise too_large(cap)
        self.hold(size)


def too_large(cap: int) -> TooLargeError:
    return TooLargeError(f"The request body is larger than {cap} bytes.", expected=f"at most {cap} bytes")


_MOST_KEY_CHARACTERS: Final = 255


def idempotency_key(raw: bytes | None) -> str | None:
    """Return the value of an Idempotency-Key header, None when there is none. Raises InputError."""
    if raw is None:
        return None
    text = raw.decode("latin-1")
    if not 0 < len(text) <= _MOST_KEY_CHARACTERS or not text.isascii() or not text.isprintable():
        raise InputError(
            "An Idempotency-Key has 1 to 255 visible ASCII characters.",
            field="Idempotency-Key",
            expected="1 to 255 visible ASCII characters",
            received=f"{len(text)} characters"
            if text.isascii() and text.isprintable()
            else "other characters",
        )
    return text


def query_parameters(raw: bytes) -> list[tuple[str, str]]:
    """Return the parameters of a query string in order; what is not UTF-8 has replacement characters."""
    if not raw:
        return []
    if b"&" not in raw and b"%" not in raw and b"+" not in raw:
        name, equals, value = raw.decode("latin-1").partition("=")
        return [(name, value)] if equals else []
    try:
        return parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=200)
    except ValueError as exc:
        raise InputError(
            "The query has more than 200 parameters.", expected="at most 200 parameters"
        ) from exc
