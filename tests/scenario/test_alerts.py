"""What the owners of a webhook are told of it, over both stores and real SMTP: once, in time, and at the end again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from engine_bed import Bed, StandingClock, policy, running
from mail_bed import mailbox

from hookline.core.event_types import OPERATIONAL
from hookline.core.times import rfc3339
from hookline.engine.manage.organizations import add_member
from hookline.engine.manage.webhooks import set_status
from hookline.engine.publish import EventDraft
from hookline.engine.wards import Wards
from hookline.model.configuration import Webhook
from hookline.model.states import AttemptOutcome, WebhookStatus
from hookline.ports import AlertFilter, ChangeHealth, DeliveryFilter
from hookline.ports.sender import Answer, Outgoing
from hookline.testing.fakes import OK, FakeSender, refused
from hookline.testing.nodes import NodeProcess
from hookline.testing.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from hookline.model.configuration import Stored
    from hookline.model.health import Alert, Health
    from hookline.ports import Store

pytestmark = pytest.mark.asyncio

DOWN, GONE = refused(500), refused(410)
NO_SUCH_NAME = Answer(AttemptOutcome.DNS_NOT_FOUND, error="No address for a.test.", duration_ms=1)


class Receiver(FakeSender):
    """Answers ``/hook`` as it is set, and everything else with success."""

    def __init__(self) -> None:
        super().__init__(self._by_path)
        self.answer: Answer = OK

    def _by_path(self, request: Outgoing) -> Answer:
        return self.answer if request.url.endswith("/hook") else OK

    def told(self) -> list[dict[str, Any]]:
        """What was delivered to others than /hook."""
        bodies = [msgspec.json.decode(one.body) for one in self.sent if not one.url.endswith("/hook")]
        return [body for body in bodies if body["type"] in OPERATIONAL]


async def member(bed: Bed, email: str = "ada@team.test") -> None:
    await add_member(bed.node.store, bed.organization_id, name="Ada", email=email, now=bed.node.clock.now())


async def health_of(bed: Bed, webhook: Stored[Webhook]) -> Health | None:
    return (await bed.node.store.health([webhook.id])).get(webhook.id)


async def alerts_of(bed: Bed, **wanted: Any) -> list[Alert]:
    return await bed.node.store.alerts(bed.organization_id, AlertFilter(**wanted), before=None, limit=99)


async def until(holds: Any, *, within: float = 10.0) -> None:
    """Wait for a condition that asks the store."""
    async with asyncio.timeout(within):
        while not await holds():  # noqa: ASYNC110 -- asks the store, as a user would
            await asyncio.sleep(0.01)


async def publish_many(bed: Bed, count: int) -> None:
    drafts = [EventDraft(type="order.paid", data=b"{}") for _ in range(500)]
    for _ in range(count // 500):
        await bed.node.publish(bed.organization_id, drafts)


async def until_ended(bed: Bed, count: int) -> None:
    """Wait until there are so many deliveries and each has ended."""
    await bed.until_deliveries(lambda found: len(found) == count and all(one.ended_at for one in found))


async def status_of(bed: Bed, webhook: Stored[Webhook]) -> tuple[str, str | None]:
    stored = await bed.node.store.get(Webhook, webhook.id, organization_id=None)
    assert stored is not None
    return stored.document.status, stored.document.status_reason


async def resume(bed: Bed, webhook: Stored[Webhook]) -> None:
    """As POST …/resume does."""
    node = bed.node
    stored = await set_status(
        node.store, bed.organization_id, webhook.id, WebhookStatus.ACTIVE, None, now=node.clock.now()
    )
    await node.webhooks.settle_in(bed.organization_id, webhook.id)
    await node.alerts.status_changed(stored)


async def test_a_resume_that_was_cut_short_is_done_by_whoever_looks(store: Store) -> None:
    """P2, P18: a node that dies between storing that a webhook works again and sending what was held loses nothing."""
    async with running(store) as bed:
        node, webhook = bed.node, await bed.webhook()
        for status in (WebhookStatus.PAUSED, WebhookStatus.ACTIVE):
            stored = await set_status(
                node.store, bed.organization_id, webhook.id, status, None, now=node.clock.now()
            )
            await node.directory.refresh()
            if status is WebhookStatus.PAUSED:
                await node.alerts.status_changed(stored)
                await bed.publish()
                await bed.until_deliveries(lambda found: [one.state for one in found] == ["held"])
        await node.alerts.look()

        await bed.until_deliveries(lambda found: [one.state for one in found] == ["succeeded"])
        assert [alert.closed_at is None for alert in await alerts_of(bed)] == [False]


async def test_a_healthy_webhook_leaves_no_trace(store: Store) -> None:
    """Health costs nothing until something fails."""
    async with running(store) as bed:
        webhook = await bed.webhook()
        for _ in range(20):
            await bed.publish()
        await bed.until_deliveries(lambda found: all(one.state == "succeeded" for one in found))

        assert await health_of(bed, webhook) is None
        assert list(bed.node.alerts._wards) == []


async def test_the_first_failure_the_end_and_nothing_between_are_told(store: Store) -> None:
    """PB-10, CONTRACT section 5: first failure after success, exhaustion, recovery; each once, with the details."""
    receiver = Receiver()
    async with mailbox() as box, running(store, sender=receiver, mailer=box.mailer()) as bed:
        await member(bed)
        webhook = await bed.webhook(
            name="Orders\r\nBcc: all@evil.test",
            url="http://user:hunter2@receiver.test/hook?key=s3cret&/hook",
            retry_policy=policy(2),
        )
        receiver.answer = DOWN
        first = await bed.publish("order.paid")
        await bed.until_deliveries(lambda found: found[0].state == "exhausted")
        for _ in range(10):
            await bed.publish("order.paid")
        await bed.until_deliveries(
            lambda found: len(found) == 11 and not any(d.next_attempt_at for d in found)
        )
        await box.received(2)
        receiver.answer = OK
        await bed.publish("order.paid")
        letters = await box.received(3)

        subjects = box.subjects
        bodies = [letter.get_body(("plain",)).get_content() for letter in letters]  # type: ignore[union-attr]
        assert [subject.split("all@evil.test ")[1] for subject in subjects[::2]] == [
            "is failing: HTTP 500",
            "works again",
        ]
        assert "could not be delivered" in subjects[1]
        assert first in bodies[0]
        assert "http://receiver.test/hook" in bodies[0]
        assert "11 events were given up meanwhile" in bodies[2]
        assert not any("s3cret" in body or "hunter2" in body for body in bodies)
        assert all(letter["Bcc"] is None and letter["To"] == "ada@team.test" for letter in letters)
        assert len({letter["Message-ID"] for letter in letters}) == 3
        assert await alerts_of(bed, is_open=True) == []
        (closed,) = await alerts_of(bed)
        assert (closed.webhook_id, closed.cause, closed.exhausted) == (webhook.id, "failing", 11)


async def test_who_comes_second_judges_anew_and_nothing_is_told_twice_or_never(store: Store) -> None:
    """Two nodes change one health: the outcome that came second waits, undecided, until it is judged by the other's."""
    receiver = Receiver()
    async with mailbox() as box, running(store, sender=receiver, mailer=box.mailer()) as bed:
        await member(bed)
        webhook = await bed.webhook(retry_policy=policy(1))
        receiver.answer = DOWN
        await bed.publish("order.paid")
        await box.received(2)
        health = await health_of(bed, webhook)
        assert health is not None
        anothers = msgspec.structs.replace(health, version=health.version + 1, failures=health.failures + 5)
        change = ChangeHealth(epoch=bed.node.lease.epoch, at=bed.node.clock.now(), health=anothers)
        assert await store.commit([change]) == [True]
        receiver.answer = OK
        await bed.publish("order.paid")
        await box.received(3)
        await until_ended(bed, 2)
        subjects = box.subjects

    assert [subject.rpartition(" ")[2] for subject in subjects] == ["500", "delivered", "again"]
    assert (await store.health([webhook.id]))[webhook.id].version == anothers.version + 1


