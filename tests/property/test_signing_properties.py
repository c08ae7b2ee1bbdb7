from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from hookline.core.signing import (
    Signer,
    VerificationError,
    agenticflow_signature,
    explain_agenticflow,
    explain_standard,
    new_secret,
    standard_signature,
    verify_agenticflow,
    verify_standard,
)

QUICK = settings(max_examples=150, deadline=None)
secrets = st.binary(min_size=32, max_size=32).map(new_secret)
plain_secrets = st.text(st.characters(exclude_categories=["C"]), min_size=16, max_size=60).filter(
    lambda text: not text.startswith("whsec_")
)
ids = st.from_regex(r"[A-Za-z0-9._:-]{1,40}", fullmatch=True)
stamps = st.integers(0, 10**10)
bodies = st.binary(max_size=200)


@QUICK
@given(
    secret=secrets,
    message_id=ids,
    stamp=stamps,
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=99),
)
def test_we_sign_as_the_published_library_does(secret: str, message_id: str, stamp: int, text: str) -> None:
    """P12."""
    at = datetime.fromtimestamp(stamp, UTC)
    expected = Webhook(secret).sign(message_id, at, text)

    assert standard_signature(secret, message_id, stamp, text.encode()) == expected
    assert Signer(secret).standard(message_id, stamp, text.encode()) == expected


@QUICK
@given(secret=secrets | plain_secrets, body=bodies)
def test_an_agenticflow_signature_is_the_hex_hmac_of_the_body(secret: str, body: bytes) -> None:
    """AF-15."""
    expected = "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()

    assert Signer(secret).agenticflow(body) == agenticflow_signature(secret, body) == expected
    verify_agenticflow([secret], {"X-AgenticFlow-Signature": expected}, body)


@QUICK
@given(
    secret=secrets | plain_secrets,
    message_id=ids,
    stamp=stamps,
    body=bodies,
    skew=st.integers(-300, 300),
    flip=st.integers(0, 10**6),
)
def test_what_we_sign_verifies_and_one_changed_bit_does_not(
    secret: str, message_id: str, stamp: int, body: bytes, skew: int, flip: int
) -> None:
    """P12."""
    now = datetime.fromtimestamp(stamp, UTC) + timedelta(seconds=skew)
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(stamp),
        "webhook-signature": standard_signature(secret, message_id, stamp, body),
    }
    verify_standard([secret], headers, body, now)

    assume(body)
    index, bit = flip % len(body), 1 << flip % 8
    changed = body[:index] + bytes([body[index] ^ bit]) + body[index + 1 :]
    with pytest.raises(VerificationError) as caught:
        verify_standard([secret], headers, changed, now)
    assert caught.value.reason == "signature_mismatch"


header_texts = st.text(max_size=60) | st.sampled_from(["", "v1,", "sha256=", "0", "v1," + "A" * 43 + "="])


@QUICK
@given(
    names=st.lists(
        st.sampled_from(
            ["webhook-id", "Webhook-Timestamp", "webhook-signature", "X-AgenticFlow-Signature", "x"]
        ),
        max_size=6,
    ),
    values=st.lists(header_texts, min_size=6, max_size=6),
    body=bodies,
    secret=secrets,
)
def test_garbage_is_refused_and_never_crashes(
    names: list[str], values: list[str], body: bytes, secret: str
) -> None:
    """P12: any bad header gives a refusal, never another exception."""
    headers = list(zip(names, values, strict=False))
    now = datetime(2024, 1, 15, tzinfo=UTC)

    with pytest.raises(VerificationError):
        verify_standard([secret], headers, body, now)
    with pytest.raises(VerificationError):
        verify_agenticflow([secret], headers, body)
    for hint in explain_standard([secret], headers, body, now) + explain_agenticflow([secret], headers, body):
        assert hint.endswith(".")
