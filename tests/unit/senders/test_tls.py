"""TLS: what is accepted, and the class of everything that is not."""

from __future__ import annotations

import socket
import ssl
import warnings
from datetime import UTC, datetime
from typing import Any

import pytest
import trustme

from hookline.core.addresses import AddressPolicy
from hookline.model.states import AttemptOutcome as Is
from hookline.ports.sender import Answer, Outgoing, TlsOptions
from hookline.senders.dns import Resolver
from hookline.senders.http import HttpSender
from hookline.testing.receivers import Receiver, Reply

pytestmark = pytest.mark.asyncio

CA = trustme.CA()
TRUST = TlsOptions(ca_pem=CA.cert_pem.bytes().decode())


def context_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


GOOD = CA.issue_cert("secure.test", "127.0.0.1")


def here(*_: object, **__: object) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]


async def post(
    port: int, *, host: str = "secure.test", tls: TlsOptions | None = TRUST, **more: Any
) -> Answer:
    sender = HttpSender(AddressPolicy(("127.0.0.0/8",)), resolver=Resolver(getaddrinfo=here))
    try:
        return await sender.send(Outgoing(f"https://{host}:{port}/", body=b"{}", tls=tls, **more))
    finally:
        await sender.close()


@pytest.mark.parametrize("host", ["secure.test", "127.0.0.1"])
async def test_a_receiver_with_a_good_certificate_is_served(host: str) -> None:
    async with Receiver(ssl_context=context_of(GOOD)) as receiver:
        answer = await post(receiver.port, host=host)

    assert (answer.outcome, answer.status) == (Is.DELIVERED, 200)
    assert receiver.received[0].header("Host") == f"{host}:{receiver.port}"


@pytest.mark.parametrize(
    ("certificate", "outcome"),
    [
        (CA.issue_cert("other.test"), Is.TLS_NAME),
        (CA.issue_cert("*.secure.test"), Is.TLS_NAME),
        (
            CA.issue_cert(
                "secure.test",
                not_before=datetime(2020, 1, 1, tzinfo=UTC),
                not_after=datetime(2021, 1, 1, tzinfo=UTC),
            ),
            Is.TLS_FAILED,
        ),
        (trustme.CA().issue_cert("secure.test"), Is.TLS_FAILED),
    ],
    ids=["other name", "wildcard above", "expired", "unknown issuer"],
)
async def test_a_certificate_that_does_not_prove_the_name_is_refused(
    certificate: trustme.LeafCert, outcome: Is
) -> None:
    async with Receiver(ssl_context=context_of(certificate)) as receiver:
        answer = await post(receiver.port)

    assert answer.outcome is outcome
    assert answer.address == "127.0.0.1"
    assert receiver.count == 0


async def test_a_private_issuer_is_not_trusted_unless_asked() -> None:
    async with Receiver(ssl_context=context_of(GOOD)) as receiver:
        answer = await post(receiver.port, tls=None)

    assert answer.outcome is Is.TLS_FAILED
    assert receiver.count == 0


async def test_a_handshake_that_stalls_ends_with_the_connect_deadline() -> None:
    async with Receiver(is_silent=True) as receiver:
        answer = await post(receiver.port, connect_timeout_seconds=0.2)

    assert answer.outcome is Is.TLS_FAILED
    assert 190 <= answer.duration_ms <= 260


async def test_a_plain_receiver_is_not_spoken_to_in_the_clear() -> None:
    async with Receiver() as receiver:
        answer = await post(receiver.port)

    assert answer.outcome is Is.TLS_FAILED
    assert receiver.count == 0


async def test_an_old_protocol_is_refused() -> None:
    context = context_of(GOOD)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that it is deprecated is the point
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with Receiver(ssl_context=context) as receiver:
        answer = await post(receiver.port)

    assert answer.outcome is Is.TLS_FAILED


async def test_a_receiver_can_demand_our_certificate() -> None:
    context = context_of(GOOD)
    context.verify_mode = ssl.CERT_REQUIRED
    CA.configure_trust(context)
    own = CA.issue_cert("hookline.test")
    mutual = TlsOptions(
        ca_pem=TRUST.ca_pem,
        certificate_pem=own.cert_chain_pems[0].bytes().decode(),
        key_pem=own.private_key_pem.bytes().decode(),
    )
    async with Receiver(ssl_context=context) as receiver:
        without = await post(receiver.port)
        with_it = await post(receiver.port, tls=mutual)

    assert without.outcome in {Is.TLS_FAILED, Is.CONNECTION_LOST}
    assert with_it.outcome is Is.DELIVERED
    assert "PRIVATE" not in repr(mutual)


@pytest.mark.parametrize("options", [TlsOptions(ca_pem="no"), TlsOptions(certificate_pem="no", key_pem="no")])
async def test_a_certificate_that_cannot_be_read_is_not_sent(options: TlsOptions) -> None:
    async with Receiver(ssl_context=context_of(GOOD)) as receiver:
        answer = await post(receiver.port, tls=options)

    assert answer.outcome is Is.NOT_SENT
    assert receiver.count == 0


async def test_deadlines_and_limits_hold_under_tls() -> None:
    replies = [Reply.endless(), Reply.drip()]
    async with Receiver(replies, ssl_context=context_of(GOOD)) as receiver:
        endless = await post(receiver.port, timeout_seconds=1.0)
        drip = await post(receiver.port, timeout_seconds=0.3)

    assert (endless.outcome, endless.is_cut, len(endless.body)) == (Is.DELIVERED, True, 65536)
    assert drip.outcome is Is.TIMEOUT
    assert 290 <= drip.duration_ms <= 350
