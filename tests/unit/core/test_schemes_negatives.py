"""Every preset's signed sample verifies, and nothing that was changed in it does: derived, not listed."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from hookline.core.inbound import PRESETS, Request, Scheme, VerificationError, Verified, sign, verify_request
from hookline.testing.samples import FORM, SAMPLES, sample_request, verifying_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)
# The second key of RFC 8032, section 7.1.
OTHERS = {"hex": "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "utf8": "another secret"}
OTHERS["whpk"] = "whpk_" + b64encode(bytes.fromhex(OTHERS["hex"])).decode()
OTHER_WHSEC = "whsec_" + "A" * 43 + "="
ID = "7f1e9d9a-1111-4222-8333-444455556666"


def secret_of(preset: str) -> str:
    return verifying_secret(PRESETS[preset], SAMPLES[preset].secret)


def check(preset: str, request: Request, *secrets: str, now: datetime = NOW) -> Verified:
    return verify_request(PRESETS[preset], secrets or [secret_of(preset)], request, now)


def with_header(request: Request, name: str, *values: str) -> Request:
    others = [pair for pair in request.headers if pair[0] != name]
    return msgspec.structs.replace(request, headers=(*others, *((name, value) for value in values)))


def header_of(request: Request, name: str) -> str:
    return dict(request.headers)[name]


# --- what may be changed --------------------------------------------------------------------------------------


def signature_spellings(scheme: Scheme, value: str) -> Iterator[tuple[str, str]]:
    """A header value with one thing wrong in its signature, which stands at its end."""
    last = value.rstrip("=")[-1]
    head = value[: len(value.rstrip("=")) - 1]
    tail = value[len(value.rstrip("=")) :]
    yield "one digit is another", head[:-1] + ("0" if head[-1] != "0" else "1") + last + tail
    yield "it is cut", value[:-1]
    yield "it is cut by a byte", value[:-2]
    yield "it is longer", value + "00"
    yield "it has a line end", value + "\n"
    yield "it is longer by a digest", value + "0" * 64
    yield "a NUL follows", value + "\0"
    yield "it is not ASCII", value + "é"
    yield "its digits are of another script", value[:-1] + "٣"
    yield "it is empty", ""
    yield "it is a space", " "
    yield "it is a separator", ",=,= ,"
    if scheme.prefix:
        yield "its prefix is missing", value.replace(scheme.prefix, "", 1)
        yield "its prefix is doubled", scheme.prefix + value
        yield "its prefix is upper-case", value.replace(scheme.prefix, scheme.prefix.upper(), 1)
    if scheme.algorithm == "equality":
        yield "its case is another", value.swapcase()
        yield "a space stands before it", " " + value
        return
    if scheme.encoding == "hex":
        start, _, digits = value.rpartition("=") if "=" in value else ("", "", value)
        yield "its digits are upper-case", f"{start}={digits.upper()}" if start else digits.upper()
    else:
        yield "it lost its padding", value.rstrip("=")
        yield "it has more padding", value + "="
        spare = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        yield "its spare bits are set", head + spare[spare.index(last) ^ 1] + tail


def changes(preset: str) -> Iterator[tuple[str, Request]]:
    """The sample of a preset with one thing changed that its signature or shared secret covers."""
    scheme = PRESETS[preset]
    good = sample_request(preset, now=NOW)
    source = scheme.signature[0]
    if source.place == "header":
        name = source.names[0]
        value = header_of(good, name)
        yield "the signature is missing", with_header(good, name)
        yield "the signature is there twice", with_header(good, name, value, value)
        yield "the signature has another beside it", with_header(good, name, value, "x")
        for label, changed in signature_spellings(scheme, value):
            yield label, with_header(good, name, changed)
    elif source.place == "query":
        bare = good.url.partition("?")[0]
        yield "the query is missing", msgspec.structs.replace(good, url=bare)
        yield "the secret is empty", msgspec.structs.replace(good, url=f"{bare}?secret=")
        yield "the secret is another", msgspec.structs.replace(good, url=good.url + "x")
        yield "the secret is there twice", msgspec.structs.replace(good, url=good.url + "&secret=x")
        yield "its name is another", msgspec.structs.replace(good, url=good.url.replace("secret=", "Secret="))
        yield "it is not UTF-8", msgspec.structs.replace(good, url=f"{bare}?secret=%ff")
    if scheme.algorithm != "equality":
        yield from unsigned_bodies(good)
    yield from unsigned_times(scheme, good)
    if scheme.id is not None:
        name = scheme.id.names[0]
        for label, values in {
            "the id is another": ["msg_2"],
            "the id is missing": [],
            "the id is empty": [""],
            "the id is there twice": ["msg_1", "msg_1"],
            "the id has a space": ["msg_1 "],
        }.items():
            yield label, with_header(good, name, *values)
    if "url" in scheme.placeholders:
        yield "the URL is another", msgspec.structs.replace(good, url=good.url + "/x")
        yield "the URL's scheme is another", msgspec.structs.replace(good, url="http" + good.url[5:])
        yield "the URL is unknown", msgspec.structs.replace(good, url="")


def unsigned_bodies(good: Request) -> Iterator[tuple[str, Request]]:
    body = good.body
    middle = len(body) // 2
    for label, changed in {
        "a bit of the body is flipped": body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :],
        "the body has a line end": body + b"\n",
        "the body is cut": body[:-1],
        "the body is empty": b"",
        "the body is spaced": body.replace(b":", b": ").replace(b"&", b"&&x=1&"),
        "the body is not UTF-8": body + b"&\xff",
    }.items():
        yield label, msgspec.structs.replace(good, body=changed)


def unsigned_times(scheme: Scheme, good: Request) -> Iterator[tuple[str, Request]]:
    source = scheme.timestamp
    if source is None or source.place == "body":
        return
    name = source.names[0] if source.place == "header" else scheme.signature[0].names[0]
    value = header_of(good, name)
    stamp = value if source.place == "header" else value.partition("=")[2].partition(",")[0]
    for changed in (
        "",
        "0",
        "-1",
        f"+{stamp}",
        f" {stamp}",
        f"{stamp}.0",
        f"{stamp[0]}_{stamp[1:]}",
        f"{stamp}\n",
        "٣" * 10,
        "1e9",
        "NaN",
        "9" * 400,
        "2026-01-15",
        "9999-99-99T99:99:99Z",
    ):
        if source.place == "header" and not changed.startswith(" "):
            yield f"the time is {changed[:20]!r}", with_header(good, name, changed)
        elif source.place == "field" and changed:
            # Spaces around an item do not count, so the space is put inside.
            yield f"the time is {changed[:20]!r}", with_header(good, name, value.replace(stamp, changed, 1))
    if source.place == "field":
        yield "the time is missing", with_header(good, name, value.partition(",")[2])
        yield "the time is there twice", with_header(good, name, f"t={stamp},{value}")
    else:
        yield "the time is missing", with_header(good, name)
        yield "the time is there twice", with_header(good, name, value, value)


# --- the rules ------------------------------------------------------------------------------------------------

CHANGES = [(preset, label, request) for preset in PRESETS for label, request in changes(preset)]


def test_every_preset_has_a_sample() -> None:
    assert set(SAMPLES) == set(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_signed_sample_verifies(preset: str) -> None:
    """P12; the answer names the secret that fits."""
    request = sample_request(preset, now=NOW)

    assert check(preset, request).secret_index == 0
    assert check(preset, request, other_secret(preset), secret_of(preset)).secret_index == 1


@pytest.mark.parametrize(("preset", "label", "request_"), CHANGES, ids=[f"{p}: {c}" for p, c, _ in CHANGES])
def test_a_changed_request_is_refused(preset: str, label: str, request_: Request) -> None:
    """P12, PROMISES section 2: fails closed, and never with another exception."""
    with pytest.raises(VerificationError) as caught:
        check(preset, request_)

    assert caught.value.reason
    assert secret_of(preset) not in caught.value.message


def other_secret(preset: str) -> str:
    transform = PRESETS[preset].secret_transform
    return OTHER_WHSEC if transform.startswith("whsec") else OTHERS[transform]


@pytest.mark.parametrize("preset", PRESETS)
def test_another_secret_is_refused(preset: str) -> None:
    """P12."""
    with pytest.raises(VerificationError) as caught:
        check(preset, sample_request(preset, now=NOW), other_secret(preset))

    assert caught.value.reason == "signature_mismatch"


@pytest.mark.parametrize("preset", PRESETS)
def test_without_a_secret_nothing_is_verified(preset: str) -> None:
    """PROMISES section 2: a missing secret must not mean open."""
    request = sample_request(preset, now=NOW)

    for secrets in ([], [""], [secret_of(preset), ""]):
        with pytest.raises(ValueError, match="secret"):
            verify_request(PRESETS[preset], secrets, request, NOW)


TIMED = [preset for preset, scheme in PRESETS.items() if scheme.tolerance_seconds is not None]


@pytest.mark.parametrize("preset", TIMED)
def test_a_signed_time_is_good_for_its_tolerance_and_no_longer(preset: str) -> None:
    """P12: old and early requests are refused, the bounds are not."""
    tolerance = timedelta(seconds=PRESETS[preset].tolerance_seconds or 0)
    request = sample_request(preset, now=NOW)

    for now in (NOW + tolerance, NOW - tolerance):
        assert check(preset, request, now=now).secret_index == 0
    for now, reason in (
        (NOW + tolerance + timedelta(seconds=1), "timestamp_too_old"),
        (NOW - tolerance - timedelta(seconds=1), "timestamp_too_new"),
    ):
        with pytest.raises(VerificationError) as caught:
            check(preset, request, now=now)
        assert caught.value.reason == reason


def test_the_presets_of_the_table_that_sign_a_time_check_it() -> None:
    """SEEDS "Provider presets", column tolerance."""
    assert {preset: PRESETS[preset].tolerance_seconds for preset in TIMED} == {
        "standard": 300,
        "standard_v1a": 300,
        "openai": 300,
        "replicate": 300,
        "svix": 300,
        "clerk": 300,
        "resend": 300,
        "stripe": 300,
        "slack": 300,
        "zoom": 300,
        "discord": 300,
        "linear": 60,
        "calendly": 300,
        "workos": 300,
        "elevenlabs": 1800,
    }


DEDUPED = {
    "standard": ID,
    "standard_v1a": ID,
    "openai": ID,
    "replicate": ID,
    "svix": ID,
    "clerk": ID,
    "resend": ID,
    "stripe": "evt_1",
    "github": ID,
    "meta": None,
    "whatsapp": None,
    "shopify": ID,
    "slack": "Ev08MFMKH6",
    "zoom": None,
    "discord": None,
    "square": "c7f1a1a0-3c8e-4d0e-9d2f-0f2f4c1e9a11",
    "twilio": ID,
    "linear": ID,
    "calcom": None,
    "sentry": ID,
    "attio": ID,
    "calendly": None,
    "workos": "event_01",
    "elevenlabs": None,
    "zendesk": ID,
    "typeform": "01H",
    "docusign": None,
    "telegram": "10000",
    "gitlab": ID,
    "assemblyai": "5552493-16d8:completed",
    "google": f"{ID}:{ID}",
    "msgraph": None,
    "agenticflow": ID,
    "phantombuster": "8",
}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_senders_own_id_is_found(preset: str) -> None:
    """SEEDS "Provider presets", column dedupe id."""
    assert check(preset, sample_request(preset, now=NOW, message_id=ID)).dedupe_id == DEDUPED[preset]


def test_twilio_messages_without_a_token_are_told_apart_by_id_and_status() -> None:
    """A message's later states must not be taken for repeats."""
    request = with_header(sample_request("twilio", now=NOW), "i-twilio-idempotency-token")

    assert check("twilio", request).dedupe_id == "SM1:received"


