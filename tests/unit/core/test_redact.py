from __future__ import annotations

import pytest

from hookline.core.redact import (
    REDACTED,
    forget,
    redact_headers,
    redact_query,
    redact_text,
    redact_url,
    spellings_of,
)

CANARY = "CANARY-4711"


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "AUTHORIZATION",
        "Proxy-Authorization",
        "Cookie",
        "Set-Cookie",
        "Api-Key",
        "x-api-key",
        "X-Auth-Token",
        "X-Gitlab-Token",
        "X-Phantombuster-Key",
        "X-Client-Secret",
        "X-Amz-Security-Token",
        "x-functions-key",
    ],
)
def test_secret_headers_lose_their_value(name: str) -> None:
    """P13."""
    assert redact_headers([(name, CANARY)]) == ((name, REDACTED),)


def test_other_headers_stay_as_they_are() -> None:
    headers = (
        ("Content-Type", "application/json"),
        ("webhook-id", "evt_1"),
        ("webhook-signature", "v1,abc"),
        ("X-AgenticFlow-Signature", "sha256=ab"),
        ("X-Author", "Ann"),
    )

    assert redact_headers(headers) == headers


def test_a_webhooks_own_headers_are_redacted_when_named() -> None:
    """DEMANDS 34: custom header values too."""
    assert redact_headers([("X-My-Way", CANARY), ("Accept", "*/*")], {"x-my-way"}) == (
        ("X-My-Way", REDACTED),
        ("Accept", "*/*"),
    )


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", ""),
        ("a=1&b=2", "a=1&b=2"),
        (f"secret={CANARY}", f"secret={REDACTED}"),
        (f"a=%20&token={CANARY}&b=+", f"a=%20&token={REDACTED}&b=+"),
        (f"TOKEN={CANARY}", f"TOKEN={REDACTED}"),
        (f"access_token={CANARY}&x", f"access_token={REDACTED}&x"),
        (f"to%6ben={CANARY}", f"to%6ben={REDACTED}"),
        (f"key={CANARY}&keyboard=1&monkey=2", f"key={REDACTED}&keyboard=1&monkey=2"),
        (f"sig={CANARY}&X-Amz-Signature={CANARY}", f"sig={REDACTED}&X-Amz-Signature={REDACTED}"),
        (f"code={CANARY}&author=Ann", f"code={REDACTED}&author=Ann"),
        (f"token={CANARY}=={CANARY}", f"token={REDACTED}"),
        ("token=&token", "token=&token"),
    ],
)
def test_secret_parameters_lose_their_value_and_nothing_else_changes(query: str, left: str) -> None:
    """PB-8, P13."""
    assert redact_query(query) == left
    assert redact_url(f"http://example.com/a%2Fb?{query}") == f"http://example.com/a%2Fb?{left}"


@pytest.mark.parametrize(
    ("url", "left"),
    [
        ("http://example.com/hook", "http://example.com/hook"),
        ("http://example.com/hook?", "http://example.com/hook?"),
        (f"http://user:{CANARY}@example.com/a@b", f"http://{REDACTED}@example.com/a@b"),
        ("http://example.com/a@b", "http://example.com/a@b"),
        (f"/trigger/{CANARY}==/my/path?x=1", f"/trigger/{REDACTED}/my/path?x=1"),
        (f"https://h/trigger/{CANARY}%3D%3D", f"https://h/trigger/{REDACTED}"),
        (f"/webhooks/agents/a?token={CANARY}#f", f"/webhooks/agents/a?token={REDACTED}#f"),
    ],
)
def test_urls_lose_passwords_and_trigger_ids(url: str, left: str) -> None:
    """P13: trigger tokens in URLs are redacted in logs."""
    assert redact_url(url) == left


def test_names_can_be_added() -> None:
    assert redact_url("http://h/?pin=1&x=2", {"pin"}) == f"http://h/?pin={REDACTED}&x=2"


def test_a_flood_of_header_names_is_forgotten() -> None:
    for number in range(5000):
        redact_headers([(f"X-{number}", "1")])

    assert redact_headers([("Cookie", CANARY)]) == (("Cookie", REDACTED),)


def test_a_secret_is_taken_out_of_what_a_receiver_repeats() -> None:
    """P13: as it was sent, and decoded."""
    said = b"got CANARY%2f1 which is CANARY/1, again CANARY%2f1"

    assert forget(said, spellings_of("CANARY%2f1")) == b"got [redacted] which is [redacted], again [redacted]"
    assert forget(said, spellings_of("")) == said
    assert (
        forget(b"you are CANARY 7", spellings_of("dTpDQU5BUlkgNw==", password="CANARY 7"))
        == b"you are [redacted]"
    )
    assert forget(b"a b", spellings_of("a")) == b"a b"


def test_what_a_receiver_may_repeat_is_all_that_is_secret_in_a_request() -> None:
    """P13, PB-8: the longest first, or the end of it would stay."""
    found = spellings_of(
        CANARY,
        headers=[("X-Team", "billing"), ("X-Team-Token", f"{CANARY}-more")],
        url="http://example.com/a?page=1234567&secret=a%2fbcdef&token=short#token=unseen",
    )

    assert found[0] == f"{CANARY}-more".encode()
    assert set(found) == {CANARY.encode(), found[0], b"a%2fbcdef", b"a/bcdef"}
    assert forget(f"{CANARY}-more".encode(), found) == REDACTED.encode()
    assert spellings_of("", url="http://example.com/a") == ()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nothing to hide", "nothing to hide"),
        ("GET /hook?page=2&token=abc done", f"GET /hook?page=2&token={REDACTED} done"),
        ("key hlk_0123456789abcdef", f"key hlk_{REDACTED}"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw!", f"whsec_{REDACTED}!"),
        ("Authorization: Basic dXNlcjpwYXNz", f"Authorization: Basic {REDACTED}"),
        ("postgresql://me:hunter2@db/hookline", f"postgresql://{REDACTED}@db/hookline"),
        ("/trigger/AAAA==/more?x=1", f"/trigger/{REDACTED}/more?x=1"),
        ("a Basic plan", "a Basic plan"),
    ],
)
def test_secrets_are_taken_out_of_any_words(text: str, shown: str) -> None:
    assert redact_text(text) == shown
