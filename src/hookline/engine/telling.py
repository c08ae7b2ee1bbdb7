"""Telling: what people and programs hear of a webhook's health, as events, mails and log lines.

Nothing here decides that something is told (``core/alerting.py``), stores it (``alert.py``) or sends it
(``deliver.py``, ``mails.py``). Room that an event reserves is used or freed by ``conclude``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from hookline.core.event_types import DELIVERY_EXHAUSTED, OPERATIONAL, WEBHOOK_DISABLED, WEBHOOK_RECOVERED
from hookline.core.operations import (
    Subject,
    disabled_data,
    exhausted_data,
    expired_data,
    plain_url,
    recovered_data,
)
from hookline.engine.attempt import message_id
from hookline.model.events import Event
from hookline.model.health import LastFailure, Mail, MailKind, Notice
from hookline.model.ids import new_key
from hookline.model.states import DeliveryState

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from hookline.core.alerting import Change, Tell
    from hookline.core.lifecycle import Verdict
    from hookline.engine.lanes import Claim
    from hookline.engine.publish import Outbox
    from hookline.engine.target import Target
    from hookline.model.health import Health
    from hookline.ports import NewEvent
    from hookline.ports.sender import Answer

_log = structlog.get_logger("hookline.alert")


class Teller:
    """One per node.

    disable_after: of only failures a webhook is disabled.
    sends_mails: a mail server is set; without one no mail is made.  public_url: for the links in mails.
    """

    def __init__(self, *, disable_after: timedelta, sends_mails: bool, public_url: str) -> None:
        self._disable_after = disable_after
        self._sends_mails = sends_mails
        self._public_url = public_url
        self._outbox: Outbox | None = None

    def __repr__(self) -> str:
        return f"Teller(sends_mails={self._sends_mails})"

    def connect(self, outbox: Outbox) -> None:
        """Give it what is built after it."""
        self._outbox = outbox

    def given_up(
        self, target: Target, claim: Claim, reason: str, failure: LastFailure | None, at: datetime
    ) -> tuple[NewEvent, ...]:
        """delivery.exhausted. failure: None when our own code failed."""
        delivery = claim.owed.delivery
        if delivery.event_type in OPERATIONAL or claim.cause == "test":
            return ()  # else what tells of trouble would be trouble to tell of
        data = exhausted_data(
            subject_of(target),
            delivery_id=delivery.id,
            event_id=message_id(claim.owed),
            event_type=delivery.event_type,
            attempts=delivery.attempts_made + (failure is not None),
            reason=reason,
            failure=failure,
        )
        return (self._owe(target, DELIVERY_EXHAUSTED, data, at),)

    def events(self, target: Target, before: Health, change: Change, at: datetime) -> tuple[NewEvent, ...]:
        """webhook.disabled or webhook.recovered, where a change is one."""
        if change.disable is not None:
            data = disabled_data(subject_of(target), change.health, change.disable, at)
            return (self._owe(target, WEBHOOK_DISABLED, data, at),)
        if change.has_recovered:
            return (self._owe(target, WEBHOOK_RECOVERED, recovered_data(subject_of(target), before, at), at),)
        return ()

    def expired(self, target: Target, held_before: datetime, at: datetime) -> NewEvent:
        """delivery.exhausted for all that was held for too long, told as one."""
        return self._owe(target, DELIVERY_EXHAUSTED, expired_data(subject_of(target), held_before), at)

    def conclude(self, events: tuple[NewEvent, ...], epoch: int, result: object) -> None:
        """Follow up on the write that carried such events. result: what the store said."""
        if events:
            assert self._outbox is not None
            self._outbox.conclude(events, epoch, result)

    def _owe(self, target: Target, type_: str, data: bytes, at: datetime) -> NewEvent:
        assert self._outbox is not None
        event = Event(
            key=new_key(),
            organization_id=target.organization_id,
            type=type_,
            data=data,
            occurred_at=at,
            received_at=at,
        )
        return self._outbox.owe(event)

    def mails(self, target: Target, before: Health, change: Change, at: datetime) -> tuple[Mail, ...]:
        """The mails that a change is told in; none without a mail server."""
        if not self._sends_mails:
            return ()
        return tuple([self._mail(target, before, tell, change, at) for tell in change.tells])

    def _mail(self, target: Target, before: Health, tell: Tell, change: Change, at: datetime) -> Mail:
        alert = tell.alert
        has_recovered = tell.kind is MailKind.RECOVERED
        health = before if has_recovered else change.health
        since = health.failing_since
        is_failing = tell.kind in (MailKind.FAILING, MailKind.EXHAUSTED)
        subject = subject_of(target)
        return Mail(
            id=new_key(),
            organization_id=target.organization_id,
            webhook_id=target.id,
            alert_id=alert.id,
            kind=tell.kind,
            notice=Notice(
                webhook_id=subject.public_id,
                webhook_name=subject.name,
                webhook_url=subject.url,
                page_url=f"{self._public_url}/ui/webhooks/{subject.public_id}",
                since=since,
                failures=health.failures,
                exhausted=alert.exhausted,
                reason=alert.reason,
                failure=health.latest if has_recovered else alert.failure,
                disable_at=since + self._disable_after if since is not None and is_failing else None,
                held=alert.held,
                expires_at=alert.expires_at,
            ),
            created_at=at,
            due_at=at,
        )

    def log(self, target: Target, before: Health, change: Change) -> None:
        """One line for whoever runs the server, whether a mail goes out or not."""
        for tell in change.tells:
            self._log(target, before, tell)

    def _log(self, target: Target, before: Health, tell: Tell) -> None:
        alert = tell.alert
        last = alert.failure or before.latest
        facts = {
            "webhook": target.public_id,
            "name": target.webhook.name,
            "url": plain_url(target.webhook.url),
            "failures": alert.count,
            "reason": alert.reason,
            "error": None if last is None else last.error,
            "held": alert.held or None,
            "mail": "owed" if self._sends_mails else "no mail server is set",
        }
        _log.warning(_LINES[tell.kind], **{name: value for name, value in facts.items() if value is not None})


_LINES: Final = {
    MailKind.FAILING: "webhook_failing",
    MailKind.EXHAUSTED: "webhook_gave_up",
    MailKind.DISABLED: "webhook_disabled",
    MailKind.HELD: "webhook_held_for_long",
    MailKind.RECOVERED: "webhook_recovered",
}


def subject_of(target: Target) -> Subject:
    return Subject(id=target.id, name=target.webhook.name, url=plain_url(target.webhook.url))


def failure_of(
    claim: Claim,
    answer: Answer,
    verdict: Verdict,
    started_at: datetime,
    ended_at: datetime,
    next_attempt_at: datetime | None,
) -> LastFailure:
    """A failed attempt, as people are told of it. next_attempt_at: None when it was the last."""
    delivery = claim.owed.delivery
    is_given_up = verdict.state is DeliveryState.EXHAUSTED
    return LastFailure(
        started_at=started_at,
        at=ended_at,
        outcome=answer.outcome,
        status=answer.status,
        error=answer.error,
        delivery_id=delivery.id,
        event_id=message_id(claim.owed),
        event_type=delivery.event_type,
        number=delivery.attempts_made + 1,
        next_attempt_at=next_attempt_at,
        reason=(verdict.reason or "exhausted") if is_given_up else None,
    )
