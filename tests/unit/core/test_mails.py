"""What stands in the mails."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hookline.core.mails import plain, word
from hookline.core.operations import plain_url
from hookline.model.health import LastFailure, MailKind, Notice
from hookline.model.states import AttemptOutcome

AT = datetime(2026, 1, 15, 12, tzinfo=UTC)


def notice(**fields: Any) -> Notice:
    failure = LastFailure(
        started_at=AT,
        at=AT,
        outcome=AttemptOutcome.HTTP_ERROR,
        status=404,
        error="The receiver answered 404.",
        delivery_id=bytes(16),
        event_id="evt_42",
        event_type="order.paid",
        number=3,
    )
    values: dict[str, Any] = {
        "webhook_id": "wh_1",
        "webhook_name": "Orders",
        "webhook_url": "https://example.com/hook",
        "page_url": "https://hooks.example.com/ui/webhooks/wh_1",
        "failure": failure,
        "failures": 5,
        "since": AT,
    }
    return Notice(**(values | fields))


@pytest.mark.parametrize("kind", MailKind)
def test_every_mail_names_the_webhook_and_the_event(kind: MailKind) -> None:
    """PB-10: "an email containing details of the event"."""
    words = word(kind, notice(held=3), organization="Acme")

    assert "Orders" in words.subject
    for form in (words.text, words.html):
        for detail in ("wh_1", "https://example.com/hook", "Acme", "order.paid", "evt_42", "HTTP 404"):
            assert detail in form


def test_a_misconfigured_webhook_is_removed_from_the_configuration() -> None:
    """PB-11: the words of the seed, the details of the error, and how to restore it."""
    words = word(MailKind.DISABLED, notice(reason="misconfigured"), organization="Acme")

    assert "has been removed from your configuration" in words.subject
    assert "has been removed from your configuration" in words.text
    assert "The receiver answered 404." in words.text
    assert "hookline webhooks resume wh_1" in words.text
    assert "https://hooks.example.com/ui/webhooks/wh_1 " in words.text
    assert '<a href="https://hooks.example.com/ui/webhooks/wh_1">' in words.html


def test_a_mail_of_a_failing_webhook_warns_before_it_is_disabled() -> None:
    """DEMANDS 9: warning before."""
    words = word(MailKind.FAILING, notice(disable_at=AT), organization="Acme")

    assert "until 2026-01-15T12:00:00.000Z, it is disabled" in words.text


@pytest.mark.parametrize("evil", ["a\r\nBcc: x@y.test", "a\nb", "a\x00b", "a\u2028b", "a\x85b", "a\x1b[31mb"])
def test_a_name_stays_in_its_line(evil: str) -> None:
    """Header injection is impossible."""
    subject = word(MailKind.FAILING, notice(webhook_name=evil), organization=evil).subject

    assert subject.isprintable()
    assert len(subject.splitlines()) == 1


def test_html_shows_text_and_never_becomes_markup() -> None:
    words = word(
        MailKind.DISABLED,
        notice(webhook_name="<script>alert(1)</script>", reason="<img src=x>"),
        organization='"><b>',
    )

    assert "<script" not in words.html
    assert "<img" not in words.html
    assert '"><b>' not in words.html


def test_a_long_name_is_cut() -> None:
    assert len(word(MailKind.FAILING, notice(webhook_name="x" * 5000), organization="").subject) < 200


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.test/hook", "https://a.test/hook"),
        ("https://user:pa@ss@a.test:8443/hook?key=s#frag", "https://a.test:8443/hook"),
        ("https://a.test?key=s", "https://a.test"),
        ("https://a.test/#?x", "https://a.test/"),
        ("https://a.test/@me", "https://a.test/@me"),
    ],
)
def test_a_url_for_many_eyes_has_no_secrets(url: str, shown: str) -> None:
    assert plain_url(url) == shown


def test_plain_text_is_one_line() -> None:
    assert plain("  a\tb\nc  ") == "a b c"
