"""Own schemes have the same fields as presets, and a scheme that would verify less than it seems to is refused."""

from __future__ import annotations

import hmac
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from hookline.core.inbound import (
    NOT_YET,
    PRESETS,
    Request,
    VerificationError,
    check_secret,
    scheme_from,
    sign,
    verify_request,
)
from hookline.core.inbound.presets import DEFINITIONS
from hookline.errors import InputError

NOW = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)


def test_an_own_scheme_with_a_presets_fields_is_that_preset() -> None:
    """Issue 3 point 6: own schemes with the same fields."""
    for name, definition in DEFINITIONS.items():
        own = scheme_from({"type": "signature", "secret": "s", **definition})

        assert own == msgspec.structs.replace(PRESETS[name], name="own")


@pytest.mark.parametrize(
    ("definition", "header", "content", "algorithm", "encode"),
    [
        ({"header": "X-Sig"}, "x-sig", "{body}", "sha256", bytes.hex),
        ({"header": "X-Sig", "algorithm": "sha1"}, "x-sig", "{body}", "sha1", bytes.hex),
        (
            {"header": "X-Sig", "algorithm": "sha512", "encoding": "base64"},
            "x-sig",
            "{body}",
            "sha512",
            lambda digest: b64encode(digest).decode(),
        ),
        (
            {"header": "X-Sig", "template": "{body}|https", "prefix": "hmac "},
            "x-sig",
            "{body}|https",
            "sha256",
            lambda digest: "hmac " + digest.hex(),
        ),
        (
            {"header": "X-Sig", "item_separator": ";", "field_separator": ":", "field": "sig"},
            "x-sig",
            "{body}",
            "sha256",
            lambda digest: f"kid:7; sig:{digest.hex()} ;sig:00",
        ),
    ],
)
def test_an_own_scheme_verifies_what_it_says(
    definition: dict[str, Any], header: str, content: str, algorithm: str, encode: Any
) -> None:
    """The expected signature is made here, by hand."""
    body = b'{"a": 1}'
    digest = hmac.digest(b"own secret", content.replace("{body}", body.decode()).encode(), algorithm)
    scheme = scheme_from(definition)
    request = sign(scheme, "own secret", now=NOW, body=body)

    by_hand = Request(method="POST", headers=((header, encode(digest)),), body=body)
    assert verify_request(scheme, ["own secret"], by_hand, NOW).secret_index == 0
    assert verify_request(scheme, ["own secret"], request, NOW).secret_index == 0


@pytest.mark.parametrize(
    ("definition", "field", "received"),
    [
        ({}, "auth.header", "null"),
        ({"header": None}, "auth.header", "null"),
        ({"header": 5}, "auth.header", "number"),
        ({"header": "X Sig"}, "auth.header", "X Sig"),
        ({"header": []}, "auth.header", "array"),
        ({"header": "x", "signature": "query:s"}, "auth.header", "both"),
        ({"header": "x", "colour": "red"}, "auth.colour", "string"),
        ({"header": "x", "algorithm": "md5"}, "auth.algorithm", "md5"),
        ({"header": "x", "algorithm": ["sha256"]}, "auth.algorithm", "array"),
        ({"header": "x", "algorithm": "none"}, "auth.algorithm", "none"),
        ({"header": "x", "encoding": "base58"}, "auth.encoding", "base58"),
        ({"header": "x", "template": "{timestamp}"}, "auth.template", "{timestamp}"),
        ({"header": "x", "template": "nothing"}, "auth.template", "nothing"),
        ({"header": "x", "template": "{body.__class__}"}, "auth.template", "{body.__class__}"),
        ({"header": "x", "template": "{body}{"}, "auth.template", "{body}{"),
        ({"header": "x", "template": "{form}"}, "auth.template", "{form}"),
        ({"header": "x", "template": "{id}{body}"}, "auth.id", "null"),
        ({"header": "x", "id": "header:y"}, "auth.id", "header:y"),
        ({"header": "x", "id": "body:y", "template": "{id}{body}"}, "auth.id", "body:y"),
        ({"header": "x", "template": "{timestamp}{body}"}, "auth.timestamp", "null"),
        ({"header": "x", "timestamp": "header:t"}, "auth.timestamp", "header:t"),
        (
            {"header": "x", "timestamp": "field:t", "template": "{timestamp}{body}"},
            "auth.timestamp",
            "field:t",
        ),
        ({"header": "x", "timestamp": "cookie:t"}, "auth.timestamp", "cookie:t"),
        ({"header": "x", "timestamp": "header:a+b"}, "auth.timestamp", "header:a+b"),
        ({"header": "x", "timestamp_unit": "minutes"}, "auth.timestamp_unit", "minutes"),
        ({"header": "x", "tolerance_seconds": 300}, "auth.tolerance_seconds", "number"),
        ({"header": "x", "tolerance_seconds": 0}, "auth.tolerance_seconds", "number"),
        ({"header": "x", "tolerance_seconds": True}, "auth.tolerance_seconds", "boolean"),
        ({"header": "x", "tolerance_seconds": 10**9}, "auth.tolerance_seconds", "number"),
        ({"header": "x", "field": "v1"}, "auth.field", "v1"),
        ({"header": "x", "prefix": "\n"}, "auth.prefix", "\n"),
        ({"header": "x", "dedupe_id": "query:id"}, "auth.dedupe_id", "query:id"),
        ({"header": "x", "dedupe_id": "body:a..b"}, "auth.dedupe_id", "body:a..b"),
        ({"header": "x", "handshake": "secret"}, "auth.handshake", "secret"),
        ({"header": "x", "secret_transform": "rot13"}, "auth.secret_transform", "rot13"),
        (
            {"header": "x", "algorithm": "ed25519", "secret_transform": "utf8"},
            "auth.secret_transform",
            "utf8",
        ),
        ({"header": "x", "algorithm": "equality", "template": "{url}{body}"}, "auth.algorithm", "equality"),
        ({"signature": "body:secret"}, "auth.signature", "body:secret"),
        ({"signature": "query:s", "template": "{url}{body}"}, "auth.signature", "query:s"),
        ({"signature": "form:secret"}, "auth.signature", "form:secret"),
        ({"preset": "strip"}, "auth.preset", "strip"),
        ({"preset": 7}, "auth.preset", "number"),
        ({"preset": None}, "auth.header", "null"),
        ({"preset": "stripe", "template": "{body}"}, "auth.template", "string"),
        ({"preset": "stripe", "tolerance_seconds": None}, "auth.tolerance_seconds", "null"),
        ({"preset": "github", "tolerance_seconds": 5}, "auth.tolerance_seconds", "number"),
    ],
)
def test_a_bad_scheme_is_refused_by_field(
    definition: dict[str, Any], field: str, received: str | None
) -> None:
    """AF-5's field, expected and received."""
    with pytest.raises(InputError) as caught:
        scheme_from(definition)

    assert caught.value.field == field
    assert caught.value.expected
    assert caught.value.received == received


