"""Turn host names into addresses without ever holding up the event loop or each other.

``getaddrinfo`` blocks and cannot be cancelled, so it runs in threads of our own: few, started on demand, and
daemons, so that a name server that never answers cannot keep the process from ending. One lookup per name is
under way at a time. Names that timed out lately use a lane of their own, so that a tenant with a hundred dead
names delays only dead names. A cached name never touches a thread: a hop from a busy loop costs milliseconds.
This module never judges an address; see guard.py.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

GetAddrInfo = Callable[..., list[Any]]

# Long enough to serve a burst to one receiver, short enough that a moved receiver is found at once.
_FRESH_SECONDS = 5.0
# A missing name is asked for again sooner: people create the record after the webhook.
_MISSING_SECONDS = 1.0
# How long a name that timed out stays in the lane of slow names.
_SLOW_SECONDS = 300.0
# Names remembered: at a few hundred bytes each this is at most some megabytes.
_NAMES = 4096
# getaddrinfo waits and computes nothing; on slow names a resolver needs 5 to 30 seconds each.
_THREADS = 16
_SLOW_THREADS = 4


class NameMissingError(Exception):
    """The name does not exist or has no address."""


class NameFailedError(Exception):
    """The name could not be resolved now: server failure, refusal or no answer in time."""


class _Flight:
    """One lookup under way and how many wait for it."""

    __slots__ = ("host", "is_abandoned", "result", "waiting")

    def __init__(self, host: str, result: asyncio.Future[tuple[str, ...]]) -> None:
        self.host = host
        self.result = result
        self.waiting = 0
        self.is_abandoned = False


class _Lane:
    """A bounded number of daemon threads working through lookups in order."""

    def __init__(self, name: str, limit: int, work: Callable[[_Flight], None]) -> None:
        self._name = name
        self._limit = limit
        self._work = work
        self._queue: queue.SimpleQueue[_Flight | None] = queue.SimpleQueue()
        self._threads = 0
        self._idle = threading.Semaphore(0)

    def submit(self, flight: _Flight) -> None:
        self._queue.put(flight)
        if not self._idle.acquire(blocking=False) and self._threads < self._limit:
            self._threads += 1
            threading.Thread(target=self._run, name=f"{self._name}-{self._threads}", daemon=True).start()

    def stop(self) -> None:
        for _ in range(self._threads):
            self._queue.put(None)

    def _run(self) -> None:
        while (flight := self._queue.get()) is not None:
            self._work(flight)
            self._idle.release()


class Resolver:
    """Resolves names for one event loop.

    getaddrinfo: as in ``socket``; tests inject their own.
    """

    def __init__(self, *, getaddrinfo: GetAddrInfo = socket.getaddrinfo, threads: int = _THREADS) -> None:
        self._getaddrinfo = getaddrinfo
        self._known: dict[str, tuple[float, tuple[str, ...] | str]] = {}
        self._flights: dict[str, _Flight] = {}
        self._slow_until: dict[str, float] = {}
        self._fast = _Lane("dns", threads, self._look_up)
        self._slow = _Lane("dns-slow", _SLOW_THREADS, self._look_up)
        self._loop: asyncio.AbstractEventLoop | None = None

    def cached(self, host: str) -> tuple[str, ...] | None:
        """Addresses that are still fresh, or None. Raises NameMissingError while that is fresh."""
        known = self._known.get(host)
        if known is None or known[0] < time.monotonic():
            return None
        if isinstance(known[1], str):
            raise NameMissingError(known[1])
        return known[1]

    async def resolve(self, host: str, *, seconds: float) -> tuple[str, ...]:
        """Every address of the name, in the system's order. Raises NameMissingError or NameFailedError.

        seconds: longest wait. A lookup that takes longer goes on and serves whoever asks next.
        """
        addresses = self.cached(host)
        if addresses is not None:
            return addresses
        flight = self._flights.get(host) or self._take_off(host)
        flight.waiting += 1
        flight.is_abandoned = False
        try:
            return await asyncio.wait_for(asyncio.shield(flight.result), seconds)
        except TimeoutError:
            self._remember(self._slow_until, host, time.monotonic() + _SLOW_SECONDS)
            raise NameFailedError(f"it did not resolve within {seconds:.1f} s") from None
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.result.done():
                flight.is_abandoned = True

    def close(self) -> None:
        """Let idle threads end. Those in a lookup end with it, or with the process."""
        self._fast.stop()
        self._slow.stop()

    def _take_off(self, host: str) -> _Flight:
        self._loop = asyncio.get_running_loop()
        flight = _Flight(host, self._loop.create_future())
        self._flights[host] = flight
        is_slow = self._slow_until.get(host, 0.0) > time.monotonic()
        (self._slow if is_slow else self._fast).submit(flight)
        return flight

    def _look_up(self, flight: _Flight) -> None:
        """Run in a thread."""
        found: tuple[str, ...] | Exception
        try:
            if flight.is_abandoned:
                # Whoever asked has left while it waited for a thread: do not spend one on it.
                raise TimeoutError  # noqa: TRY301 -- one way out for all failures
            infos = self._getaddrinfo(flight.host, None, type=socket.SOCK_STREAM)
            found = tuple(dict.fromkeys(str(info[4][0]) for info in infos))
        except Exception as exc:  # noqa: BLE001 -- it travels to whoever waits
            found = exc
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._land, flight, found)

    def _land(self, flight: _Flight, found: tuple[str, ...] | Exception) -> None:
        self._flights.pop(flight.host, None)
        now = time.monotonic()
        if isinstance(found, tuple) and found:
            self._slow_until.pop(flight.host, None)
            self._remember(self._known, flight.host, (now + _FRESH_SECONDS, found))
            _settle(flight.result, found)
            return
        error = _error_of(found)
        if isinstance(error, NameMissingError):
            self._remember(self._known, flight.host, (now + _MISSING_SECONDS, str(error)))
        _settle(flight.result, error)

    @staticmethod
    def _remember(memory: dict[str, Any], host: str, value: object) -> None:
        memory.pop(host, None)
        memory[host] = value
        if len(memory) > _NAMES:
            del memory[next(iter(memory))]


def _settle(result: asyncio.Future[tuple[str, ...]], found: tuple[str, ...] | Exception) -> None:
    if result.done():
        return
    if isinstance(found, tuple):
        result.set_result(found)
        return
    result.set_exception(found)
    result.exception()  # all who waited may have left: then nobody would look at it


def _error_of(found: tuple[str, ...] | Exception) -> NameMissingError | NameFailedError:
    if isinstance(found, tuple):
        return NameMissingError("it has no address")
    if isinstance(found, UnicodeError):
        return NameMissingError("it is not a valid name")
    if isinstance(found, socket.gaierror) and found.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
        return NameMissingError("it does not exist")
    return NameFailedError("its name server failed")
