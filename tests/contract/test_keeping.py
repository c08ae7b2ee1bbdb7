"""Keeping: open, close, prove, copy and prune the store itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from store_bed import (
    LEASE,
    accept,
    apply,
    changed,
    conversation,
    delivery,
    entry,
    event,
    execution,
    line,
    once,
    organization,
    publish,
    request,
    succeeded,
)

from hookline import failpoints
from hookline.errors import SettingError, StorageError
from hookline.model.configuration import Organization
from hookline.model.ids import new_key
from hookline.model.states import DeliveryState, ExecutionStatus
from hookline.ports import (
    Accept,
    Begin,
    ClaimExecutions,
    ExecutionFilter,
    Finish,
    KeepRequest,
    NewEvent,
    OpenConversation,
    Publish,
    Published,
    Record,
    Repeat,
    RequestFilter,
)

if TYPE_CHECKING:
    from pathlib import Path

    from store_bed import Backend, ManualClock

    from hookline.model.ids import Key
    from hookline.ports import Epoch, Store, Wake

pytestmark = pytest.mark.asyncio

DAY = timedelta(days=1)


Prune = Callable[..., Awaitable[int]]


@pytest.fixture(params=["of all", "of one"])
def prune(request: pytest.FixtureRequest, store: Store, clock: ManualClock, org: Key) -> Prune:
    """Prunes what ended before now, to the end; for all organizations, or for the one that keeps its things shorter."""
    organization_id = org if request.param == "of one" else None

    async def to_the_end(limit: int = 100, *, once: bool = False) -> int:
        total = 0
        while pruned := await store.prune(before=clock.now(), limit=limit, organization_id=organization_id):
            total += pruned
            if once:
                break
        return total

    return to_the_end


async def _prune(store: Store, clock: ManualClock) -> None:
    while await store.prune(before=clock.now(), limit=100):
        pass


async def test_what_was_committed_is_there_after_a_restart(
    backend: Backend, clock: ManualClock, org: Key
) -> None:
    """Whether the store was closed or not."""
    happened = [event(org, clock.now(), own_id=f"{n}") for n in range(3)]
    for one in happened:
        store = backend.store()
        await store.open()
        epoch = await store.open_node("one", lease=LEASE)
        await publish(store, epoch, one)
        await store.close()

    store = backend.store()
    await store.open()
    assert (await store.events(org, after=None, limit=9)).events == tuple(happened)
    await store.close()


async def test_a_closed_store_says_so(store: Store, epoch: Epoch, org: Key) -> None:
    """StorageError, as if the database were away; closing twice does no harm."""
    await store.close()
    await store.close()

    with pytest.raises(StorageError):
        await store.commit([Publish(epoch=epoch, events=())])
    with pytest.raises(StorageError):
        await store.execution(org, organization_id=org)
    with pytest.raises(StorageError):
        await store.ping()


async def test_a_working_store_answers_a_ping(store: Store) -> None:
    await store.ping()
    await store.ping()


async def test_no_secret_shows_in_a_stores_repr(backend: Backend, store: Store) -> None:
    """It says what it is over, and nothing of a password."""
    shown = repr(store)

    assert type(store).__name__ in shown
    if backend.name == "postgres":
        password = str(backend.place).split("//", 1)[1].split("@", 1)[0].partition(":")[2]
        assert password
        assert password not in shown


async def test_wakes_end_when_the_store_is_closed(backend: Backend) -> None:
    store = backend.store()
    await store.open()

    async def listen() -> list[Wake]:
        return [wake async for wake in store.wakes()]

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.05)
    await store.close()

    async with asyncio.timeout(5):
        assert isinstance(await listening, list)


async def test_a_copy_is_consistent_while_others_write(
    backend: Backend, store: Store, epoch: Epoch, clock: ManualClock, org: Key, tmp_path: Path
) -> None:
    """Made while commits go on, it opens as a store and holds a prefix of them."""
    if not backend.copies_itself:
        with pytest.raises(SettingError, match="pg_dump"):
            await store.backup(tmp_path / "copy.db")
        return
    for _ in range(20):
        new = tuple(NewEvent(event=event(org, clock.now(), data=b"x" * 4_000)) for _ in range(100))
        await store.commit([Publish(epoch=epoch, events=new)])
    copying = asyncio.create_task(store.backup(tmp_path / "copy.db"))
    written = 0
    while not copying.done():
        await publish(store, epoch, event(org, clock.now(), own_id=f"{written}"))
        written += 1
        await asyncio.sleep(0)
    await copying

    copy = changed_place(backend, tmp_path / "copy.db").store()
    await copy.open()
    page = await copy.events(org, after=None, limit=100_000)
    assert 2_000 <= len(page.events) <= 2_000 + written
    named = [one.own_id for one in page.events if one.own_id is not None]
    assert named == [f"{n}" for n in range(len(named))]
    await copy.close()


def changed_place(backend: Backend, place: Path) -> Backend:
    from dataclasses import replace

    return replace(backend, place=place)


async def test_a_copy_never_overwrites(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.write_text("precious")

    with pytest.raises(SettingError):
        await store.backup(target)

    assert target.read_text() == "precious"


# --- pruning ---


async def test_ended_events_are_pruned_with_what_hangs_on_them(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, prune: Prune
) -> None:
    """Event, deliveries and attempts; rows are counted, and a second time there are none."""
    happened = event(org, clock.now())
    owed = [delivery(happened, new_key(), state=DeliveryState.IN_FLIGHT) for _ in range(2)]
    await publish(store, epoch, happened, *owed)
    await store.commit([succeeded(one, epoch, clock.now()) for one in owed])
    alone = event(org, clock.now())
    await publish(store, epoch, alone)
    clock.move(DAY)
    fresh = event(org, clock.now())
    await publish(store, epoch, fresh)

    assert await prune() >= 6
    assert await prune() == 0

    assert (await store.events(org, after=None, limit=9)).events == (fresh,)
    assert await store.delivery(owed[0].id, organization_id=org) is None
    assert await store.attempts(owed[0].id) == []
    assert owed[0].webhook_id in await store.totals([owed[0].webhook_id])


@pytest.mark.parametrize("state", [DeliveryState.PENDING, DeliveryState.IN_FLIGHT, DeliveryState.HELD])
async def test_an_event_that_is_still_owed_is_kept(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, prune: Prune, state: DeliveryState
) -> None:
    """P16: however old it is, with all its deliveries and attempts."""
    happened = event(org, clock.now())
    owed = delivery(happened, new_key(), state=state)
    ended = delivery(happened, new_key(), state=DeliveryState.IN_FLIGHT)
    await publish(store, epoch, happened, owed, ended)
    await apply(store, succeeded(ended, epoch, clock.now()))
    clock.move(100 * DAY)

    await prune()

    assert await store.event(org, happened.public_id) == happened
    assert await store.delivery(owed.id, organization_id=org) == owed
    assert len(await store.attempts(ended.id)) == 1


async def test_an_event_that_ended_lately_or_fans_out_still_is_kept(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, prune: Prune
) -> None:
    """Its age is that of its deliveries' end."""
    happened, wide = event(org, clock.now()), event(org, clock.now())
    owed = delivery(happened, new_key(), state=DeliveryState.IN_FLIGHT)
    await publish(store, epoch, happened, owed)
    await publish(store, epoch, wide, fanout_after=new_key())
    clock.move(DAY)
    await apply(store, succeeded(owed, epoch, clock.now()))

    await prune()
    assert (await store.events(org, after=None, limit=9)).events == (happened, wide)
    clock.move(DAY)
    await prune()

    assert (await store.events(org, after=None, limit=9)).events == (wide,)