async def test_ten_thousand_failures_are_told_in_four_mails_and_one_recovery(store: Store) -> None:
    """DEMANDS 35: 10,000 failures give at most 4 alerts and 1 recovery."""
    receiver = Receiver()
    async with mailbox() as box, running(store, sender=receiver, mailer=box.mailer()) as bed:
        await member(bed)
        webhook = await bed.webhook(retry_policy=policy(0), max_in_flight=500)
        receiver.answer = DOWN
        await publish_many(bed, 10_000)

        async def all_given_up() -> bool:
            totals = await bed.node.store.totals([webhook.id])
            return webhook.id in totals and totals[webhook.id].exhausted == 10_000

        await until(all_given_up, within=60)
        await until(partial(_has_counted, bed, webhook, 10_000))
        receiver.answer = OK
        await bed.publish()
        await until(lambda: _none_open(bed))
        await box.received(2)
        await bed.node.mails.look()

        assert len(box.letters) <= 5
        assert box.subjects == [
            "Webhook w: an event could not be delivered",
            "Webhook w works again",
        ]


async def _has_counted(bed: Bed, webhook: Stored[Webhook], failures: int) -> bool:
    """What was only counted is stored every other second."""
    health = await health_of(bed, webhook)
    return health is not None and health.failures == failures


