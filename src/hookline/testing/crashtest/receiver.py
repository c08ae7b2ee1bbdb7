"""The receiver of a crash test: answers as the script says and writes down every request before it does.

A process of its own that is never killed. It checks signatures with a few lines of its own, because a verifier
that shares the signer's code shares its mistakes. It reads its plan (JSON) from the first line of its input, prints
its port, and ends when its input closes.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import sys
import time
from base64 import b64decode, b64encode
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import httptools
import msgspec
import uvloop

from hookline.testing.crashtest.ledgers import Receipt, encode
from hookline.testing.crashtest.script import Endpoint, answer_of, endpoints_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    seed: int
    events: int
    ledger: str


LANDING: Final = "/landing"
"""Behind the name of an endpoint that moved: where its requests arrive."""


class _Envelope(msgspec.Struct):
    data: msgspec.Raw


class _Run(msgspec.Struct):
    """A run's end. output_data: empty when it failed, for then there is none."""

    input_data: msgspec.Raw
    output_data: msgspec.Raw = msgspec.Raw(b"")


class _Batch(msgspec.Struct):
    events: list[msgspec.Raw]


class _Item(msgspec.Struct):
    id: str


class _Numbered(msgspec.Struct):
    seq: int


_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError)


class Receiver:
    """What all connections share."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints_of(plan.events)}
        self._times: Counter[tuple[str, int]] = Counter()
        self._ledger = os.open(Path(plan.ledger), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def moved_to(self, path: str) -> str | None:
        """Where a request must go instead, None when it has arrived. One that is sent on leaves no receipt."""
        endpoint = self._endpoints.get(path)
        return f"/{path}{LANDING}" if endpoint is not None and endpoint.is_moved else None

    def take(self, name: str, headers: dict[str, str], body: bytes) -> tuple[int, float]:
        """Write a request down; return status and delay of its answer."""
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            return 404, 0.0
        events = read_events(endpoint, headers.get("webhook-id", ""), body)
        _, first, _ = events[0]
        self._times[name, first] += 1
        # One answer for the whole request, drawn for the first event in it.
        status, delay = answer_of(self._plan.seed, endpoint, first, self._times[name, first])
        is_good = is_signed(endpoint.secret(self._plan.seed), headers, body, now=time.time())
        for place, (event_id, seq, digest) in enumerate(events):
            self._times[name, seq] += place > 0
            receipt = Receipt(
                at=time.monotonic(),
                endpoint=name,
                id=event_id,
                seq=seq,
                number=self._times[name, seq],
                sha256=digest,
                is_signed=is_good,
                answer=status,
            )
            os.write(self._ledger, encode(receipt) + b"\n")
        return status, delay


def read_events(endpoint: Endpoint, message_id: str, body: bytes) -> list[tuple[str, int, str]]:
    """Return (id, seq, SHA-256) of each event in a request; one with seq -1 for a body that cannot be read."""
    if endpoint.batch is None:
        return [(message_id, *read_body(endpoint, body))]
    try:
        items = msgspec.json.decode(body, type=_Batch).events
        read = [
            (msgspec.json.decode(item, type=_Item).id, *read_body(endpoint, bytes(item))) for item in items
        ]
    except _UNREADABLE:
        read = []
    return read or [(message_id, -1, hashlib.sha256(body).hexdigest())]


def read_body(endpoint: Endpoint, body: bytes) -> tuple[int, str]:
    """Return the seq (-1: unreadable) and the SHA-256 of the bytes that the publisher's data has in this body."""
    try:
        data = bytes(msgspec.json.decode(body, type=_Envelope).data)
        if endpoint.name == "runs":
            run = msgspec.json.decode(data, type=_Run)
            data = bytes(run.input_data)
            output = bytes(run.output_data)
            if output not in (b"", data):
                return seq_of(data), hashlib.sha256(output).hexdigest()  # it returns its input, unchanged
        return seq_of(data), hashlib.sha256(data).hexdigest()
    except _UNREADABLE:
        return -1, hashlib.sha256(body).hexdigest()


def seq_of(data: bytes) -> int:
    return msgspec.json.decode(data, type=_Numbered).seq


def is_signed(secret: str, headers: dict[str, str], body: bytes, *, now: float) -> bool:
    """The Standard Webhooks signature is there and right, and the AgenticFlow one, where there is one, is right."""
    stamp, given = headers.get("webhook-timestamp", ""), headers.get("webhook-signature", "")
    if not stamp.isascii() or not stamp.isdecimal() or abs(now - int(stamp)) > 300:
        return False
    content = f"{headers.get('webhook-id', '')}.{stamp}.".encode() + body
    key = b64decode(secret.removeprefix("whsec_"))
    due = "v1," + b64encode(hmac.digest(key, content, "sha256")).decode()
    if not any(hmac.compare_digest(one.encode(), due.encode()) for one in given.split(" ")):
        return False
    other = headers.get("x-agenticflow-signature")
    due = "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()
    return other is None or hmac.compare_digest(other.encode(), due.encode())


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._parser = httptools.HttpRequestParser(self)
        self._name = ""
        self._headers: dict[str, str] = {}
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._name, self._headers, self._body = "", {}, b""

    def on_url(self, url: bytes) -> None:
        self._name += url.decode("latin-1").lstrip("/")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        location = self._receiver.moved_to(self._name)
        if location is not None:
            self._transport.write(
                b"HTTP/1.1 307 Moved\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % location.encode()
            )
            return
        name = self._name.removesuffix(LANDING)
        status, delay = self._receiver.take(name, self._headers, self._body)
        if delay:
            asyncio.get_running_loop().call_later(delay, self._answer, status)
        else:
            self._answer(status)

    def _answer(self, status: int) -> None:
        if not self._transport.is_closing():
            extra = b"Retry-After: 0\r\n" if status == 429 else b""
            self._transport.write(b"HTTP/1.1 %d Said\r\n%bContent-Length: 0\r\n\r\n" % (status, extra))


async def _main() -> None:
    loop = asyncio.get_running_loop()
    plan = Plan(**json.loads(sys.stdin.readline()))
    receiver = Receiver(plan)
    server = await loop.create_server(lambda: _Connection(receiver), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(json.dumps({"port": server.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(_main())