async def test_pruning_is_bounded_and_gets_past_what_must_stay(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, prune: Prune
) -> None:
    """Owed events in between do not stop it, nor are more pruned in a call than were asked for."""
    given = [event(org, clock.now()) for _ in range(700)]
    new = [
        NewEvent(event=one, deliveries=(delivery(one, new_key()),) if place % 7 == 0 else ())
        for place, one in enumerate(given)
    ]
    await store.commit([Publish(epoch=epoch, events=tuple(new))])
    clock.move(DAY)

    assert 0 < await prune(limit=50, once=True) <= 50
    await prune(limit=150)

    left = (await store.events(org, after=None, limit=1_000)).events
    assert left == tuple(given[::7])


async def test_a_wide_event_is_pruned_whole(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, prune: Prune
) -> None:
    """Thousands of deliveries go in several steps, and none stays behind (K10), though the first try is cut off."""
    happened = event(org, clock.now())
    owed = tuple(delivery(happened, new_key(), state=DeliveryState.IN_FLIGHT) for _ in range(1_300))
    await store.commit([Publish(epoch=epoch, events=(NewEvent(event=happened, deliveries=owed),))])
    await store.commit([succeeded(one, epoch, clock.now()) for one in owed])
    clock.move(DAY)

    failpoints.arm("in_checkpoint:raise@2")
    with pytest.raises(failpoints.FailpointError):
        await prune()
    failpoints.arm(None)
    await prune()

    assert await store.event(org, happened.public_id) is None
    assert [await store.delivery(one.id, organization_id=org) for one in owed[:3]] == [None] * 3
    assert await store.attempts(owed[-1].id) == []


