"""Say what becomes of a webhook's health, and who is told: after an attempt, a pause, a resume, a look at the clock.

| what happened | alert | people are told | event |
|---|---|---|---|
| first failure after a success | `failing` opens | at once, else an hour after they last were | - |
| a delivery was given up | `failing` | at once, once for each alert and hour | - |
| 410, days of only failures, PB-11 | `disabled` opens, `failing` closes | at once | webhook.disabled |
| first success after people were told | all close but pause | at once | webhook.recovered |
| paused | `paused` opens | - | - |
| resumed | all close, the counts begin anew | - | - |
| held for half of its time | `held` opens | at once | - |

Attempts overlap: a success counts as recovery only when it began after the latest failure had ended, and a failure
that began before the recovery says nothing new. Every success ends the days of only failures all the same.

Each function takes a health and returns a ``Change``; none reads a clock, makes an id, stores or sends.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.lifecycle import FAILING_TOO_LONG
from hookline.model.health import Alert, Cause, Health, LastFailure, MailKind
from hookline.model.states import AttemptOutcome

if TYPE_CHECKING:
    from datetime import datetime

    from hookline.model.ids import Key

GROUPED: Final = timedelta(hours=1)
"""Failures so soon after people were told of one belong to that mail (CONTRACT section 5)."""

MISCONFIGURED: Final = "misconfigured"
"""Why a webhook is disabled whose receiver is not there at all."""

MISCONFIGURED_EVENTS: Final = 5
"""Consecutive events, not attempts (PB-11, SEEDS PB-X3)."""

_NOT_THERE: Final = frozenset({AttemptOutcome.DNS_NOT_FOUND, AttemptOutcome.TLS_NAME})
_NOT_THERE_STATUS: Final = frozenset({404, 405})

LONGEST_SNOOZE: Final = timedelta(days=30)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """disable_after: of only failures.  disables_misconfigured: PB-11 holds for this webhook's dialect."""

    disable_after: timedelta
    disables_misconfigured: bool = False


class Tell(msgspec.Struct, frozen=True):
    """A mail that is due. alert: what it is about, as it is now."""

    kind: MailKind
    alert: Alert


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a happening makes of a health.

    health: as it is now, its version not yet raised.  alerts: those that were opened, changed or closed.
    tells: mails due.  disable: why the webhook is disabled by it.  has_recovered: webhook.recovered is due.
    is_urgent: to be stored at once; what is only counted can wait a moment.
    """

    health: Health
    alerts: tuple[Alert, ...] = ()
    tells: tuple[Tell, ...] = ()
    disable: str | None = None
    has_recovered: bool = False
    is_urgent: bool = False


def is_misconfigured(failure: LastFailure) -> bool:
    """Say whether a failure shows that there is no such receiver: 404, 405, no such name, another's certificate."""
    return failure.outcome in _NOT_THERE or failure.status in _NOT_THERE_STATUS


# --- attempts -----------------------------------------------------------------------------------------------


def failed(
    health: Health,
    failure: LastFailure,
    policy: Policy,
    *,
    gone: str | None,
    is_active: bool,
    ids: tuple[Key, Key],
) -> Change:
    """A live attempt failed. failure.reason: set when its delivery is given up.

    gone: why the answer itself disables the webhook, or None.  is_active: it is neither paused nor disabled now.
    ids: for alerts that are opened.
    """
    is_exhausted = failure.reason is not None
    if _is_late(health, failure) and not is_exhausted and gone is None:
        return Change(health=health)
    health = replace(
        health,
        failing_since=health.failing_since or failure.at,
        failures=health.failures + 1,
        exhausted=health.exhausted + is_exhausted,
        latest=failure,
        misconfigured=_streak(health, failure),
    )
    disabled = health.alert(Cause.DISABLED)
    if disabled is not None:  # sent before it was disabled
        return _with(health, _counted(disabled, failure))
    reason = gone or _verdict(health, failure, policy)
    if reason is not None and is_active:
        return _disabled(health, failure, reason, ids[0])
    alert = health.alert(Cause.FAILING)
    if alert is None:
        opened = _opened(health, Cause.FAILING, ids[1], failure.at)
        alert = replace(opened, tell_at=_no_sooner(failure.at, health.told_failing_at))
    elif is_exhausted and alert.exhausted == 0 and alert.tell_at is None:
        alert = replace(alert, tell_at=_no_sooner(failure.at, health.told_exhausted_at))
    is_new = health.alert(Cause.FAILING) is None or (is_exhausted and alert.exhausted == 0)
    change = _with(health, _counted(alert, failure), is_urgent=is_new)
    return told(change.health, failure.at, so_far=change)


