from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hookline.core.inbound import (
    PRESETS,
    Request,
    VerificationError,
    diagnose,
    handshake,
    sign,
    verify,
    verify_request,
)
from hookline.testing.samples import SAMPLES, URL, sample_request, verifying_secret

QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOW = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)
presets = st.sampled_from(sorted(PRESETS))

NAMES = sorted(
    {source.names[0] for scheme in PRESETS.values() for source in scheme.signature}
    | {scheme.id.names[0] for scheme in PRESETS.values() if scheme.id}
    | {scheme.timestamp.names[0] for scheme in PRESETS.values() if scheme.timestamp}
    | {"content-type", "x"}
)
PIECES = [
    "",
    ",",
    "=",
    "v1",
    "v0=",
    "t=",
    "t=1768478400,",
    "v1=",
    "v1,",
    "sha256=",
    "1768478400",
    "0" * 64,
    "A" * 43 + "=",
]
values = (
    st.text(max_size=80)
    | st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
    | st.sampled_from(["application/x-www-form-urlencoded", "application/json"])
)
urls = st.sampled_from(
    ["", URL, "https://[", "http://a:b@c:99999/?secret=%ff", f"{URL}?validationToken=x", "\x00"]
) | st.text(max_size=60)
bodies = st.binary(max_size=200) | st.sampled_from(
    [
        b"{}",
        b'{"value":[{"clientState":1}]}',
        b'{"challenge":"x","type":"url_verification"}',
        b'{"event":"endpoint.url_validation","payload":{"plainToken":[]}}',
        b'{"type":1}',
        b'{"webhookTimestamp":1e400}',
        b"[" * 3000,
        b"a=%ff&b",
    ]
)


@QUICK
@given(
    preset=presets,
    names=st.lists(st.sampled_from(NAMES) | st.text(max_size=20), max_size=5),
    garbage=st.lists(values, min_size=5, max_size=5),
    url=urls,
    method=st.sampled_from(["POST", "GET", "PUT", "", "x"]),
    body=bodies,
    as_bytes=st.booleans(),
)
def test_garbage_is_refused_and_never_crashes(
    preset: str, names: list[str], garbage: list[str], url: str, method: str, body: bytes, as_bytes: bool
) -> None:
    """P12: any bad request gives a refusal, never another exception; a handshake too; and it can be explained."""
    scheme = PRESETS[preset]
    secrets = [verifying_secret(scheme, SAMPLES[preset].secret)]
    pairs: list[tuple[str | bytes, str | bytes]] = [
        (name.encode(), value.encode()) if as_bytes else (name, value)
        for name, value in zip(names, garbage, strict=False)
    ]

    with pytest.raises(VerificationError):
        verify(scheme, secrets, method=method, url=url, headers=pairs, body=body, now=NOW)
    found = diagnose(scheme, secrets, method=method, url=url, headers=pairs, body=body, now=NOW)
    assert not found.is_valid
    assert all(sentence.endswith((".", "?")) for sentence in found.findings)
    try:
        answer = handshake(scheme, secrets, method=method, url=url, headers=pairs, body=body, now=NOW)
    except VerificationError:
        return
    assert answer is None or scheme.handshake == "msgraph"


@QUICK
@given(
    preset=presets,
    body=bodies,
    at=st.integers(0, 4 * 10**9),
    message_id=st.from_regex(r"[\x21-\x7e]{1,40}", fullmatch=True),
)
def test_what_sign_makes_verify_takes(preset: str, body: bytes, at: int, message_id: str) -> None:
    """P12."""
    scheme, sample = PRESETS[preset], SAMPLES[preset]
    now = datetime.fromtimestamp(at, UTC)
    try:
        request = sign(scheme, sample.secret, now=now, body=body, url=URL, message_id=message_id)
    except ValueError:
        assume(False)  # a body that has no place for what this scheme reads there

    assert verify_request(scheme, [verifying_secret(scheme, sample.secret)], request, now).secret_index == 0


@QUICK
@given(preset=presets, place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_no_bit_of_a_signed_body_can_change(preset: str, place: int, bit: int) -> None:
    """P12."""
    scheme = PRESETS[preset]
    request = sample_request(preset, now=NOW)
    assume(scheme.algorithm != "equality")
    index = place % len(request.body)
    changed = request.body[:index] + bytes([request.body[index] ^ 1 << bit]) + request.body[index + 1 :]
    # Twilio signs what a form says, so two spellings of one form are one text.
    assume(preset != "twilio" or changed[index : index + 1].isalnum())

    forged = Request(method=request.method, url=request.url, headers=request.headers, body=changed)
    with pytest.raises(VerificationError):
        verify_request(scheme, [verifying_secret(scheme, SAMPLES[preset].secret)], forged, NOW)
