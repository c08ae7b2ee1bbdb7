"""Every receiver that misbehaves, at once, beside one that does not (issue 4, "Faults and bad input"; P9, P10).

Real sockets, a real node. What each does is in its attempt rows by class; the healthy one waits for none of them.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import struct
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import pytest_asyncio
import trustme
from engine_bed import VAULT, Bed, policy, running

from hookline.core.addresses import AddressPolicy
from hookline.engine.clock import SystemClock
from hookline.engine.vault import CERTIFICATES
from hookline.model.states import AttemptOutcome as Is
from hookline.model.states import DeliveryState
from hookline.ports.sender import KEPT_ANSWER_BYTES, TlsOptions
from hookline.senders.dns import Resolver
from hookline.senders.http import HttpSender
from hookline.stores.sqlite.store import SqliteStore
from hookline.testing.receivers import Receiver, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hookline.model.events import Attempt

pytestmark = pytest.mark.asyncio

CA = trustme.CA()
TRUST = TlsOptions(ca_pem=CA.cert_pem.bytes().decode())
TIMEOUT_MS = 3000
HEALTHY_EVENTS = 30
PER_HOSTILE = 3
MOST_GROWTH_MB = 48
"""A bomb of 100 MB and endless bodies are among them; the receivers, in this process too, are most of it."""


def _context(certificate: trustme.LeafCert | None) -> ssl.SSLContext:
    """A server's. None: a certificate that signed itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate is not None:
        certificate.configure_cert(context)
        return context
    own = trustme.CA()
    with own.private_key_pem.tempfile() as key, own.cert_pem.tempfile() as pem:
        context.load_cert_chain(pem, key)
    return context


EXPIRED = CA.issue_cert(
    "127.0.0.1", not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=datetime(2021, 1, 1, tzinfo=UTC)
)

ANSWERS: dict[str, tuple[Reply, Is, int | None]] = {
    "hangs before headers": (Reply.hang(), Is.TIMEOUT, None),
    "hangs within headers": (Reply(raw=b"HTTP/1.1 200 OK\r\nX-Half", then="hang"), Is.TIMEOUT, None),
    "hangs within the body": (Reply.hang_in_body(), Is.TIMEOUT, 200),
    "drips a byte a second": (Reply.drip(seconds=1.0), Is.TIMEOUT, 200),
    "endless body": (Reply.endless(), Is.DELIVERED, 200),
    "large body": (Reply(body=b"x" * 500_000), Is.DELIVERED, 200),
    "gzip bomb": (Reply.bomb(), Is.DELIVERED, 200),
    "10,000 headers": (Reply.many_headers(), Is.BAD_RESPONSE, None),
    "long header": (Reply.long_header(500_000), Is.BAD_RESPONSE, None),
    "bad status line": (Reply.bad_status_line(), Is.BAD_RESPONSE, None),
    "20,000 hints": (Reply.flood_of_hints(20_000), Is.BAD_RESPONSE, None),
    "RST instead of an answer": (Reply.reset(), Is.CONNECTION_LOST, None),
    "RST within the body": (Reply.break_in_body(), Is.CONNECTION_LOST, 200),
    "FIN instead of an answer": (Reply.vanish(), Is.CONNECTION_LOST, None),
}
"""What it does, its class and the status that was read."""

SECURE: dict[str, tuple[ssl.SSLContext, TlsOptions | None, Is]] = {
    "expired": (_context(EXPIRED), TRUST, Is.TLS_FAILED),
    "wrong name": (_context(CA.issue_cert("other.test")), TRUST, Is.TLS_NAME),
    "self-signed": (_context(None), TRUST, Is.TLS_FAILED),
    "unknown issuer": (_context(CA.issue_cert("127.0.0.1")), None, Is.TLS_FAILED),
}


@asynccontextmanager
async def resetting() -> AsyncIterator[int]:
    """A port that accepts and resets before anything was asked."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened: Any = writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def _look_up(host: str, *_: object, **__: object) -> list[Any]:
    if host != "thousand.test":
        raise socket.gaierror(socket.EAI_NONAME, "no such name")
    addresses = [f"127.77.{n // 250}.{n % 250 + 1}" for n in range(1000)]
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in addresses]


class Crowd:
    """Receivers and the webhooks that lead to them. expected: type of event to class and status."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.expected: dict[str, tuple[Is, int | None]] = {}

    async def add(self, name: str, url: str, outcome: Is, status: int | None = None, **more: Any) -> None:
        self.expected[name] = (outcome, status)
        await self.bed.webhook(
            url=url,
            events=(f"hostile.{len(self.expected)}",),
            retry_policy=policy(0),
            timeout_ms=TIMEOUT_MS,
            **more,
        )

    async def attempts(self) -> dict[str, list[Attempt]]:
        """Of the hostile ones, by name."""
        found: dict[str, list[Attempt]] = {name: [] for name in self.expected}
        names = list(self.expected)
        for delivery in await self.bed.deliveries():
            if delivery.event_type.startswith("hostile."):
                name = names[int(delivery.event_type.split(".")[1]) - 1]
                found[name] += await self.bed.node.store.attempts(delivery.id)
        return found


