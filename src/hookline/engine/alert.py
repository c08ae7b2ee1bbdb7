"""Alert: keep each webhook's health, disable what does not answer, and tell its owners, once and again at the end.

The rules are in ``core/alerting.py``. This module holds the health of the webhooks that are in trouble; one that is
not costs a delivery one look into a dictionary. What begins, changes or ends a trouble is stored at once, in the
transaction of the outcome that showed it, with its alert, mail and event; what is only counted is stored every other
second. Nodes share a webhook's health by compare-and-set: who comes second reads it anew and judges again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from hookline.core import alerting
from hookline.core.lifecycle import FAILING_TOO_LONG
from hookline.engine.health_step import step_of
from hookline.engine.telling import failure_of
from hookline.engine.wards import Wards, counted, next_of, touched_by
from hookline.errors import RowError, StorageError
from hookline.model.health import Cause, Health
from hookline.model.ids import Key, new_key
from hookline.model.states import AttemptOutcome, DeliveryState, Origin, WebhookStatus
from hookline.ports import ChangeHealth

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime, timedelta

    from hookline.core.alerting import Change
    from hookline.core.lifecycle import Verdict
    from hookline.engine.commit import Committer, Done
    from hookline.engine.directory import Directory
    from hookline.engine.health_step import Step
    from hookline.engine.lanes import Claim
    from hookline.engine.lease import Lease
    from hookline.engine.publish import Outbox
    from hookline.engine.target import Target
    from hookline.engine.telling import Teller
    from hookline.engine.wards import Ward
    from hookline.model.configuration import Stored, Webhook
    from hookline.model.health import Alert
    from hookline.ports import AlertRecords, Clock, NewEvent
    from hookline.ports.sender import Answer
    from hookline.ports.store import Figures

_log = structlog.get_logger("hookline.alert")

_LONGEST_PAUSE_SECONDS: Final = 5.0

_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class News:
    """What an outcome brings besides itself. events, health: stored with the outcome.  done: told whether the health
    was, True, False or why nothing is known of it; None when there is none.
    """

    events: tuple[NewEvent, ...] = ()
    health: ChangeHealth | None = None
    done: Done | None = None


NO_NEWS: Final = News()


class Alerts:
    """One per node.

    disable_after: of only failures a webhook is disabled.
    """

    def __init__(
        self,
        *,
        records: AlertRecords,
        figures: Figures,
        committer: Committer,
        directory: Directory,
        lease: Lease,
        clock: Clock,
        teller: Teller,
        disable_after: timedelta,
    ) -> None:
        self._records = records
        self._figures = figures
        self._committer = committer
        self._directory = directory
        self._lease = lease
        self._clock = clock
        self._disable_after = disable_after
        self.teller = teller
        self._wards = Wards(records)
        self._tasks: set[asyncio.Task[None]] = set()
        self._settle_in: Callable[[Key, Key], Coroutine[Any, Any, None]] | None = None

    def __repr__(self) -> str:
        return f"Alerts({self._wards!r})"

    def connect(self, outbox: Outbox, settle_in: Callable[[Key, Key], Coroutine[Any, Any, None]]) -> None:
        """Give it what is built after it. settle_in: holds or sends what waits for a webhook, as that now says."""
        self.teller.connect(outbox)
        self._settle_in = settle_in

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
            await self._wards.ready(target.id, target.organization_id)
        except StorageError as exc:
            _log.warning("health_unknown", webhook=target.public_id, reason=exc.message)

    async def ready_anew(self, target: Target) -> None:
        """``ready`` for an outcome that could not be stored as it was judged. Raises StorageError."""
        await self._directory.refresh()
        await self._wards.ready(target.id, target.organization_id)

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
            failure = failure_of(claim, answer, verdict, started_at, ended_at, next_attempt_at)
        events: tuple[NewEvent, ...] = ()
        if verdict.state is DeliveryState.EXHAUSTED:
            events = self.teller.given_up(target, claim, verdict.reason or "", failure, ended_at)
        only_events = News(events) if events else NO_NEWS
        step = step_of(
            target,
            claim,
            verdict,
            failure,
            started_at=started_at,
            ended_at=ended_at,
            disable_after=self._disable_after,
        )
        ward = self._wards.get(target.id)
        if step is None or target.webhook.origin is not Origin.REGISTERED:
            return only_events
        if ward is None or ward.health is None or ward.is_behind or not ward.idle.is_set():
            return only_events  # it is not ready, because the store is away
        change = step(ward.health, target)
        if not change.is_urgent:
            self._wards.count(target.id, ward, change)
            return only_events
        if change.disable == FAILING_TOO_LONG:
            self._spawn(self._disable_unless_delivered(target, step, ward.health))
            return only_events
        write, done = self._begin(ward, target, change, ended_at)

        def told(result: object) -> None:
            done(result)
            if isinstance(result, RowError):  # the outcome goes without it
                self._spawn(self._again(target, step))

        return News(events, write, told)

    def conclude(self, events: tuple[NewEvent, ...], epoch: int, result: object) -> None:
        """Follow up on the write that carried the events of an outcome. result: what the store said."""
        self.teller.conclude(events, epoch, result)

    def poisoned(self, target: Target, claim: Claim, reason: str, at: datetime) -> tuple[NewEvent, ...]:
        """The event of a delivery that is set aside because our own code fails on it."""
        return self.teller.given_up(target, claim, reason, None, at)

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
        self._wards.forget(webhook_id)
        health = (await self._records.health([webhook_id])).get(webhook_id)
        if health is None or not health.is_watched:
            return
        change = alerting.ended(health, self._clock.now())
        write = ChangeHealth(
            epoch=self._lease.epoch,
            at=self._clock.now(),
            health=next_of(change.health),
            alerts=change.alerts,
        )
        await self._committer.commit(write)

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
        await self._wards.take_in()
        await self._directory.refresh()  # afterwards: a webhook is disabled together with its health
        known = list(self._wards)
        for begin in range(0, len(known), _AT_ONCE):
            # Together, so that what they write shares commits.
            await asyncio.gather(*[self._look_at(id_) for id_ in known[begin : begin + _AT_ONCE]])
            await asyncio.sleep(0)

    async def _look_at(self, webhook_id: Key) -> None:
        ward = self._wards.get(webhook_id)
        if ward is None or ward.health is None or not ward.idle.is_set():
            return
        health, now = ward.health, self._clock.now()
        target = await self._target(health.organization_id, webhook_id)
        if target is None:
            await self.deleted(webhook_id)
        elif target.is_active and (health.alert(Cause.DISABLED) or health.alert(Cause.PAUSED)):
            await self._move(target)  # who resumed it died before it was done
            await self._resumed(target)
        elif ward.is_dirty or alerting.told(health, now).is_urgent:
            await self._apply(target, lambda health, _: counted(alerting.told(health, now)))
        elif not health.is_watched:
            self._wards.forget(webhook_id)

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
            ward = await self._wards.ready(target.id, target.organization_id)
            assert ward.health is not None
            change = step(ward.health, now)
            if not change.is_urgent:
                self._wards.count(target.id, ward, change)
                return
            write, done = self._begin(ward, now, change, self._clock.now())
            if await self._committer.commit(write, after=done) is True:
                return
            await self._directory.refresh()

    async def _disable_unless_delivered(self, target: Target, step: Step, health: Health) -> None:
        """Days of only failures: another node's success, which this one has not heard of, would say otherwise."""
        try:
            totals = (await self._figures.totals([target.id])).get(target.id)
        except StorageError:
            return  # the next failure says it again
        last = totals.last_delivery_at if totals is not None else None
        if last is not None and health.failing_since is not None and last > health.failing_since:
            await self._again(target, lambda health, _: alerting.succeeded(health, started_at=last, at=last))
        else:
            await self._again(target, step)

    async def _again(self, target: Target, step: Step) -> None:
        """Judge a happening whose change was not stored, until it is."""
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

    def _begin(self, ward: Ward, target: Target, change: Change, at: datetime) -> tuple[ChangeHealth, Done]:
        """The write of a change, and what to do with its result. Until then nobody else changes this health."""
        before = ward.health
        assert before is not None
        ward.idle.clear()
        epoch = self._lease.epoch
        events = self.teller.events(target, before, change, at)
        write = ChangeHealth(
            epoch=epoch,
            at=at,
            health=next_of(change.health),
            alerts=touched_by(change),
            mails=self.teller.mails(target, before, change, at),
            events=events,
            webhook=_disabled(target, change.disable, at) if change.disable is not None else None,
        )

        def done(result: object) -> None:
            is_stored = result is True
            if result is False:
                ward.is_behind = True
            else:
                ward.put(write.health if is_stored else None)
            ward.idle.set()
            self.conclude(events, epoch, result)
            if is_stored:
                self._stored(target, before, change)

        return write, done

    def _stored(self, target: Target, before: Health, change: Change) -> None:
        self.teller.log(target, before, change)
        if change.disable is not None:
            self._spawn(self._take_out(target))

    async def _move(self, target: Target) -> None:
        assert self._settle_in is not None
        await self._settle_in(target.organization_id, target.id)

    async def _take_out(self, target: Target) -> None:
        """Hold what waits for a webhook that was just disabled."""
        try:
            await self._move(target)
        except StorageError as exc:
            _log.warning("disabled_not_held", webhook=target.public_id, reason=exc.message)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _disabled(target: Target, reason: str, at: datetime) -> Any:
    """The webhook as it is stored when it is disabled."""
    document = msgspec.structs.replace(
        target.webhook, status=WebhookStatus.DISABLED, status_reason=reason, status_changed_at=at
    )
    return msgspec.structs.replace(target.stored, document=document)
