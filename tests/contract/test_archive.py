"""Archive: every read, its order, its pages, and nothing of another organization's."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from store_bed import (
    LEASE,
    accept,
    apply,
    attempt,
    changed,
    conversation,
    delivery,
    entry,
    event,
    execution,
    line,
    publish,
    request,
    succeeded,
)

from hookline.errors import InputError
from hookline.model.ids import bare, new_key, public
from hookline.model.states import DeliveryState, ExecutionStatus, Kind
from hookline.ports import (
    Begin,
    DeliveryFilter,
    ExecutionFilter,
    Finish,
    KeepRequest,
    NewEvent,
    Publish,
    Record,
    RequestFilter,
)

if TYPE_CHECKING:
    from store_bed import ManualClock

    from hookline.model.events import Event
    from hookline.model.executions import Execution
    from hookline.model.ids import Key
    from hookline.ports import Epoch, Store

pytestmark = pytest.mark.asyncio

DAY = timedelta(days=1)

SECOND = timedelta(seconds=1)
ANY_EXECUTION = ExecutionFilter()
ANY_DELIVERY = DeliveryFilter()


# --- one event ---


async def test_an_event_is_found_by_the_id_that_receivers_see(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """The publisher's own or ours; a foreign one and a missing one look the same."""
    ours, named = event(org, clock.now()), event(org, clock.now(), own_id="a:b.c-d_e")
    await publish(store, epoch, ours)
    await publish(store, epoch, named)

    assert await store.event(org, public("event", ours.key)) == ours
    assert await store.event(org, "a:b.c-d_e") == named
    for missing in ("", "evt_", "nothing", public("event", new_key()), public("execution", ours.key)):
        assert await store.event(org, missing) is None
    assert await store.event(new_key(), ours.public_id) is None
    assert await store.event(new_key(), "a:b.c-d_e") is None