def test_a_signature_over_the_url_alone_covers_no_body() -> None:
    """Twilio: a captured GET must not carry a body of the attacker's."""
    signed = sample_request("twilio", now=NOW)
    empty = with_header(msgspec.structs.replace(signed, body=b""), "content-type")
    url_only = with_header(empty, "x-twilio-signature", _signature_of_the_url(signed.url))
    assert check("twilio", url_only).secret_index == 0

    for content_type in ("application/json", "text/plain", ""):
        forged = with_header(msgspec.structs.replace(url_only, body=b'{"a":1}'), "content-type", content_type)
        with pytest.raises(VerificationError) as caught:
            check("twilio", forged)
        assert caught.value.reason == "body_malformed"


def test_a_json_body_is_held_to_the_hash_in_the_signed_url() -> None:
    """Twilio: the signature covers the URL, the URL's hash the body."""
    signed = sign(PRESETS["twilio"], "12345", now=NOW, body=b'{"a":1}', url="https://example.com/sms?x=1")
    assert check("twilio", signed).secret_index == 0

    digest = hashlib.sha256(b'{"a":2}').hexdigest()
    for changed in (
        msgspec.structs.replace(signed, body=b'{"a":2}'),
        msgspec.structs.replace(signed, body=b""),
        msgspec.structs.replace(
            signed, body=b'{"a":2}', url=f"https://example.com/sms?x=1&bodySHA256={digest}"
        ),
        msgspec.structs.replace(signed, body=b'{"a":2}', url=f"{signed.url}&bodySHA256={digest}"),
        msgspec.structs.replace(signed, url=signed.url[:-1]),
    ):
        with pytest.raises(VerificationError):
            check("twilio", changed)


