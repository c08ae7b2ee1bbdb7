from __future__ import annotations

import base64
import json
import pickle
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from hookline.core.signing import (
    Headers,
    Signer,
    SigningKey,
    VerificationError,
    agenticflow_signature,
    check_own_secret,
    explain_agenticflow,
    explain_standard,
    new_secret,
    new_signing_key,
    standard_signature,
    verify_agenticflow,
    verify_public,
    verify_standard,
)
from hookline.errors import InputError

# The vector that Standard Webhooks' own libraries test with.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NOW = datetime.fromtimestamp(TIMESTAMP, UTC)

OTHER = new_secret(b"o" * 32)


def standard_headers(**changes: str) -> dict[str, str]:
    headers = {"webhook-id": ID, "webhook-timestamp": str(TIMESTAMP), "webhook-signature": SIGNATURE}
    return headers | {name.replace("_", "-"): value for name, value in changes.items()}


def refusal(secrets: list[str], headers: Headers, body: bytes = BODY, now: datetime = NOW) -> str:
    with pytest.raises(VerificationError) as caught:
        verify_standard(secrets, headers, body, now)
    return caught.value.reason


def test_the_published_standard_webhooks_vector_is_signed_and_verified() -> None:
    """P12."""
    assert standard_signature(SECRET, ID, TIMESTAMP, BODY) == SIGNATURE
    assert Signer(SECRET).standard(ID, TIMESTAMP, BODY) == SIGNATURE
    verify_standard([SECRET], standard_headers(), BODY, NOW)
    verify_standard(
        [SECRET], [(name.title(), value) for name, value in standard_headers().items()], BODY, NOW
    )


# The two published for v1a: the Go library's of Standard Webhooks (a seed), and Svix's (a seed and its public key).
ASYMMETRIC = [
    (
        "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=",
        None,
        "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==",
    ),
    (
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
        "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
    ),
]


@pytest.mark.parametrize(("private", "public", "signature"), ASYMMETRIC)
def test_the_published_asymmetric_vectors_are_signed_and_verified(
    private: str, public: str | None, signature: str
) -> None:
    """P12."""
    key = SigningKey(private)
    headers = standard_headers(webhook_signature=f"{SIGNATURE} {signature}")

    assert key.standard(ID, TIMESTAMP, BODY) == signature
    assert public in {None, key.public_text}
    verify_public([key.public_text], headers, BODY, NOW)
    assert Signer(SECRET, key).standard(ID, TIMESTAMP, BODY) == f"{SIGNATURE} {signature}"
    assert Signer(SECRET, key, alone=True).standard(ID, TIMESTAMP, BODY) == signature
    for changed in (BODY + b" ", b""):
        with pytest.raises(VerificationError):
            verify_public([key.public_text], headers, changed, NOW)

    later = NOW + timedelta(seconds=301)
    verify_public([key.public_text], headers, BODY, later, timedelta(seconds=301))
    with pytest.raises(VerificationError) as caught:
        verify_public([key.public_text], headers, BODY, later)
    assert caught.value.reason == "timestamp_too_old"


@pytest.mark.parametrize("text", ["", "whsk_", "whsk_AAAA", "whsk_" + "A" * 43, "whsk_" + "A" * 86 + "=="])
def test_a_signing_key_that_is_none_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InputError) as caught:
        SigningKey(text)

    assert len(text) < 6 or text not in str(caught.value)


def test_a_signing_key_shows_only_its_public_half() -> None:
    """P13."""
    text = new_signing_key(b"k" * 32)
    key = SigningKey(text)

    assert repr(key) == f"SigningKey({key.public_text})"
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(ValueError, match="32"):
        new_signing_key(b"short")


def test_githubs_published_vector_has_the_agenticflow_form() -> None:
    """AF-15: sha256= and lower-case hex of the body's HMAC under the secret's UTF-8."""
    secret = "It's a Secret to Everybody"
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

    assert agenticflow_signature(secret, b"Hello, World!") == expected
    assert Signer(secret).agenticflow(b"Hello, World!") == expected
    verify_agenticflow([secret], {"x-agenticflow-signature": expected}, b"Hello, World!")