async def test_an_own_id_that_looks_like_ours_is_the_publishers(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """Nobody can hide another's event behind its name."""
    ours = event(org, clock.now())
    lookalike = event(org, clock.now(), own_id=bare(new_key()))
    await publish(store, epoch, ours)
    await publish(store, epoch, lookalike)

    assert lookalike.own_id is not None
    assert await store.event(org, lookalike.own_id) == lookalike
    assert await store.event(org, ours.public_id) == ours


# --- the feed ---


async def test_the_feed_shows_every_event_once_in_order_of_commit(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """Page by page, also events that come meanwhile; an empty page gives its cursor back."""
    given = []
    seen: list[Event] = []
    cursor: str | None = None
    for count in (3, 0, 5, 1):
        new = [event(org, clock.now()) for _ in range(count)]
        for one in reversed(new):  # order of commit is not order of keys
            await publish(store, epoch, one)
            await publish(store, epoch, event(new_key(), clock.now()))
        given += new[::-1]
        while (page := await store.events(org, after=cursor, limit=2)).events:
            assert len(page.events) <= 2
            seen += page.events
            cursor = page.cursor
        if cursor is not None:
            assert page.cursor == cursor

    assert seen == given
    assert (await store.events(org, after=None, limit=100)).events == tuple(given)


async def test_an_empty_feed_has_a_cursor_to_begin_with(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """Who asks before anything happened misses nothing later."""
    page = await store.events(org, after=None, limit=10)
    assert page.events == ()
    again = await store.events(org, after=page.cursor, limit=10)
    assert again == page

    happened = event(org, clock.now())
    await publish(store, epoch, happened)
    assert (await store.events(org, after=page.cursor, limit=10)).events == (happened,)


async def test_the_feed_is_filtered_by_exact_types(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    given = [event(org, clock.now(), type=type_) for type_ in ("a", "b", "a.b", "a", "c", "b")]
    await store.commit([Publish(epoch=epoch, events=tuple(NewEvent(event=one) for one in given))])

    first = await store.events(org, after=None, types=("a", "c"), limit=2)
    rest = await store.events(org, after=first.cursor, types=("a", "c"), limit=2)
    end = await store.events(org, after=rest.cursor, types=("a", "c"), limit=2)

    assert first.events + rest.events == (given[0], given[3], given[4])
    assert end.events == ()
    assert end.cursor == rest.cursor


async def test_events_of_one_write_keep_their_order(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    given = [event(org, clock.now()) for _ in range(4)]
    new = [NewEvent(event=one) for one in given]

    await store.commit([Publish(epoch=epoch, events=(new[2], new[0], new[3], new[1]))])

    page = await store.events(org, after=None, limit=9)
    assert [given.index(one) for one in page.events] == [2, 0, 3, 1]


@pytest.mark.parametrize(
    "cursor", ["", "x", "!!!!", "AAAA", "ÄÄÄÄ", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAB", "\x00"]
)
async def test_a_cursor_that_is_not_ours_is_the_callers_mistake(store: Store, org: Key, cursor: str) -> None:
    with pytest.raises(InputError):
        await store.events(org, after=cursor, limit=1)


async def test_recent_events_are_newest_first_by_key(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    given = [event(org, clock.now(), type="ab"[n % 2]) for n in range(6)]
    for one in (given[3], given[0], given[5], given[1], given[4], given[2]):
        await publish(store, epoch, one)
    await publish(store, epoch, event(new_key(), clock.now()))
    newest = given[::-1]

    assert await store.recent_events(org, before=None, limit=9) == newest
    assert await store.recent_events(org, before=None, limit=2) == newest[:2]
    assert await store.recent_events(org, before=newest[1].key, limit=2) == newest[2:4]
    assert await store.recent_events(org, before=newest[1].key, types=("a",), limit=9) == newest[3::2]
    assert await store.recent_events(org, before=None, types=("a", "b", "c"), limit=3) == newest[:3]
    assert await store.recent_events(org, before=None, types=("c",), limit=3) == []
    assert await store.recent_events(org, before=given[0].key, limit=3) == []


# --- executions ---


async def _execute(store: Store, epoch: Epoch, clock: ManualClock, org: Key, **changes: object) -> Execution:
    given = execution(org, clock.now(), **changes)
    await accept(store, epoch, given)
    return given


async def _end(
    store: Store, epoch: Epoch, clock: ManualClock, of: Execution, status: ExecutionStatus
) -> None:
    finish = Finish(epoch=epoch, execution_id=of.id, status=status, completed_at=clock.now())
    assert await apply(store, finish) is True


async def test_executions_are_newest_first_and_paged(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    given = [await _execute(store, epoch, clock, org) for _ in range(5)][::-1]
    await _execute(store, epoch, clock, new_key())

    assert await store.executions(org, ANY_EXECUTION, before=None, limit=9) == given
    assert await store.executions(org, ANY_EXECUTION, before=None, limit=2) == given[:2]
    assert await store.executions(org, ANY_EXECUTION, before=given[1].id, limit=2) == given[2:4]
    assert await store.executions(org, ANY_EXECUTION, before=given[4].id, limit=2) == []
    assert await store.executions(new_key(), ANY_EXECUTION, before=None, limit=2) == []


async def test_executions_are_filtered_by_everything_together(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """since is included, until is not."""
    talk, start = new_key(), clock.now()
    first = await _execute(store, epoch, clock, org, automation_id="a")
    clock.move(SECOND)
    second = await _execute(
        store, epoch, clock, org, kind=Kind.AGENT, automation_id="a", conversation_id=talk
    )
    clock.move(SECOND)
    third = await _execute(store, epoch, clock, org, kind=Kind.AGENT, automation_id="b", conversation_id=talk)
    await _end(store, epoch, clock, third, ExecutionStatus.FAILED)

    for expected, filter_ in (
        ([second, first], ExecutionFilter(status=ExecutionStatus.QUEUED)),
        ([third], ExecutionFilter(status=ExecutionStatus.FAILED)),
        ([third, second], ExecutionFilter(kind=Kind.AGENT)),
        ([second, first], ExecutionFilter(automation_id="a")),
        ([third, second], ExecutionFilter(conversation_id=talk)),
        ([third, second], ExecutionFilter(since=start + SECOND)),
        ([second], ExecutionFilter(since=start + SECOND, until=start + 2 * SECOND)),
        ([second], ExecutionFilter(kind=Kind.AGENT, automation_id="a", status=ExecutionStatus.QUEUED)),
        ([], ExecutionFilter(kind=Kind.ROBOT)),
    ):
        found = await store.executions(org, filter_, before=None, limit=9)
        assert [one.id for one in found] == [one.id for one in expected], filter_
    paged = await store.executions(org, ExecutionFilter(kind=Kind.AGENT), before=third.id, limit=1)
    assert [one.id for one in paged] == [second.id]


async def test_an_execution_is_its_organizations_or_the_engines(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    given = await _execute(store, epoch, clock, org)

    assert await store.execution(given.id, organization_id=org) == given
    assert await store.execution(given.id, organization_id=None) == given
    assert await store.execution(given.id, organization_id=new_key()) is None
    assert await store.execution(new_key(), organization_id=org) is None


async def test_logs_are_read_from_where_the_reader_is(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """Ascending by position, whatever gaps an attempt left."""
    given = await _execute(store, epoch, clock, org)
    await apply(store, Begin(epoch=epoch, execution_id=given.id, started_at=clock.now(), launch_ms=1))
    lines = [line(position, clock.now()) for position in (0, 1, 5, 1_000_000, 1_000_001)]
    await apply(store, Record(epoch=epoch, execution_id=given.id, logs=(*lines[3:], *lines[:3])))

    assert await store.logs(given.id, after=-1, limit=9) == lines
    assert await store.logs(given.id, after=1, limit=2) == lines[2:4]
    assert await store.logs(given.id, after=1_000_001, limit=2) == []
    assert await store.logs(new_key(), after=-1, limit=2) == []


async def test_a_journal_of_nothing_is_empty(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    given = await _execute(store, epoch, clock, org)

    assert await store.journal(given.id) == []
    assert await store.execution_events(given.id) == []
    assert entry("step", "a", clock.now()) not in await store.journal(new_key())


async def test_events_of_an_execution_are_in_its_sequence(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    id_ = new_key()
    given = [event(org, clock.now(), execution_id=id_, sequence=sequence) for sequence in (1, 2, 10)]
    for one in (given[2], given[0], given[1]):
        await publish(store, epoch, one)
    await publish(store, epoch, event(org, clock.now(), execution_id=new_key(), sequence=1))

    assert await store.execution_events(id_) == given


async def test_run_times_are_of_the_latest_successes(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """accepted to completed, newest first, of all organizations: automations are shared."""
    for took, status in (
        (10, ExecutionStatus.SUCCEEDED),
        (20, ExecutionStatus.FAILED),
        (30, ExecutionStatus.SUCCEEDED),
        (40, ExecutionStatus.SUCCEEDED),
    ):
        given = await _execute(store, epoch, clock, new_key())
        clock.move(timedelta(milliseconds=took))
        await _end(store, epoch, clock, given, status)
    await _execute(store, epoch, clock, org)
    other = await _execute(store, epoch, clock, org, automation_id="other")
    await _end(store, epoch, clock, other, ExecutionStatus.SUCCEEDED)

    assert await store.run_times(Kind.WORKFLOW, "orders") == [40, 30, 10]
    assert await store.run_times(Kind.WORKFLOW, "orders", limit=2) == [40, 30]
    assert await store.run_times(Kind.AGENT, "orders") == []


async def test_a_conversation_is_its_organizations(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    talk = conversation(org, clock.now(), user_id=None)
    await accept(store, epoch, execution(org, clock.now(), conversation_id=talk.id), conversation=talk)

    assert await store.conversation(talk.id, organization_id=org) == talk
    assert await store.conversation(talk.id, organization_id=new_key()) is None
    assert await store.conversation(new_key(), organization_id=org) is None


# --- deliveries ---


async def test_deliveries_are_newest_first_paged_and_filtered(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """Every filter alone, and together; since is included, until is not."""
    start = clock.now()
    given = []
    for place, state in enumerate(
        (
            DeliveryState.SUCCEEDED,
            DeliveryState.EXHAUSTED,
            DeliveryState.PENDING,
            DeliveryState.EXHAUSTED,
            DeliveryState.HELD,
        )
    ):
        happened = event(org, clock.now(), type="ab"[place % 2])
        owed = delivery(happened, hook if place < 3 else new_key(), state=state)
        await publish(store, epoch, happened, owed)
        given.append(owed)
        clock.move(SECOND)
    foreign = event(new_key(), start)
    await publish(store, epoch, foreign, delivery(foreign, hook, state=DeliveryState.EXHAUSTED))
    zero, one, two, three, four = given
    exhausted, pending = DeliveryState.EXHAUSTED, DeliveryState.PENDING

    for expected, filter_ in (
        ([four, three, two, one, zero], ANY_DELIVERY),
        ([two, one, zero], DeliveryFilter(webhook_id=hook)),
        ([three, one], DeliveryFilter(states=(exhausted,))),
        ([three, two, one], DeliveryFilter(states=(exhausted, pending))),
        ([one], DeliveryFilter(webhook_id=hook, states=(exhausted,))),
        ([four, two, zero], DeliveryFilter(event_type="a")),
        ([one], DeliveryFilter(event_key=one.event_key)),
        ([one], DeliveryFilter(event_key=one.event_key, webhook_id=hook)),
        ([], DeliveryFilter(event_key=three.event_key, webhook_id=hook)),
        ([four, three], DeliveryFilter(since=start + 3 * SECOND)),
        ([zero], DeliveryFilter(until=start + SECOND)),
        ([one], DeliveryFilter(since=start + SECOND, until=start + 2 * SECOND, event_type="b")),
        ([], DeliveryFilter(webhook_id=new_key())),
        ([], DeliveryFilter(event_key=foreign.key)),
    ):
        assert await store.deliveries(org, filter_, before=None, limit=9) == expected, filter_
    assert await store.deliveries(org, ANY_DELIVERY, before=three.id, limit=2) == [two, one]
    assert await store.deliveries(org, DeliveryFilter(states=(exhausted,)), before=three.id, limit=2) == [one]
    assert await store.deliveries(org, DeliveryFilter(webhook_id=hook), before=two.id, limit=1) == [one]


async def test_all_deliveries_of_an_event_are_found(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    happened = event(org, clock.now())
    owed = [delivery(happened, new_key()) for _ in range(5)]
    await publish(store, epoch, happened, *reversed(owed))

    found = await store.deliveries(org, DeliveryFilter(event_key=happened.key), before=None, limit=9)

    assert found == owed[::-1]


async def test_a_delivery_is_its_organizations(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    happened = event(org, clock.now())
    owed = delivery(happened, hook)
    await publish(store, epoch, happened, owed)

    assert await store.delivery(owed.id, organization_id=org) == owed
    assert await store.delivery(owed.id, organization_id=new_key()) is None
    assert await store.delivery(new_key(), organization_id=org) is None


async def test_attempts_are_by_number(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    happened = event(org, clock.now())
    owed = delivery(happened, hook, state=DeliveryState.IN_FLIGHT, attempts_made=8)
    await publish(store, epoch, happened, owed)
    for number in (9, 10, 11):
        sent = attempt(owed, clock.now(), number=number)
        held = changed(succeeded(owed, epoch, clock.now()), attempt=sent, state=DeliveryState.PENDING)
        await apply(store, changed(held, next_attempt_at=clock.now()))
        await store.close_node(epoch)
        epoch = await store.open_node("next", lease=LEASE)
        from store_bed import claim

        from hookline.model.states import Lane

        await claim(store, epoch, hook, clock.now(), Lane.RETRY)

    assert [one.number for one in await store.attempts(owed.id)] == [9, 10, 11]
    assert await store.attempts(new_key()) == []


# --- trigger requests ---


async def test_requests_are_newest_first_paged_and_filtered(
    store: Store, clock: ManualClock, org: Key
) -> None:
    """Accepted or refused, of one trigger or of all; nothing of another organization's."""
    trigger = new_key()
    given = [
        request(
            org,
            clock.now(),
            trigger_id=trigger if place % 2 else new_key(),
            reason="wrong" if place % 3 == 0 else None,
            execution_id=new_key() if place in {0, 1, 2} else None,
        )
        for place in range(6)
    ]
    ids = [one.id for one in given]
    await store.commit([KeepRequest(request=one) for one in [*given, request(new_key(), clock.now())]])
    newest = given[::-1]

    async def find(**changes: Any) -> list[int]:
        place: dict[str, Any] = {"before": changes.pop("before", None), "limit": changes.pop("limit", 9)}
        found = await store.requests(org, RequestFilter(**changes), **place)
        return [ids.index(one.id) for one in found]

    async def find_after(place: int, **changes: Any) -> list[int]:
        after = ids[place] if place >= 0 else b""
        limit = changes.pop("limit", 9)
        found = await store.requests_after(org, RequestFilter(**changes), after=after, limit=limit)
        assert {one.body for one in found} <= {b""}
        return [ids.index(one.id) for one in found]

    assert await find() == [5, 4, 3, 2, 1, 0]
    assert await find(limit=2) == [5, 4]
    assert await find(before=newest[1].id, limit=2) == [3, 2]
    assert await find(trigger_id=trigger) == [5, 3, 1]
    assert await find(refused=True) == [3, 0]
    assert await find(refused=False) == [5, 4, 2, 1]
    assert await find(refused=False, trigger_id=trigger, before=newest[0].id) == [1]
    assert await find(refused=True, trigger_id=trigger) == [3]
    assert await find(refused=True, ran=False) == [3]
    assert await find(ran=True) == [2, 1, 0]
    assert await find(since=clock.now() + DAY) == []
    assert await find(until=clock.now()) == []
    assert await find_after(-1) == [0, 1, 2, 3, 4, 5]
    assert await find_after(1, limit=2) == [2, 3]
    assert await find_after(0, refused=True) == [3]
    assert await find_after(0, trigger_id=trigger, ran=False, since=clock.now()) == [3, 5]
    assert await store.request(given[0].id, organization_id=new_key()) is None
    assert await store.request(new_key(), organization_id=org) is None


# --- long histories ---


async def test_a_rare_match_is_found_in_a_long_history(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """A filter that no index serves is searched to the end, whatever steps the store takes."""
    rare = event(org, clock.now(), type="rare")
    owed = delivery(rare, hook, state=DeliveryState.CANCELLED)
    await publish(store, epoch, rare, owed)
    for _ in range(11):
        happened = [event(org, clock.now()) for _ in range(1_000)]
        new = tuple(
            NewEvent(event=one, deliveries=(delivery(one, hook, state=DeliveryState.SUCCEEDED),))
            for one in happened
        )
        await store.commit([Publish(epoch=epoch, events=new)])

    assert await store.recent_events(org, before=None, types=("rare",), limit=5) == [rare]
    assert (await store.events(org, after=None, types=("rare",), limit=5)).events == (rare,)
    for filter_ in (
        DeliveryFilter(states=(DeliveryState.CANCELLED,)),
        DeliveryFilter(event_type="rare", webhook_id=hook),
    ):
        assert await store.deliveries(org, filter_, before=None, limit=5) == [owed]
    page = await store.deliveries(
        org, DeliveryFilter(states=(DeliveryState.SUCCEEDED,)), before=None, limit=500
    )
    assert len(page) == 500
    assert page == sorted(page, key=lambda one: one.id, reverse=True)


async def test_an_epoch_knows_what_it_holds(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """Deliveries and executions, until they are settled or given back."""
    happened = event(org, clock.now())
    owed = [delivery(happened, new_key(), state=DeliveryState.IN_FLIGHT) for _ in range(2)]
    await publish(store, epoch, happened, *owed, delivery(happened, hook))
    mine = await _execute(store, epoch, clock, org)
    await accept(store, epoch, execution(org, clock.now()), is_claimed=False)

    assert sorted(await store.claimed_deliveries(epoch)) == sorted((one.id, org) for one in owed)
    assert list(await store.claimed_executions(epoch)) == [mine.id]
    assert list(await store.claimed_deliveries(epoch + 1)) == []
    assert list(await store.claimed_executions(epoch + 1)) == []

    await apply(store, succeeded(owed[0], epoch, clock.now()))
    await _end(store, epoch, clock, mine, ExecutionStatus.KILLED)
    assert list(await store.claimed_deliveries(epoch)) == [(owed[1].id, org)]
    assert list(await store.claimed_executions(epoch)) == []


async def test_own_ids_are_told_for_the_organizations_own_events(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """Events without one, missing ones and another's are left out."""
    named, ours = event(org, clock.now(), own_id="a"), event(org, clock.now())
    foreign = event(new_key(), clock.now(), own_id="b")
    for one in (named, ours, foreign):
        await publish(store, epoch, one)

    assert await store.own_event_ids(org, [named.key, ours.key, foreign.key, new_key()]) == {named.key: "a"}
    assert await store.own_event_ids(org, []) == {}