def test_a_form_that_is_not_utf_8_is_refused() -> None:
    """Replacement characters would make different bodies look the same."""
    signed = sample_request("twilio", now=NOW)
    for body in (b"a=%ff", b"a=\xff"):
        with pytest.raises(VerificationError) as caught:
            check("twilio", msgspec.structs.replace(signed, body=body))
        assert caught.value.reason == "body_malformed"


def test_an_id_is_visible_ascii_even_when_it_is_signed() -> None:
    """What stands in logs and in the signed text must be one and the same."""
    for message_id in ("a b", "a\tb", "a\x7fb", "é", "x" * 257):
        signed = sign(
            PRESETS["standard"], SAMPLES["standard"].secret, now=NOW, body=b"{}", message_id=message_id
        )
        with pytest.raises(VerificationError) as caught:
            check("standard", signed)
        assert caught.value.reason == "signature_malformed"


def _signature_of_the_url(url: str) -> str:
    return b64encode(hmac.digest(b"12345", url.encode(), "sha1")).decode()


def test_every_copy_of_a_graph_client_state_must_be_right() -> None:
    """One good notification must not let others in with it."""
    good = sample_request("msgraph", now=NOW)
    secret = secret_of("msgraph").encode()
    first, last = good.body.index(secret), good.body.rindex(secret)

    for body in (
        good.body[:first] + b"x" + good.body[first + 1 :],
        good.body[:last] + b"x" + good.body[last + 1 :],
        good.body.replace(b'"' + secret + b'"', b"null", 1),
        good.body.replace(b'"clientState":"' + secret + b'",', b"", 1).replace(
            b',"clientState":"' + secret + b'"', b"", 1
        ),
        b'{"value":[]}',
        b'{"value":{}}',
        b"{}",
        b"[]",
        b"null",
        b"not json",
        b"",
    ):
        with pytest.raises(VerificationError):
            check("msgraph", msgspec.structs.replace(good, body=body))


