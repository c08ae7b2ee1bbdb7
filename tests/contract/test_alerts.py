"""Health, alerts and mails, over both stores: changed as one, by one, and never twice."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from store_bed import ManualClock, apply, changed, claim, delivery, event, failed, publish

from hookline.model.configuration import Stored, Webhook
from hookline.model.health import Alert, Cause, Health, Mail, MailKind, Notice
from hookline.model.ids import Key, new_key
from hookline.model.states import DeliveryState, WebhookStatus
from hookline.ports import (
    AlertFilter,
    ChangeHealth,
    DeliveryFilter,
    Epoch,
    NewEvent,
    Outdated,
    SettleMail,
    Store,
)

pytestmark = pytest.mark.asyncio


def alert_of(org: Key, hook: Key, at: datetime, **fields: Any) -> Alert:
    values: dict[str, Any] = {"cause": Cause.FAILING, "opened_at": at, "last_at": at, "count": 1}
    return Alert(id=new_key(), organization_id=org, webhook_id=hook, **(values | fields))


def mail_of(org: Key, hook: Key, at: datetime, **fields: Any) -> Mail:
    notice = Notice(webhook_id="wh_1", webhook_name="Söme", webhook_url="https://a.test/")
    return Mail(
        id=new_key(),
        organization_id=org,
        webhook_id=hook,
        alert_id=None,
        kind=MailKind.FAILING,
        notice=notice,
        created_at=at,
        due_at=at,
        **fields,
    )


def first(org: Key, hook: Key, at: datetime, epoch: Epoch, **fields: Any) -> ChangeHealth:
    health = Health(webhook_id=hook, organization_id=org, version=1, failing_since=at, failures=1)
    return ChangeHealth(epoch=epoch, at=at, health=health, **fields)


async def test_a_health_is_replaced_only_by_what_was_made_from_it(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """Of two nodes that saw the same failure one is told that the other was first."""
    change = first(org, hook, clock.now(), epoch)

    results = await store.commit([change, change])
    again = changed(change, health=changed(change.health, version=2, failures=7))

    assert results == [True, False]
    assert await apply(store, again) is True
    assert await apply(store, again) is False
    assert await store.health([hook, new_key()]) == {hook: again.health}


async def test_what_a_change_brings_is_stored_with_it_or_not_at_all(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """Alert, mail and event are one with the change that they tell of."""
    at = clock.now()
    alert, mail, told = alert_of(org, hook, at), mail_of(org, hook, at), event(org, at)
    fields = {"alerts": (alert,), "mails": (mail,), "events": (NewEvent(event=told),)}
    assert await apply(store, first(org, hook, at, epoch)) is True

    stale = await apply(store, first(org, hook, at, epoch, **fields))
    after_stale = (await store.alert(alert.id, organization_id=org), await store.due_mails(at, limit=9))
    fresh = first(org, hook, at, epoch, **fields)
    stored = await apply(store, changed(fresh, health=changed(fresh.health, version=2)))

    assert (stale, *after_stale) == (False, None, [])
    assert stored is True
    assert await store.alert(alert.id, organization_id=org) == alert
    assert await store.due_mails(at, limit=9) == [mail]
    assert await store.event(org, told.public_id) == told


async def test_a_webhook_is_disabled_with_its_health_or_neither(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """A webhook that somebody edited meanwhile keeps that edit, and the change is made again from it."""
    at = clock.now()
    document = Webhook(name="w", url="https://a.test/", events=("*",), sealed_secret=b"s")
    stored = await store.add(Webhook, id=new_key(), organization_id=org, document=document, names=(), at=at)
    edited = await store.put(changed(stored, document=changed(document, name="edited")), at=at)
    version = await store.version()

    def disabling(of: Stored[Webhook]) -> ChangeHealth:
        disabled = changed(of.document, status=WebhookStatus.DISABLED, status_reason="gone")
        return first(org, stored.id, at, epoch, webhook=changed(of, document=disabled))

    refused = await apply(store, disabling(stored))
    health_after_refusal = await store.health([stored.id])
    accepted = await apply(store, disabling(edited))
    now = await store.get(Webhook, stored.id, organization_id=org)

    assert (refused, health_after_refusal, accepted) == (False, {}, True)
    assert now is not None
    assert (now.revision, now.document.name, now.document.status) == (3, "edited", "disabled")
    assert [(one.kind, one.id) for one in await store.changes(version)] == [("webhook", stored.id)]
    assert await store.get_revision(Webhook, stored.id, 3) == now.document


async def test_only_health_that_may_change_by_itself_is_watched(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    at = clock.now()
    failing, well = first(org, new_key(), at, epoch), first(org, new_key(), at, epoch)
    well = changed(well, health=changed(well.health, failing_since=None))

    await store.commit([failing, well])

    assert await store.watched() == {failing.health.webhook_id: 1}


async def test_events_of_an_outcome_are_stored_with_it_and_not_when_it_is_fenced(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """delivery.exhausted is one with the exhaustion; a node that lost its claim tells nothing."""
    at, other = clock.now(), new_key()
    of = event(org, at)
    await publish(store, epoch, of, delivery(of, hook))
    (owed,) = await claim(store, epoch, hook, at)
    told, fenced = event(org, at, type="delivery.exhausted"), event(org, at, type="delivery.exhausted")
    final = failed(owed.delivery, epoch, at, state=DeliveryState.EXHAUSTED, next_attempt_at=None)

    results = await store.commit(
        [
            changed(final, events=(NewEvent(event=told, deliveries=(delivery(told, other),)),)),
        ]
    )
    late = await store.commit([changed(final, events=(NewEvent(event=fenced),))])

    assert (results, late) == ([True], [False])
    assert await store.event(org, told.public_id) == told
    assert await store.event(org, fenced.public_id) is None
    owed_to_other = await store.deliveries(org, DeliveryFilter(webhook_id=other), before=None, limit=9)
    assert [one.event_key for one in owed_to_other] == [told.key]


async def test_an_outcome_is_stored_with_what_it_makes_of_a_health_or_not_at_all(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """A node that dies between the two would never tell of it: so there is nothing between the two."""
    at = clock.now()
    of, event_of_outcome = event(org, at), event(org, at, type="delivery.exhausted")
    await publish(store, epoch, of, delivery(of, hook))
    (owed,) = await claim(store, epoch, hook, at)
    final = failed(owed.delivery, epoch, at, state=DeliveryState.EXHAUSTED, next_attempt_at=None)
    mail = mail_of(org, hook, at)
    stale = first(org, hook, at, epoch, mails=(mail,))
    assert await apply(store, first(org, hook, at, epoch)) is True
    fresh = changed(stale, health=changed(stale.health, version=2))

    async def stored() -> tuple[str, int, list[Mail]]:
        now = await store.delivery(owed.delivery.id, organization_id=org)
        assert now is not None
        return now.state, len(await store.attempts(now.id)), await store.due_mails(at, limit=9)

    outdated = await store.commit(
        [
            changed(final, health=stale, events=(NewEvent(event=event_of_outcome),)),
            fresh_elsewhere(org, at, epoch),
        ]
    )
    after_outdated = await stored()
    told_too_early = await store.event(org, event_of_outcome.public_id)
    judged_anew = await store.commit([changed(final, health=fresh)])

    assert (outdated, after_outdated) == ([Outdated(), True], ("in_flight", 0, []))
    assert told_too_early is None
    assert (judged_anew, await stored()) == ([True], ("exhausted", 1, [mail]))
    assert (await store.health([hook]))[hook].version == 2


def fresh_elsewhere(org: Key, at: datetime, epoch: Epoch) -> ChangeHealth:
    """A change of another webhook in the same transaction, which is nobody's fault."""
    return first(org, new_key(), at, epoch)


