"""The load of a benchmark: marked POSTs from keep-alive callers, as many as asked and not one more.

A process of its own, cheap like the receiver. Closed loop (``rate`` 0): each caller sends its next request
when the last is answered. Open loop: requests fall due evenly at ``rate``; one for which no caller is free
waits, and its time counts from when it fell due. Ends after ``count`` answers or ``seconds``, whichever is
first.

``python -m hookline.testing.bench.load`` reads a plan (JSON) from its input and prints what happened (JSON).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final, cast

import uvloop

from hookline.testing.bench.marks import mark, padded

_TICK: Final = 0.001
"""Seconds between looks at what fell due; the loop's own timers are no finer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to send.

    more_ports: callers take these and ``port`` in turn.
    path: of the request line.  headers: added to each request.  heads, tail: the body around the mark;
    request n takes heads[n % len(heads)].  rate: requests a second, 0 for as fast as answered.  seconds: the
    longest it may take.  per_request: 1 for an event in each body; more for so many in ``{"events":[…]}``.
    """

    port: int
    path: str
    heads: tuple[str, ...]
    tail: str
    headers: tuple[tuple[str, str], ...] = ()
    phase: int = 0
    count: int = 1
    callers: int = 64
    per_request: int = 1
    more_ports: tuple[int, ...] = ()
    rate: float = 0.0
    seconds: float = 60.0


@dataclass(slots=True)
class _Tally:
    """statuses: answers by status; 0 stands for a connection that ended without one."""

    statuses: Counter[int] = field(default_factory=Counter)
    took_us: list[int] = field(default_factory=list)
    first_ns: int = 0
    last_ns: int = 0


class Load:
    """One phase."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.tally = _Tally()
        self.done = asyncio.Event()
        self._next = 0
        self._due: deque[int] = deque()
        self._idle: deque[_Caller] = deque()
        self._bodies = [padded(head.encode(), plan.tail.encode()) for head in plan.heads]
        extra = "".join(f"{name}: {value}\r\n" for name, value in plan.headers)
        self._head = (
            f"POST {plan.path} HTTP/1.1\r\nHost: 127.0.0.1:{plan.port}\r\n"
            f"Content-Type: application/json\r\n{extra}"
        ).encode()

    def request(self, sent_ns: int) -> bytes:
        number = self._next * self.plan.per_request
        self._next += 1
        body = self._event(number, sent_ns)
        if self.plan.per_request > 1:
            rest = [self._event(number + place, sent_ns) for place in range(1, self.plan.per_request)]
            body = b'{"events":[%b]}' % b",".join([body, *rest])
        return b"%bContent-Length: %d\r\n\r\n%b" % (self._head, len(body), body)

    def _event(self, number: int, sent_ns: int) -> bytes:
        before, after = self._bodies[number % len(self._bodies)]
        return before + mark(self.plan.phase, number, sent_ns) + after

    def is_used_up(self) -> bool:
        return self._next >= self.plan.count

    def answered(self, caller: _Caller, status: int, sent_ns: int) -> None:
        tally, now = self.tally, time.monotonic_ns()
        tally.statuses[status] += 1
        tally.took_us.append((now - sent_ns) // 1000)
        tally.last_ns = now
        if len(tally.took_us) >= self.plan.count:
            self.done.set()
        elif status:
            self.ready(caller)

    def ready(self, caller: _Caller) -> None:
        """A caller is free: give it the next request that is due."""
        if self.is_used_up():
            return
        if not self.plan.rate:
            caller.send(self, time.monotonic_ns())
        elif self._due:
            caller.send(self, self._due.popleft())
        else:
            self._idle.append(caller)

    async def pace(self) -> None:
        """Let requests fall due at the plan's rate."""
        loop = asyncio.get_running_loop()
        start, released = loop.time(), 0
        while released < self.plan.count:
            now_ns = time.monotonic_ns()
            owed = min(self.plan.count, int((loop.time() - start) * self.plan.rate)) - released
            released += owed
            for _ in range(owed):
                if self._idle:
                    self._idle.popleft().send(self, now_ns)
                else:
                    self._due.append(now_ns)
            await asyncio.sleep(_TICK)


class _Caller(asyncio.Protocol):
    """One keep-alive connection with one request on its way at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._sent_ns = 0
        self._left = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, load: Load, due_ns: int) -> None:
        self._sent_ns = due_ns
        self._transport.write(load.request(due_ns))

    def data_received(self, data: bytes) -> None:
        if self._left:
            data = self._left + data
        head = data.find(b"\r\n\r\n")
        if head < 0 or len(data) < head + 4 + _content_length(data, head):
            self._left = data
            return
        self._left = b""
        sent_ns, self._sent_ns = self._sent_ns, 0
        self._load.answered(self, int(data[9:12]), sent_ns)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        if self._sent_ns:
            self._load.answered(self, 0, self._sent_ns)


def _content_length(data: bytes, head: int) -> int:
    at = data.find(b"ontent-length: ", 0, head)
    if at < 0:
        at = data.lower().find(b"ontent-length: ", 0, head)
        if at < 0:
            return 0
    return int(data[at + 15 : data.find(b"\r\n", at, head + 2)])


async def run(plan: Plan) -> dict[str, object]:
    """Send what the plan says. Returns answers by status, first send, last answer, and each duration."""
    loop = asyncio.get_running_loop()
    load = Load(plan)
    ports = (plan.port, *plan.more_ports)
    callers = [
        (await loop.create_connection(lambda: _Caller(load), "127.0.0.1", ports[number % len(ports)]))[1]
        for number in range(min(plan.callers, plan.count))
    ]
    load.tally.first_ns = time.monotonic_ns()
    for caller in callers:
        load.ready(caller)
    pacer = asyncio.create_task(load.pace()) if plan.rate else None
    try:
        async with asyncio.timeout(plan.seconds):
            await load.done.wait()
    except TimeoutError:
        pass
    if pacer is not None:
        pacer.cancel()
    tally = load.tally
    return {
        "statuses": {str(status): count for status, count in tally.statuses.items()},
        "first_ns": tally.first_ns,
        "last_ns": tally.last_ns,
        "took_us": tally.took_us,
        "cpu_s": time.process_time(),
    }


def tell(report: object) -> None:
    """Write one line of JSON to the parent.

    Not with print: after a loop of uvloop a parent that reads late was seen to get the first 64 KiB of it alone.
    """
    left = memoryview(json.dumps(report).encode() + b"\n")
    while left:
        left = left[os.write(1, left) :]


if __name__ == "__main__":
    given = json.loads(sys.stdin.readline())
    given["heads"], given["more_ports"] = tuple(given["heads"]), tuple(given["more_ports"])
    given["headers"] = tuple(tuple(pair) for pair in given["headers"])
    tell(uvloop.run(run(Plan(**given))))
