"""Settle: an attempt and the delivery's new state in one go, fenced by epoch, counted by the minute."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from store_bed import LEASE, apply, attempt, changed, claim, delivery, event, failed, publish, succeeded

from hookline.errors import RowError
from hookline.model.ids import new_key
from hookline.model.states import AttemptOutcome, DeliveryState, Lane
from hookline.ports import Backlog, Minute, Totals

if TYPE_CHECKING:
    from store_bed import ManualClock

    from hookline.model.events import Delivery
    from hookline.model.ids import Key
    from hookline.ports import Epoch, Store

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def owed(store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key) -> Delivery:
    """A delivery in flight, claimed by ``epoch``."""
    happened = event(org, clock.now())
    claimed = delivery(happened, hook, state=DeliveryState.IN_FLIGHT, webhook_revision=3)
    await publish(store, epoch, happened, claimed)
    return claimed


async def test_success_ends_a_delivery_and_keeps_its_attempt(
    store: Store, epoch: Epoch, clock: ManualClock, owed: Delivery
) -> None:
    """Every field of the attempt comes back; the delivery shows the latest one without a join."""
    at = clock.move(timedelta(milliseconds=57))
    sent = attempt(
        owed,
        at - timedelta(milliseconds=12),
        status=204,
        address="2001:db8::1",
        url="https://example.com/in?key=%E2%80%A6",
        cause="replay",
        request_headers=(("webhook-id", "evt_1"), ("x", "grüße")),
        response_headers=(("set-cookie", "a"), ("set-cookie", "b")),
        response_body=b"\x00\xff ok",
        is_response_cut=True,
    )

    assert await apply(store, succeeded(owed, epoch, at, attempt=sent, body_size=900)) is True

    assert await store.attempts(owed.id) == [sent]
    assert await store.delivery(owed.id, organization_id=owed.organization_id) == changed(
        owed,
        state=DeliveryState.SUCCEEDED,
        lane=Lane.RETRY,
        attempts_made=1,
        ended_at=at,
        last_status=204,
        last_ms=12,
        body_size=900,
    )


async def test_failure_waits_for_its_next_attempt(
    store: Store, epoch: Epoch, clock: ManualClock, owed: Delivery
) -> None:
    """The frozen body is kept with it, and it is due when the schedule says."""
    settle = failed(owed, epoch, clock.now(), crashes=1)

    assert await apply(store, settle) is True

    waiting = changed(
        owed,
        state=DeliveryState.PENDING,
        lane=Lane.RETRY,
        next_attempt_at=settle.next_attempt_at,
        attempts_made=1,
        failures=1,
        crashes=1,
        last_status=500,
        last_ms=12,
        body=b'{"id":1}',
        body_size=8,
    )
    assert await store.delivery(owed.id, organization_id=owed.organization_id) == waiting
    assert await claim(store, epoch, owed.webhook_id, clock.now(), Lane.RETRY) == ()
    clock.move(timedelta(minutes=1))
    (again,) = await claim(store, epoch, owed.webhook_id, clock.now(), Lane.RETRY)
    assert again.delivery == changed(waiting, state=DeliveryState.IN_FLIGHT, next_attempt_at=None)


async def test_a_kept_body_stays_when_none_is_given(
    store: Store, epoch: Epoch, clock: ManualClock, owed: Delivery
) -> None:
    """So does its size."""
    await apply(store, failed(owed, epoch, clock.now(), next_attempt_at=clock.now()))
    (again,) = await claim(store, epoch, owed.webhook_id, clock.now(), Lane.RETRY)

    await apply(store, failed(again.delivery, epoch, clock.now(), body=None, body_size=None))

    stored = await store.delivery(owed.id, organization_id=owed.organization_id)
    assert stored is not None
    assert (stored.body, stored.body_size, stored.failures, stored.attempts_made) == (b'{"id":1}', 8, 2, 2)


async def test_giving_back_records_no_attempt(
    store: Store, epoch: Epoch, clock: ManualClock, owed: Delivery
) -> None:
    """Nothing was sent: the numbers stay, and it is due again."""
    await apply(store, failed(owed, epoch, clock.now(), next_attempt_at=clock.now()))
    (again,) = await claim(store, epoch, owed.webhook_id, clock.now(), Lane.RETRY)
    give_back = failed(
        again.delivery, epoch, clock.now(), attempt=None, failures=1, body=None, body_size=None
    )

    assert await apply(store, changed(give_back, next_attempt_at=clock.now())) is True

    stored = await store.delivery(owed.id, organization_id=owed.organization_id)
    assert stored is not None
    assert (stored.attempts_made, stored.last_status, stored.last_ms) == (1, 500, 12)
    assert len(await store.attempts(owed.id)) == 1
    assert len(await claim(store, epoch, owed.webhook_id, clock.now(), Lane.RETRY)) == 1


@pytest.mark.parametrize(
    "state", [DeliveryState.SUCCEEDED, DeliveryState.EXHAUSTED, DeliveryState.CANCELLED, DeliveryState.HELD]
)
async def test_only_ends_have_an_end(
    store: Store, epoch: Epoch, clock: ManualClock, owed: Delivery, state: DeliveryState
) -> None:
    """A held delivery has neither end nor time: it waits for its webhook."""
    await apply(store, succeeded(owed, epoch, clock.now(), state=state, state_reason="because"))

    stored = await store.delivery(owed.id, organization_id=owed.organization_id)
    assert stored is not None
    assert (stored.state, stored.state_reason, stored.next_attempt_at) == (state, "because", None)
    assert stored.ended_at == (None if state is DeliveryState.HELD else clock.now())


async def test_settling_frees_the_claim(
    store: Store, epoch: Epoch, clock: ManualClock, owed: Delivery
) -> None:
    """The same outcome again is refused, and writes nothing."""
    settle = succeeded(owed, epoch, clock.now())
    await apply(store, settle)

    assert await apply(store, settle) is False

    assert len(await store.attempts(owed.id)) == 1
    assert (await store.totals([owed.webhook_id]))[owed.webhook_id].delivered == 1


async def test_one_claim_is_settled_once_within_a_batch(
    store: Store, epoch: Epoch, clock: ManualClock, owed: Delivery
) -> None:
    """The first outcome holds, also between others that are fine."""
    happened = event(owed.organization_id, clock.now())
    others = [delivery(happened, new_key(), state=DeliveryState.IN_FLIGHT) for _ in range(2)]
    await publish(store, epoch, happened, *others)
    stranger = delivery(happened, owed.webhook_id)

    results = await store.commit(
        [
            succeeded(others[0], epoch, clock.now()),
            succeeded(owed, epoch - 1, clock.now()),
            succeeded(owed, epoch, clock.now()),
            failed(owed, epoch, clock.now()),
            succeeded(stranger, epoch, clock.now()),
            succeeded(others[1], epoch, clock.now()),
        ]
    )

    assert results == [True, False, True, False, False, True]
    stored = await store.delivery(owed.id, organization_id=owed.organization_id)
    assert stored is not None
    assert (stored.state, stored.attempts_made) == (DeliveryState.SUCCEEDED, 1)
    assert len(await store.attempts(owed.id)) == 1
    assert (
        await store.minutes(owed.webhook_id, since=clock.now() - LEASE * 3, until=clock.now() + LEASE * 3)
    )[0].attempts == 1


async def test_a_late_result_of_a_dead_epoch_is_refused(
    store: Store, epoch: Epoch, clock: ManualClock, owed: Delivery
) -> None:
    """Fencing: what another node took over cannot be overwritten."""
    await store.close_node(epoch)
    second = await store.open_node("two", lease=LEASE)
    assert await store.recover(second) == 1
    (taken,) = await claim(store, second, owed.webhook_id, clock.now(), owed.lane)

    assert await apply(store, succeeded(owed, epoch, clock.now())) is False

    stored = await store.delivery(owed.id, organization_id=owed.organization_id)
    assert stored is not None
    assert stored.state is DeliveryState.IN_FLIGHT
    assert [one.outcome for one in await store.attempts(owed.id)] == [AttemptOutcome.INTERRUPTED]
    assert await apply(store, succeeded(taken.delivery, second, clock.now())) is True


@pytest.mark.parametrize(
    ("state", "due"),
    [(DeliveryState.PENDING, False), (DeliveryState.SUCCEEDED, True), (DeliveryState.IN_FLIGHT, False)],
)
async def test_an_outcome_that_nobody_would_find_again_is_our_own_mistake(
    store: Store, epoch: Epoch, clock: ManualClock, owed: Delivery, state: DeliveryState, due: bool
) -> None:
    """Pending needs a time, and only pending has one."""
    settle = succeeded(owed, epoch, clock.now(), state=state, next_attempt_at=clock.now() if due else None)

    with pytest.raises(ValueError, match=r"."):
        await store.commit([settle])

    stored = await store.delivery(owed.id, organization_id=owed.organization_id)
    assert stored == owed


async def test_an_attempt_number_is_never_written_twice(
    store: Store, epoch: Epoch, clock: ManualClock, owed: Delivery
) -> None:
    """Attempts are append-only: a second one of that number is refused with its outcome."""
    await apply(store, failed(owed, epoch, clock.now(), next_attempt_at=clock.now()))
    (again,) = await claim(store, epoch, owed.webhook_id, clock.now(), Lane.RETRY)
    wrong = succeeded(again.delivery, epoch, clock.now(), attempt=attempt(owed, clock.now(), number=1))

    with pytest.raises(RowError):
        await store.commit([wrong])

    assert [one.status for one in await store.attempts(owed.id)] == [500]


# --- counters ---


async def test_counters_rise_with_their_outcomes(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """By minute, by class of answer and by latency; interrupted attempts were no HTTP attempts."""
    clock.at = clock.at.replace(second=0, microsecond=0) + timedelta(minutes=1)
    start = clock.now()
    happened = event(org, start)
    owed = [delivery(happened, new_key(), state=DeliveryState.IN_FLIGHT) for _ in range(6)]
    owed = [changed(one, webhook_id=hook, event_key=new_key()) for one in owed]
    for one in owed:
        fact = changed(event(org, start), key=one.event_key)
        await publish(store, epoch, fact, one)

    def outcome(place: int, outcome: AttemptOutcome, status: int | None, ms: int) -> object:
        return attempt(owed[place], start, outcome=outcome, status=status, duration_ms=ms)

    ended = DeliveryState.EXHAUSTED
    last_success = start + timedelta(seconds=59, milliseconds=999)
    await store.commit(
        [
            succeeded(owed[0], epoch, start, attempt=outcome(0, AttemptOutcome.DELIVERED, 200, 0)),
            succeeded(owed[1], epoch, last_success, attempt=outcome(1, AttemptOutcome.DELIVERED, 202, 2)),
            failed(owed[2], epoch, start, attempt=outcome(2, AttemptOutcome.HTTP_ERROR, 503, 3)),
            succeeded(
                owed[3], epoch, start, attempt=outcome(3, AttemptOutcome.TIMEOUT, None, 15_000), state=ended
            ),
        ]
    )
    later = start + timedelta(minutes=1)
    await store.commit(
        [
            succeeded(
                owed[4], epoch, later, attempt=outcome(4, AttemptOutcome.INTERRUPTED, None, 0), state=ended
            ),
            succeeded(owed[5], epoch, later, attempt=None, state=DeliveryState.CANCELLED),
        ]
    )

    assert await store.minutes(hook, since=start, until=start + timedelta(minutes=2)) == [
        Minute(
            webhook_id=hook,
            minute=start,
            delivered=2,
            exhausted=1,
            attempts=4,
            failed_attempts=2,
            by_class={"2xx": 2, "5xx": 1, "timeout": 1},
            latency={0: 1, 1: 1, 2: 1, 13: 1},
        ),
        Minute(webhook_id=hook, minute=later, exhausted=1),
    ]
    assert await store.minutes(hook, since=later, until=later) == []
    assert await store.totals([hook, new_key()]) == {
        hook: Totals(delivered=2, exhausted=2, last_delivery_at=last_success)
    }


async def test_totals_are_summed_over_epochs(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """Each node counts for itself; a reader sees the sum and the latest end."""
    first = clock.now()
    for number in range(2):
        happened = event(org, clock.now())
        owed = delivery(happened, hook, state=DeliveryState.IN_FLIGHT)
        await publish(store, epoch, happened, owed)
        await apply(store, succeeded(owed, epoch, clock.now()))
        if number == 0:
            await store.close_node(epoch)
            epoch = await store.open_node("two", lease=LEASE)
            clock.move(timedelta(hours=1))

    assert await store.totals([hook]) == {hook: Totals(delivered=2, last_delivery_at=clock.now())}
    minutes = await store.minutes(hook, since=first - LEASE * 2, until=clock.now() + LEASE)
    assert [minute.delivered for minute in minutes] == [1, 1]


async def test_the_backlog_counts_what_is_there(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """Pending ones are counted up to the ceiling; what is not due yet is not overdue."""
    start, later = clock.now(), clock.now() + timedelta(minutes=5)
    assert await store.backlog() == Backlog(
        pending=0,
        in_flight=0,
        held=0,
        oldest_due_at=None,
        executions_queued=0,
        executions_running=0,
        executions_waiting=0,
    )
    for state in (DeliveryState.PENDING,) * 3 + (DeliveryState.IN_FLIGHT,) * 2 + (DeliveryState.HELD,):
        happened = event(org, clock.now())
        due = {"next_attempt_at": later} if state is DeliveryState.PENDING else {}
        await publish(store, epoch, happened, delivery(happened, hook, state=state, **due))

    backlog = await store.backlog()
    assert (backlog.pending, backlog.in_flight, backlog.held, backlog.oldest_due_at) == (3, 2, 1, None)
    clock.at = later
    backlog = await store.backlog(ceiling=2)
    assert (backlog.pending, backlog.oldest_due_at) == (2, later)
    assert start < later