def test_a_time_in_the_body_is_checked_after_the_signature() -> None:
    """Linear: what is not signed is not even parsed."""
    good = sample_request("linear", now=NOW)

    with pytest.raises(VerificationError) as caught:
        check("linear", msgspec.structs.replace(good, body=b"{" * 5000))
    assert caught.value.reason == "signature_mismatch"


def test_a_secret_that_is_not_ascii_is_compared_as_its_bytes() -> None:
    """A header's bytes are UTF-8 from one sender and Latin-1 text from every framework."""
    scheme = PRESETS["gitlab"]
    raw = "grün".encode()
    for value in (raw, raw.decode("latin-1")):
        request = Request(
            headers=(("x-gitlab-token", value if isinstance(value, str) else value.decode("latin-1")),)
        )
        assert verify_request(scheme, ["grün"], request, NOW).secret_index == 0


@pytest.mark.parametrize("query", ["secret=a+b%2Fc", "secret=a%2Bb/c", "x=1&secret=a%2bb%2fc"])
def test_a_secret_typed_into_a_url_is_read_as_it_was_meant(query: str) -> None:
    """PB-8: the query's bytes are the user's; a plus may stand for itself."""
    request = Request(url=f"https://example.com/webhook?{query}")

    assert verify_request(PRESETS["phantombuster"], ["a+b/c"], request, NOW).secret_index == 0
    with pytest.raises(VerificationError):
        verify_request(PRESETS["phantombuster"], ["a+b"], request, NOW)


def test_an_ambiguous_id_is_no_id_and_no_reason_to_refuse() -> None:
    """Dedupe is by an explicit id or not at all."""
    github = sample_request("github", now=NOW)
    form = sign(PRESETS["slack"], SAMPLES["slack"].secret, now=NOW, body=b"event_id=E1")
    once = with_header(form, "content-type", FORM)
    twice = with_header(form, "content-type", FORM, FORM)

    assert check("slack", once).dedupe_id == "E1"
    assert check("slack", twice).dedupe_id is None
    assert check("github", with_header(github, "x-github-delivery", "a", "b")).dedupe_id is None
    assert check("github", with_header(github, "x-github-delivery", "")).dedupe_id is None
    assert check("github", with_header(github, "x-github-delivery", "x" * 600)).dedupe_id is None


def test_signed_json_cannot_be_passed_off_as_a_form() -> None:
    """Content-Type is not signed: a title that spells a parameter must not become the time of the request."""
    body = b'{"webhookTimestamp":0,"title":"&webhookTimestamp=1768478400000&"}'
    digest = hmac.digest(SAMPLES["linear"].secret.encode(), body, "sha256").hex()
    request = Request(headers=(("linear-signature", digest), ("content-type", FORM)), body=body)

    with pytest.raises(VerificationError) as caught:
        check("linear", request)
    assert caught.value.reason == "timestamp_too_old"
