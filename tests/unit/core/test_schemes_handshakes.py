"""Senders that ask whether a URL is ours get their answer without an execution, and nobody else gets one."""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from hookline.core.inbound import PRESETS, HandshakeAnswer, VerificationError, handshake, scheme_from, sign
from hookline.testing.samples import SAMPLES, URL, sample_request, verifying_secret

NOW = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)


def secret_of(preset: str) -> str:
    return verifying_secret(PRESETS[preset], SAMPLES[preset].secret)


def ask(
    preset: str,
    body: bytes = b"",
    *,
    query: str = "",
    method: str = "POST",
    headers: tuple[tuple[str, str], ...] = (),
    verify_tokens: tuple[str, ...] = (),
) -> HandshakeAnswer | None:
    return handshake(
        PRESETS[preset],
        [secret_of(preset)],
        method=method,
        url=URL + query,
        headers=headers,
        body=body,
        now=NOW,
        verify_tokens=verify_tokens,
    )


def ask_signed(preset: str, question: Any) -> HandshakeAnswer | None:
    body = question if isinstance(question, bytes) else json.dumps(question).encode()
    request = sign(PRESETS[preset], SAMPLES[preset].secret, now=NOW, body=body, url=URL)
    return ask(preset, request.body, headers=request.headers)


SLACK = {
    "token": "Jhj5dZrVaK7ZwHHjRyZWjbDl",
    "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
    "type": "url_verification",
}
ZOOM = {
    "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"},
    "event_ts": 1654503849680,
    "event": "endpoint.url_validation",
}
DISCORD_PING = {"id": "1", "application_id": "2", "type": 1, "token": "t", "version": 1}
DISCORD_EVENTS_PING = {"version": 1, "application_id": "1234560123453231555", "type": 0}


def test_slack_gets_its_challenge_back() -> None:
    """Issue 3 point 6; docs.slack.dev, URL verification."""
    answer = ask_signed("slack", SLACK)

    assert answer is not None
    assert (answer.status, answer.body) == (200, SLACK["challenge"].encode())
    assert dict(answer.headers)["content-type"].startswith("text/plain")


def test_zooms_challenge_is_hashed_not_echoed() -> None:
    """SEEDS "Provider presets"."""
    answer = ask_signed("zoom", ZOOM)

    assert answer is not None
    expected = hmac.digest(secret_of("zoom").encode(), b"qgg8vlvZRS6UYooatFL8Aw", "sha256").hex()
    assert json.loads(answer.body) == {"plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": expected}
    assert answer.status == 200


@pytest.mark.parametrize(
    "token", ['v0:1768478400:{"event":"forged"}', "", "a.b", "x" * 129, "é", None, 5, ["a"], {"a": 1}]
)
def test_zooms_hash_is_no_way_to_forge_a_request(token: object) -> None:
    """A text with the form of a signed request is never hashed."""
    with pytest.raises(VerificationError) as caught:
        ask_signed("zoom", {"event": "endpoint.url_validation", "payload": {"plainToken": token}})

    assert caught.value.reason == "body_malformed"


def test_discord_pings_are_answered_each_in_its_way() -> None:
    """SEEDS "Provider presets": Interactions want {"type":1}, Webhook Events want 204."""
    interactions, events = ask_signed("discord", DISCORD_PING), ask_signed("discord", DISCORD_EVENTS_PING)

    assert interactions is not None
    assert (interactions.status, json.loads(interactions.body)) == (200, {"type": 1})
    assert events is not None
    assert (events.status, events.body) == (204, b"")


def test_meta_gets_its_challenge_for_the_configured_token_only() -> None:
    """SEEDS "Provider presets": Meta GET hub.challenge."""
    query = "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock"

    answer = ask("meta", query=query, method="GET", verify_tokens=("newer", "meatyhamhock"))
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"1158201444")
    for tokens in ((), ("",), ("other",), ("meatyhamhoc",)):
        with pytest.raises(VerificationError):
            ask("whatsapp", query=query, method="GET", verify_tokens=tokens)
    with pytest.raises(VerificationError):
        ask("meta", query=query.replace("meatyhamhock", ""), method="GET", verify_tokens=("",))


