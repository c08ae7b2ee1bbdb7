"""Word the mails that tell an organization's members how their webhooks fare (PB-10, PB-11).

One set of lines makes the plain text and the simple HTML. What came from outside, names, errors and event ids, is text
and nothing else: control characters become blanks, so a name cannot begin a header line, and HTML is escaped.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.alerting import MISCONFIGURED, MISCONFIGURED_EVENTS
from hookline.core.lifecycle import FAILING_TOO_LONG, GONE
from hookline.core.times import rfc3339
from hookline.model.health import LastFailure, MailKind, Notice
from hookline.model.ids import public

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_LONGEST_NAME: Final = 120
_LONGEST_ERROR: Final = 500

_WHY: Final = {
    GONE: "the receiver answered 410 Gone, which says that it will not be there again",
    FAILING_TOO_LONG: "nothing but failures came from it for too long",
    MISCONFIGURED: (
        f"{MISCONFIGURED_EVENTS} events in a row found no receiver at its URL (404, 405, no such name or a certificate "
        "of another name), so it is probably misconfigured"
    ),
}


class Words(msgspec.Struct, frozen=True, kw_only=True):
    subject: str
    text: str
    html: str


def word(kind: MailKind, notice: Notice, *, organization: str) -> Words:
    """Word a mail. organization: its name."""
    name = plain(notice.webhook_name)[:_LONGEST_NAME] or notice.webhook_id
    subject, paragraphs = _STORIES[kind](name, notice)
    facts = [
        ("Webhook", f"{name} ({notice.webhook_id})"),
        ("URL", plain(notice.webhook_url)),
        ("Organization", plain(organization)),
        *_counts(notice),
        *_details(notice.failure, "Last failed " if kind is MailKind.RECOVERED else ""),
    ]
    return Words(
        subject=subject,
        text=_text(paragraphs, facts),
        html=_html(subject, paragraphs, facts, link=notice.page_url),
    )


def trial(*, at: datetime) -> Words:
    """Word the mail by which an operator tries the mail server."""
    subject = "Hookline can send mail"
    paragraphs = ["This is a test. Alerts of your webhooks will come from the same address."]
    facts = [("Sent", rfc3339(at))]
    return Words(subject=subject, text=_text(paragraphs, facts), html=_html(subject, paragraphs, facts))


def plain(text: str) -> str:
    """Text in one line: control characters and line ends of any script become blanks."""
    return "".join(character if character.isprintable() else " " for character in text).strip()


# --- stories ------------------------------------------------------------------------------------------------


def _failing(name: str, notice: Notice) -> tuple[str, list[str]]:
    subject = f"Webhook {name} is failing: {_short(notice.failure)}"
    first = f'Deliveries to the webhook "{name}" began to fail.'
    failure = notice.failure
    if failure is not None and failure.next_attempt_at is not None:
        first += f" The event is tried again, next at {rfc3339(failure.next_attempt_at)}."
    return subject, [first, *_if_it_goes_on(notice)]


def _exhausted(name: str, notice: Notice) -> tuple[str, list[str]]:
    subject = f"Webhook {name}: an event could not be delivered"
    first = (
        f'An event for the webhook "{name}" was given up after its last attempt failed. It is kept: send it again with '
        "`hookline deliveries retry`, or all that were given up with a replay."
    )
    return subject, [first, *_if_it_goes_on(notice)]


def _disabled(name: str, notice: Notice) -> tuple[str, list[str]]:
    why = _WHY.get(notice.reason or "", notice.reason or "it failed")
    if notice.reason == MISCONFIGURED:
        subject = f"Webhook {name} has been removed from your configuration"
        first = f'The webhook "{name}" has been removed from your configuration: {why}.'
    else:
        subject = f"Webhook {name} has been disabled"
        first = f'The webhook "{name}" has been disabled: {why}.'
    kept = "Nothing is lost: it is kept as it was, and its events are held until it is restored."
    return subject, [first, kept, *_restore(notice)]


def _held(name: str, notice: Notice) -> tuple[str, list[str]]:
    count = f"{notice.held} event{'' if notice.held == 1 else 's'}"
    subject = f"Webhook {name}: {count} held, and they will expire"
    first = f'{count} of the webhook "{name}" wait because it is paused or disabled.'
    if notice.expires_at is not None:
        first += f" The oldest expires at {rfc3339(notice.expires_at)}."
    return subject, [first, *_restore(notice)]


def _recovered(name: str, notice: Notice) -> tuple[str, list[str]]:
    first = f'The webhook "{name}" works again: a delivery succeeded.'
    if notice.exhausted:
        count = f"{notice.exhausted} event{' was' if notice.exhausted == 1 else 's were'}"
        first += f" {count} given up meanwhile and can be sent again."
    return f"Webhook {name} works again", [first]


_STORIES: Final = {
    MailKind.FAILING: _failing,
    MailKind.EXHAUSTED: _exhausted,
    MailKind.DISABLED: _disabled,
    MailKind.HELD: _held,
    MailKind.RECOVERED: _recovered,
}


def _if_it_goes_on(notice: Notice) -> list[str]:
    lines = [
        "You are told again when it is disabled or works again, and at most once an hour while it fails."
    ]
    if notice.disable_at is not None:
        lines.append(f"If nothing but failures comes until {rfc3339(notice.disable_at)}, it is disabled.")
    return lines


def _restore(notice: Notice) -> list[str]:
    where = f" on its page, {notice.page_url} , or" if notice.page_url else ""
    return [f"Mend the receiver, then restore it{where} with `hookline webhooks resume {notice.webhook_id}`."]


# --- facts --------------------------------------------------------------------------------------------------


def _counts(notice: Notice) -> list[tuple[str, str]]:
    facts = []
    if notice.since is not None:
        facts.append(("Failing since", rfc3339(notice.since)))
    if notice.failures:
        facts.append(("Failed attempts", str(notice.failures)))
    if notice.exhausted:
        facts.append(("Events given up", str(notice.exhausted)))
    return facts


def _details(failure: LastFailure | None, before: str) -> list[tuple[str, str]]:
    """The event and the error of the latest failure. before: put before each label."""
    if failure is None:
        return []
    facts = [
        ("Event", plain(f"{failure.event_type} {failure.event_id}")),
        ("Delivery", public("delivery", failure.delivery_id)),
        ("Attempt", f"{failure.number}, at {rfc3339(failure.at)}"),
        ("Answer", _short(failure)),
    ]
    if failure.error:
        facts.append(("Error", plain(failure.error)[:_LONGEST_ERROR]))
    return [((before + label).capitalize(), value) for label, value in facts]


def _short(failure: LastFailure | None) -> str:
    if failure is None:
        return "no details"
    return f"HTTP {failure.status}" if failure.status is not None else failure.outcome.replace("_", " ")


# --- forms --------------------------------------------------------------------------------------------------


def _text(paragraphs: Sequence[str], facts: Sequence[tuple[str, str]]) -> str:
    width = max(len(label) for label, _ in facts) + 2
    lines = [f"{label + ':':<{width}}{value}" for label, value in facts]
    return "\n\n".join([*paragraphs, "\n".join(lines)]) + "\n"


def _html(
    subject: str, paragraphs: Sequence[str], facts: Sequence[tuple[str, str]], *, link: str | None = None
) -> str:
    """link: the one URL that can be clicked; of ours, unlike what stands in the facts."""
    told = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)
    if link is not None:
        told = told.replace(f"{escape(link)} ,", f'<a href="{escape(link)}">{escape(link)}</a>,')
    rows = "".join(
        f'<tr><th align="left" style="padding-right:1em">{escape(label)}</th><td>{escape(value)}</td></tr>'
        for label, value in facts
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(subject)}</title></head>'
        f"<body>{told}<table>{rows}</table></body></html>"
    )
