"""Places, keys and URLs at their edges: what cannot be read is refused, and nothing of it is guessed."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hookline.core.inbound import (
    PRESETS,
    Request,
    VerificationError,
    diagnose,
    scheme_from,
    sign,
    verify_request,
)
from hookline.core.inbound.content import key_of
from hookline.errors import InputError

NOW = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)
TOKEN_IN = {"algorithm": "equality"}
TIME_IN_BODY = {"header": "X-Sig", "timestamp": "body:sent.at", "tolerance_seconds": 60}


def reason(definition: dict[str, Any], request: Request, secret: str = "shared") -> str | None:
    """Why a request is refused, None when it verifies."""
    try:
        verify_request(scheme_from(definition), [secret], request, NOW)
    except VerificationError as exc:
        return exc.reason
    return None


def hints(
    definition: dict[str, Any], request: Request, secret: str = "shared", url: str = ""
) -> tuple[str, ...]:
    return diagnose(
        scheme_from(definition),
        [secret],
        method="POST",
        url=url,
        headers=request.headers,
        body=request.body,
        now=NOW,
    ).findings


# --- keys ---


def test_a_key_is_never_empty() -> None:
    """An unset variable must not turn into a key that everybody knows."""
    with pytest.raises(InputError, match="must not be empty"):
        key_of(PRESETS["github"], "")


def test_a_key_may_be_the_decoded_base64_of_the_secret() -> None:
    scheme = scheme_from({"header": "X-Sig", "secret_transform": "base64"})
    body = b"{}"
    signature = hmac.digest(b"\x00key\xff", body, "sha256").hex()
    secret = b64encode(b"\x00key\xff").decode()

    request = Request(headers=(("x-sig", signature),), body=body)

    assert verify_request(scheme, [secret], request, NOW).secret_index == 0
    with pytest.raises(InputError, match="padded base64"):
        key_of(scheme, secret.rstrip("="))


# --- shared secrets ---


@pytest.mark.parametrize(
    ("path", "body", "refused"),
    [
        ("list.0.token", b'{"list":[{"token":"shared"}]}', None),
        ("list.1.token", b'{"list":[{"token":"shared"}]}', "header_missing"),
        ("list.x.token", b'{"list":[{"token":"shared"}]}', "header_missing"),
        ("list.0.token", b'{"list":"shared"}', "header_missing"),
        ("list.0.token", b'{"list":[{"token":"other"}]}', "signature_mismatch"),
        ("list.000000.token", b'{"list":[{"token":"shared"}]}', "header_missing"),
        ("a.b.token", b'{"a":{"b":{"token":"shared"}}}', None),
    ],
)
def test_a_secret_may_stand_anywhere_in_a_body(path: str, body: bytes, refused: str | None) -> None:
    assert reason({"signature": f"body:{path}", **TOKEN_IN}, Request(body=body)) == refused


def test_a_secret_is_signed_into_nested_objects_that_are_there() -> None:
    scheme = scheme_from({"signature": "body:a.b.token", **TOKEN_IN})

    assert sign(scheme, "shared", now=NOW, body=b'{"a":{"b":{}}}').body == b'{"a":{"b":{"token":"shared"}}}'
    for body in (b'{"a":{}}', b'{"a":{"b":[]}}', b"[]"):
        with pytest.raises(ValueError, match="no place"):
            sign(scheme, "shared", now=NOW, body=body)


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        ("Token shared", None),
        ("shared", "signature_malformed"),
        ("token shared", "signature_malformed"),
        ("Token ", "signature_malformed"),
        ("Token other", "signature_mismatch"),
    ],
)
def test_a_secret_may_have_a_word_before_it(value: str, refused: str | None) -> None:
    definition = {"header": "X-Token", "prefix": "Token ", **TOKEN_IN}

    assert reason(definition, Request(headers=(("x-token", value),))) == refused


def test_a_secret_in_a_query_may_have_a_word_before_it() -> None:
    definition = {"signature": "query:key", "prefix": "v1-", **TOKEN_IN}
    signed = sign(scheme_from(definition), "sha+red", now=NOW, url="https://a.test/hook?x=1")

    assert signed.url == "https://a.test/hook?x=1&key=v1-sha%2Bred"
    assert reason(definition, signed, "sha+red") is None
    assert reason(definition, Request(url="https://a.test/?key=v1-sha+red"), "sha+red") is None
    assert reason(definition, Request(url="https://a.test/?key=v1-sha+red"), "sha red") is None
    assert reason(definition, Request(url="https://a.test/?key=shared")) == "signature_malformed"


# --- times in bodies ---


@pytest.mark.parametrize("body", [b"{}", b'{"sent":{"at":true}}', b'{"sent":{"at":1.5}}', b"none", b"[]"])
def test_a_body_without_its_time_is_refused(body: bytes) -> None:
    """However well it is signed."""
    signature = hmac.digest(b"shared", body, "sha256").hex()
    request = Request(headers=(("x-sig", signature),), body=body)

    assert reason(TIME_IN_BODY, request) == "timestamp_malformed"


@pytest.mark.parametrize(
    ("seconds", "refused"),
    [(0, None), (60, None), (61, "timestamp_too_old"), (-60, None), (-61, "timestamp_too_new")],
)
def test_a_time_in_a_body_may_be_as_far_off_as_is_tolerated(seconds: int, refused: str | None) -> None:
    scheme = scheme_from(TIME_IN_BODY)
    request = sign(scheme, "shared", now=NOW - timedelta(seconds=seconds), body=b'{"sent":{}}')

    assert reason(TIME_IN_BODY, request) == refused


def test_a_missing_time_does_not_keep_other_mistakes_from_being_found() -> None:
    body = b'{"a": 1}'
    signature = hmac.digest(b"shared", body, "sha1").hex()

    found = hints(TIME_IN_BODY, Request(headers=(("x-sig", signature),), body=body))

    assert "SHA1 was used instead of sha256" in " ".join(found)


# --- URLs that cannot be read ---


def test_a_url_that_cannot_be_read_is_signed_as_it_is() -> None:
    """Nothing is lost: whoever holds the secret signed exactly these characters."""
    url = "https://[broken/hook"
    definition = {"header": "X-Sig", "template": "{url}{body}"}
    signature = hmac.digest(b"shared", url.encode() + b"{}", "sha256").hex()
    request = Request(url=url, headers=(("x-sig", signature),), body=b"{}")

    assert reason(definition, request) is None
    other = Request(url=url, headers=(("x-sig", hmac.digest(b"shared", b"{}", "sha256").hex()),), body=b"{}")
    assert "over the body alone" in " ".join(hints(definition, other, url=url))


@pytest.mark.parametrize("url", ["https://a.test:99999/hook", "https://a.test:x/hook"])
def test_a_form_behind_a_url_with_an_impossible_port_has_one_spelling(url: str) -> None:
    """Twilio signs the URL with or without a port: only where there can be one."""
    definition = {"header": "X-Sig", "template": "{url}{form}", "algorithm": "sha1", "encoding": "base64"}
    signature = b64encode(hmac.digest(b"shared", url.encode() + b"a1", hashlib.sha1)).decode()
    request = Request(
        url=url,
        headers=(("x-sig", signature), ("content-type", "application/x-www-form-urlencoded")),
        body=b"a=1",
    )

    assert reason(definition, request) is None


# --- the rest ---


def test_ids_may_stand_in_so_many_places_and_no_more() -> None:
    places = [f"header:X-Id-{number}" for number in range(9)]

    assert len(scheme_from({"header": "X-Sig", "dedupe_id": places[:8]}).dedupe_id) == 8
    with pytest.raises(InputError) as caught:
        scheme_from({"header": "X-Sig", "dedupe_id": places})
    assert caught.value.expected == "at most 8 places"


def test_a_request_shows_neither_its_headers_nor_its_url() -> None:
    """P13: both carry secrets."""
    request = Request(
        url="https://a.test/?key=CANARY", headers=(("authorization", "CANARY"),), body=b"CANARY"
    )

    assert repr(request) == "Request(POST, 1 headers, 6 bytes)"


def test_the_fewest_mistakes_are_named_when_several_explanations_fit() -> None:
    """Both signatures of the list are right: the time alone is wrong."""
    signed = sign(PRESETS["stripe"], "whsec_x", now=NOW - timedelta(hours=1), body=b"{}")
    ((name, value),) = signed.headers
    twice = value + value[value.index(",v1=") :]

    found = diagnose(
        PRESETS["stripe"], ["whsec_x"], method="POST", url="", headers=[(name, twice)], body=b"{}", now=NOW
    ).findings

    assert found[1] == "The clock is off by 3600 s, or the request is that old."
    assert not any("It matches if" in finding for finding in found)