@pytest.mark.parametrize(
    "query",
    [
        "?hub.mode=subscribe&hub.challenge=1",
        "?hub.mode=subscribe&hub.challenge=1&hub.verify_token=",
        "?hub.mode=subscribe&hub.challenge=1&hub.verify_token=t&hub.verify_token=t",
        "?hub.mode=subscribe&hub.challenge=1&hub.challenge=2&hub.verify_token=t",
        "?hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=t",
        "?hub.mode=subscribe&hub.challenge=&hub.verify_token=t",
        "?hub.mode=subscribe&hub.challenge=%0d%0aX:1&hub.verify_token=t",
        "?hub.mode=subscribe&hub.verify_token=t",
        "?hub.mode=subscribe&hub.challenge=%ff&hub.verify_token=t",
    ],
)
def test_a_malformed_meta_handshake_is_refused(query: str) -> None:
    with pytest.raises(VerificationError):
        ask("meta", query=query, method="GET", verify_tokens=("t",))


def test_graphs_validation_token_is_echoed_as_plain_text() -> None:
    """SEEDS "Provider presets"; the echo of a stranger's text must not be a page."""
    answer = ask("msgraph", query="?validationToken=Validation%3A+Testing%20%3Cscript%3E")

    assert answer is not None
    assert answer.body == b"Validation: Testing <script>"
    assert dict(answer.headers) == {
        "content-type": "text/plain; charset=utf-8",
        "x-content-type-options": "nosniff",
    }
    with pytest.raises(VerificationError):
        ask("msgraph", query="?validationToken=" + "x" * 5000)


def test_a_plain_challenge_is_echoed_for_a_standard_sender() -> None:
    """Issue 3 point 6."""
    answer = ask_signed("standard", {"type": "endpoint.verification", "challenge": "c-1"})

    assert answer is not None
    assert answer.body == b"c-1"
    assert ask_signed("standard", {"type": "x", "challenge": "c-1", "data": {}}) is None


@pytest.mark.parametrize(
    ("preset", "question"),
    [
        ("slack", SLACK),
        ("zoom", ZOOM),
        ("discord", DISCORD_PING),
        ("discord", DISCORD_EVENTS_PING),
        ("standard", {"challenge": "x"}),
    ],
)
def test_an_unsigned_handshake_is_refused(preset: str, question: dict[str, Any]) -> None:
    """After the signature check: an answer would tell a stranger that the trigger exists, and Zoom's would sign."""
    with pytest.raises(VerificationError):
        ask(preset, json.dumps(question).encode())


@pytest.mark.parametrize("preset", PRESETS)
def test_an_event_is_no_handshake(preset: str) -> None:
    """Every preset's sample goes on to verification."""
    request = sample_request(preset, now=NOW)

    answer = handshake(
        PRESETS[preset],
        [secret_of(preset)],
        method=request.method,
        url=request.url,
        headers=request.headers,
        body=request.body,
        now=NOW,
    )
    assert answer is None


@pytest.mark.parametrize(
    ("preset", "question"),
    [
        ("discord", {"version": 1, "type": 1, "event": {"type": "APPLICATION_AUTHORIZED"}}),
        ("discord", {"type": True}),
        ("discord", {"type": 2}),
        ("slack", {"type": "url_verification", "challenge": 5}),
        ("slack", {"type": "event_callback", "challenge": "x"}),
        ("zoom", {"event": "meeting.started", "payload": {"plainToken": "x"}}),
        ("zoom", ["endpoint.url_validation"]),
        ("standard", b"not json"),
    ],
)
def test_what_only_looks_like_a_question_is_none(preset: str, question: Any) -> None:
    assert ask_signed(preset, question) is None


def test_a_scheme_of_ones_own_may_have_a_handshake() -> None:
    scheme = scheme_from({"header": "x-sig", "handshake": "challenge"})
    request = sign(scheme, "own secret", now=NOW, body=b'{"challenge":"abc"}')

    answer = handshake(
        scheme, ["own secret"], method="POST", url="", headers=request.headers, body=request.body, now=NOW
    )

    assert answer is not None
    assert answer.body == b"abc"


def test_an_answer_says_what_type_it_is() -> None:
    assert (
        HandshakeAnswer(200, (("content-type", "application/json"),), b"{}").content_type
        == "application/json"
    )
    assert HandshakeAnswer(200, (), b"").content_type == "text/plain"