@pytest_asyncio.fixture
async def crowd(tmp_path: Path) -> AsyncIterator[Crowd]:
    store = SqliteStore(tmp_path / "hookline.db", clock=SystemClock())
    await store.open()
    sender = HttpSender(AddressPolicy(("127.0.0.0/8",)), resolver=Resolver(getaddrinfo=_look_up))
    async with AsyncExitStack() as stack:
        bed = await stack.enter_async_context(running(store, sender=sender))  # type: ignore[arg-type]
        crowd = Crowd(bed)
        for name, (reply, outcome, status) in ANSWERS.items():
            receiver = await stack.enter_async_context(Receiver(default=reply))
            await crowd.add(name, receiver.url, outcome, status)
        for name, (context, tls, outcome) in SECURE.items():
            receiver = await stack.enter_async_context(Receiver(ssl_context=context))
            sealed = None if tls is None else VAULT.seal(msgspec.json.encode(tls), CERTIFICATES)
            await crowd.add(name, receiver.url, outcome, sealed_tls=sealed)
        silent = await stack.enter_async_context(Receiver(is_silent=True))
        await crowd.add("reads nothing", silent.url, Is.TIMEOUT)
        await crowd.add("stalls the handshake", silent.url.replace("http:", "https:"), Is.TLS_FAILED)
        await crowd.add("no TLS", silent.url.replace("http:", "https:"), Is.TLS_FAILED)
        port = await stack.enter_async_context(resetting())
        await crowd.add("RST before the request", f"http://127.0.0.1:{port}/", Is.CONNECTION_LOST)
        await crowd.add("no such name", "http://missing.test/", Is.DNS_NOT_FOUND)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            dead = taken.getsockname()[1]
            await crowd.add("closed port", f"http://127.0.0.1:{dead}/", Is.CONNECT_FAILED)
            await crowd.add("1,000 records", f"http://thousand.test:{dead}/", Is.CONNECT_FAILED)
            await crowd.add("private address", "http://10.0.0.1/", Is.ADDRESS_REFUSED)
            yield crowd
    await store.close()


async def test_each_has_its_class_memory_is_bounded_and_the_healthy_one_waits_for_none(crowd: Crowd) -> None:
    """P9, P10, PB-11, PROMISES section 3."""
    bed = crowd.bed
    async with Receiver() as healthy:
        await bed.webhook(url=healthy.url, events=("healthy",))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(PER_HOSTILE):
            for place in range(len(crowd.expected)):
                await bed.publish(f"hostile.{place + 1}", b'{"n":%d}' % number)
        for _ in range(HEALTHY_EVENTS):
            await bed.publish("healthy")
        await healthy.wait_for(HEALTHY_EVENTS, seconds=20)
        unfinished = [
            one
            for one in await bed.deliveries()
            if one.event_type.startswith("hostile.") and one.ended_at is None
        ]
        whole = len(crowd.expected) * PER_HOSTILE + HEALTHY_EVENTS
        await bed.until_deliveries(
            lambda found: sum(one.ended_at is not None for one in found) == whole, within=40
        )
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    attempts = await crowd.attempts()

    assert unfinished, "the healthy one was served while others were still at it"
    assert {name: {(one.outcome, one.status) for one in found} for name, found in attempts.items()} == {
        name: {expected} for name, expected in crowd.expected.items()
    }
    assert all(len(found) == PER_HOSTILE for found in attempts.values())
    for found in attempts.values():
        for one in found:
            assert len(one.response_body) <= KEPT_ANSWER_BYTES
            assert one.duration_ms < TIMEOUT_MS + 2000
            assert (one.error is None) == (one.outcome is Is.DELIVERED)
    assert {one.state for one in await bed.deliveries()} == {
        DeliveryState.SUCCEEDED,
        DeliveryState.EXHAUSTED,
    }
    assert grown < MOST_GROWTH_MB, grown