async def test_a_success_that_this_node_has_not_heard_of_keeps_a_webhook(store: Store) -> None:
    """CONTRACT section 5: days of only failures. What was delivered is asked of the store before it is disabled."""
    receiver, clock = Receiver(), StandingClock()
    async with running(store, sender=receiver, clock=clock) as bed:
        webhook = await bed.webhook(retry_policy=policy(0))
        receiver.answer = DOWN
        await bed.publish()
        await until_ended(bed, 1)
        clock.move_to(clock.now() + timedelta(days=4))
        wards, bed.node.alerts._wards = bed.node.alerts._wards, Wards(store)
        receiver.answer = OK
        await bed.publish()  # as another node would deliver it, which has not yet heard of the failure
        await until_ended(bed, 2)
        bed.node.alerts._wards = wards
        receiver.answer = DOWN
        clock.move_to(clock.now() + timedelta(days=2))
        await bed.publish()
        await until_ended(bed, 3)
        await asyncio.gather(*bed.node.alerts._tasks)

        assert (await status_of(bed, webhook))[0] == "active"


async def _none_open(bed: Bed) -> bool:
    return not await alerts_of(bed, is_open=True)


async def test_a_receiver_that_comes_and_goes_is_told_of_once_an_hour(store: Store) -> None:
    """CONTRACT section 5: failures within an hour are grouped."""
    receiver, clock = Receiver(), StandingClock()
    async with mailbox() as box, running(store, sender=receiver, mailer=box.mailer(), clock=clock) as bed:
        await member(bed)
        await bed.webhook(retry_policy=policy(0))
        for turn in range(20):
            receiver.answer = DOWN if turn % 2 == 0 else OK
            clock.move_to(clock.now() + timedelta(minutes=2))
            await bed.publish()
            await until_ended(bed, turn + 1)
        await box.received(2)
        grouped = len(box.letters)
        receiver.answer = DOWN
        clock.move_to(clock.now() + timedelta(hours=1))
        await bed.publish()
        await box.received(3)

        assert grouped == 2
        assert "works again" in box.subjects[1]
        assert "could not be delivered" in box.subjects[2]