def test_an_agenticflow_key_is_the_whole_secret_string() -> None:
    """CONTRACT section 5: prefix included; the Standard key is the decoded part."""
    secret = new_secret(bytes(range(32)))

    assert agenticflow_signature(secret, BODY) == Signer(secret).agenticflow(BODY)
    assert standard_signature(secret, ID, TIMESTAMP, BODY) == Webhook(secret).sign(ID, NOW, BODY.decode())


def test_a_secret_without_prefix_keys_both_schemes_with_its_utf8() -> None:
    """CONTRACT section 5."""
    secret = "grün grün grün grün"
    as_standard = "whsec_" + base64.b64encode(secret.encode()).decode()

    assert standard_signature(secret, ID, TIMESTAMP, BODY) == standard_signature(
        as_standard, ID, TIMESTAMP, BODY
    )
    assert agenticflow_signature(secret, BODY) == Signer(secret).agenticflow(BODY)


def test_new_secrets_are_whsec_and_padded_base64_of_32_bytes() -> None:
    """CONTRACT section 5."""
    secret = new_secret(b"\xfb\xff" * 16)

    assert secret == "whsec_+//7//v/+//7//v/+//7//v/+//7//v/+//7//v/+/8="
    assert check_own_secret(secret) == secret
    assert check_own_secret("8 bytes!") == "8 bytes!"
    with pytest.raises(ValueError, match="32"):
        new_secret(b"short")


@pytest.mark.parametrize(
    "secret",
    [
        None,
        12345678901234567890,
        "",
        "hunter2",
        "x" * 600,
        " padded with spaces ",
        "control\ncharacters in it",
        "nul\0nul\0nul\0nul\0nul",
        "whsec_",
        "whsec_!!!!!!!!!!!!!!!!!!!!!!!!",
        "whsec_c2hvcnQ=",
        "whsec_" + base64.urlsafe_b64encode(b"\xfb\xff" * 16).decode(),
        "whsec_" + base64.b64encode(b"a" * 32).decode().rstrip("="),
    ],
)
def test_an_own_secret_that_cannot_sign_is_refused_without_being_repeated(secret: object) -> None:
    """P13."""
    with pytest.raises(InputError) as caught:
        check_own_secret(secret)

    assert caught.value.field == "secret"
    assert str(secret).removeprefix("whsec_") in ("", "None") or str(secret) not in repr(
        caught.value.__dict__
    )


def test_a_signer_never_shows_its_key() -> None:
    """PROMISES section 2: the key object has no repr and does not travel."""
    signer = Signer(SECRET)

    assert repr(signer) == str(signer) == "Signer(…)"
    with pytest.raises(TypeError):
        pickle.dumps(signer)


def test_any_signature_of_the_list_made_with_any_secret_will_do() -> None:
    """P12: two secrets during rotation, on either side."""
    both = f"{standard_signature(OTHER, ID, TIMESTAMP, BODY)} {SIGNATURE}"

    verify_standard([SECRET], standard_headers(webhook_signature=both), BODY, NOW)
    verify_standard([OTHER], standard_headers(webhook_signature=both), BODY, NOW)
    verify_standard([OTHER, SECRET], standard_headers(), BODY, NOW)
    verify_standard([SECRET], standard_headers(webhook_signature="v1a,xyz v2,abc " + SIGNATURE), BODY, NOW)
    verify_agenticflow(
        [OTHER, SECRET], {"X-AgenticFlow-Signature": agenticflow_signature(SECRET, BODY)}, BODY
    )


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_empty_or_repeated_header_is_refused(missing: str) -> None:
    """P12: fails closed."""
    headers = standard_headers()
    without = {name: value for name, value in headers.items() if name != missing}

    assert refusal([SECRET], without) == "header_missing"
    assert refusal([SECRET], without | {missing: ""}) == "header_missing"
    assert refusal([SECRET], [*headers.items(), (missing.upper(), headers[missing])]) == "header_repeated"


