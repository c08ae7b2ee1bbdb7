"""Callers who drip their headers and bodies hurt nobody else (issue 3, "Bad input"; PROMISES P19)."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from typing import TYPE_CHECKING

from world import call, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLOW = 500
MEASURED = 400
FLOOR_SECONDS = 0.025
"""Below this a p99 says how busy the machine is, nothing of the callers."""


class Drips:
    """Half of them are in their headers, half in their bodies; each sends a byte a second."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._head = f"POST {path} HTTP/1.1\r\nhost: x\r\n".encode()
        self._stopping = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []
        self.sent = 0

    @property
    def open(self) -> int:
        return sum(not writer.transport.is_closing() for writer in self.writers)

    async def run(self, is_ready: threading.Event) -> None:
        beginnings = (self._head + b"x-slow: ", self._head + b"content-length: 100000\r\n\r\n")
        for number in range(SLOW):
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(beginnings[number % 2])
            self.writers.append(writer)
        is_ready.set()
        while not self._stopping.is_set():
            for number, writer in enumerate(self.writers):
                with suppress(ConnectionError):
                    writer.write(b"a")
                    self.sent += 1
                if number % 50 == 49:
                    await asyncio.sleep(0.1)
        for writer in self.writers:
            writer.close()

    def stop(self) -> None:
        self._stopping.set()


@contextmanager
def dripping(port: int, path: str) -> Iterator[Drips]:
    is_ready = threading.Event()
    drips = Drips(port, path)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(drips.run(is_ready),))
    thread.start()
    try:
        assert is_ready.wait(8)
        yield drips
    finally:
        loop.call_soon_threadsafe(drips.stop)
        thread.join(8)
        loop.close()


def p99(port: int, path: str) -> float:
    """Seconds that 99 of 100 healthy requests take at most, one after the other."""
    took = []
    # One key: each goes through the store, and none leaves a run behind that competes with the next.
    headers = {"content-type": "application/json", "idempotency-key": "healthy"}
    connection = HTTPConnection("127.0.0.1", port, timeout=8)
    for _ in range(MEASURED):
        began = time.perf_counter()
        connection.request("POST", path, b"{}", headers)
        answer = connection.getresponse()
        answer.read()
        took.append(time.perf_counter() - began)
        assert answer.status == 202
    connection.close()
    return sorted(took)[MEASURED * 99 // 100 - 1]


def test_500_slow_connections_do_not_slow_down_the_others(tmp_path: Path) -> None:
    """The p99 of healthy requests stays within twice of what it is without them, in the same run."""
    with world(f"sqlite:///{tmp_path / 'hookline.db'}", tmp_path) as one:
        port = one.nodes[0].port
        trigger = {
            "name": "healthy",
            "automation": {"kind": "workflow", "id": "photos"},
            "profile": "native",
            "auth": {"type": "none"},
            "rate_per_second": 10_000,
        }
        made = call(port, "POST", "/api/v1/triggers", trigger)
        assert made.status == 201, made
        path = "/trigger/" + str(made.json["url"]).partition("/trigger/")[2]
        p99(port, path)  # what is slow the first time

        before = p99(port, path)
        with dripping(port, path) as drips:
            during = p99(port, path)
            assert drips.open == SLOW
            assert drips.sent > 0
        after = p99(port, path)

    assert during <= 2 * max(before, after, FLOOR_SECONDS), (before, during, after)
