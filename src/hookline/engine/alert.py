"""Alert: keep each webhook's health, disable what does not answer, and tell its owners, once and again at the end.

The rules are in ``core/alerting.py``. This module holds the health of the webhooks that are in trouble; one that is
not costs a delivery one look into a dictionary. What begins, changes or ends a trouble is stored at once, in the
transaction of the outcome that showed it, with its alert, mail and event; what is only counted is stored every other
second. Nodes share a webhook's health by compare-and-set: who comes second reads it anew and judges again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from hookline.core import alerting
from hookline.core.alerting import Change, Policy, Tell
from hookline.core.event_types import DELIVERY_EXHAUSTED, OPERATIONAL, WEBHOOK_DISABLED, WEBHOOK_RECOVERED
from hookline.core.operations import Subject, disabled_data, exhausted_data, plain_url, recovered_data
from hookline.engine.attempt import message_id
from hookline.errors import StorageError
from hookline.model.events import Event
from hookline.model.health import Cause, Health, LastFailure, Mail, MailKind, Notice
from hookline.model.ids import Key, new_key
from hookline.model.states import AttemptOutcome, DeliveryState, Origin, WebhookStatus
from hookline.ports import ChangeHealth

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from datetime import datetime

    from hookline.core.lifecycle import Verdict
    from hookline.engine.commit import Committer, Done
    from hookline.engine.directory import Directory
    from hookline.engine.lanes import Claim
    from hookline.engine.lease import Lease
    from hookline.engine.publish import Outbox
    from hookline.engine.target import Target
    from hookline.model.configuration import Stored, Webhook
    from hookline.model.health import Alert
    from hookline.ports import AlertRecords, Clock, NewEvent
    from hookline.ports.sender import Answer

_log = structlog.get_logger("hookline.alert")

Step = Callable[[Health, "Target"], Change]
"""Judges a happening: what it makes of a health, given the webhook as it now is."""

_OF_THE_RECEIVER: Final = frozenset({"live", "retry"})
"""Causes of attempts that say something new of a receiver: of a test or a replay whoever began it sees the end."""

_LONGEST_PAUSE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class News:
    """What an outcome brings besides itself. events: stored with the outcome, if it is.  write: to be in the same
    transaction, None when there is nothing to write; done is told its result.
    """

    events: tuple[NewEvent, ...] = ()
    write: ChangeHealth | None = None
    done: Done | None = None


NO_NEWS: Final = News()


@dataclass(slots=True)
class _Ward:
    """A webhook that is or was in trouble.

    health: None until it is read.  is_dirty: it counts more than is stored.  idle: cleared while it is being read or
    changed.
    """

    health: Health | None = None
    is_dirty: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.idle.set()


class Alerts:
    """One per node.

    disable_after: of only failures a webhook is disabled.  keep_held: how long what is held waits.
    sends_mails: a mail server is set; without one no mail is made.  public_url: for the links in mails.
    """

    def __init__(
        self,
        *,
        records: AlertRecords,
        committer: Committer,
        directory: Directory,
        lease: Lease,
        clock: Clock,
        disable_after: timedelta,
        keep_held: timedelta,
        sends_mails: bool,
        public_url: str,
    ) -> None:
        self._records = records
        self._committer = committer
        self._directory = directory
        self._lease = lease
        self._clock = clock
        self._disable_after = disable_after
        self._keep_held = keep_held
        self._sends_mails = sends_mails
        self._public_url = public_url
        self._wards: dict[Key, _Ward] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._outbox: Outbox | None = None
        self._hold: Callable[[Target], Coroutine[Any, Any, None]] | None = None

    def __repr__(self) -> str:
        return f"Alerts(wards={len(self._wards)})"

    def connect(self, outbox: Outbox, hold: Callable[[Target], Coroutine[Any, Any, None]]) -> None:
        """Give it what is built after it. hold: sets aside what waits for a webhook."""
        self._outbox = outbox
        self._hold = hold

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    # --- outcomes of attempts ---

    def concerns(self, target: Target, answer: Answer) -> bool:
        """Say whether an answer may change anything: call ``ready`` then before ``news``."""
        return answer.outcome is not AttemptOutcome.DELIVERED or target.id in self._wards

    async def ready(self, target: Target) -> None:
        """Have a webhook's health at hand, and nobody changing it, until the caller next awaits.

        When the store is away it is not at hand: then ``news`` has nothing to say of it.
        """
        try:
            await self._ready(target.id, target.organization_id)
        except StorageError as exc:
            _log.warning("health_unknown", webhook=target.public_id, reason=exc.message)

    def news(
        self,
        target: Target,
        claim: Claim,
        answer: Answer,
        verdict: Verdict,
        *,
        started_at: datetime,
        ended_at: datetime,
        next_attempt_at: datetime | None,
    ) -> News:
        """What an outcome brings. Room reserved for its events is freed or used by ``conclude``."""
        if answer.outcome is AttemptOutcome.DELIVERED:
            failure = None
        else:
            failure = _failure_of(claim, answer, verdict, started_at, ended_at, next_attempt_at)
        events = self._exhausted(target, claim, verdict, failure, ended_at)
        step = self._step(claim, verdict, failure, started_at, ended_at)
        ward = self._wards.get(target.id)
        if step is None or target.webhook.origin is not Origin.REGISTERED:
            return News(events) if events else NO_NEWS
        if ward is None or ward.health is None or not ward.idle.is_set():
            return News(events) if events else NO_NEWS
        change = step(ward.health, target)
        if not change.is_urgent:
            self._count(target.id, ward, change)
            return News(events) if events else NO_NEWS
        write, done = self._begin(ward, target, change, ended_at)

        def told(result: object) -> None:
            done(result)
            if result is not True:
                self._spawn(self._again(target, step))

        return News(events, write, told)

    def conclude(self, events: tuple[NewEvent, ...], epoch: int, result: object) -> None:
        """Follow up on the write that carried the events of an outcome. result: what the store said."""
        if events:
            assert self._outbox is not None
            self._outbox.conclude(events, epoch, result)

    def poisoned(self, target: Target, claim: Claim, reason: str, at: datetime) -> tuple[NewEvent, ...]:
        """The event of a delivery that is set aside because our own code fails on it."""
        return self._given_up(target, claim, reason, None, at)

    def _step(
        self,
        claim: Claim,
        verdict: Verdict,
        failure: LastFailure | None,
        started_at: datetime,
        ended_at: datetime,
    ) -> Step | None:
        """How an outcome is judged; None when it says nothing of the receiver."""
        if failure is None:
            return lambda health, _: alerting.succeeded(health, started_at=started_at, at=ended_at)
        if not verdict.counts_as_failure or claim.owed.delivery.url is not None:
            return None
        if claim.cause not in _OF_THE_RECEIVER and verdict.disable is None:
            return None
        ids = (new_key(), new_key())
        return lambda health, target: alerting.failed(
            health,
            failure,
            self._policy(target),
            gone=verdict.disable,
            is_active=target.is_active,
            ids=ids,
        )

    def _policy(self, target: Target) -> Policy:
        return Policy(
            disable_after=self._disable_after,
            disables_misconfigured=target.dialect.disables_misconfigured,
        )

    # --- people, and the passing of time ---

    async def status_changed(self, stored: Stored[Webhook]) -> None:
        """A person paused it, or set it to work again. Raises StorageError."""
        target = await self._target(stored.organization_id, stored.id)
        if target is None:
            return
        at, id_ = self._clock.now(), new_key()
        if stored.document.status is WebhookStatus.PAUSED:
            await self._apply(target, lambda health, _: alerting.paused(health, at, id=id_))
        elif stored.document.status is WebhookStatus.ACTIVE:
            await self._resumed(target)

    async def _resumed(self, target: Target) -> None:
        at = self._clock.now()
        await self._apply(target, lambda health, _: alerting.resumed(health, at))

    async def deleted(self, webhook_id: Key) -> None:
        """A webhook is no more: its alerts close. Raises StorageError."""
        health = (await self._records.health([webhook_id])).get(webhook_id)
        if health is None or not health.is_watched:
            return
        change = alerting.ended(health, self._clock.now())
        write = ChangeHealth(
            epoch=self._lease.epoch,
            at=self._clock.now(),
            health=_next(change.health),
            alerts=change.alerts,
        )
        await self._committer.commit(write)
        self._wards.pop(webhook_id, None)

    async def snooze(self, alert: Alert, until: datetime | None) -> None:
        """Tell nobody of an alert before then. Raises StorageError."""
        target = self._directory.known_target(alert.organization_id, alert.webhook_id)
        if target is not None:
            await self._apply(target, lambda health, _: alerting.snoozed(health, alert.id, until))

    async def held_for_long(self, target: Target, *, count: int, expires_at: datetime) -> None:
        """Its oldest held event, which expires then, has waited for half of its time. Raises StorageError."""
        at, id_ = self._clock.now(), new_key()
        await self._apply(
            target,
            lambda health, _: alerting.held_for_long(health, at, count=count, expires_at=expires_at, id=id_),
        )

    async def look(self) -> None:
        """Take in what other nodes stored, store what was counted, tell what is due. Raises StorageError."""
        watched = await self._records.watched()
        await self._directory.refresh()  # afterwards: a webhook is disabled together with its health
        for health in watched:
            self._take_in(health)
            target = await self._target(health.organization_id, health.webhook_id)
            if target is None:
                await self.deleted(health.webhook_id)
            elif target.is_active and (health.alert(Cause.DISABLED) or health.alert(Cause.PAUSED)):
                await self._resumed(target)  # who resumed it died before saying so
        for webhook_id, ward in list(self._wards.items()):
            if ward.health is not None and ward.idle.is_set():
                await self._look_at(webhook_id, ward, ward.health)

    def _take_in(self, health: Health) -> None:
        ward = self._wards.setdefault(health.webhook_id, _Ward())
        if ward.idle.is_set() and (ward.health is None or ward.health.version < health.version):
            ward.health, ward.is_dirty = health, False

    async def _look_at(self, webhook_id: Key, ward: _Ward, health: Health) -> None:
        now = self._clock.now()
        target = await self._target(health.organization_id, webhook_id)
        if target is None:
            self._wards.pop(webhook_id, None)
        elif ward.is_dirty or alerting.told(health, now).is_urgent:
            await self._apply(target, lambda health, _: _counted(alerting.told(health, now)))
        elif not health.is_watched:
            self._wards.pop(webhook_id, None)

    async def _target(self, organization_id: Key, webhook_id: Key) -> Target | None:
        await self._directory.load(organization_id)
        return self._directory.known_target(organization_id, webhook_id)

    # --- one change ---

    async def _apply(self, target: Target, step: Step) -> None:
        """Judge a happening and store what comes of it, however often others come first. Raises StorageError."""
        while True:
            now = self._directory.known_target(target.organization_id, target.id)
            if now is None:
                return
            ward = await self._ready(target.id, target.organization_id)
            assert ward.health is not None
            change = step(ward.health, now)
            if not change.is_urgent:
                self._count(target.id, ward, change)
                return
            write, done = self._begin(ward, now, change, self._clock.now())
            if await self._committer.commit(write, after=done) is True:
                return
            await self._directory.refresh()

    async def _again(self, target: Target, step: Step) -> None:
        """Judge a happening whose change was not stored."""
        pause = 0.1
        while True:
            try:
                await self._directory.refresh()
                await self._apply(target, step)
            except StorageError as exc:
                _log.warning("health_not_stored", webhook=target.public_id, reason=exc.message)
            else:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _ready(self, webhook_id: Key, organization_id: Key) -> _Ward:
        """A ward whose health is known and which nobody changes. Raises StorageError."""
        while True:
            ward = self._wards.setdefault(webhook_id, _Ward())
            if not ward.idle.is_set():
                await ward.idle.wait()
            elif ward.health is None:
                await self._read(ward, webhook_id, organization_id)
            else:
                return ward

    async def _read(self, ward: _Ward, webhook_id: Key, organization_id: Key) -> None:
        ward.idle.clear()
        try:
            found = await self._records.health([webhook_id])
            blank = Health(webhook_id=webhook_id, organization_id=organization_id)
            ward.health, ward.is_dirty = found.get(webhook_id, blank), False
        finally:
            ward.idle.set()

    def _count(self, webhook_id: Key, ward: _Ward, change: Change) -> None:
        """Keep what is only counted in memory until the next look."""
        if change.health != ward.health:
            ward.health, ward.is_dirty = change.health, True
        elif not change.health.is_watched and not ward.is_dirty:
            self._wards.pop(webhook_id, None)

    def _begin(self, ward: _Ward, target: Target, change: Change, at: datetime) -> tuple[ChangeHealth, Done]:
        """The write of a change, and what to do with its result. Until then nobody else changes this health."""
        before = ward.health
        assert before is not None
        ward.idle.clear()
        epoch = self._lease.epoch
        events = self._events_of(target, before, change, at)
        write = ChangeHealth(
            epoch=epoch,
            at=at,
            health=_next(change.health),
            alerts=_stored_alerts(change),
            mails=tuple([self._mail(target, before, tell, change, at) for tell in change.tells])
            if self._sends_mails
            else (),
            events=events,
            webhook=_disabled(target, change.disable, at) if change.disable is not None else None,
        )

        def done(result: object) -> None:
            is_stored = result is True
            ward.health = write.health if is_stored else None
            ward.is_dirty = False
            ward.idle.set()
            self.conclude(events, epoch, result)
            if is_stored:
                self._stored(target, before, change)

        return write, done

    def _stored(self, target: Target, before: Health, change: Change) -> None:
        for tell in change.tells:
            self._log(target, before, tell)
        if change.disable is not None:
            self._spawn(self._take_out(target))

    async def _take_out(self, target: Target) -> None:
        """Hold what waits for a webhook that was just disabled."""
        try:
            await self._directory.refresh()
            now = self._directory.known_target(target.organization_id, target.id)
            if now is not None and not now.is_active:
                assert self._hold is not None
                await self._hold(now)
        except StorageError as exc:
            _log.warning("disabled_not_held", webhook=target.public_id, reason=exc.message)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- what people and programs are told ---

    def _exhausted(
        self,
        target: Target,
        claim: Claim,
        verdict: Verdict,
        failure: LastFailure | None,
        at: datetime,
    ) -> tuple[NewEvent, ...]:
        if verdict.state is not DeliveryState.EXHAUSTED:
            return ()
        return self._given_up(target, claim, verdict.reason or "", failure, at)

    def _given_up(
        self, target: Target, claim: Claim, reason: str, failure: LastFailure | None, at: datetime
    ) -> tuple[NewEvent, ...]:
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

    def _events_of(
        self, target: Target, before: Health, change: Change, at: datetime
    ) -> tuple[NewEvent, ...]:
        if change.disable is not None:
            data = disabled_data(subject_of(target), change.health, change.disable, at)
            return (self._owe(target, WEBHOOK_DISABLED, data, at),)
        if change.has_recovered:
            return (self._owe(target, WEBHOOK_RECOVERED, recovered_data(subject_of(target), before, at), at),)
        return ()

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
                resume_url=f"{self._public_url}/api/v1/webhooks/{subject.public_id}/resume",
                since=since,
                failures=health.failures,
                exhausted=alert.exhausted,
                reason=alert.reason,
                failure=health.latest if has_recovered else alert.failure,
                disable_at=since + self._disable_after if since is not None and is_failing else None,
                held=alert.held,
                expires_at=alert.expires_at,
                retention_days=self._keep_held / timedelta(days=1),
            ),
            created_at=at,
            due_at=at,
        )

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


def _failure_of(
    claim: Claim,
    answer: Answer,
    verdict: Verdict,
    started_at: datetime,
    ended_at: datetime,
    next_attempt_at: datetime | None,
) -> LastFailure:
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


def _disabled(target: Target, reason: str, at: datetime) -> Any:
    """The webhook as it is stored when it is disabled."""
    document = msgspec.structs.replace(
        target.webhook, status=WebhookStatus.DISABLED, status_reason=reason, status_changed_at=at
    )
    return msgspec.structs.replace(target.stored, document=document)


def _next(health: Health) -> Health:
    return msgspec.structs.replace(health, version=health.version + 1)


def _counted(change: Change) -> Change:
    """The same, stored although it only counts."""
    return msgspec.structs.replace(change, is_urgent=True)


def _stored_alerts(change: Change) -> tuple[Alert, ...]:
    """The alerts that a change touched, and the open ones, whose counts may have risen since they were stored."""
    touched = {alert.id: alert for alert in (*change.alerts, *change.health.alerts)}
    return tuple(touched.values())