async def test_what_was_grouped_is_told_when_the_hour_is_over(store: Store) -> None:
    """A webhook that fails again and stays down is told of although nothing more is sent to it."""
    receiver, clock = Receiver(), StandingClock()
    async with mailbox() as box, running(store, sender=receiver, mailer=box.mailer(), clock=clock) as bed:
        await member(bed)
        await bed.webhook(retry_policy=policy(0))
        for answer in (DOWN, OK, DOWN):
            receiver.answer = answer
            clock.move_to(clock.now() + timedelta(seconds=1))
            before = len(await bed.deliveries())
            await bed.publish()
            await until_ended(bed, before + 1)
        await box.received(2)
        clock.move_to(clock.now() + timedelta(hours=1))
        letters = await box.received(3)

        assert "could not be delivered" in str(letters[2]["Subject"])


async def test_five_days_of_only_failures_disable_and_resuming_delivers_all(store: Store) -> None:
    """CONTRACT section 5, DEMANDS 9: 1 alert at each step, 1,000 held, 1,000 delivered, 0 lost, the count anew."""
    receiver, clock = Receiver(), StandingClock()
    async with mailbox() as box, running(store, sender=receiver, mailer=box.mailer(), clock=clock) as bed:
        await member(bed)
        webhook = await bed.webhook(retry_policy=policy(0))
        receiver.answer = DOWN
        for day in range(6):
            await bed.publish()
            await until_ended(bed, day + 1)
            if day < 5:
                assert (await status_of(bed, webhook))[0] == "active"
                assert [one.cause for one in await alerts_of(bed, is_open=True)] == ["failing"]
                clock.move_to(clock.now() + timedelta(days=1))
        await until(lambda: _is_off(bed, webhook))
        disabled = await status_of(bed, webhook)
        await publish_many(bed, 1_000)
        held = await bed.node.store.held_back(webhook.id)
        open_while_disabled = [one.cause for one in await alerts_of(bed, is_open=True)]
        await box.received(2)
        receiver.answer = OK
        await resume(bed, webhook)

        async def all_delivered() -> bool:
            totals = await bed.node.store.totals([webhook.id])
            return totals[webhook.id].delivered == 1000

        await until(all_delivered, within=30)
        await box.received(3)

        assert disabled == ("disabled", "failing_too_long")
        assert (held.count, open_while_disabled) == (1000, ["disabled"])
        assert await alerts_of(bed, is_open=True) == []
        assert box.subjects == [
            "Webhook w: an event could not be delivered",
            "Webhook w has been disabled",
            "Webhook w works again",
        ]
        health = await health_of(bed, webhook)
        assert health is not None
        assert (health.failing_since, health.failures) == (None, 0)


async def _tried_twice(bed: Bed, count: int) -> bool:
    found = await bed.deliveries()
    return len(found) == count and all(one.attempts_made == 2 or one.state == "held" for one in found)


async def _is_off(bed: Bed, webhook: Stored[Webhook]) -> bool:
    """The node itself knows that it is disabled."""
    target = bed.node.directory.known_target(bed.organization_id, webhook.id)
    return target is not None and not target.is_active


async def test_any_success_begins_the_five_days_anew(store: Store) -> None:
    receiver, clock = Receiver(), StandingClock()
    async with running(store, sender=receiver, clock=clock) as bed:
        webhook = await bed.webhook(retry_policy=policy(0))
        for day, answer in enumerate([DOWN, DOWN, DOWN, DOWN, OK, DOWN, DOWN, DOWN, DOWN, DOWN]):
            receiver.answer = answer
            await bed.publish()
            await until_ended(bed, day + 1)
            clock.move_to(clock.now() + timedelta(days=1))

        assert (await status_of(bed, webhook))[0] == "active"


