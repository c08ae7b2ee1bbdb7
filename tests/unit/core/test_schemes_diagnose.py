"""One mistake at a time is made in a good request, and its finding names it."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from hookline.core.inbound import PRESETS, Diagnosis, Request, diagnose, sign
from hookline.testing.samples import FORM, SAMPLES, URL, sample_request, verifying_secret

NOW = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)
SECRET = SAMPLES["github"].secret
BODY = b'{"name": "Zo\\u00eb", "n": 1.0, "url": "a/b"}'


def explain(preset: str, request: Request, *secrets: str, now: datetime = NOW) -> Diagnosis:
    scheme = PRESETS[preset]
    return diagnose(
        scheme,
        secrets or [verifying_secret(scheme, SAMPLES[preset].secret)],
        method=request.method,
        url=request.url,
        headers=request.headers,
        body=request.body,
        now=now,
    )


def said(diagnosis: Diagnosis) -> str:
    assert not diagnosis.is_valid
    assert diagnosis.reason
    return " ".join(diagnosis.findings)


def github(value: str, body: bytes = BODY) -> Request:
    return Request(headers=(("x-hub-signature-256", value),), body=body)


def digest(body: bytes, secret: str = SECRET, algorithm: str = "sha256") -> bytes:
    return hmac.digest(secret.encode(), body, algorithm)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_good_request_needs_no_words(preset: str) -> None:
    assert explain(preset, sample_request(preset, now=NOW)) == Diagnosis(True, None, ())


@pytest.mark.parametrize(
    "again",
    [
        json.dumps(json.loads(BODY)).encode(),
        json.dumps(json.loads(BODY), separators=(",", ":")).encode(),
        json.dumps(json.loads(BODY), ensure_ascii=False).encode(),
        json.dumps(json.loads(BODY), sort_keys=True).encode(),
        json.dumps(json.loads(BODY), indent=2, ensure_ascii=False).encode(),
        '{"name":"Zoë","n":1,"url":"a/b"}'.encode(),
        b'{"name":"Zo\\u00eb","n":1.0,"url":"a\\/b"}',
    ],
)
def test_a_re_serialized_body_is_named(again: bytes) -> None:
    """Issue 3 point 7: as Python, JavaScript and PHP write it."""
    signed = "sha256=" + digest(again).hex()

    assert said(explain("github", github(signed, BODY.replace(b'": ', b'":  ')))) == (
        "No signature fits the request and the secret. "
        "It matches if: the body is re-serialized: it was parsed and serialized again on its way."
    )


@pytest.mark.parametrize(
    ("value", "body", "hint"),
    [
        ("sha256=" + digest(BODY).hex(), BODY + b"\n", "a line end that was not signed"),
        ("sha256=" + digest(BODY + b"\n").hex(), BODY, "lost its final line end"),
        ("sha256=" + digest(b"a\r\nb").hex(), b"a\nb", "line ends of the body were changed"),
        ("sha256=" + digest(b"").hex(), BODY, "empty when it was signed"),
        ("sha256=" + digest(BODY).hex().upper(), BODY, "upper-case"),
        ("sha256=" + b64encode(digest(BODY)).decode(), BODY, "base64 stands where hex is due"),
        ("sha256=" + b64encode(digest(BODY).hex().encode()).decode(), BODY, "base64 of the hex digits"),
        (digest(BODY).hex(), BODY, "must begin with sha256="),
        ("sha256=" + digest(BODY, algorithm="sha1").hex(), BODY, "SHA1 was used instead of sha256"),
        ("sha256=" + digest(BODY, algorithm="sha512").hex(), BODY, "SHA512 was used"),
        ("sha256=" + digest(BODY, SECRET + "\n").hex(), BODY, "No usual mistake"),
        ("sha256=" + digest(BODY, "another").hex(), BODY, "No usual mistake explains it"),
    ],
)
def test_one_mistake_is_named(value: str, body: bytes, hint: str) -> None:
    """CONTRACT section 1, hookline verify."""
    sentences = said(explain("github", github(value, body)))

    assert hint in sentences
    assert digest(body).hex() not in sentences
    assert SECRET not in sentences


@pytest.mark.parametrize(
    ("preset", "missing"),
    [
        ("github", "The header x-hub-signature-256 is missing."),
        ("telegram", "The header x-telegram-bot-api-secret-token is missing."),
        ("phantombuster", "The request has no query value secret."),
    ],
)
def test_of_a_request_without_a_signature_only_that_is_said(preset: str, missing: str) -> None:
    """CONTRACT 1: nothing was signed, so no other secret signed it."""
    found = diagnose(
        PRESETS[preset], [SECRET], method="POST", url="https://a.example/b", headers=[], body=BODY, now=NOW
    )

    assert (found.reason, found.findings) == ("header_missing", (missing,))


def test_two_mistakes_at_once_are_named_together() -> None:
    value = "sha256=" + b64encode(digest(BODY)).decode()

    sentences = said(explain("github", github(value, BODY + b"\n")))

    assert "a line end that was not signed; base64 stands where hex is due" in sentences


def test_base64_in_other_spellings_is_named() -> None:
    body = b"\x00\x01\x02"
    mac = next(mac for n in range(99) if b"/" in b64encode(mac := digest(body + bytes([n]))))
    body += bytes([next(n for n in range(99) if digest(body + bytes([n])) == mac)])
    for value, hint in (
        (mac.hex(), "hex stands where base64 is due"),
        (b64encode(mac).decode().rstrip("="), "lost its padding"),
        (urlsafe_b64encode(mac).decode(), "URL-safe alphabet"),
    ):
        request = Request(headers=(("x-shopify-hmac-sha256", value),), body=body)
        assert hint in said(explain("shopify", request))


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        (SAMPLES["standard"].secret.encode(), "the text of the secret where its decoded part is due"),
        (SAMPLES["standard"].secret.removeprefix("whsec_").encode(), "secret's text without whsec_"),
    ],
)
def test_a_key_built_the_wrong_way_is_named(key: bytes, hint: str) -> None:
    """Secret used with or without whsec_."""
    good = sample_request("standard", now=NOW)
    stamp = int(NOW.timestamp())
    mac = hmac.digest(key, f"msg_1.{stamp}.".encode() + good.body, "sha256")
    headers = {**dict(good.headers), "webhook-signature": "v1," + b64encode(mac).decode()}

    assert hint in said(explain("standard", msgspec.structs.replace(good, headers=tuple(headers.items()))))


def test_a_secret_given_without_its_prefix_is_named() -> None:
    whole = "whsec_" + "x" * 20
    signed = Request(headers=(("x-agenticflow-signature", "sha256=" + digest(BODY, whole).hex()),), body=BODY)

    assert "with whsec_ before it" in said(explain("agenticflow", signed, "x" * 20))


def test_a_signature_over_the_body_alone_is_named() -> None:
    """Issue 3 point 7."""
    stamp = int(NOW.timestamp())
    mac = digest(BODY, SAMPLES["stripe"].secret).hex()
    request = Request(headers=(("stripe-signature", f"t={stamp},v1={mac}"),), body=BODY)

    assert "the signature is over the body alone" in said(explain("stripe", request))


@pytest.mark.parametrize("preset", ["stripe", "slack", "discord", "linear", "workos", "standard"])
def test_the_clock_is_named_with_its_seconds(preset: str) -> None:
    """Issue 3 point 7: clock 412 s off."""
    request = sample_request(preset, now=NOW)

    for now, word in ((NOW + timedelta(seconds=412), "old"), (NOW - timedelta(seconds=412), "early")):
        sentences = said(explain(preset, request, now=now))
        assert f"The clock is off by 412 s, or the request is that {word}." in sentences
        assert "The signature itself fits" in sentences


def test_the_wrong_unit_of_a_time_is_named() -> None:
    milliseconds = sign(
        msgspec.structs.replace(PRESETS["stripe"], timestamp_unit="ms"), "s", now=NOW, body=b"{}"
    )
    seconds = sign(msgspec.structs.replace(PRESETS["workos"], timestamp_unit="s"), "s", now=NOW, body=b"{}")

    assert "counts milliseconds; it must count seconds" in said(explain("stripe", milliseconds, "s"))
    assert "counts seconds; it must count milliseconds" in said(explain("workos", seconds, "s"))


def test_the_previous_secret_is_named() -> None:
    """Issue 3 point 7."""
    valid = explain("github", github("sha256=" + digest(BODY).hex()), "the new one", SECRET)
    broken = explain("github", github("sha256=" + digest(BODY).hex(), BODY + b"\n"), "the new one", SECRET)

    assert valid == Diagnosis(True, None, ("It is signed with the previous secret.",))
    assert "It matches if: it is signed with the previous secret; the body has a line end" in said(broken)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        (URL.replace("https:", "http:"), "begins with https:"),
        (URL + "/", "final slash"),
        (URL.replace(".com", ".com:8700"), "no port"),
    ],
)
@pytest.mark.parametrize("preset", ["square", "twilio"])
def test_a_url_behind_a_proxy_is_named(preset: str, url: str, hint: str) -> None:
    """SEEDS "Provider presets": needs the public URL behind proxies."""
    request = msgspec.structs.replace(sample_request(preset, now=NOW), url=url)
    if preset == "twilio" and hint == "no port":
        assert explain(preset, request).is_valid  # Twilio signs without it, too
        return

    assert hint in said(explain(preset, request))


def test_a_form_that_is_not_declared_as_one_is_named() -> None:
    good = sample_request("twilio", now=NOW)
    headers = tuple((name, value) for name, value in good.headers if value != FORM)

    assert "nothing signs the body" in said(explain("twilio", msgspec.structs.replace(good, headers=headers)))


def test_another_senders_header_is_named() -> None:
    assert "svix-signature, as of the preset svix" in said(
        explain("standard", sample_request("svix", now=NOW))
    )
    old = Request(headers=(("x-hub-signature", "sha1=" + digest(BODY, algorithm="sha1").hex()),), body=BODY)
    assert "SHA-1" in said(explain("github", old))


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (SECRET + " ", "spaces"),
        ("Bearer It's", "bytes"),
        (SECRET.upper(), "upper and lower case"),
        ("It%27s%20a%20Secret%20to%20Everybody", "percent-decoded"),
        (hashlib.sha256(SECRET.encode()).hexdigest(), "SHA-256 of the secret"),
        ("short", "5 bytes"),
    ],
)
def test_a_mistaken_shared_secret_is_named(value: str, hint: str) -> None:
    sentences = said(explain("gitlab", Request(headers=(("x-gitlab-token", value),)), SECRET))

    assert hint in sentences
    assert SECRET not in sentences


def test_a_word_before_a_shared_secret_is_named() -> None:
    request = Request(headers=(("x-gitlab-token", "Bearer token-1"),))

    assert "Bearer" in said(explain("gitlab", request, "token-1"))


def test_an_ed25519_signature_is_explained_too() -> None:
    good = sample_request("discord", now=NOW)
    with_line_end = msgspec.structs.replace(good, body=good.body + b"\n")
    upper = tuple(
        (name, value.upper() if name == "x-signature-ed25519" else value) for name, value in good.headers
    )

    assert "a line end that was not signed" in said(explain("discord", with_line_end))
    assert "upper-case" in said(explain("discord", msgspec.structs.replace(good, headers=upper)))