async def test_the_feed_goes_on_after_everything_was_pruned(
    backend: Backend, clock: ManualClock, org: Key
) -> None:
    """A reader's cursor stays valid: places are never given out twice, not even after a restart."""
    store = backend.store()
    await store.open()
    epoch = await store.open_node("one", lease=LEASE)
    for _ in range(5):
        await publish(store, epoch, event(org, clock.now()))
    cursor = (await store.events(org, after=None, limit=9)).cursor
    clock.move(DAY)
    await _prune(store, clock)
    assert (await store.events(org, after=None, limit=9)).events == ()
    await store.close()

    store = backend.store()
    await store.open()
    happened = event(org, clock.now())
    await publish(store, await store.open_node("one", lease=LEASE), happened)
    assert (await store.events(org, after=cursor, limit=9)).events == (happened,)
    await store.close()


async def test_ended_executions_are_pruned_with_what_hangs_on_them(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, prune: Prune
) -> None:
    """Journal, logs, request, and a conversation that has no other turn; one that runs keeps everything."""
    ids: dict[str, Any] = {}
    over = {"status": "resolved", "completed_at": clock.now()}
    shared, own = conversation(org, clock.now(), **over), conversation(org, clock.now(), **over)
    silent, open_ = conversation(org, clock.now(), **over), conversation(org, clock.now())
    await store.commit([OpenConversation(epoch=epoch, conversation=one) for one in (silent, open_)])
    for name, talk in (("ended", own), ("also", shared), ("running", shared)):
        given = execution(org, clock.now(), conversation_id=talk.id)
        came = request(org, clock.now(), execution_id=given.id)
        given = changed(given, request_id=came.id)
        await accept(store, epoch, given, request=came, conversation=talk)
        begin = Begin(epoch=epoch, execution_id=given.id, started_at=clock.now(), launch_ms=1)
        entries = tuple(entry("step", f"{n}", clock.now()) for n in range(700))
        record = Record(epoch=epoch, execution_id=given.id, entries=entries, logs=(line(0, clock.now()),))
        await store.commit([begin, record])
        if name != "running":
            done = Finish(
                epoch=epoch, execution_id=given.id, status=ExecutionStatus.FAILED, completed_at=clock.now()
            )
            await apply(store, done)
        ids[name] = (given, came, talk)
    clock.move(DAY)

    await prune()

    for name in ("ended", "also"):
        given, came, talk = ids[name]
        assert await store.execution(given.id, organization_id=org) is None
        assert await store.request(came.id, organization_id=org) is None
        assert await store.journal(given.id) == []
        assert await store.logs(given.id, after=-1, limit=9) == []
    assert await store.conversation(ids["ended"][2].id, organization_id=org) is None
    assert await store.conversation(silent.id, organization_id=org) is None
    assert await store.conversation(open_.id, organization_id=org) == open_
    given, came, talk = ids["running"]
    assert [one.id for one in await store.executions(org, ExecutionFilter(), before=None, limit=9)] == [
        given.id
    ]
    assert await store.request(came.id, organization_id=org) == came
    assert await store.conversation(talk.id, organization_id=org) == talk
    assert len(await store.journal(given.id)) == 700