@pytest.mark.parametrize("answer", [refused(404), refused(405), NO_SUCH_NAME])
async def test_five_events_in_a_row_without_a_receiver_remove_a_webhook(store: Store, answer: Answer) -> None:
    """PB-11, PB-X3: "removed from your configuration", with details of the error; events, not attempts."""
    receiver = Receiver()
    async with mailbox() as box, running(store, sender=receiver, mailer=box.mailer()) as bed:
        await member(bed)
        webhook = await bed.webhook(dialect="phantombuster", retry_policy=policy(1), events=("order.*",))
        other = await bed.webhook(dialect="standard", retry_policy=policy(1), events=("order.*",))
        receiver.answer = answer
        for count in range(1, 6):
            assert (await status_of(bed, webhook))[0] == "active"
            await bed.publish()
            await until(partial(_tried_twice, bed, 2 * count))
        await until(lambda: _is_off(bed, webhook))
        letters = await box.received(5)

        assert await status_of(bed, webhook) == ("disabled", "misconfigured")
        assert (await status_of(bed, other))[0] == "active"
        removed = next(letter for letter in letters if "removed" in str(letter["Subject"]))
        text = removed.get_body(("plain",)).get_content()  # type: ignore[union-attr]
        assert "removed from your configuration" in text
        assert "hookline webhooks resume wh_" in text
        assert (str(answer.status) if answer.status else "No address for a.test") in text


async def test_another_failure_between_ends_the_row(store: Store) -> None:
    """PB-11: consecutive."""
    receiver = Receiver()
    async with running(store, sender=receiver) as bed:
        webhook = await bed.webhook(dialect="phantombuster")
        for count, status in enumerate([404, 404, 404, 404, 500, 404, 404, 404, 404]):
            receiver.answer = refused(status)
            await bed.publish()
            await until_ended(bed, count + 1)

        assert (await status_of(bed, webhook))[0] == "active"


async def test_trouble_is_told_to_other_webhooks_and_never_to_the_one_it_is_about(store: Store) -> None:
    """CONTRACT section 5: webhook.disabled, webhook.recovered, delivery.exhausted are events like any other."""
    receiver = Receiver()
    async with running(store, sender=receiver) as bed:
        webhook = await bed.webhook(retry_policy=policy(0))
        await bed.webhook(name="watcher", url="http://watcher.test/", events=("webhook.*", "delivery.*"))
        receiver.answer = DOWN
        event_id = await bed.publish()
        await receiver.received(2)
        receiver.answer = OK
        await bed.publish()
        await receiver.received(4)
        receiver.answer = GONE
        await bed.publish()
        await receiver.received(6)

        exhausted, recovered, disabled = receiver.told()
        about = {"webhook_id": "wh_" + str(_uuid(webhook.id)), "webhook_url": "http://receiver.test/hook"}
        assert [one["type"] for one in (exhausted, recovered, disabled)] == [
            "delivery.exhausted",
            "webhook.recovered",
            "webhook.disabled",
        ]
        assert all(one["data"] | about == one["data"] for one in (exhausted, recovered, disabled))
        assert exhausted["data"]["event_id"] == event_id
        assert exhausted["data"]["last_failure"]["status"] == 500
        assert disabled["data"]["reason"] == "gone"
        own = await bed.node.store.deliveries(
            bed.organization_id, DeliveryFilter(webhook_id=webhook.id), before=None, limit=99
        )
        assert {one.event_type for one in own} == {"order.paid"}


def _uuid(key: bytes) -> Any:
    import uuid

    return uuid.UUID(bytes=key)


async def test_trouble_with_telling_of_trouble_is_not_told(store: Store) -> None:
    """CONTRACT section 5: their own exhaustion emits none. Two failing webhooks, one of them batched, end at rest."""
    sender = FakeSender(lambda _: DOWN)
    async with running(store, sender=sender) as bed:
        await bed.webhook(name="a", retry_policy=policy(0))
        await bed.webhook(name="b", retry_policy=policy(0), batch={"max_events": 1, "max_wait_seconds": 0.05})
        await bed.publish()
        await until_ended(bed, 4)
        await asyncio.sleep(0.3)

        assert len(await bed.deliveries()) == 4
        events = await bed.node.store.recent_events(bed.organization_id, before=None, limit=99)
        assert sorted(event.type for event in events) == [
            "delivery.exhausted",
            "delivery.exhausted",
            "order.paid",
        ]


