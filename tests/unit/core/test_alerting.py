"""What becomes of a webhook's health, and who is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from hookline.core.alerting import (
    GROUPED,
    MISCONFIGURED,
    Change,
    Policy,
    ended,
    failed,
    held_for_long,
    is_misconfigured,
    merged,
    paused,
    resumed,
    snoozed,
    succeeded,
    told,
)
from hookline.core.lifecycle import FAILING_TOO_LONG, GONE
from hookline.model.health import Cause, Health, LastFailure, MailKind
from hookline.model.ids import new_key
from hookline.model.states import AttemptOutcome

T = datetime(2026, 1, 15, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FIVE_DAYS = Policy(disable_after=5 * DAY)
PHANTOMBUSTER = Policy(disable_after=5 * DAY, disables_misconfigured=True)
WELL = Health(webhook_id=new_key(), organization_id=new_key())


def failure(at: datetime, **fields: Any) -> LastFailure:
    values: dict[str, Any] = {
        "started_at": at,
        "outcome": AttemptOutcome.HTTP_ERROR,
        "status": 500,
        "delivery_id": new_key(),
        "event_id": "evt_1",
        "event_type": "order.paid",
    }
    return LastFailure(at=at, **(values | fields))


def fail(
    health: Health,
    at: datetime,
    *,
    policy: Policy = FIVE_DAYS,
    gone: str | None = None,
    is_active: bool = True,
    **fields: Any,
) -> Change:
    ids = (new_key(), new_key())
    return failed(health, failure(at, **fields), policy, gone=gone, is_active=is_active, ids=ids)


def give_up(health: Health, at: datetime, **fields: Any) -> Change:
    return fail(health, at, reason="retries_exhausted", **fields)


def succeed(health: Health, at: datetime) -> Change:
    return succeeded(health, started_at=at, at=at)


def kinds(change: Change) -> list[MailKind]:
    return [tell.kind for tell in change.tells]


def causes(health: Health) -> list[Cause]:
    return [alert.cause for alert in health.alerts]


def test_a_success_changes_nothing_of_a_healthy_webhook() -> None:
    assert succeed(WELL, T) == Change(health=WELL)


def test_the_first_failure_is_told_at_once_and_the_next_ones_are_only_counted() -> None:
    """CONTRACT section 5: first failure after success."""
    first = fail(WELL, T)
    second = fail(first.health, T + timedelta(seconds=1))

    assert kinds(first) == [MailKind.FAILING]
    assert (first.is_urgent, second.is_urgent, kinds(second)) == (True, False, [])
    assert second.health.failures == 2
    assert second.health.failing_since == T
    assert [alert.count for alert in second.health.alerts] == [2]


def test_giving_up_is_told_once_for_each_alert() -> None:
    health = fail(WELL, T).health
    first = give_up(health, T + timedelta(seconds=5))
    second = give_up(first.health, T + 2 * HOUR)

    assert (kinds(first), kinds(second)) == ([MailKind.EXHAUSTED], [])
    assert second.health.exhausted == 2


def test_a_first_failure_that_is_the_last_is_one_mail() -> None:
    """PB-10: PhantomBuster tries once."""
    assert kinds(give_up(WELL, T)) == [MailKind.EXHAUSTED]


def test_recovery_closes_and_is_told_to_those_who_were_told() -> None:
    change = succeed(fail(WELL, T).health, T + HOUR)

    assert kinds(change) == [MailKind.RECOVERED]
    assert change.has_recovered
    assert change.health.alerts == ()
    assert [alert.closed_at for alert in change.alerts] == [T + HOUR]
    assert not change.health.is_watched
    assert succeed(change.health, T + 2 * HOUR) == Change(health=change.health)


def test_a_failure_soon_after_the_last_mail_waits_for_the_hour_to_end() -> None:
    """CONTRACT section 5: failures within an hour are grouped."""
    recovered = succeed(fail(WELL, T).health, T + timedelta(minutes=1)).health
    again = fail(recovered, T + timedelta(minutes=2))
    later = told(again.health, T + GROUPED)

    assert kinds(again) == []
    assert again.is_urgent  # the alert itself is stored and shown
    assert kinds(told(again.health, T + GROUPED - timedelta(seconds=1))) == []
    assert kinds(later) == [MailKind.FAILING]


def test_a_trouble_that_nobody_was_told_of_ends_untold() -> None:
    recovered = succeed(fail(WELL, T).health, T + timedelta(minutes=1)).health
    change = succeed(fail(recovered, T + timedelta(minutes=2)).health, T + timedelta(minutes=3))

    assert (kinds(change), change.has_recovered) == ([], False)
    assert [alert.told_at for alert in change.alerts] == [None]
    assert change.is_urgent  # the alert is closed where people see it


def test_a_success_that_began_before_the_failure_is_no_recovery() -> None:
    """Attempts overlap: what was under way when the receiver went down must not say that it is up."""
    health = fail(WELL, T).health
    late = succeeded(health, started_at=T - timedelta(seconds=3), at=T + timedelta(seconds=1))

    assert (kinds(late), causes(late.health)) == ([], [Cause.FAILING])
    assert late.health.failing_since is None  # all the same the five days begin anew


def test_a_failure_that_began_before_the_recovery_says_nothing_new() -> None:
    recovered = succeed(fail(WELL, T).health, T + HOUR).health
    late = fail(recovered, T + HOUR + timedelta(seconds=9), started_at=T + HOUR - timedelta(seconds=1))

    assert late == Change(health=recovered)


@pytest.mark.parametrize(("after", "reason"), [(5 * DAY, FAILING_TOO_LONG), (5 * DAY - HOUR, None)])
def test_five_days_of_only_failures_disable(after: timedelta, reason: str | None) -> None:
    """CONTRACT section 5."""
    change = fail(fail(WELL, T).health, T + after)

    assert change.disable == reason
    assert causes(change.health) == ([Cause.DISABLED] if reason else [Cause.FAILING])


def test_a_success_begins_the_days_anew() -> None:
    health = fail(succeed(fail(WELL, T).health, T + DAY).health, T + 2 * DAY).health

    assert fail(health, T + 6 * DAY).disable is None
    assert fail(health, T + 7 * DAY).disable == FAILING_TOO_LONG


def test_gone_disables_at_once_in_one_mail_and_one_alert() -> None:
    """P8: 410."""
    change = fail(fail(WELL, T).health, T + HOUR, gone=GONE, status=410)

    assert (change.disable, kinds(change)) == (GONE, [MailKind.DISABLED])
    assert causes(change.health) == [Cause.DISABLED]
    assert [(alert.cause, alert.closed_at is None) for alert in change.alerts] == [
        (Cause.FAILING, False),
        (Cause.DISABLED, True),
    ]


def test_what_was_under_way_when_it_was_disabled_is_only_counted() -> None:
    health = fail(WELL, T, gone=GONE, status=410).health
    another = fail(health, T + timedelta(seconds=1), gone=GONE, status=410)
    success = succeed(health, T + timedelta(seconds=2))

    assert (another.disable, kinds(another), another.health.alerts[0].count) == (None, [], 2)
    assert (kinds(success), causes(success.health)) == ([], [Cause.DISABLED])


def test_a_webhook_that_is_not_active_is_not_disabled() -> None:
    assert fail(WELL, T, gone=GONE, is_active=False).disable is None


@pytest.mark.parametrize(
    ("fields", "is_one"),
    [
        ({"status": 404}, True),
        ({"status": 405}, True),
        ({"status": None, "outcome": AttemptOutcome.DNS_NOT_FOUND}, True),
        ({"status": None, "outcome": AttemptOutcome.TLS_NAME}, True),
        ({"status": None, "outcome": AttemptOutcome.DNS_FAILED}, False),
        ({"status": None, "outcome": AttemptOutcome.TIMEOUT}, False),
        ({"status": 403}, False),
        ({"status": 500}, False),
    ],
)
def test_a_misconfiguration_is_one_that_time_does_not_mend(fields: dict[str, Any], is_one: bool) -> None:
    """PB-11, SEEDS PB-X3."""
    assert is_misconfigured(failure(T, **fields)) is is_one


def test_five_events_and_not_five_attempts_are_a_misconfiguration() -> None:
    """PB-11: consecutive events; another failure or a success ends the row."""

    def after(*steps: tuple[bytes, int | None]) -> list[str | None]:
        health, verdicts = WELL, []
        for number, (delivery_id, status) in enumerate(steps):
            at = T + timedelta(seconds=number)
            if status is None:
                health = succeed(health, at).health
                continue
            change = fail(health, at, policy=PHANTOMBUSTER, delivery_id=delivery_id, status=status)
            health = change.health
            verdicts.append(change.disable)
        return verdicts

    a, b, c, d, e, f = (bytes([number]) * 16 for number in range(6))
    assert after(*[(one, 404) for one in (a, b, c, d, e)])[-1] == MISCONFIGURED
    assert after(*[(a, 404)] * 9)[-1] is None
    assert after((a, 404), (b, 405), (c, 404), (d, 404), (d, 404))[-1] is None
    assert after((a, 404), (b, 404), (c, 404), (d, 404), (e, 500), (f, 404))[-1] is None
    assert after((a, 404), (b, 404), (c, 404), (d, 404), (e, None), (f, 404))[-1] is None


def test_only_dialects_that_say_so_remove_a_misconfigured_webhook() -> None:
    health = WELL
    for number in range(9):
        change = fail(health, T + timedelta(seconds=number), status=404)
        health = change.health
        assert change.disable is None


def test_resuming_closes_all_and_forgets_the_count() -> None:
    """DEMANDS 9: old failures must not disable it again at once."""
    health = fail(fail(WELL, T).health, T + 5 * DAY).health
    change = resumed(health, T + 6 * DAY)
    next_failure = fail(change.health, T + 6 * DAY + HOUR)

    assert change.health.alerts == ()
    assert all(alert.closed_at == T + 6 * DAY for alert in change.alerts)
    assert (next_failure.disable, kinds(next_failure)) == (None, [MailKind.FAILING])
    assert kinds(succeed(change.health, T + 6 * DAY + HOUR)) == [MailKind.RECOVERED]


def test_pausing_shows_an_alert_and_tells_nobody() -> None:
    change = paused(WELL, T, id=new_key())

    assert (kinds(change), causes(change.health)) == ([], [Cause.PAUSED])
    assert paused(change.health, T, id=new_key()) == Change(health=change.health)
    assert resumed(change.health, T + HOUR).health.alerts == ()


def test_what_is_held_for_long_is_told_once() -> None:
    """CONTRACT section 5: a mail at half."""
    health = paused(WELL, T, id=new_key()).health
    change = held_for_long(health, T, count=7, expires_at=T + DAY, id=new_key())
    again = held_for_long(change.health, T + HOUR, count=8, expires_at=T + DAY, id=new_key())

    assert (kinds(change), kinds(again)) == ([MailKind.HELD], [])
    assert change.tells[0].alert.held == 7


def test_a_snooze_keeps_back_what_comes_and_ends_by_itself() -> None:
    """DEMANDS 35."""
    health = fail(WELL, T).health
    quiet = snoozed(health, health.alerts[0].id, T + 8 * HOUR).health
    given_up = give_up(quiet, T + 2 * HOUR)

    assert kinds(given_up) == []
    assert kinds(told(given_up.health, T + 8 * HOUR)) == [MailKind.EXHAUSTED]
    assert kinds(succeed(quiet, T + HOUR)) == []
    assert succeed(quiet, T + HOUR).has_recovered
    assert kinds(succeed(snoozed(quiet, health.alerts[0].id, None).health, T + HOUR)) == [MailKind.RECOVERED]


def test_nothing_is_open_or_watched_when_the_webhook_is_gone() -> None:
    change = ended(fail(WELL, T).health, T + HOUR)

    assert [alert.closed_at for alert in change.alerts] == [T + HOUR]
    assert not change.health.is_watched


def test_what_two_nodes_counted_is_added_up() -> None:
    base = fail(WELL, T).health
    theirs = fail(fail(base, T + timedelta(seconds=1)).health, T + timedelta(seconds=3)).health
    mine = fail(base, T + timedelta(seconds=2)).health

    together = merged(theirs, base, mine)

    assert (together.failing_since, together.failures) == (T, 4)
    assert together.latest == theirs.latest
    assert [alert.count for alert in together.alerts] == [4]


def test_a_success_on_either_node_ends_the_days_of_only_failures() -> None:
    base = fail(WELL, T).health
    more = fail(base, T + DAY).health
    success = succeeded(base, started_at=T - HOUR, at=T + HOUR).health
    anew = fail(success, T + 2 * DAY).health

    assert merged(more, base, success).failing_since is None
    assert merged(success, base, more).failing_since is None
    assert (merged(more, base, anew).failing_since, merged(anew, base, more).failing_since) == (
        T + 2 * DAY,
        T + 2 * DAY,
    )


# --- what two nodes know ---


def test_what_another_node_stored_and_this_one_counted_is_added_up() -> None:
    """Two nodes deliver for one webhook: attempts, events given up and the open alert count for both."""
    base = give_up(fail(WELL, T).health, T + timedelta(seconds=1)).health
    stored = give_up(fail(base, T + timedelta(seconds=2)).health, T + timedelta(seconds=3)).health
    mine = give_up(base, T + timedelta(seconds=4)).health

    together = merged(stored, base, mine)

    assert (base.failures, base.exhausted) == (2, 1)
    assert (together.failures, together.exhausted) == (5, 3)
    assert [(alert.count, alert.exhausted) for alert in together.alerts] == [(5, 3)]
    assert together.latest == mine.latest
    assert merged(mine, base, stored).latest == mine.latest


def test_a_trouble_that_both_saw_begin_counts_from_the_later_beginning() -> None:
    """Issue 4: a success seen by either ends the days of only failures."""
    old = fail(fail(WELL, T).health, T + timedelta(seconds=1)).health
    mine = fail(succeed(old, T + HOUR).health, T + 2 * HOUR).health

    together = merged(old, old, mine)

    assert (together.failing_since, together.failures) == (T + 2 * HOUR, 3)
    assert merged(mine, mine, old).failing_since == T + 2 * HOUR


def test_a_success_that_either_saw_ends_the_trouble() -> None:
    base = give_up(WELL, T, status=404).health
    well = succeed(base, T + HOUR).health

    reset = merged(base, base, well)

    assert (reset.failing_since, reset.failures, reset.exhausted, reset.misconfigured) == (None, 0, 0, ())
    assert merged(well, base, fail(base, T + timedelta(seconds=1)).health) == well


def test_an_alert_that_was_closed_elsewhere_stays_closed() -> None:
    base = fail(WELL, T).health
    mine = fail(base, T + timedelta(seconds=1)).health
    without = msgspec.structs.replace(base, alerts=())

    together = merged(without, base, mine)

    assert (together.failures, together.alerts) == (2, ())


def test_a_streak_of_misconfigured_events_is_known_from_both_and_ends_with_either() -> None:
    """PB-11: at most five are kept, each once."""
    keys = [new_key() for _ in range(7)]
    base = msgspec.structs.replace(fail(WELL, T).health, misconfigured=tuple(keys[:2]))
    stored = msgspec.structs.replace(base, misconfigured=tuple(keys[:4]))
    mine = msgspec.structs.replace(base, misconfigured=(*keys[:2], *keys[4:]))

    assert merged(stored, base, mine).misconfigured == tuple(keys[2:])
    assert merged(stored, base, msgspec.structs.replace(mine, misconfigured=())).misconfigured == ()


# --- what is urgent, and what changes nothing ---


def test_what_people_do_is_stored_at_once() -> None:
    failing = fail(WELL, T).health
    alert = failing.alerts[0]
    expiry = T + 30 * DAY

    assert paused(WELL, T, id=new_key()).is_urgent
    assert resumed(failing, T).is_urgent
    assert held_for_long(WELL, T, count=3, expires_at=expiry, id=new_key()).is_urgent
    assert snoozed(failing, alert.id, T + HOUR).is_urgent
    assert ended(failing, T).is_urgent
    assert succeed(failing, T + HOUR).is_urgent
    assert fail(failing, T + HOUR, gone=GONE).is_urgent


def test_what_is_so_already_changes_nothing() -> None:
    failing = fail(WELL, T).health
    alert = failing.alerts[0]
    snoozing = snoozed(failing, alert.id, T + HOUR).health
    paused_once = paused(WELL, T, id=new_key()).health

    assert snoozed(failing, new_key(), T + HOUR) == Change(health=failing)
    assert snoozed(failing, alert.id, None) == Change(health=failing)
    assert snoozed(snoozing, alert.id, T + HOUR) == Change(health=snoozing)
    assert paused(paused_once, T + HOUR, id=new_key()) == Change(health=paused_once)
    assert resumed(WELL, T) == Change(health=WELL)
    assert not ended(WELL, T).is_urgent


def test_resuming_forgets_what_was_counted() -> None:
    """What was counted before must not disable it at once."""
    failing = give_up(fail(WELL, T).health, T + timedelta(seconds=1), status=404).health
    counted = msgspec.structs.replace(failing, alerts=())

    for health in (failing, counted):
        change = resumed(health, T + HOUR)
        after = change.health
        assert (after.failing_since, after.failures, after.exhausted, after.misconfigured) == (None, 0, 0, ())
        assert (after.recovered_at, after.alerts) == (T + HOUR, ())
        assert [alert.closed_at for alert in change.alerts] == [T + HOUR] * len(health.alerts)


def test_a_success_in_the_middle_of_an_attempt_that_failed_later_is_no_recovery() -> None:
    """Attempts overlap: what began before the latest failure ended says nothing about now."""
    failing = fail(WELL, T + timedelta(seconds=10)).health

    early = succeeded(failing, started_at=T + timedelta(seconds=9), at=T + timedelta(seconds=11))
    after = succeeded(failing, started_at=T + timedelta(seconds=10), at=T + timedelta(seconds=11))

    assert not early.has_recovered
    assert after.has_recovered


def test_a_late_failure_of_before_the_recovery_opens_nothing() -> None:
    well = succeed(fail(WELL, T).health, T + HOUR).health

    late = fail(well, T + HOUR + timedelta(seconds=1), started_at=T + HOUR - timedelta(seconds=1))
    new = fail(well, T + HOUR + timedelta(seconds=1), started_at=T + HOUR)

    assert late.health.failing_since is None
    assert new.health.failing_since is not None


def test_what_is_due_is_told_although_another_alert_is_not() -> None:
    """Each open alert has its own time to be told."""
    held = held_for_long(WELL, T, count=1, expires_at=T + DAY, id=new_key()).health
    waiting = fail(held, T).health
    failing = waiting.alert(Cause.FAILING)
    assert failing is not None
    due = msgspec.structs.replace(
        waiting,
        alerts=tuple(
            msgspec.structs.replace(alert, tell_at=T + HOUR) if alert.id == failing.id else alert
            for alert in waiting.alerts
        ),
    )

    change = told(due, T + HOUR)

    assert kinds(change) == [MailKind.FAILING]
    assert [alert.id for alert in change.alerts] == [failing.id]
    assert sorted(causes(change.health)) == sorted([Cause.HELD, Cause.FAILING])