def succeeded(health: Health, *, started_at: datetime, at: datetime) -> Change:
    """An attempt was answered with success; of whatever delivery."""
    alerts = health.alerts
    health = replace(health, failing_since=None, failures=0, exhausted=0, misconfigured=())
    is_late = health.latest is not None and started_at < health.latest.at
    if is_late or any(alert.cause is Cause.DISABLED for alert in alerts):
        return Change(health=health)
    failing = health.alert(Cause.FAILING)
    if failing is None and not health.owes_recovery:
        return Change(health=health)
    health = replace(health, recovered_at=at)
    closed = () if failing is None else (replace(failing, closed_at=at, tell_at=None),)
    health = _without(health, closed)
    if not health.owes_recovery:
        return Change(health=health, alerts=closed, is_urgent=True)
    about = closed[0] if closed else _opened(health, Cause.FAILING, bytes(16), at)
    return Change(
        health=replace(health, owes_recovery=False),
        alerts=closed,
        tells=() if about.is_snoozed(at) else (Tell(MailKind.RECOVERED, about),),
        has_recovered=True,
        is_urgent=True,
    )


def _is_late(health: Health, failure: LastFailure) -> bool:
    return health.recovered_at is not None and failure.started_at < health.recovered_at


def _streak(health: Health, failure: LastFailure) -> tuple[Key, ...]:
    """The latest deliveries in a row that found no receiver; another failure ends it, as a success does."""
    if not is_misconfigured(failure):
        return ()
    others = [one for one in health.misconfigured if one != failure.delivery_id]
    return (*others, failure.delivery_id)[-MISCONFIGURED_EVENTS:]


def _verdict(health: Health, failure: LastFailure, policy: Policy) -> str | None:
    if policy.disables_misconfigured and len(health.misconfigured) >= MISCONFIGURED_EVENTS:
        return MISCONFIGURED
    assert health.failing_since is not None
    return FAILING_TOO_LONG if failure.at - health.failing_since >= policy.disable_after else None


def _disabled(health: Health, failure: LastFailure, reason: str, id_: Key) -> Change:
    failing = health.alert(Cause.FAILING)
    at = failure.at
    alert = _opened(health, Cause.DISABLED, id_, at)
    if failing is not None:
        alert = replace(alert, count=failing.count, exhausted=failing.exhausted)
    alert = replace(_counted(alert, failure), reason=reason, told_at=at)
    closed = () if failing is None else (replace(failing, closed_at=at, tell_at=None),)
    health = replace(_without(health, closed), owes_recovery=True)
    return Change(
        health=replace(health, alerts=(*health.alerts, alert)),
        alerts=(*closed, alert),
        tells=(Tell(MailKind.DISABLED, alert),),
        disable=reason,
        is_urgent=True,
    )


def merged(stored: Health, base: Health, mine: Health) -> Health:
    """What another node stored meanwhile, with what this one only counted since it read ``base``.

    A success seen by either ends the days of only failures; of two beginnings the later one counts.
    """
    if mine.failing_since is None:
        reset: Health = replace(stored, failing_since=None, failures=0, exhausted=0, misconfigured=())
        return reset
    if stored.failing_since is None:
        return stored
    is_same = mine.failing_since == base.failing_since
    failures = mine.failures - base.failures * is_same
    exhausted = mine.exhausted - base.exhausted * is_same
    known = [failure for failure in (stored.latest, mine.latest) if failure is not None]
    streak = dict.fromkeys((*stored.misconfigured, *mine.misconfigured))
    together: Health = replace(
        stored,
        failing_since=max(stored.failing_since, mine.failing_since),
        failures=stored.failures + failures,
        exhausted=stored.exhausted + exhausted,
        latest=max(known, key=lambda failure: failure.at, default=None),
        misconfigured=tuple(streak)[-MISCONFIGURED_EVENTS:] if mine.misconfigured else (),
    )
    alert = together.alert(Cause.FAILING)
    if alert is None:
        return together
    return _put(together, replace(alert, count=alert.count + failures, exhausted=alert.exhausted + exhausted))


# --- people and time ----------------------------------------------------------------------------------------