async def test_what_was_owed_before_a_kill_is_sent_after_it(store: Store) -> None:
    """A mail is committed with the change that it tells of."""
    receiver = Receiver()
    receiver.answer = DOWN
    async with mailbox() as box:
        box.refuse = lambda _: "451 not now"
        async with running(store, sender=receiver, mailer=box.mailer(), stop=False) as bed:
            await member(bed)
            await bed.webhook(retry_policy=policy(0))
            await bed.publish()
            await until(lambda: _is_owed(bed))
        box.refuse = lambda _: None
        clock = StandingClock()
        clock.move_to(clock.now() + timedelta(hours=1))
        async with running(
            store, sender=receiver, mailer=box.mailer(), organization_id=bed.organization_id, clock=clock
        ):
            await box.received(1)

        assert len(box.letters) == 1


async def _is_owed(bed: Bed) -> bool:
    return bool(await bed.node.store.due_mails(bed.node.clock.now() + timedelta(days=1), limit=9))


async def test_without_a_mail_server_nothing_is_owed_and_the_alert_is_shown(store: Store) -> None:
    receiver = Receiver()
    receiver.answer = DOWN
    async with running(store, sender=receiver) as bed:
        await member(bed)
        await bed.webhook(retry_policy=policy(0))
        await bed.publish()
        await until(lambda: _has_open(bed))

        assert not await _is_owed(bed)


async def _has_open(bed: Bed) -> bool:
    return bool(await alerts_of(bed, is_open=True))


async def test_each_member_gets_the_mail_and_one_bad_address_stops_nobody(store: Store) -> None:
    """A refusal for good ends it for that member; a busy mailbox is tried again, and the others get no second copy."""
    receiver, clock = Receiver(), StandingClock()
    refusals = {"no@team.test": "550 no such user", "busy@team.test": "450 later"}
    async with mailbox() as box, running(store, sender=receiver, mailer=box.mailer(), clock=clock) as bed:
        box.refuse = refusals.get
        for name in ("no", "busy", "ada", "bob"):
            await member(bed, f"{name}@team.test")
        await bed.webhook(retry_policy=policy(0))
        receiver.answer = DOWN
        await bed.publish()
        await until(partial(_was_tried, bed))
        refusals.clear()
        clock.move_to(clock.now() + timedelta(minutes=1))
        letters = await box.received(3)
        await until(lambda: _none_owed(bed))

        assert [str(letter["To"]) for letter in letters] == [
            "ada@team.test",
            "bob@team.test",
            "busy@team.test",
        ]
        assert len({letter["Message-ID"] for letter in letters}) == 1


async def _was_tried(bed: Bed) -> bool:
    owed = await bed.node.store.due_mails(bed.node.clock.now() + timedelta(days=1), limit=9)
    return [mail.tries for mail in owed] == [1]


async def _none_owed(bed: Bed) -> bool:
    return not await _is_owed(bed)


async def test_snoozing_an_alert_keeps_its_mails_back_until_it_ends(store: Store) -> None:
    """DEMANDS 35: snooze."""
    receiver, clock = Receiver(), StandingClock()
    async with mailbox() as box, running(store, sender=receiver, mailer=box.mailer(), clock=clock) as bed:
        await member(bed)
        await bed.webhook(retry_policy=policy(1))
        receiver.answer = DOWN
        await bed.publish()
        await box.received(1)
        (alert,) = await alerts_of(bed, is_open=True)
        await bed.node.alerts.snooze(alert, clock.now() + timedelta(hours=8))
        clock.move_to(clock.now() + timedelta(hours=2))
        await bed.until_deliveries(lambda found: found[0].state == "exhausted")
        await bed.node.alerts.look()
        while_snoozed = (len(box.letters), await _is_owed(bed))
        clock.move_to(clock.now() + timedelta(hours=7))
        letters = await box.received(2)

        assert while_snoozed == (1, False)
        assert "could not be delivered" in str(letters[1]["Subject"])


