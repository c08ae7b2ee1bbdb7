"""The receiver of a benchmark: answers 200 at once and remembers when each marked event came.

A process of its own, as cheap as Python allows: it must not be what is measured. It parses only what it needs
(where a request ends, and the marks), so it is no example of a receiver. Paths that begin with ``/hang`` are never
answered, those that begin with ``/fail`` are answered 500, and ``/slow`` after 20 ms. ``GET /count`` and
``GET /report?phase=N`` tell what came; the process ends when its input closes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Final, cast

import uvloop

from hookline.testing.bench.marks import LENGTH, NUMBER, PHASE, PREFIX, SENT

_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
_FAILED: Final = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
_SLOW_SECONDS: Final = 0.02
_HEAD_END: Final = b"\r\n\r\n"
_SKIP: Final = len(PREFIX)


@dataclass(slots=True)
class _Phase:
    """What came of one phase. took_ns: from send to receipt, in order of receipt."""

    seen: dict[int, int] = field(default_factory=dict)
    took_ns: list[int] = field(default_factory=list)
    first_ns: int = 0
    last_ns: int = 0


class Sink:
    """What all connections share."""

    def __init__(self) -> None:
        self.phases: dict[bytes, _Phase] = {}
        self.count = 0
        self.hanging = 0

    def note(self, data: bytes) -> None:
        now = time.monotonic_ns()
        at = data.find(PREFIX)
        while at >= 0:  # a batch carries many
            self._note_one(data, at, now)
            at = data.find(PREFIX, at + _SKIP + LENGTH)

    def _note_one(self, data: bytes, at: int, now: int) -> None:
        mark = data[at + _SKIP : at + _SKIP + LENGTH]
        phase = self.phases.get(mark[PHASE])
        if phase is None:
            phase = self.phases[mark[PHASE]] = _Phase()
        number = int(mark[NUMBER])
        phase.seen[number] = phase.seen.get(number, 0) + 1
        phase.took_ns.append(now - int(mark[SENT]))
        phase.first_ns = phase.first_ns or now
        phase.last_ns = now
        self.count += 1

    def report(self, phase: str) -> bytes:
        """Received, distinct, the first and the last receipt (CLOCK_MONOTONIC ns) and every duration in whole
        microseconds.
        """
        found = self.phases.pop(phase.encode(), _Phase())
        answer = {
            "received": len(found.took_ns),
            "distinct": len(found.seen),
            "first_ns": found.first_ns,
            "last_ns": found.last_ns,
            "took_us": [took // 1000 for took in found.took_ns],
            "cpu_s": time.process_time(),
        }
        return json.dumps(answer).encode()


class _Connection(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._left = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast("asyncio.Transport", transport).write

    def data_received(self, data: bytes) -> None:
        if self._left:
            data = self._left + data
            self._left = b""
        while data:
            head = data.find(_HEAD_END)
            if head < 0:
                break
            end = head + 4 + _content_length(data, head)
            if len(data) < end:
                break
            self._serve(data[:end] if len(data) > end else data)
            data = data[end:]
        self._left = data

    def _serve(self, request: bytes) -> None:
        if request.startswith(b"POST /hang"):
            self._sink.hanging += 1
        elif request.startswith(b"POST /fail"):
            self._write(_FAILED)
        elif request.startswith(b"POST /slow"):
            self._sink.note(request)
            asyncio.get_running_loop().call_later(_SLOW_SECONDS, self._write, _OK)
        elif request.startswith(b"POST "):
            self._sink.note(request)
            self._write(_OK)
        else:
            self._tell(request[: request.find(b" HTTP/")].decode())

    def _tell(self, line: str) -> None:
        path, _, query = line.removeprefix("GET ").partition("?phase=")
        if path == "/report":
            body = self._sink.report(query)
        else:
            phase = self._sink.phases.get(query.encode())
            body = json.dumps({"count": len(phase.took_ns) if phase else 0}).encode()
        self._write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def _content_length(data: bytes, head: int) -> int:
    at = data.find(b"ontent-Length: ", 0, head)
    if at < 0:
        at = data.lower().find(b"ontent-length: ", 0, head)
        if at < 0:
            return 0
    return int(data[at + 15 : data.find(b"\r\n", at, head + 2)])


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    sink = Sink()
    server = await loop.create_server(lambda: _Connection(sink), "127.0.0.1", 0, backlog=2048)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)  # noqa: T201 -- told to the parent
    await loop.run_in_executor(None, sys.stdin.buffer.read)  # the parent has gone, or closed it
    server.close()


if __name__ == "__main__":
    uvloop.run(_serve())
