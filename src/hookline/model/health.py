"""How a webhook's receiver fares, and what its owners are told of it.

A webhook that never failed has no record. What is counted here is coarse: a record is written when something begins,
changes or ends, and once a second at most while a receiver keeps failing.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from hookline.model.ids import Key
from hookline.model.states import AttemptOutcome


class Cause(StrEnum):
    """What an alert is about. A webhook has at most one open alert of each."""

    FAILING = "failing"
    DISABLED = "disabled"
    PAUSED = "paused"
    HELD = "held"


class MailKind(StrEnum):
    """What a mail tells (CONTRACT section 5)."""

    FAILING = "failing"
    EXHAUSTED = "exhausted"
    DISABLED = "disabled"
    HELD = "held"
    RECOVERED = "recovered"


class LastFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A failed attempt, as people are told of it (PB-10: "details of the event").

    event_id: the event's public id, or its batch's.  status: None without an answer.  error: one plain sentence.
    next_attempt_at: None when it was the last.  reason: why the delivery was given up, None when it was not.
    """

    started_at: datetime
    at: datetime
    outcome: AttemptOutcome
    status: int | None = None
    error: str | None = None
    delivery_id: Key
    event_id: str
    event_type: str
    number: int = 1
    next_attempt_at: datetime | None = None
    reason: str | None = None


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something that its owners should know of a webhook.

    last_at, count: of the failures that belong to it.  exhausted: deliveries given up among them.
    reason: why it was disabled.  held: events that waited when it was raised, expires_at: when the oldest expires.
    tell_at: when people are to be told of it next, None when there is nothing to tell.  told_at: when they last were.
    snoozed_until: nobody is told before then.  closed_at: None while it is open.
    """

    id: Key
    organization_id: Key
    webhook_id: Key
    cause: Cause
    opened_at: datetime
    last_at: datetime
    count: int = 0
    exhausted: int = 0
    reason: str | None = None
    held: int = 0
    expires_at: datetime | None = None
    failure: LastFailure | None = None
    tell_at: datetime | None = None
    told_at: datetime | None = None
    snoozed_until: datetime | None = None
    closed_at: datetime | None = None

    def is_snoozed(self, now: datetime) -> bool:
        return self.snoozed_until is not None and now < self.snoozed_until


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one webhook's receiver.

    version: rises by one with every change; 0 for one that was never stored.  failing_since: the first failure after
    the latest success, None when the latest attempt succeeded.  failures, exhausted: attempts that failed, and
    deliveries given up, since then.  latest: the latest failure ever.  recovered_at: end of the latest trouble.
    misconfigured: the latest deliveries in a row whose receiver was not there at all, at most five (PB-11).
    told_failing_at, told_exhausted_at: when people were last told so.  owes_recovery: they were told of a trouble and
    not yet of its end.  alerts: the open ones.
    """

    webhook_id: Key
    organization_id: Key
    version: int = 0
    failing_since: datetime | None = None
    failures: int = 0
    exhausted: int = 0
    latest: LastFailure | None = None
    recovered_at: datetime | None = None
    misconfigured: tuple[Key, ...] = ()
    told_failing_at: datetime | None = None
    told_exhausted_at: datetime | None = None
    owes_recovery: bool = False
    alerts: tuple[Alert, ...] = ()

    @property
    def is_watched(self) -> bool:
        """Say whether a success, or the mere passing of time, would change it."""
        return self.failing_since is not None or self.owes_recovery or bool(self.alerts)

    def alert(self, cause: Cause) -> Alert | None:
        """The open alert of a cause."""
        return next((alert for alert in self.alerts if alert.cause is cause), None)


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail is worded from.

    webhook_url: without user, password and query.  page_url: its page in the dashboard, where one click restores it, or
    None.  disable_at: when it will be disabled if it goes on failing.  expires_at: when the oldest held event expires.
    """

    webhook_id: str
    webhook_name: str
    webhook_url: str
    page_url: str | None = None
    since: datetime | None = None
    failures: int = 0
    exhausted: int = 0
    reason: str | None = None
    failure: LastFailure | None = None
    disable_at: datetime | None = None
    held: int = 0
    expires_at: datetime | None = None


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """A mail that is owed to an organization's members. Stored with the change it tells of, sent later.

    recipients: addresses that have not got it yet; None before the first try, when they are looked up.
    tries: times it was tried.  due_at: None once it has ended.  error: why the latest try failed.
    """

    id: Key
    organization_id: Key
    webhook_id: Key
    alert_id: Key | None
    kind: MailKind
    notice: Notice
    created_at: datetime
    recipients: tuple[str, ...] | None = None
    tries: int = 0
    due_at: datetime | None = None
    ended_at: datetime | None = None
    error: str | None = None