async def test_owners_are_told_when_half_the_time_of_held_events_is_over(store: Store) -> None:
    """CONTRACT section 5: held ones expire, a mail at half."""
    clock = StandingClock()
    async with mailbox() as box, running(store, mailer=box.mailer(), clock=clock) as bed:
        await member(bed)
        webhook = await bed.webhook(status=WebhookStatus.PAUSED)
        expires_at = clock.now() + timedelta(days=30)
        for _ in range(3):
            await bed.publish()
        clock.move_to(clock.now() + timedelta(days=14))
        await bed.node.maintenance.sweep()
        before_half = await _is_owed(bed)
        clock.move_to(clock.now() + timedelta(days=1))
        await bed.node.maintenance.sweep()
        await bed.node.maintenance.sweep()
        letters = await box.received(1)
        await resume(bed, webhook)

        assert not before_half
        assert box.subjects == ["Webhook w: 3 events held, and they will expire"]
        assert f"expires at {rfc3339(expires_at)}" in letters[0].get_body(("plain",)).get_content()  # type: ignore[union-attr]
        assert await alerts_of(bed, is_open=True) == []


async def test_what_was_held_for_too_long_is_given_up_and_told_as_one(store: Store) -> None:
    """CONTRACT section 5: held_expired; delivery.exhausted goes to those who watch."""
    receiver, clock = Receiver(), StandingClock()
    async with running(store, sender=receiver, clock=clock) as bed:
        await bed.webhook(status=WebhookStatus.PAUSED, events=("order.*",))
        await bed.webhook(name="watcher", url="http://watcher.test/", events=("delivery.*",))
        for _ in range(3):
            await bed.publish()
        clock.move_to(clock.now() + timedelta(days=30, seconds=1))
        await bed.node.maintenance.sweep()
        await receiver.received(1)
        await bed.node.maintenance.sweep()

        (told,) = receiver.told()
        assert (told["type"], told["data"]["reason"]) == ("delivery.exhausted", "held_expired")
        expired = [one for one in await bed.deliveries() if one.event_type == "order.paid"]
        assert [one.state_reason for one in expired] == ["held_expired"] * 3


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_node_that_is_killed_while_it_sends_a_mail_loses_none(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A mail is owed until the server took it over; kill -9 in the middle of that."""
    database = f"sqlite:///{tmp_path}/killed.db"
    if kind == "postgres":
        database = request.getfixturevalue("postgres_server").fresh_database()
    async with mailbox() as box:
        box.answers.clear()
        settings = {"HOOKLINE_SMTP_URL": box.url, "HOOKLINE_LEASE_SECONDS": "3"}
        node = NodeProcess(database=database, folder=tmp_path, settings=settings)

        async def call(method: str, path: str, body: object = None) -> Any:
            return await asyncio.to_thread(node.api.call, method, path, body)

        try:
            await asyncio.to_thread(node.start)
            await call("POST", "/api/v1/members", {"name": "Ada", "email": "ada@team.test"})
            nowhere = f"http://127.0.0.1:{free_port()}/"
            await call("POST", "/api/v1/webhooks", {"name": "w", "url": nowhere, "events": ["*"]})
            await call("POST", "/api/v1/events", {"type": "order.paid", "data": {}})
            await asyncio.wait_for(box.asked.wait(), 20)
            node.kill()
            box.answers.set()
            await asyncio.to_thread(node.start)
            await box.received(1, within=20)
            alerts = await call("GET", "/api/v1/alerts?state=open")
        finally:
            await asyncio.to_thread(node.kill)

    assert box.subjects[0] == "Webhook w is failing: connect failed"
    assert len({letter["Message-ID"] for letter in box.letters}) == 1
    assert [alert["cause"] for alert in alerts["alerts"]] == ["failing"]
