"""Certificates of one webhook: a private authority, and mutual TLS (issue of the outgoing webhooks: authentication)."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from engine_bed import VAULT, running

from hookline.core.addresses import AddressPolicy
from hookline.engine.manage.webhook_fields import Rules
from hookline.engine.manage.webhooks import create_webhook
from hookline.errors import InputError
from hookline.model.states import DeliveryState
from hookline.senders.http import HttpSender
from hookline.testing.receivers import Receiver

if TYPE_CHECKING:
    from hookline.model.configuration import Stored, Webhook
    from hookline.model.ids import Key
    from hookline.ports import Store

pytestmark = pytest.mark.asyncio

POLICY = AddressPolicy(("127.0.0.0/8",))
CA = trustme.CA()
CLIENTS = trustme.CA()
CLIENT = CLIENTS.issue_cert("client.test")
STRANGER = trustme.CA().issue_cert("client.test")


def _pem(certificate: trustme.LeafCert) -> dict[str, str]:
    return {
        "certificate_pem": certificate.cert_chain_pems[0].bytes().decode(),
        "key_pem": certificate.private_key_pem.bytes().decode(),
    }


AUTHORITY = {"ca_pem": CA.cert_pem.bytes().decode()}


def _server(*, asks_for_certificate: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("127.0.0.1").configure_cert(context)
    if asks_for_certificate:
        CLIENTS.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def _webhook(store: Store, organization_id: Key, url: str, tls: Any) -> Stored[Webhook]:
    fields = {
        "url": url,
        "events": ["*"],
        "tls": tls,
        "retry_policy": {"max_retries": 0, "backoff_multiplier": 1},
    }
    stored, _ = await create_webhook(store, Rules(VAULT, POLICY), organization_id, fields, now=_now())
    return stored


def _now() -> Any:
    from hookline.engine.clock import SystemClock

    return SystemClock().now()


@pytest.mark.parametrize(
    ("asks", "tls", "state"),
    [
        (False, AUTHORITY, DeliveryState.SUCCEEDED),
        (False, None, DeliveryState.EXHAUSTED),
        (True, AUTHORITY | _pem(CLIENT), DeliveryState.SUCCEEDED),
        (True, AUTHORITY, DeliveryState.EXHAUSTED),
        (True, AUTHORITY | _pem(STRANGER), DeliveryState.EXHAUSTED),
    ],
    ids=["own authority", "not trusted", "mutual", "no certificate", "a stranger's certificate"],
)
async def test_a_webhook_brings_its_own_certificates(
    store: Store, asks: bool, tls: Any, state: DeliveryState
) -> None:
    sender = HttpSender(POLICY)
    async with (
        Receiver(ssl_context=_server(asks_for_certificate=asks)) as receiver,
        running(store, sender=sender) as bed,  # type: ignore[arg-type]  # the real one
    ):
        await _webhook(store, bed.organization_id, f"https://127.0.0.1:{receiver.port}/hook", tls)
        await bed.node.directory.refresh()
        await bed.publish(data=b'{"n":1}')
        found = await bed.until_deliveries(lambda all_: bool(all_) and all_[0].ended_at is not None)

    assert found[0].state is state
    assert len(receiver.received) == (state is DeliveryState.SUCCEEDED)


@pytest.mark.parametrize(
    ("tls", "field"),
    [
        ({"ca_pem": "no certificate"}, "tls.ca_pem"),
        ({"certificate_pem": _pem(CLIENT)["certificate_pem"]}, "tls.key_pem"),
        ({"key_pem": _pem(CLIENT)["key_pem"]}, "tls.certificate_pem"),
        (_pem(CLIENT) | {"key_pem": _pem(STRANGER)["key_pem"]}, "tls.key_pem"),
        (_pem(CLIENT) | {"key_pem": "no key"}, "tls.key_pem"),
        ({"ca_pem": "x" * 70_000}, "tls.ca_pem"),
        ({"trusts": [{"subject": "CN=nobody", "not_after": "2030-01-01T00:00:00Z"}]}, "tls.trusts"),
    ],
)
async def test_a_certificate_that_cannot_serve_is_refused_when_it_is_saved(
    store: Store, tls: Any, field: str
) -> None:
    with pytest.raises(InputError) as refused:
        await _webhook(store, bytes(16), "https://receiver.example.com/", tls)

    assert refused.value.field == field
    assert "PRIVATE KEY" not in str(refused.value)


async def test_what_is_shown_and_stored_holds_no_key(store: Store) -> None:
    """P13."""
    stored = await _webhook(store, bytes(16), "https://receiver.example.com/", AUTHORITY | _pem(CLIENT))

    assert sorted(stored.document.tls) == ["certificate", "trusts"]
    assert stored.document.sealed_tls is not None
    assert b"PRIVATE KEY" not in stored.document.sealed_tls
    assert "PRIVATE KEY" not in repr(stored.document.tls)