async def test_alerts_are_listed_newest_first_by_what_is_asked(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """P14: never another organization's."""
    at = clock.now()
    old = alert_of(org, hook, at, closed_at=at)
    new = alert_of(org, hook, at, cause=Cause.DISABLED)
    foreign = alert_of(new_key(), hook, at)
    await apply(store, first(org, hook, at, epoch, alerts=(old, new, foreign)))

    async def ids(before: Key | None = None, **wanted: Any) -> list[Key]:
        found = await store.alerts(org, AlertFilter(**wanted), before=before, limit=9)
        return [alert.id for alert in found]

    assert await ids() == [new.id, old.id]
    assert await ids(before=new.id) == [old.id]
    assert await ids(is_open=True) == [new.id]
    assert await ids(is_open=False) == [old.id]
    assert await ids(cause=Cause.DISABLED, webhook_id=hook) == [new.id]
    assert await ids(webhook_id=new_key()) == []
    assert await store.alert(foreign.id, organization_id=org) is None


async def test_a_mail_is_settled_once_for_each_try(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """Two nodes that sent the same mail do not count it as two tries, nor open it again."""
    at = clock.now()
    mail = mail_of(org, hook, at)
    await apply(store, first(org, hook, at, epoch, mails=(mail,)))
    later = at + timedelta(minutes=5)
    tried = changed(mail, tries=1, due_at=later, recipients=("a@b.test",), error="busy")
    sent = changed(mail, tries=2, due_at=None, ended_at=later, recipients=())

    results = [await apply(store, SettleMail(mail=one)) for one in (tried, tried, sent, sent)]

    assert results == [True, False, True, False]
    assert await store.due_mails(later, limit=9) == []


async def test_mails_are_due_in_order_and_not_before_their_time(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    at = clock.now()
    mails = [
        msgspec.structs.replace(mail_of(org, hook, at), due_at=at + timedelta(seconds=s)) for s in (3, 1, 2)
    ]
    await apply(store, first(org, hook, at, epoch, mails=tuple(mails)))

    due = await store.due_mails(at + timedelta(seconds=2), limit=9)

    assert [mail.id for mail in due] == [mails[1].id, mails[2].id]


async def test_what_is_held_is_counted_with_its_oldest(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    at = clock.now()
    for _ in range(3):
        of = event(org, clock.now())
        await publish(
            store, epoch, of, delivery(of, hook, state=DeliveryState.HELD, state_reason="webhook_paused")
        )
        clock.move(timedelta(seconds=1))

    held, bounded = await store.held_back(hook), await store.held_back(hook, ceiling=2)
    none = await store.held_back(new_key())

    assert (held.count, held.oldest_at) == (3, at)
    assert bounded.count == 2
    assert (none.count, none.oldest_at) == (0, None)


@pytest.mark.parametrize("is_of_one", [False, True])
async def test_closed_alerts_and_ended_mails_are_pruned_with_the_rest(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key, *, is_of_one: bool
) -> None:
    """P16: what is open, or still to be sent, stays however old it is."""
    at = clock.now()
    alerts = (alert_of(org, hook, at), alert_of(org, hook, at, closed_at=at))
    owed, sent = mail_of(org, hook, at), changed(mail_of(org, hook, at), due_at=None, ended_at=at)
    await apply(store, first(org, hook, at, epoch, alerts=alerts, mails=(owed, sent)))
    line = clock.move(timedelta(days=1))

    nothing = await store.prune(before=line, limit=100, organization_id=new_key())
    deleted = await store.prune(before=line, limit=100, organization_id=org if is_of_one else None)

    assert (nothing, deleted) == (0, 2)
    assert [one.id for one in await store.alerts(org, AlertFilter(), before=None, limit=9)] == [alerts[0].id]
    assert await store.due_mails(line, limit=9) == [owed]