async def test_counters_of_old_minutes_are_pruned(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """The totals of all time stay."""
    start = clock.now()
    for _ in range(2):
        happened = event(org, clock.now())
        owed = delivery(happened, hook, state=DeliveryState.IN_FLIGHT)
        await publish(store, epoch, happened, owed)
        await apply(store, succeeded(owed, epoch, clock.now()))
        clock.move(DAY)

    while await store.prune(before=start + DAY - timedelta(minutes=1), limit=10):
        pass

    (left,) = await store.minutes(hook, since=start - DAY, until=clock.now())
    assert left.minute > start
    assert (await store.totals([hook]))[hook].delivered == 2


async def test_refused_requests_are_pruned(store: Store, clock: ManualClock, org: Key, prune: Prune) -> None:
    """Nothing hangs on them; they would pile up for ever."""
    old = request(org, clock.now(), reason="wrong")
    await apply(store, KeepRequest(request=old))
    clock.move(DAY)
    new = request(org, clock.now(), reason="wrong")
    await apply(store, KeepRequest(request=new))

    await prune()

    found = await store.requests(org, RequestFilter(), before=None, limit=9)
    assert [one.id for one in found] == [new.id]


async def test_requests_that_an_execution_stands_for_go_after_it(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, prune: Prune
) -> None:
    """P16: also those whose execution began with another request, and those that ran later."""
    given = execution(org, clock.now())
    merged = request(org, clock.now(), execution_id=given.id)
    late = request(org, clock.now(), reason="wrong")
    await store.commit([KeepRequest(request=one) for one in (merged, late)])
    given = changed(given, request_id=late.id)
    await apply(store, Accept(epoch=epoch, execution=given, reruns=late.id))
    clock.move(DAY)

    await prune()
    before = await store.requests(org, RequestFilter(), before=None, limit=9)
    claimed = await apply(store, ClaimExecutions(epoch=epoch, limit=1, now=clock.now()))
    assert isinstance(claimed, tuple)
    await apply(store, Begin(epoch=epoch, execution_id=given.id, started_at=clock.now(), launch_ms=1))
    done = Finish(epoch=epoch, execution_id=given.id, status=ExecutionStatus.FAILED, completed_at=clock.now())
    assert await apply(store, done) is True
    clock.move(DAY)
    await prune()
    after = await store.requests(org, RequestFilter(), before=None, limit=9)

    assert {one.id for one in before} == {merged.id, late.id}
    assert after == []


async def test_one_organization_is_pruned_alone(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """What it keeps shorter than the others goes, and theirs stays."""
    other = new_key()
    for organization_id in (other, org):
        await publish(store, epoch, event(organization_id, clock.now()))
        given = execution(organization_id, clock.now())
        await accept(store, epoch, given, request=request(organization_id, clock.now()))
        await apply(store, Begin(epoch=epoch, execution_id=given.id, started_at=clock.now(), launch_ms=1))
        ended = Finish(
            epoch=epoch, execution_id=given.id, status=ExecutionStatus.FAILED, completed_at=clock.now()
        )
        await apply(store, ended)
        await apply(store, KeepRequest(request=request(organization_id, clock.now(), reason="wrong")))
    clock.move(DAY)

    while await store.prune(before=clock.now(), limit=1, organization_id=org):
        pass

    left = {}
    for organization_id in (other, org):
        found = (
            (await store.events(organization_id, after=None, limit=9)).events,
            await store.executions(organization_id, ExecutionFilter(), before=None, limit=9),
            await store.requests(organization_id, RequestFilter(), before=None, limit=9),
        )
        left[organization_id] = [len(one) for one in found]
    assert left == {other: [1, 1, 2], org: [0, 0, 0]}


async def test_the_marks_of_what_an_execution_called_go_with_it(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """P5: they say what it has started already, for as long as it may ask, be that years; not for ever."""
    marks = {}
    for name in ("ended", "running"):
        given = execution(org, clock.now())
        await accept(store, epoch, given)
        await apply(store, Begin(epoch=epoch, execution_id=given.id, started_at=clock.now(), launch_ms=1))
        marks[name] = once(given.id, "child 0 ship", clock.now() + 4000 * DAY)
        assert await apply(store, Publish(epoch=epoch, events=(), once=marks[name])) == Published(())
        if name == "ended":
            status = ExecutionStatus.SUCCEEDED
            await apply(
                store, Finish(epoch=epoch, execution_id=given.id, status=status, completed_at=clock.now())
            )
    clock.move(3000 * DAY)

    await _prune(store, clock)

    found = {
        name: await apply(store, Publish(epoch=epoch, events=(), once=mark)) for name, mark in marks.items()
    }
    assert found == {"ended": Published(()), "running": Repeat(answer=b"first answer", is_same=True)}


async def test_expired_keys_are_pruned(store: Store, epoch: Epoch, clock: ManualClock, org: Key) -> None:
    """By their own time, not by the age of events."""
    short, long = once(org, "short", clock.now() + DAY), once(org, "long", clock.now() + 3 * DAY)
    for key in (short, long):
        assert await apply(store, Publish(epoch=epoch, events=(), once=key)) == Published(())
    clock.move(2 * DAY)

    assert await store.prune(before=clock.now() - 100 * DAY, limit=10) == 1

    assert await apply(store, Publish(epoch=epoch, events=(), once=long)) == Repeat(
        answer=b"first answer", is_same=True
    )


async def test_pruning_leaves_configuration_alone(store: Store, clock: ManualClock, org: Key) -> None:
    """However old it is."""
    added = await store.add(
        Organization, id=org, organization_id=org, document=organization(), names=(), at=clock.now()
    )
    clock.move(1_000 * DAY)

    await _prune(store, clock)

    assert await store.get(Organization, org, organization_id=org) == added
    assert await store.get_revision(Organization, org, 1) == added.document