@pytest.mark.parametrize(
    "timestamp",
    [
        "+1614265330",
        " 1614265330",
        "1614265330 ",
        "1_614_265_330",
        "1614265330.0",
        "-1614265330",
        "0x60381a32",
        "١٦١٤٢٦٥٣٣٠",
        "1614265330\n",
        "1234567890123",
        "NaN",
        "1e9",
    ],
)
def test_a_timestamp_is_plain_digits(timestamp: str) -> None:
    """PROMISES section 2: Python's int() would take most of these."""
    assert refusal([SECRET], standard_headers(webhook_timestamp=timestamp)) == "timestamp_malformed"


def test_a_timestamp_must_lie_within_the_tolerance() -> None:
    """P12: ±300 s, the bounds included."""
    headers = standard_headers()

    verify_standard([SECRET], headers, BODY, NOW + timedelta(seconds=300))
    verify_standard([SECRET], headers, BODY, NOW - timedelta(seconds=300))
    verify_standard([SECRET], headers, BODY, NOW + timedelta(seconds=900), timedelta(seconds=900))
    assert refusal([SECRET], headers, now=NOW + timedelta(seconds=301)) == "timestamp_too_old"
    assert refusal([SECRET], headers, now=NOW - timedelta(seconds=301)) == "timestamp_too_new"
    assert refusal([SECRET], standard_headers(webhook_timestamp="0")) == "timestamp_too_old"


@pytest.mark.parametrize(
    "signature",
    [
        SIGNATURE.removeprefix("v1,"),
        "v1," + base64.b64decode(SIGNATURE[3:]).hex(),
        SIGNATURE.replace("v1,", "v0,"),
        SIGNATURE.replace("v1,", "V1,"),
        SIGNATURE.rstrip("="),
        SIGNATURE + "=",
        SIGNATURE.replace("+", "-").replace("/", "_"),
        SIGNATURE[:-2] + "F=",  # other spare bits, same bytes to a lax decoder
        SIGNATURE[:20] + "\n" + SIGNATURE[20:],
        "v1,",
        "v1,AAAA",
        ",",
        "é",
    ],
)
def test_a_respelled_signature_is_refused(signature: str) -> None:
    """PROMISES section 2: strict base64, full length, known version."""
    assert refusal([SECRET], standard_headers(webhook_signature=signature)) == "signature_malformed"


def test_anything_else_that_was_signed_is_refused() -> None:
    """P12: derived negatives."""
    assert refusal([OTHER], standard_headers()) == "signature_mismatch"
    assert refusal([SECRET], standard_headers(), BODY + b" ") == "signature_mismatch"
    assert refusal([SECRET], standard_headers(), b"") == "signature_mismatch"
    assert refusal([SECRET], standard_headers(webhook_id="msg_other")) == "signature_mismatch"
    assert refusal([SECRET], standard_headers(webhook_timestamp=str(TIMESTAMP + 1))) == "signature_mismatch"
    shifted = standard_headers(webhook_id=f"{ID}.{TIMESTAMP}", webhook_timestamp="1614265330")
    assert refusal([SECRET], shifted) == "signature_mismatch"


def test_a_long_list_of_signatures_is_not_read_to_its_end() -> None:
    many = " ".join(["v1," + "A" * 43 + "="] * 1000 + [SIGNATURE])

    assert refusal([SECRET], standard_headers(webhook_signature=many)) == "signature_mismatch"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "header_missing"),
        ("sha256=", "signature_malformed"),
        (agenticflow_signature(SECRET, BODY).removeprefix("sha256="), "signature_malformed"),
        (agenticflow_signature(SECRET, BODY).upper(), "signature_malformed"),
        (agenticflow_signature(SECRET, BODY)[:-1], "signature_malformed"),
        (agenticflow_signature(SECRET, BODY).replace("sha256=", "sha256=sha256="), "signature_malformed"),
        (agenticflow_signature(SECRET, BODY) + "\n", "signature_malformed"),
        (agenticflow_signature(OTHER, BODY), "signature_mismatch"),
        (agenticflow_signature(SECRET, BODY + b"\n"), "signature_mismatch"),
    ],
)
def test_an_agenticflow_signature_has_one_spelling(value: str, reason: str) -> None:
    """AF-15, P12."""
    with pytest.raises(VerificationError) as caught:
        verify_agenticflow([SECRET], {"X-AgenticFlow-Signature": value}, BODY)

    assert caught.value.reason == reason


