"""What schemes, secrets and handshakes may be at most, and what a refusal says of those that are more (AF-5)."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from hookline.core.inbound import (
    PRESETS,
    Request,
    VerificationError,
    check_secret,
    diagnose,
    handshake,
    scheme_from,
    sign,
    verify_request,
)
from hookline.core.inbound.content import form_of
from hookline.core.inbound.request import at_path, dedupe_id
from hookline.core.inbound.sign import public_key
from hookline.errors import InputError

NOW = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)
DAY = 86_400


def refused(definition: dict[str, Any]) -> tuple[str | None, str | None]:
    """What was wanted, and what came."""
    with pytest.raises(InputError) as caught:
        scheme_from(definition)
    return caught.value.expected, caught.value.received


def reason(definition: dict[str, Any], request: Request, secret: str = "shared") -> str | None:
    try:
        verify_request(scheme_from(definition), [secret], request, NOW)
    except VerificationError as exc:
        return exc.reason
    return None


# --- schemes ---


@pytest.mark.parametrize(
    ("definition", "expected", "received"),
    [
        ({"header": "x", "algorithm": "md5"}, "sha1 sha256 sha512 ed25519 equality", "md5"),
        ({"header": "x", "encoding": "base58"}, "hex base64", "base58"),
        ({"header": "x", "prefix": ""}, "1 to 200 printable ASCII characters", ""),
        ({"header": "x", "prefix": "p" * 201}, "1 to 200 printable ASCII characters", "p" * 64),
        ({"header": "x", "prefix": "é"}, "1 to 200 printable ASCII characters", "é"),
        ({"header": "x", "prefix": 7}, "1 to 200 printable ASCII characters", "number"),
        ({"signature": "form:x"}, "header:NAME or query:NAME or body:PATH", "form:x"),
        ({"signature": 7}, "header:NAME or query:NAME or body:PATH", "number"),
        ({"signature": "header:"}, "header:NAME or query:NAME or body:PATH", "header:"),
        ({"signature": "header:a+b"}, "one place", "header:a+b"),
        ({"header": "x", "dedupe_id": "query:id"}, "header:NAME or body:PATH", "query:id"),
        ({"header": ["x"] * 9}, "1 to 8 header names", "array"),
        ({"header": "x", "tolerance_seconds": DAY + 1}, f"1 to {DAY} seconds", "number"),
    ],
)
def test_a_refusal_says_what_was_wanted(definition: dict[str, Any], expected: str, received: str) -> None:
    assert refused(definition) == (expected, received)


def test_the_bounds_of_a_scheme_belong_to_it() -> None:
    assert scheme_from({"header": "x", "prefix": "p"}).prefix == "p"
    assert scheme_from({"header": "x", "prefix": "p" * 200}).prefix == "p" * 200
    assert len(scheme_from({"header": ["x"] * 8}).signature) == 8
    timed = {"header": "x", "timestamp": "header:T", "template": "{timestamp}{body}"}
    for seconds in (1, DAY):
        assert scheme_from(timed | {"tolerance_seconds": seconds}).tolerance_seconds == seconds
    # A parameter's name may hold a plus, and its case counts; a header's does neither.
    assert str(scheme_from({"signature": "query:A+b"}).signature[0]) == "query:A+b"
    assert str(scheme_from({"header": "x", "dedupe_id": "header:A+B"}).dedupe_id[0]) == "header:a+b"
    assert str(scheme_from({"header": "x", "dedupe_id": "body:A.b"}).dedupe_id[0]) == "body:A.b"


@pytest.mark.parametrize(
    ("preset", "form"),
    [
        ("github", "sha256=<64 hex digits>"),
        ("standard", "v1,<base64>"),
        ("stripe", "v1=<64 hex digits>"),
    ],
)
def test_a_signature_that_is_none_is_told_how_one_looks(preset: str, form: str) -> None:
    assert form_of(PRESETS[preset]) == form


# --- secrets ---


@pytest.mark.parametrize(
    ("secret", "received"), [(None, "null"), ("", "empty"), (7, "another type"), (["s"], "another type")]
)
def test_a_missing_secret_is_told_from_a_wrong_one(secret: object, received: str) -> None:
    with pytest.raises(InputError) as caught:
        check_secret(PRESETS["github"], secret)

    assert (caught.value.expected, caught.value.received) == ("string", received)


def test_a_secret_has_at_most_1024_characters() -> None:
    assert check_secret(PRESETS["github"], "s" * 1024)
    with pytest.raises(InputError, match="too long"):
        check_secret(PRESETS["github"], "s" * 1025)


@pytest.mark.parametrize(
    ("transform", "wanted"),
    [("base64", "padded base64"), ("hex", "hex"), ("whsec_base64", "whsec_ + padded base64")],
)
def test_a_secret_is_told_how_it_must_be_spelled(transform: str, wanted: str) -> None:
    scheme = scheme_from({"header": "x", "secret_transform": transform})

    with pytest.raises(InputError) as caught:
        check_secret(scheme, "!")

    assert caught.value.expected == wanted


@pytest.mark.parametrize("size", [31, 33, 64])
def test_a_public_key_has_32_bytes(size: int) -> None:
    """RFC 8032 section 5.1.5; checked when it is given, not when the first request comes."""
    with pytest.raises(InputError) as caught:
        check_secret(scheme_from({"header": "x", "algorithm": "ed25519"}), "11" * size)

    assert caught.value.expected == "a public key of 32 bytes"


# --- what is signed ---


def test_the_first_of_several_signatures_may_be_of_another_kind() -> None:
    """A rotation, or another algorithm beside ours: what is malformed is passed over, not the end."""
    definition = {"header": "X-Sig", "item_separator": ",", "prefix": "b="}
    right = hmac.digest(b"shared", b"{}", "sha256").hex()
    for value in (f"a=00, b={right}", f"b=zz,b={right}", f"b=00,b={right},c=1"):
        assert reason(definition, Request(headers=(("x-sig", value),), body=b"{}")) is None
    assert reason(definition, Request(headers=(("x-sig", right),), body=b"{}")) == "signature_malformed"


TWILIO = {"header": "X-Sig", "template": "{url}{form}"}


@pytest.mark.parametrize(
    ("digest", "refusal"),
    [
        (hashlib.sha256(b"{}").hexdigest(), None),
        (hashlib.sha256(b"[]").hexdigest(), "signature_mismatch"),
        ("00", "signature_mismatch"),
        ("no hex", "signature_malformed"),
    ],
)
def test_the_hash_in_the_url_is_of_the_body(digest: str, refusal: str | None) -> None:
    url = f"https://a.test/hook?bodySHA256={quote(digest)}"
    signature = hmac.digest(b"shared", url.encode(), "sha256").hex()

    assert reason(TWILIO, Request(url=url, headers=(("x-sig", signature),), body=b"{}")) == refusal


@pytest.mark.parametrize("signed_with", ["https://a.test:8443/x", "https://a.test/x"])
def test_a_url_with_a_port_of_its_own_may_be_signed_with_it_or_without(signed_with: str) -> None:
    signature = hmac.digest(b"shared", signed_with.encode(), "sha256").hex()

    assert reason(TWILIO, Request(url="https://a.test:8443/x", headers=(("x-sig", signature),))) is None
    other = hmac.digest(b"shared", b"https://a.test:443/x", "sha256").hex()
    assert reason(TWILIO, Request(url="https://a.test:8443/x", headers=(("x-sig", other),))) is not None


def test_a_request_is_signed_with_its_parameters_in_place() -> None:
    scheme = scheme_from({"signature": "query:sig", "template": "{body}"})

    bare = sign(scheme, "shared", now=NOW, body=b"{}", url="https://a.test/")
    more = sign(scheme, "shared", now=NOW, body=b"{}", url="https://a.test/?a=1")

    signature = hmac.digest(b"shared", b"{}", "sha256").hex()
    assert bare.url == f"https://a.test/?sig={signature}"
    assert more.url == f"https://a.test/?a=1&sig={signature}"


def test_a_time_stands_before_the_signature() -> None:
    """As Stripe writes it."""
    signed = sign(PRESETS["stripe"], "whsec_x", now=NOW, body=b"{}")

    assert dict(signed.headers)["stripe-signature"].startswith(f"t={int(NOW.timestamp())},v1=")


@pytest.mark.parametrize(
    ("unit", "written"), [("s", int(NOW.timestamp())), ("iso8601", "2026-01-15T12:00:00Z")]
)
def test_a_time_in_the_body_is_a_number_or_a_text(unit: str, written: object) -> None:
    scheme = scheme_from({"header": "x", "timestamp": "body:at", "timestamp_unit": unit})

    signed = sign(scheme, "shared", now=NOW)

    assert at_path({"at": written}, "at") == [written]
    assert signed.body == b'{"at":%b}' % (f'"{written}"' if unit == "iso8601" else str(written)).encode()


# --- places ---


def test_a_query_that_is_no_utf_8_is_refused() -> None:
    """Replacement characters would make different secrets look the same."""
    definition = {"signature": "query:key", "algorithm": "equality"}

    for query in ("key=%ff", "%ff=1&key=shared"):
        assert reason(definition, Request(url=f"https://a.test/?{query}")) == "signature_malformed"


def test_a_path_that_leads_nowhere_finds_nothing() -> None:
    assert at_path({"a": [{"b": 1}, {"c": 2}]}, "a[].b") == []
    assert at_path({"a": {"b": 1}}, "a[].b") == []
    assert at_path({"a": [[1], [2, 3]]}, "a[]") == [[1], [2, 3]]
    assert at_path(7, "a") == []
    assert at_path(["x"] * 100_001, "99999") == ["x"]
    assert at_path(["x"] * 100_001, "100000") == []


def test_an_id_is_looked_for_in_every_place_and_has_an_end() -> None:
    """A bad one is no reason to refuse, and none to stop looking."""
    scheme = scheme_from({"header": "x", "dedupe_id": ["body:id", "header:X-Id"]})

    def found(body: bytes, header: str) -> str | None:
        request = Request(headers=(("x-id", header), ("content-type", FORM)), body=body)
        return dedupe_id(scheme.dedupe_id, request)

    assert found(b"id=%ff", "one") == "one"
    assert found(b'{"id":7}', "one") == "7"
    assert found(b"{}", "x" * 512) == "x" * 512
    assert found(b"{}", "x" * 513) is None


FORM = "application/x-www-form-urlencoded"


# --- handshakes ---


def graph(token: str, method: str = "POST") -> bytes | None:
    answer = handshake(
        PRESETS["msgraph"],
        ["shared"],
        method=method,
        url=f"https://a.test/hook?validationToken={quote(token)}",
        headers=(),
        body=b"",
        now=NOW,
    )
    return None if answer is None else answer.body


def test_a_challenge_is_plain_and_has_an_end() -> None:
    assert graph("x") == b"x"
    assert graph("x" * 2048, "GET") == b"x" * 2048
    assert graph("x", "PUT") is None
    for token in ("x" * 2049, "a\nb"):
        with pytest.raises(VerificationError) as caught:
            graph(token)
        assert caught.value.reason == "body_malformed"


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("hub.mode=subscribe&hub.verify_token=known&hub.challenge=1&hub.challenge=2", "header_repeated"),
        ("hub.mode=subscribe&hub.verify_token=other&hub.challenge=1", "signature_mismatch"),
        ("hub.mode=subscribe&hub.verify_token=&hub.challenge=1", "signature_mismatch"),
    ],
)
def test_a_handshake_that_proves_nothing_is_refused_for_its_reason(query: str, refusal: str) -> None:
    with pytest.raises(VerificationError) as caught:
        handshake(
            PRESETS["meta"],
            ["shared"],
            method="GET",
            url=f"https://a.test/hook?{query}",
            headers=(),
            body=b"",
            now=NOW,
            verify_tokens=("known", ""),
        )

    assert caught.value.reason == refusal


def test_only_a_get_is_metas_question() -> None:
    """A POST with the same query is an event, and verified as one."""
    url = "https://a.test/hook?hub.mode=subscribe&hub.verify_token=known&hub.challenge=1"

    answer = handshake(
        PRESETS["meta"],
        ["s"],
        method="POST",
        url=url,
        headers=(),
        body=b"{}",
        now=NOW,
        verify_tokens=("known",),
    )

    assert answer is None


# --- explanations ---


def explained(definition: dict[str, Any], request: Request, secret: str = "shared", url: str = "") -> str:
    return " ".join(
        diagnose(
            scheme_from(definition),
            [secret],
            method="POST",
            url=url,
            headers=request.headers,
            body=request.body,
            now=NOW,
        ).findings
    )


def signed_over(text: bytes) -> str:
    return hmac.digest(b"shared", text, "sha256").hex()


@pytest.mark.parametrize(
    ("signed", "came", "hint"),
    [
        (b"{}", b"\xef\xbb\xbf{}", "a byte order mark"),
        (b"{}", b"{}\n", "a line end that was not signed"),
        (b"{}", b"{}\r\n", "a line end that was not signed"),
        (b"{}\n", b"{}", "lost its final line end"),
        (b"a\nb", b"a\r\nb", "line ends of the body were changed"),
        (b"a\r\nb", b"a\nb", "line ends of the body were changed"),
        (b"", b"{}", "was empty when it was signed"),
    ],
)
def test_what_editors_and_proxies_do_to_a_body_is_named(signed: bytes, came: bytes, hint: str) -> None:
    request = Request(headers=(("x-sig", signed_over(signed)),), body=came)

    assert hint in explained({"header": "X-Sig"}, request)


@pytest.mark.parametrize(
    ("signed", "came", "hint"),
    [
        ("http://a.test/x", "https://a.test/x", "begins with http:"),
        ("https://a.test/x", "http://a.test/x", "begins with https:"),
        ("https://a.test/x/", "https://a.test/x", "final slash"),
        ("https://a.test/x", "https://a.test/x/", "final slash"),
        ("https://a.test/x", "https://a.test/x?y=1", "has no query"),
        ("https://a.test/x", "https://a.test:8443/x", "has no port"),
        ("https://a.test/x", "https://me:pw@a.test:8443/x", "has no port"),
        ("https://a.test/a b", "https://a.test/a%20b", "percent-decoded"),
    ],
)
def test_what_proxies_do_to_a_url_is_named(signed: str, came: str, hint: str) -> None:
    definition = {"header": "X-Sig", "template": "{url}{body}"}
    request = Request(headers=(("x-sig", signed_over(signed.encode() + b"{}")),), body=b"{}")

    assert hint in explained(definition, request, url=came)


def test_a_signature_under_another_name_is_still_compared() -> None:
    definition = {"header": "X-Sig", "field": "v1", "field_separator": "=", "item_separator": ","}
    request = Request(headers=(("x-sig", f"sig={signed_over(b'{}')}"),), body=b"[]")
    right = Request(headers=request.headers, body=b"{}")

    assert "It matches" not in explained(definition, request)
    assert (
        diagnose(
            scheme_from(definition),
            ["shared"],
            method="POST",
            url="",
            headers=right.headers,
            body=b"{}",
            now=NOW,
        ).reason
        == "signature_malformed"
    )


def test_a_shared_secret_in_a_body_is_text_that_is_there() -> None:
    definition = {"signature": "body:token", "algorithm": "equality"}

    for value in (b"7", b'""', b"null", b'["shared"]'):
        assert reason(definition, Request(body=b'{"token":%b}' % value)) == "signature_malformed"
    assert reason(definition, Request(body=b'{"token":"shared"}')) is None


@pytest.mark.parametrize("body", [b'{"type":1}', b'{"type":0}'])
def test_discords_questions_are_answered_in_its_two_ways(body: bytes) -> None:
    """Interactions want type 1 back with 200, Webhook Events nothing with 204."""
    scheme = PRESETS["discord"]
    seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    signed = sign(scheme, seed, now=NOW, body=body)

    answer = handshake(
        scheme, [public_key(seed)], method="POST", url="", headers=signed.headers, body=signed.body, now=NOW
    )

    assert answer is not None
    assert (answer.status, answer.body) == ((200, b'{"type":1}') if b"1" in body else (204, b""))
