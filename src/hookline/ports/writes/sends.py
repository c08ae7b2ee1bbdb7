"""Writes of deliveries: from the claim to what an attempt showed, and who is told of it."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from hookline.model.configuration import Stored, Webhook
from hookline.model.events import Attempt, Delivery, Event
from hookline.model.health import Alert, Health, Mail
from hookline.model.ids import Key
from hookline.model.states import DeliveryState, Lane
from hookline.ports.writes.events import Epoch, NewEvent


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """Up to ``limit`` due deliveries of one webhook and lane. revision: frozen into rows that have none (0)."""

    webhook_id: Key
    lane: Lane
    limit: int
    revision: int


class ClaimDeliveries(msgspec.Struct, frozen=True, kw_only=True):
    """Claim due pending deliveries (next_attempt_at <= now), earliest first. Result: tuple of ``Owed``."""

    epoch: Epoch
    wants: tuple[Want, ...]
    now: datetime


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed delivery with its event (None for a batch)."""

    delivery: Delivery
    event: Event | None


class Settle(msgspec.Struct, frozen=True, kw_only=True):
    """Write an attempt and the delivery's new state in one go, and free the claim.

    Result: True; False when the claim is gone (fenced: then neither is written); ``Outdated`` when ``health`` could not
    be stored, and then nothing of it is. State PENDING needs
    next_attempt_at. attempt None: nothing was sent (the claim is given back, or our own code failed).
    body: frozen body to keep, or None to leave what is there.  ordering_key: the delivery's own; when it ends here, the
    next of its line is due at ``at``.  events: inserted with it, and not when it is fenced.
    health: what the outcome makes of the webhook's health, stored in the same transaction even when it is fenced,
    because the receiver did answer so.
    The webhook's counters for the minute of ``at`` rise with it.
    """

    epoch: Epoch
    delivery_id: Key
    webhook_id: Key
    at: datetime
    attempt: Attempt | None
    state: DeliveryState
    state_reason: str | None = None
    lane: Lane = Lane.RETRY
    next_attempt_at: datetime | None = None
    failures: int = 0
    crashes: int = 0
    body: bytes | None = None
    body_size: int | None = None
    ordering_key: str | None = None
    events: tuple[NewEvent, ...] = ()
    health: ChangeHealth | None = None


class Outdated(msgspec.Struct, frozen=True):
    """Somebody changed the webhook's health, or the webhook, since an outcome was judged: judge it anew."""


class Reopen(msgspec.Struct, frozen=True, kw_only=True):
    """Make one delivery due again, whatever its state, unless in flight. Result: the Delivery as it then is,
    or None when there is none in that organization. In flight stays as it is, and so does an ordered one that waits
    for its turn.

    in_line: an ordered one stands where it stood in its line, before all that came later; else it is due, out of order.
    """

    organization_id: Key
    delivery_id: Key
    lane: Lane
    at: datetime
    in_line: bool = False


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """Move up to ``limit`` deliveries of a webhook that are in one of ``sources`` to ``to`` (hold on pause, drain
    on resume, cancel on delete). Never touches in-flight ones. Result: how many moved.

    reason: None leaves none but that conditions were unreadable, so that they are asked before it is sent.
    events: inserted if any moved, under ``epoch``.
    created_before: of the ``limit`` oldest, only those created before then; None for whatever age.
    """

    webhook_id: Key
    sources: tuple[DeliveryState, ...]
    to: DeliveryState
    reason: str | None
    next_attempt_at: datetime | None
    at: datetime
    limit: int = 1000
    created_before: datetime | None = None
    epoch: Epoch = 0
    events: tuple[NewEvent, ...] = ()


class ShortenWaits(msgspec.Struct, frozen=True, kw_only=True):
    """Bring forward what waits for longer than its webhook's schedule lets it, because its time was set by a clock that
    has been set back since. Result: how many.

    waits: the longest wait after 0, 1, 2 … failures.  asked: that of who answered 429 or 503, and said for how long.
    """

    webhook_id: Key
    now: datetime
    waits: tuple[timedelta, ...]
    asked: timedelta


class ChangeHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Replace what is known of a webhook's health, with all that follows from it. Result: True, or False when somebody
    else changed the health or the webhook meanwhile: then nothing of it is stored.

    health: its version is one more than that of the health it was made from.  alerts: inserted or replaced.
    webhook: stored in place of its present revision, which is ``webhook.revision``; None when it stays as it is.
    """

    epoch: Epoch
    at: datetime
    health: Health
    alerts: tuple[Alert, ...] = ()
    mails: tuple[Mail, ...] = ()
    events: tuple[NewEvent, ...] = ()
    webhook: Stored[Webhook] | None = None


class SettleMail(msgspec.Struct, frozen=True, kw_only=True):
    """Write how a try to send a mail went. Result: True, or False when it ended or was tried by another meanwhile.

    mail: as it now is, its tries one more than those of the mail it was made from.
    """

    mail: Mail