def test_without_a_secret_nothing_is_verified() -> None:
    """PROMISES section 2: a missing secret must not mean open."""
    forged = {"X-AgenticFlow-Signature": agenticflow_signature("", BODY)}
    for secrets in ([], [""], [SECRET, ""]):
        with pytest.raises(ValueError, match="secret"):
            verify_standard(secrets, standard_headers(), BODY, NOW)
        with pytest.raises(ValueError, match="secret"):
            verify_agenticflow(secrets, forged, BODY)


@pytest.mark.parametrize(
    ("headers", "body", "hint"),
    [
        (
            standard_headers(),
            json.dumps(json.loads(BODY), separators=(",", ":")).encode(),
            "serialized again",
        ),
        (standard_headers(), BODY + b"\n", "line end"),
        (
            standard_headers(webhook_signature="v1," + base64.b64decode(SIGNATURE[3:]).hex()),
            BODY,
            "hex stands where base64 is due",
        ),
        (standard_headers(webhook_timestamp=str(TIMESTAMP * 1000)), BODY, "milliseconds"),
        (standard_headers(webhook_timestamp=str(TIMESTAMP - 4000)), BODY, "off by 4000 s"),
        (
            standard_headers(webhook_signature=standard_signature("x" + SECRET, ID, TIMESTAMP, BODY)),
            BODY,
            "",
        ),
    ],
)
def test_a_failing_standard_signature_is_explained(headers: dict[str, str], body: bytes, hint: str) -> None:
    """CONTRACT section 1, hookline verify: why, never the expected value."""
    hints = explain_standard([SECRET], headers, body, NOW)

    assert hint in " ".join(hints)
    assert bool(hints) is bool(hint)
    assert SIGNATURE[3:] not in " ".join(hints)


def test_a_key_built_the_wrong_way_is_explained() -> None:
    wrong = (
        "v1,"
        + base64.b64encode(
            bytes.fromhex(agenticflow_signature(SECRET, f"{ID}.{TIMESTAMP}.".encode() + BODY)[7:])
        ).decode()
    )
    right = agenticflow_signature(SECRET, BODY)
    decoded = agenticflow_signature(base64.b64decode(SECRET[6:]).decode("latin-1"), BODY)

    assert (
        "text of the secret"
        in explain_standard([SECRET], standard_headers(webhook_signature=wrong), BODY, NOW)[0]
    )
    assert explain_agenticflow([SECRET], {"x-agenticflow-signature": right}, BODY) == []
    assert explain_agenticflow([SECRET], {"x-agenticflow-signature": decoded}, BODY) == []
    upper = "sha256=" + right[7:].upper()
    assert "upper-case" in explain_agenticflow([SECRET], {"x-agenticflow-signature": upper}, BODY)[0]
    assert "must begin" in explain_agenticflow([SECRET], {"x-agenticflow-signature": right[7:]}, BODY)[0]
    as_base64 = "sha256=" + base64.b64encode(bytes.fromhex(right[7:])).decode()
    assert "base64 stands" in explain_agenticflow([SECRET], {"x-agenticflow-signature": as_base64}, BODY)[0]
    bare = agenticflow_signature(SECRET.removeprefix("whsec_"), BODY)
    assert "without whsec_" in explain_agenticflow([SECRET], {"x-agenticflow-signature": bare}, BODY)[0]
    spaced = agenticflow_signature(SECRET, json.dumps(json.loads(BODY), indent=None).encode())
    compacted = b'{"test":2432232314}'
    assert (
        "serialized again" in explain_agenticflow([SECRET], {"x-agenticflow-signature": spaced}, compacted)[0]
    )