@pytest.mark.parametrize("name", ["sendgrid", "paypal", "livekit", "vonage"])
def test_the_second_wave_is_known_and_refused(name: str) -> None:
    """SEEDS "Provider presets": those with a clear "not supported yet"."""
    with pytest.raises(InputError, match="not supported yet") as caught:
        scheme_from({"preset": name})

    assert caught.value.code == "NOT_SUPPORTED_YET"
    assert name in NOT_YET


def test_a_preset_takes_its_few_own_settings() -> None:
    scheme = scheme_from(
        {"preset": "assemblyai", "header": "X-My-Auth", "secret": "s", "type": "signature", "dedupe_id": []}
    )
    wider = scheme_from({"preset": "stripe", "tolerance_seconds": 600})

    assert str(scheme.signature[0]) == "header:x-my-auth"
    assert scheme.algorithm == "equality"
    assert scheme.dedupe_id == ()
    assert wider.tolerance_seconds == 600
    assert wider.name == "stripe"
    assert PRESETS["stripe"].tolerance_seconds == 300


@pytest.mark.parametrize(
    ("preset", "secret"),
    [
        ("github", None),
        ("github", ""),
        ("github", 12345678),
        ("github", " padded"),
        ("github", "line\nend"),
        ("github", "x" * 2000),
        ("standard", "whsec_not base64"),
        ("standard", "whsec_="),
        ("svix", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS"),
        ("svix", "plain text"),
        ("discord", "not hex"),
        ("discord", "00"),
        ("discord", "zz" * 32),
        ("discord", "00" * 32),
        ("discord", "01" + "00" * 31),
        ("discord", "00" * 31 + "80"),
        ("discord", "ec" + "ff" * 30 + "7f"),
        ("discord", "ee" + "ff" * 30 + "7f"),
        ("discord", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
    ],
)
def test_a_secret_that_cannot_check_is_refused_without_being_repeated(preset: str, secret: object) -> None:
    """CONTRACT section 3: a missing secret is 400. P13."""
    with pytest.raises(InputError) as caught:
        check_secret(PRESETS[preset], secret)

    assert caught.value.field == "auth.secret"
    assert caught.value.expected
    assert not secret or str(secret) not in str(vars(caught.value))


def test_secrets_as_providers_print_them_are_accepted() -> None:
    """With and without whsec_, hex in either case, and people's own words."""
    for preset, secret in (
        ("standard", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("standard", "plain text of some length"),
        ("svix", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("svix", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("discord", "D75A980182B10AB7D54BFED3C964073A0EE172F3DAA62325AF021A68F707511A"),
        ("github", "It's a Secret to Everybody"),
    ):
        assert check_secret(PRESETS[preset], secret) == secret


def test_rfc_8032s_own_signature_verifies() -> None:
    """RFC 8032 section 7.1, test 2: one byte, a published key and signature."""
    scheme = scheme_from({"header": "x-sig", "algorithm": "ed25519"})
    key = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    signed = Request(headers=(("x-sig", signature),), body=b"\x72")

    assert verify_request(scheme, [key], signed, NOW).secret_index == 0
    with pytest.raises(VerificationError):
        verify_request(scheme, [key], Request(headers=(("x-sig", signature),), body=b"\x73"), NOW)
