from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hookline.core.signing import (
    SigningKey,
    agenticflow_signature,
    new_secret,
    new_signing_key,
    standard_signature,
)
from hookline.receiver import VerificationError, verify

SECRET = new_secret(b"s" * 32)
OLD = new_secret(b"o" * 32)
BODY = b'{"type":"order.created","timestamp":"2024-01-15T10:30:00.000Z","data":{"total":12}}'
NOW = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)


def signed(body: bytes = BODY, *, at: datetime = NOW, secret: str = SECRET) -> dict[str, str]:
    timestamp = int(at.timestamp())
    return {
        "Webhook-Id": "evt_1",
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": standard_signature(secret, "evt_1", timestamp, body),
    }


def test_verify_returns_the_event() -> None:
    """CONTRACT section 7."""
    assert verify(BODY, signed(), SECRET, now=NOW)["data"] == {"total": 12}
    assert verify(BODY.decode(), signed(), SECRET, now=NOW)["type"] == "order.created"
    assert verify(BODY, list(signed().items()), (OLD, SECRET), now=NOW)["type"] == "order.created"


def test_headers_may_be_bytes() -> None:
    """CONTRACT section 7: as an ASGI scope has them."""
    scope = [(name.lower().encode(), value.encode()) for name, value in signed().items()]

    assert verify(BODY, scope, SECRET, now=NOW)["type"] == "order.created"
    with pytest.raises(VerificationError) as caught:
        verify(BODY, [*scope[:2], (b"webhook-signature", b"v1,\xff")], SECRET, now=NOW)
    assert caught.value.reason == "signature_malformed"


def test_verify_reads_the_clock_itself() -> None:
    assert verify(BODY, signed(at=datetime.now(UTC)), SECRET)
    with pytest.raises(VerificationError) as caught:
        verify(BODY, signed(), SECRET)

    assert caught.value.reason == "timestamp_too_old"


def test_the_tolerance_can_be_set() -> None:
    headers = signed(at=NOW - timedelta(hours=1))

    assert verify(BODY, headers, SECRET, now=NOW, tolerance_seconds=3600)
    with pytest.raises(VerificationError):
        verify(BODY, headers, SECRET, now=NOW, tolerance_seconds=3599)


def test_an_agenticflow_signature_alone_is_enough_unless_standard_is_asked_for() -> None:
    """AF-15; the scheme signs no time, so a receiver may refuse it."""
    headers = {"x-agenticflow-signature": agenticflow_signature(SECRET, BODY)}

    assert verify(BODY, headers, SECRET)["type"] == "order.created"
    with pytest.raises(VerificationError) as caught:
        verify(BODY, headers, SECRET, scheme="standard")
    assert caught.value.reason == "header_missing"


def test_a_good_signature_does_not_make_up_for_a_bad_one() -> None:
    """P12: a request with any Standard header is judged by those."""
    headers = {"x-agenticflow-signature": agenticflow_signature(SECRET, BODY), "webhook-id": "evt_1"}

    with pytest.raises(VerificationError) as caught:
        verify(BODY, headers, SECRET)
    assert caught.value.reason == "header_missing"
    assert verify(BODY, headers, SECRET, scheme="agenticflow")


@pytest.mark.parametrize("headers", [{"content-type": "application/json"}, {"X-AgenticFlow-Signature": None}])
def test_an_unsigned_request_is_refused(headers: dict[str, Any]) -> None:
    """AF-X1: also where the receiver passes on the None it got for the header."""
    with pytest.raises(VerificationError) as caught:
        verify(BODY, headers, SECRET)

    assert caught.value.reason == "header_missing"


@pytest.mark.parametrize(("body", "data"), [(b"[1.0]", [1]), (b"null", None), (b'"a"', "a")])
def test_a_raw_body_is_whatever_json_was_published(body: bytes, data: object) -> None:
    """CONTRACT section 5: ``raw`` sends the event's data as it came, and signs it like the others."""
    assert verify(body, signed(body), SECRET, now=NOW) == data


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":NaN}', b"\xff"])
def test_a_signed_body_that_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        verify(body, signed(body), SECRET, now=NOW)

    assert caught.value.reason == "body_malformed"


def test_a_public_key_verifies_and_secrets_go_on_beside_it() -> None:
    """P12: a receiver that moves from a shared secret to a public key, or back, knows both for a while."""
    key = SigningKey(new_signing_key(b"k" * 32))
    signature = key.standard("evt_1", int(NOW.timestamp()), BODY)
    headers = signed() | {"Webhook-Signature": signature}

    assert verify(BODY, headers, key.public_text, now=NOW)["data"] == {"total": 12}
    assert verify(BODY, headers, (SECRET, key.public_text), now=NOW)
    assert verify(BODY, signed(), (key.public_text, SECRET), now=NOW)
    for secret in (SigningKey(new_signing_key(b"l" * 32)).public_text, SECRET):
        with pytest.raises(VerificationError):
            verify(BODY, headers, secret, now=NOW)
    with pytest.raises(VerificationError):
        verify(BODY, signed(), key.public_text, now=NOW)