def told(health: Health, now: datetime, *, so_far: Change | None = None) -> Change:
    """Tell whatever is due. so_far: a change that this is a part of."""
    change = so_far if so_far is not None else Change(health=health)
    for alert in health.alerts:
        if alert.tell_at is None or alert.tell_at > now or alert.is_snoozed(now):
            continue
        kind = MailKind.EXHAUSTED if alert.exhausted else MailKind.FAILING
        done = replace(alert, tell_at=None, told_at=now)
        health = replace(
            _put(health, done),
            told_failing_at=now,
            told_exhausted_at=now if alert.exhausted else health.told_exhausted_at,
            owes_recovery=True,
        )
        others = tuple(one for one in change.alerts if one.id != done.id)
        change = replace(
            change,
            health=health,
            alerts=(*others, done),
            tells=(*change.tells, Tell(kind, done)),
            is_urgent=True,
        )
    return change


def paused(health: Health, at: datetime, *, id: Key) -> Change:
    """A person paused it."""
    if health.alert(Cause.PAUSED) is not None:
        return Change(health=health)
    alert = _opened(health, Cause.PAUSED, id, at)
    return Change(
        health=replace(health, alerts=(*health.alerts, alert)),
        alerts=(alert,),
        is_urgent=True,
    )


def resumed(health: Health, at: datetime) -> Change:
    """A person set it to work again: what was counted before must not disable it at once."""
    closed = tuple([replace(alert, closed_at=at, tell_at=None) for alert in health.alerts])
    after = replace(
        health, alerts=(), failing_since=None, failures=0, exhausted=0, misconfigured=(), recovered_at=at
    )
    is_urgent = bool(closed) or health.failing_since is not None
    return Change(health=after if is_urgent else health, alerts=closed, is_urgent=is_urgent)


def held_for_long(health: Health, at: datetime, *, count: int, expires_at: datetime, id: Key) -> Change:
    """Its oldest held event, which expires then, has waited for half of the time that it may."""
    if health.alert(Cause.HELD) is not None:
        return Change(health=health)
    alert = replace(_opened(health, Cause.HELD, id, at), held=count, expires_at=expires_at, told_at=at)
    return Change(
        health=replace(health, alerts=(*health.alerts, alert)),
        alerts=(alert,),
        tells=(Tell(MailKind.HELD, alert),),
        is_urgent=True,
    )


def snoozed(health: Health, alert_id: Key, until: datetime | None) -> Change:
    """Tell nobody of an open alert before then; None ends it. What came up meanwhile is told afterwards."""
    alert = next((one for one in health.alerts if one.id == alert_id), None)
    if alert is None or alert.snoozed_until == until:
        return Change(health=health)
    changed = replace(alert, snoozed_until=until)
    return Change(health=_put(health, changed), alerts=(changed,), is_urgent=True)


def ended(health: Health, at: datetime) -> Change:
    """The webhook is no more."""
    closed = tuple([replace(alert, closed_at=at, tell_at=None) for alert in health.alerts])
    bare = Health(
        webhook_id=health.webhook_id, organization_id=health.organization_id, version=health.version
    )
    return Change(health=bare, alerts=closed, is_urgent=health.is_watched)


# --- small steps --------------------------------------------------------------------------------------------


def replace(value: Any, /, **fields: Any) -> Any:
    return msgspec.structs.replace(value, **fields)


def _opened(health: Health, cause: Cause, id_: Key, at: datetime) -> Alert:
    return Alert(
        id=id_,
        organization_id=health.organization_id,
        webhook_id=health.webhook_id,
        cause=cause,
        opened_at=at,
        last_at=at,
    )


def _counted(alert: Alert, failure: LastFailure) -> Alert:
    counted: Alert = replace(
        alert,
        last_at=failure.at,
        count=alert.count + 1,
        exhausted=alert.exhausted + (failure.reason is not None),
        failure=failure,
    )
    return counted


def _no_sooner(at: datetime, told_at: datetime | None) -> datetime:
    return at if told_at is None else max(at, told_at + GROUPED)


def _put(health: Health, alert: Alert) -> Health:
    """Replace an open alert, or add it."""
    others = [one for one in health.alerts if one.id != alert.id]
    changed: Health = replace(health, alerts=(*others, alert))
    return changed


def _without(health: Health, closed: tuple[Alert, ...]) -> Health:
    gone = {alert.id for alert in closed}
    left: Health = replace(health, alerts=tuple([one for one in health.alerts if one.id not in gone]))
    return left


def _with(health: Health, alert: Alert, *, is_urgent: bool = False) -> Change:
    return Change(health=_put(health, alert), alerts=(alert,), is_urgent=is_urgent)
