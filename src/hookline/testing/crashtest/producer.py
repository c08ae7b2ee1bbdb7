"""The producer of a crash test: sends what the script says and writes down what it was told, fsynced.

A process of its own that is never killed. A thing with an id or a key is sent until it is answered, as an honest
publisher would; a thing with neither is sent once, for a second time would be a second event. A connection that
was refused carried nothing, so that does not count as sending.

It reads its plan (JSON) from the first line of its input and from each further line how far it may go, so that
there is load at every fault. It prints how much is done, and ends when all is.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop

from hookline.testing.crashtest.ledgers import Sent, Verdict, encode
from hookline.testing.crashtest.script import Item, item_of
from hookline.testing.nodes import ADMIN_KEY

_CALLERS: Final = 16
_TELL_EVERY: Final = 10
_PAUSE: Final = 0.03
_REQUEST_SECONDS: Final = 15.0
_RETRY_STATUSES: Final = frozenset({409, 425, 429})
"""Refusals that mean "not now": another request with this key is under way, or there is too much at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """ports: of the nodes, taken in turn.  token: of the trigger.  seconds: the longest the whole may take."""

    seed: int
    events: int
    ports: tuple[int, ...]
    token: str
    ledger: str
    seconds: float


class Producer:
    """Sends everything once, several callers side by side."""

    def __init__(self, plan: Plan, session: aiohttp.ClientSession, ledger: int) -> None:
        self._plan = plan
        self._session = session
        self._ledger = ledger
        self._next = 0
        self._turn = 0
        self._done = 0
        self._upto = 0
        self._raised = asyncio.Condition()

    async def run(self) -> None:
        listening = asyncio.create_task(self._listen())
        await asyncio.gather(*[self._call() for _ in range(_CALLERS)])
        listening.cancel()

    async def _listen(self) -> None:
        """Take in how far we may go; an input that ends means all the way."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while self._upto < self._plan.events:
            line = await reader.readline()
            async with self._raised:
                self._upto = json.loads(line)["upto"] if line else self._plan.events
                self._raised.notify_all()

    async def _call(self) -> None:
        while self._next < self._plan.events:
            seq = self._next
            self._next += 1
            async with self._raised:
                while seq >= self._upto:
                    await self._raised.wait()
            self._write(await self._send(item_of(self._plan.seed, seq, self._plan.events)))

    def _write(self, sent: Sent) -> None:
        os.write(self._ledger, encode(sent) + b"\n")
        os.fsync(self._ledger)
        self._done += 1
        if self._done % _TELL_EVERY == 0 or self._done == self._plan.events:
            _tell({"done": self._done})

    async def _send(self, item: Item) -> Sent:
        """Send until it is answered, or once if a second time would be a second event."""
        is_repeatable = item.own_id is not None or item.key is not None
        began_at = time.monotonic()
        tries = 0
        status = 0
        told: dict[str, Any] = {}
        troubles: list[str] = []
        while True:
            try:
                status, told = await self._post(item)
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(_PAUSE)
                continue
            except (aiohttp.ClientError, TimeoutError, OSError) as exc:
                status, told = 0, {}
                troubles.append(type(exc).__name__)
            tries += 1
            verdict = _verdict(status)
            if status and verdict != "acked":
                troubles.append(str(status))
            if verdict != "unknown" and status not in _RETRY_STATUSES:
                break
            if not is_repeatable and status not in _RETRY_STATUSES:
                break
            await asyncio.sleep(_PAUSE)
        return Sent(
            seq=item.seq,
            manner=item.manner,
            type=item.type,
            sha256=hashlib.sha256(item.data).hexdigest(),
            answer=verdict,
            status=status,
            tries=tries,
            id=told.get("execution_id") or told.get("id"),
            key=item.key,
            began_at=began_at,
            ended_at=time.monotonic(),
            troubles=tuple(troubles),
        )

    async def _post(self, item: Item) -> tuple[int, dict[str, Any]]:
        self._turn += 1
        base = f"http://127.0.0.1:{self._plan.ports[self._turn % len(self._plan.ports)]}"
        headers = {"Content-Type": "application/json"}
        if item.key is not None:
            headers["Idempotency-Key"] = item.key
        if item.manner == "run":
            url = f"{base}/webhooks/workflows/crash"
            headers["Authorization"] = f"Bearer {self._plan.token}"
            body = b'{"input_data":' + item.data + b"}"
        else:
            url = f"{base}/api/v1/events"
            headers["Authorization"] = f"Bearer {ADMIN_KEY}"
            own_id = f'"id":"{item.own_id}",'.encode() if item.own_id else b""
            body = b'{"type":"%b",%b"data":%b}' % (item.type.encode(), own_id, item.data)
        async with self._session.post(url, data=body, headers=headers) as response:
            text = await response.read()
            return response.status, json.loads(text) if response.status < 300 else {}


def _verdict(status: int) -> Verdict:
    if 200 <= status < 300:
        return "acked"
    return "refused" if 400 <= status < 500 else "unknown"


def _first_line() -> bytes:
    """Read it byte by byte: what a buffer took from the pipe would be missing there."""
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(sys.stdin.fileno(), 1)
    return line


def _tell(what: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def _main() -> None:
    given = json.loads(_first_line())
    plan = Plan(**given | {"ports": tuple(given["ports"])})
    ledger = os.open(Path(plan.ledger), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    timeout = aiohttp.ClientTimeout(total=_REQUEST_SECONDS)
    try:
        async with asyncio.timeout(plan.seconds), aiohttp.ClientSession(timeout=timeout) as session:
            await Producer(plan, session, ledger).run()
    finally:
        os.close(ledger)


if __name__ == "__main__":
    uvloop.run(_main())
