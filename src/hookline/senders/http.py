"""Send one HTTP request to a receiver and say how it ended: what this cannot do is fail.

The path of an attempt: word the head, take an idle connection or open one (name, guard, connect, TLS),
exchange, classify. Every receiver is treated as hostile: the bounds are in connection.py, the addresses in
guard.py. It does worse than a general client: HTTP/1.1 only, no cookies or decompression; a proxy only where the
operator names one (proxy.py), redirects only as redirects.py allows.
This module never signs, never retries on a schedule and never stores.

It uses httptools and the event loop directly instead of an HTTP client: over aiohttp's public interface the
same path took three times the processor time (50 us against 15), interim answers were queued without bound,
and a connection that was given up lingered for as long as its receiver did not read.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from hookline import __version__
from hookline.core.addresses import parse_target
from hookline.core.parameters import add_parameter
from hookline.errors import InputError
from hookline.model.states import AttemptOutcome
from hookline.ports.sender import FETCH_REDIRECTS, Answer, Outgoing
from hookline.senders import tls
from hookline.senders.connection import Connection, Ending, Intake
from hookline.senders.deadlines import Deadlines
from hookline.senders.dns import NameFailedError, NameMissingError, Resolver
from hookline.senders.failures import UnopenedError, connect_failure, stopping, tls_failure
from hookline.senders.guard import AddressRefusedError, AddressRule, ExhaustedError, Guard
from hookline.senders.pool import Pool
from hookline.senders.proxy import Tunnels
from hookline.senders.redirects import follow
from hookline.senders.wording import Wording

if TYPE_CHECKING:
    from collections.abc import Coroutine, Hashable
    from typing import BinaryIO

    from hookline.senders.proxy import EgressProxy

# Destinations remembered, one for each URL: parsing a URL anew would cost as much as the rest of the request.
_DESTINATIONS = 4096
_BY_ENDING = {
    Ending.EXPIRED: AttemptOutcome.TIMEOUT,
    Ending.LOST: AttemptOutcome.CONNECTION_LOST,
    Ending.MALFORMED: AttemptOutcome.BAD_RESPONSE,
    Ending.STOPPED: AttemptOutcome.INTERRUPTED,
}


class _Destination(msgspec.Struct, frozen=True):
    """What is needed of a URL.

    origin: scheme, host and port, the key under which connections are shared.
    target: from the blank after the method to the end of the Host line.
    literal: the host itself when it is an IP address, else None.
    """

    origin: tuple[str, str, int]
    target: str
    host: str
    port: int
    is_tls: bool
    literal: str | None


class HttpSender:
    """A ``Sender`` over HTTP/1.1.

    rule: the operator's address policy.  resolver: for tests; its own otherwise.  proxy: None to connect directly.
    """

    def __init__(
        self,
        rule: AddressRule,
        *,
        resolver: Resolver | None = None,
        proxy: EgressProxy | None = None,
        user_agent: str = f"Hookline/{__version__}",
    ) -> None:
        self._resolver = resolver if resolver is not None else Resolver()
        guard = Guard(rule)
        self._door = guard if proxy is None else Tunnels(guard, proxy, self._resolver)
        self._tls = tls.TlsContexts()
        self._pool = Pool()
        self._wording = Wording(user_agent)
        self._destinations: dict[str, _Destination] = {}
        self._busy = Deadlines()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<HttpSender busy={len(self._busy)} idle={len(self._pool)}>"

    def send(self, request: Outgoing) -> Coroutine[Any, Any, Answer]:
        """Send it and read the answer; see ``ports.sender.Sender``."""
        return follow(self._send_once, request)

    async def fetch(self, url: str, file: BinaryIO, *, most_bytes: int, timeout_seconds: float) -> Answer:
        """Get a file into an open one; see ``ports.sender.Fetcher``."""
        intake = Intake(file, most_bytes)
        request = Outgoing(
            url=url, method="GET", timeout_seconds=timeout_seconds, max_redirects=FETCH_REDIRECTS
        )
        answer = await follow(partial(self._send_once, intake=intake), request)
        if answer.outcome is not AttemptOutcome.DELIVERED:
            return answer
        why = intake.refusal
        if why is None and answer.is_cut:
            why = "it broke off"
        if why is None and answer.status != 200:
            why = f"the answer {answer.status} has none"
        if why is None:
            return answer
        return msgspec.structs.replace(
            answer, outcome=AttemptOutcome.BAD_RESPONSE, error=f"The file was not taken: {why}."
        )

    async def _send_once(self, request: Outgoing, *, intake: Intake | None = None) -> Answer:
        started = time.monotonic()
        url = request.url
        if request.query_secret is not None:
            url = add_parameter(url, request.query_secret)
        try:
            destination = self._destinations.get(url) or self._learn(url)
            head = self._wording.head(destination.target, request)
        except InputError as exc:
            return _unopened(UnopenedError(AttemptOutcome.NOT_SENT, exc.message), started)
        key: Hashable = destination.origin if request.tls is None else (destination.origin, request.tls)
        connection = self._pool.take(key)
        if connection is not None:
            await self._exchange(connection, head, request, started, intake)
            if connection.ending is not Ending.LOST or connection.is_answered:
                return self._answer(connection, key, started)
            # The receiver closed it while it was idle, just as we wrote (RFC 9112 section 9.3.1). Not one
            # byte came back, so it is asked once more, on a connection of its own.
        try:
            connection = await self._open(destination, request, started)
            if self._is_closed:
                connection.stop()
                raise stopping()
        except UnopenedError as exc:
            return _unopened(exc, started)
        await self._exchange(connection, head, request, started, intake)
        return self._answer(connection, key, started)

    async def close(self) -> None:
        """Close idle connections and end the requests under way as interrupted."""
        self._is_closed = True
        self._pool.close()
        self._busy.close()
        for connection in tuple(self._busy):
            connection.stop()
        self._resolver.close()

    def drop_idle(self) -> None:
        """Close idle connections, because the rule they were opened under has changed."""
        self._pool.drop_all()

    async def _exchange(
        self,
        connection: Connection,
        head: bytes,
        request: Outgoing,
        started: float,
        intake: Intake | None,
    ) -> None:
        self._busy.add(connection, started + request.timeout_seconds)
        try:
            await connection.exchange(head, request.body, has_no_body=request.method == "HEAD", intake=intake)
        finally:
            self._busy.discard(connection)

    def _answer(self, connection: Connection, key: Hashable, started: float) -> Answer:
        status = connection.status
        ending = connection.ending
        headers = tuple(
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in connection.headers]
        )
        location = None
        if ending is Ending.COMPLETE or ending is Ending.CUT:
            assert status is not None
            outcome = _outcome_of(status)
            error = None if outcome is AttemptOutcome.DELIVERED else f"The receiver answered {status}."
            if outcome is AttemptOutcome.REDIRECT:
                location = next((value for name, value in headers if name.lower() == "location"), None)
        else:
            assert ending is not None
            outcome = _BY_ENDING[ending]
            error = _sentence(connection, started)
        answer = Answer(
            outcome,
            status,
            error,
            connection.address,
            _milliseconds_since(started),
            headers if status is not None else (),
            connection.body,
            status is not None and ending is not Ending.COMPLETE,
            location,
        )
        if ending is Ending.COMPLETE:
            self._pool.give(key, connection)
        return answer

    def _learn(self, url: str) -> _Destination:
        """Parse a URL and remember what it says. Raises InputError."""
        target = parse_target(url)
        path = target.path_and_query
        # The parser promises it; a blank or line feed here would be a second request on the wire.
        if not (path.startswith("/") and path.isascii() and path.isprintable()) or " " in path:
            raise InputError("The path of the URL is not visible ASCII.", field="url")
        destination = _Destination(
            (target.scheme, target.ascii_host, target.port),
            f" {path} HTTP/1.1\r\nHost: {target.authority}\r\n",
            target.ascii_host,
            target.port,
            target.scheme == "https",
            target.address,
        )
        if len(self._destinations) >= _DESTINATIONS:
            del self._destinations[next(iter(self._destinations))]
        self._destinations[url] = destination
        return destination

    async def _open(self, destination: _Destination, request: Outgoing, started: float) -> Connection:
        """Name, guard, connect, TLS, all within the connect deadline. Raises UnopenedError."""
        now = time.monotonic()
        limit = min(request.connect_timeout_seconds, started + request.timeout_seconds - now)
        ends_at = now + limit
        if self._is_closed:
            raise stopping()
        addresses = await self._addresses(destination, limit)
        try:
            async with asyncio.timeout(ends_at - time.monotonic()):
                dialled, address = await self._door.dial(addresses, destination.port)
        except TimeoutError:
            message = f"No connection to {addresses[0]} within {limit:.1f} s."
            raise UnopenedError(AttemptOutcome.TIMEOUT, message, addresses[0]) from None
        except AddressRefusedError as exc:
            raise UnopenedError(AttemptOutcome.ADDRESS_REFUSED, str(exc), exc.address) from exc
        except ExhaustedError as exc:
            raise UnopenedError(AttemptOutcome.NOT_SENT, str(exc)) from exc
        except OSError as exc:
            raise connect_failure(exc, addresses[0]) from exc
        return await self._speak(destination, request, dialled, address, ends_at)

    async def _addresses(self, destination: _Destination, seconds: float) -> tuple[str, ...]:
        if destination.literal is not None:
            return (destination.literal,)
        host = destination.host
        try:
            return self._resolver.cached(host) or await self._resolver.resolve(host, seconds=seconds)
        except NameMissingError as exc:
            raise UnopenedError(AttemptOutcome.DNS_NOT_FOUND, f"No address for {host}: {exc}.") from exc
        except NameFailedError as exc:
            raise UnopenedError(AttemptOutcome.DNS_FAILED, f"No address for {host}: {exc}.") from exc

    async def _speak(
        self,
        destination: _Destination,
        request: Outgoing,
        dialled: socket.socket,
        address: str,
        ends_at: float,
    ) -> Connection:
        """Put HTTP, and TLS under it where asked for, on a connected socket. Raises UnopenedError."""
        loop = asyncio.get_running_loop()

        def connection() -> Connection:
            return Connection(loop, address, time.monotonic())

        if not destination.is_tls:
            return (await loop.create_connection(connection, sock=dialled))[1]
        try:
            context = self._tls.get(request.tls)
            async with asyncio.timeout(ends_at - time.monotonic()):
                opened = await loop.create_connection(
                    connection, sock=dialled, ssl=context, server_hostname=destination.host
                )
            return opened[1]
        except InputError as exc:
            dialled.close()
            raise UnopenedError(AttemptOutcome.NOT_SENT, exc.message) from exc
        except BaseException as exc:
            # A transport in the middle of a handshake would wait for its peer before it lets go.
            with suppress(OSError):
                dialled.shutdown(socket.SHUT_RDWR)
            if isinstance(exc, OSError):  # SSLError and TimeoutError are among them
                raise tls_failure(exc, address) from exc
            raise


def _outcome_of(status: int) -> AttemptOutcome:
    if 200 <= status <= 299:
        return AttemptOutcome.DELIVERED
    if 300 <= status <= 399:
        return AttemptOutcome.REDIRECT
    return AttemptOutcome.HTTP_ERROR


def _sentence(connection: Connection, started: float) -> str:
    """Why an exchange gave no complete answer."""
    match connection.ending:
        case Ending.EXPIRED if connection.status is None:
            return f"No answer within {time.monotonic() - started:.1f} s."
        case Ending.EXPIRED:
            return f"The answer had not ended after {time.monotonic() - started:.1f} s."
        case Ending.MALFORMED:
            return f"The answer is not valid HTTP: {connection.detail}."
        case Ending.STOPPED:
            return "This node stopped while the request was under way."
        case _:
            when = "before it answered" if connection.status is None else "in the middle of its answer"
            return f"The connection was lost {when}: {connection.detail}."


def _unopened(error: UnopenedError, started: float) -> Answer:
    return Answer(
        error.outcome, error=str(error), address=error.address, duration_ms=_milliseconds_since(started)
    )


def _milliseconds_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
