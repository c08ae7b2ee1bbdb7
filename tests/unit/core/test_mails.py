"""What stands in the mails."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from hookline.core.lifecycle import FAILING_TOO_LONG, GONE
from hookline.core.mails import plain, trial, word
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


def failure_with(**changes: Any) -> LastFailure:
    failure = notice().failure
    assert failure is not None
    return msgspec.structs.replace(failure, **changes)


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


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        (GONE, "the receiver answered 410 Gone"),
        (FAILING_TOO_LONG, "nothing but failures came from it for too long"),
        ("somebody_said_so", "has been disabled: somebody_said_so."),
        (None, "has been disabled: it failed."),
    ],
)
def test_a_mail_of_a_disabled_webhook_says_why(reason: str | None, why: str) -> None:
    """PB-10; a reason that has no words of its own is told as it is."""
    words = word(MailKind.DISABLED, notice(reason=reason, page_url=None), organization="Acme")

    assert words.subject == "Webhook Orders has been disabled"
    assert why in words.text
    assert "it is kept as it was, and its events are held until it is restored." in words.text
    assert "then restore it with `hookline webhooks resume wh_1`." in words.text
    assert "<a " not in words.html


def test_a_mail_of_a_failure_says_when_the_event_is_tried_again() -> None:
    failure = failure_with(next_attempt_at=AT)
    again = word(MailKind.FAILING, notice(failure=failure), organization="Acme")
    never = word(MailKind.FAILING, notice(), organization="Acme")

    assert "The event is tried again, next at 2026-01-15T12:00:00.000Z." in again.text
    assert "tried again" not in never.text


@pytest.mark.parametrize(
    ("held", "told"),
    [(1, '1 event of the webhook "Orders" wait'), (2, '2 events of the webhook "Orders" wait')],
)
def test_a_mail_of_held_events_counts_them_and_says_when_they_expire(held: int, told: str) -> None:
    words = word(MailKind.HELD, notice(held=held, expires_at=AT), organization="Acme")

    assert told in words.text
    assert f"{held} event{'s' if held > 1 else ''} held, and they will expire" in words.subject
    assert "The oldest expires at 2026-01-15T12:00:00.000Z." in words.text
    assert "expires at" not in word(MailKind.HELD, notice(held=held), organization="Acme").text


@pytest.mark.parametrize(
    ("exhausted", "told"),
    [(1, "1 event was given up meanwhile"), (2, "2 events were given up meanwhile")],
)
def test_a_mail_of_a_recovery_counts_what_was_given_up(exhausted: int, told: str) -> None:
    words = word(MailKind.RECOVERED, notice(exhausted=exhausted), organization="Acme")

    assert told in words.text
    assert "Last failed event:" in words.text
    assert "given up" not in word(MailKind.RECOVERED, notice(), organization="Acme").text


def test_the_facts_stand_in_columns() -> None:
    """The plain text of a whole mail, as people read it."""
    words = word(MailKind.EXHAUSTED, notice(exhausted=1), organization="Acme")

    assert words.text.split("\n\n")[-1].splitlines() == [
        "Webhook:         Orders (wh_1)",
        "URL:             https://example.com/hook",
        "Organization:    Acme",
        "Failing since:   2026-01-15T12:00:00.000Z",
        "Failed attempts: 5",
        "Events given up: 1",
        "Event:           order.paid evt_42",
        "Delivery:        dlv_00000000-0000-0000-0000-000000000000",
        "Attempt:         3, at 2026-01-15T12:00:00.000Z",
        "Answer:          HTTP 404",
        "Error:           The receiver answered 404.",
    ]


def test_a_mail_says_only_what_is_known() -> None:
    """No failure, no counts, no name."""
    bare = notice(failure=None, failures=0, since=None, webhook_name=" ")
    words = word(MailKind.FAILING, bare, organization="Acme")

    assert words.subject == "Webhook wh_1 is failing: no details"
    assert words.text.split("\n\n")[-1].splitlines() == [
        "Webhook:      wh_1 (wh_1)",
        "URL:          https://example.com/hook",
        "Organization: Acme",
    ]


def test_a_failure_without_an_answer_tells_its_outcome() -> None:
    failure = failure_with(status=None, outcome=AttemptOutcome.CONNECT_FAILED, error=None)
    words = word(MailKind.FAILING, notice(failure=failure), organization="Acme")

    assert words.subject == f"Webhook Orders is failing: {AttemptOutcome.CONNECT_FAILED.replace('_', ' ')}"
    assert "Error:" not in words.text


def test_a_long_error_is_cut() -> None:
    failure = failure_with(error="x" * 5000)

    assert "x" * 500 in word(MailKind.FAILING, notice(failure=failure), organization="").text
    assert "x" * 501 not in word(MailKind.FAILING, notice(failure=failure), organization="").text


def test_an_operator_can_try_the_mail_server() -> None:
    words = trial(at=AT)

    assert words.subject == "Hookline can send mail"
    assert words.text == (
        "This is a test. Alerts of your webhooks will come from the same address.\n\n"
        "Sent: 2026-01-15T12:00:00.000Z\n"
    )
    assert "<title>Hookline can send mail</title>" in words.html
