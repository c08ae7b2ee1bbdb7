"""Executions in the ledger: accept, begin, record, suspend, resume, finish, requeue, claim, adopt, cancel."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
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
    request,
)

from hookline.model.executions import Ending, Failure
from hookline.model.ids import new_key
from hookline.model.states import TERMINAL_EXECUTION, ExecutionStatus, Kind
from hookline.ports import (
    Accept,
    AdoptExecutions,
    Attribute,
    Await,
    Begin,
    Cancel,
    Cancelling,
    ClaimExecutions,
    Finish,
    Instead,
    KeepRequest,
    NewEvent,
    Record,
    Repeat,
    Requeue,
    Resume,
    Suspend,
    Taken,
)

if TYPE_CHECKING:
    from store_bed import ManualClock

    from hookline.model.executions import Execution
    from hookline.model.ids import Key
    from hookline.ports import Epoch, Store

pytestmark = pytest.mark.asyncio

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
RUNNING, QUEUED, WAITING = ExecutionStatus.RUNNING, ExecutionStatus.QUEUED, ExecutionStatus.WAITING


@pytest_asyncio.fixture
async def running(store: Store, epoch: Epoch, clock: ManualClock, org: Key) -> Execution:
    """An execution that runs on this node, in its first attempt."""
    given = execution(org, clock.now())
    await accept(store, epoch, given)
    assert await apply(store, _begin(given, epoch, clock)) is True
    return await _stored(store, given)


def _begin(of: Execution, epoch: Epoch, clock: ManualClock, launch_ms: int = 40) -> Begin:
    return Begin(epoch=epoch, execution_id=of.id, started_at=clock.now(), launch_ms=launch_ms)


def _finish(of: Execution, epoch: Epoch, clock: ManualClock) -> Finish:
    return Finish(
        epoch=epoch, execution_id=of.id, status=ExecutionStatus.SUCCEEDED, completed_at=clock.now(), run_ms=5
    )


def _resume(of: Execution, name: str, value: bytes, clock: ManualClock) -> Resume:
    return Resume(
        organization_id=of.organization_id, execution_id=of.id, name=name, value=value, at=clock.now()
    )


async def _stored(store: Store, of: Execution) -> Execution:
    stored = await store.execution(of.id, organization_id=of.organization_id)
    assert stored is not None
    return stored


async def _claim(store: Store, epoch: Epoch, clock: ManualClock, limit: int = 10) -> tuple[Execution, ...]:
    result = await apply(store, ClaimExecutions(epoch=epoch, limit=limit, now=clock.now()))
    assert isinstance(result, tuple)
    return result


async def _adopt(store: Store, epoch: Epoch, limit: int = 10) -> tuple[Execution, ...]:
    result = await apply(store, AdoptExecutions(epoch=epoch, limit=limit))
    assert isinstance(result, tuple)
    return result


# --- accepting ---


async def test_an_execution_is_stored_with_everything_that_goes_with_it(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """Request, conversation and first events: one transaction, every field as given."""
    given = execution(
        org,
        clock.now(),
        kind=Kind.AGENT,
        source="trigger",
        trigger_id=new_key(),
        request_id=new_key(),
        replay_of=new_key(),
        conversation_id=new_key(),
        callback_id=new_key(),
        callback_url="https://caller.example/done?run=1",
        input=b'{"a":\x00}',
        trigger=b"{}",
        event_sequence=1,
    )
    came = request(org, clock.now(), execution_id=given.id)
    talk = changed(conversation(org, clock.now()), id=given.conversation_id)
    happened = event(org, clock.now(), execution_id=given.id, sequence=1)
    owed = delivery(happened, hook, url="https://caller.example/done?run=1")
    write = Accept(
        epoch=epoch,
        execution=given,
        request=came,
        conversation=talk,
        events=(NewEvent(event=happened, deliveries=(owed,)),),
    )

    assert await apply(store, write) is True

    assert await store.execution(given.id, organization_id=org) == given
    assert await store.request(came.id, organization_id=org) == came
    assert await store.conversation(talk.id, organization_id=org) == talk
    assert await store.execution_events(given.id) == [happened]
    assert await store.delivery(owed.id, organization_id=org) == owed


async def test_an_input_of_null_is_not_an_absent_one(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    for value in (None, b"null", b""):
        given = execution(org, clock.now(), input=value)
        await accept(store, epoch, given)
        assert (await _stored(store, given)).input == value


async def test_accepting_happens_once(store: Store, epoch: Epoch, clock: ManualClock, org: Key) -> None:
    """A repeat stores no execution and is answered with the first answer."""
    key = once(org, "k", clock.now() + SECOND)
    first, second = execution(org, clock.now()), execution(org, clock.now())
    await accept(store, epoch, first, once=key)

    result = await apply(store, Accept(epoch=epoch, execution=second, once=key))

    assert result == Repeat(answer=b"first answer", is_same=True)
    assert await store.execution(second.id, organization_id=org) is None


async def test_an_execution_is_claimed_by_its_acceptor_or_by_nobody(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    mine, free = execution(org, clock.now()), execution(org, clock.now())
    await accept(store, epoch, mine)
    await accept(store, epoch, free, is_claimed=False)

    assert await _claim(store, epoch, clock) == (free,)
    assert await _claim(store, epoch, clock) == ()


async def test_a_kept_request_starts_one_execution_however_often_it_is_tried(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """P5: also in one transaction, and whoever comes too late is told which execution it was."""
    came = request(org, clock.now(), status=401, reason="SIGNATURE_INVALID: It does not fit.")
    await apply(store, KeepRequest(request=came))
    first, second, third = (execution(org, clock.now(), request_id=came.id) for _ in range(3))
    name = once(org, "not spent", clock.now() + DAY)

    results = await store.commit(
        [Accept(epoch=epoch, execution=one, reruns=came.id) for one in (first, second)]
    )
    late = await apply(store, Accept(epoch=epoch, execution=third, reruns=came.id, once=name))
    foreign = await apply(
        store, Accept(epoch=epoch, execution=execution(new_key(), clock.now()), reruns=came.id)
    )
    unspent = await apply(store, Accept(epoch=epoch, execution=third, once=name))
    kept = await store.request(came.id, organization_id=org)

    assert results == [True, Taken(execution_id=first.id)]
    assert late == Taken(execution_id=first.id)
    assert foreign == Taken(execution_id=None)
    assert unspent is True
    assert kept == changed(came, execution_id=first.id)
    assert await store.execution(second.id, organization_id=org) is None


async def test_a_kept_request_that_another_execution_stands_for_is_named_after_it(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """A repeat starts nothing and leaves the request as it was; a skipped one belongs to the one that runs."""
    name = once(org, "delivery-1", clock.now() + DAY)
    running = execution(org, clock.now(), gate=b"g" * 16, gate_limit=1)
    await apply(store, Accept(epoch=epoch, execution=running, once=name))
    repeated, skipped = (request(org, clock.now(), status=401, reason="wrong") for _ in range(2))
    await store.commit([KeepRequest(request=one) for one in (repeated, skipped)])
    new = execution(org, clock.now(), gate=b"g" * 16, gate_limit=1)

    repeat = await apply(
        store, Accept(epoch=epoch, execution=execution(org, clock.now()), reruns=repeated.id, once=name)
    )
    open_still = await store.request(repeated.id, organization_id=org)
    instead = await apply(store, Accept(epoch=epoch, execution=new, reruns=skipped.id, when_full="skip"))
    told = await apply(store, Attribute(organization_id=org, request_id=repeated.id, execution_id=running.id))
    twice = await apply(store, Attribute(organization_id=org, request_id=repeated.id, execution_id=new.id))
    found = [await store.request(one.id, organization_id=org) for one in (repeated, skipped)]

    assert isinstance(repeat, Repeat)
    assert open_still == repeated
    assert instead == Instead(execution_id=running.id, reason="skipped")
    assert (told, twice) == (True, False)
    assert [one.execution_id for one in found if one is not None] == [running.id, running.id]


async def test_a_refused_request_is_kept(store: Store, clock: ManualClock, org: Key) -> None:
    """With its bytes and why; it needs no node that is alive."""
    came = request(org, clock.now(), status=401, reason="The token is wrong.", trigger_id=None)

    assert await apply(store, KeepRequest(request=came)) is True

    assert await store.request(came.id, organization_id=org) == came


# --- beginning ---


async def test_beginning_counts_the_attempt(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """queued to running, with its events, which have the numbers that the engine gave them."""
    given = execution(org, clock.now())
    await accept(store, epoch, given)
    happened = event(org, clock.now(), execution_id=given.id, sequence=1)
    begin = changed(
        _begin(given, epoch, clock),
        events=(NewEvent(event=happened, deliveries=(delivery(happened, hook),)),),
        event_sequence=1,
    )

    assert await apply(store, begin) is True

    assert await _stored(store, given) == changed(
        given, status=RUNNING, attempt=1, started_at=clock.now(), launch_ms=40, event_sequence=1
    )
    assert await store.execution_events(given.id) == [happened]
    assert len(await store.waiting()) == 1


async def test_a_later_attempt_keeps_when_the_first_began(
    store: Store, epoch: Epoch, clock: ManualClock, running: Execution
) -> None:
    """started_at and launch_ms are of the first attempt; sequence 0 leaves the sequence."""
    await apply(store, Requeue(epoch=epoch, execution_id=running.id))
    clock.move(SECOND)
    assert [one.id for one in await _claim(store, epoch, clock)] == [running.id]

    assert await apply(store, _begin(running, epoch, clock, launch_ms=999)) is True

    assert await _stored(store, running) == changed(running, attempt=2)


async def test_only_the_holder_of_a_queued_execution_begins_it(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, running: Execution
) -> None:
    """Not another epoch, not twice, not one that nobody claimed; then no event is kept."""
    free = execution(org, clock.now())
    await accept(store, epoch, free, is_claimed=False)
    happened = event(org, clock.now())
    for write in (
        _begin(running, epoch, clock),
        _begin(free, epoch, clock),
        _begin(execution(org, clock.now()), epoch, clock),
    ):
        assert await apply(store, changed(write, events=(NewEvent(event=happened),))) is False

    assert await store.event(org, happened.public_id) is None
    assert await _stored(store, running) == running


async def test_a_cancelled_execution_does_not_begin(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    given = execution(org, clock.now())
    await accept(store, epoch, given)
    await apply(store, Cancel(epoch=epoch, organization_id=org, execution_id=given.id))

    assert await apply(store, _begin(given, epoch, clock)) is False


# --- recording ---


async def test_what_a_run_did_is_appended_in_order(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, running: Execution
) -> None:
    """Journal, logs, counts and events together."""
    now = clock.now()
    entries = [
        entry("step", "b", now, value=b'{"x":\xff}', duration_ms=17),
        entry("step", "a", now),
        entry("step", "a", now, 1),
        entry("wait", "go", now, value=None),
        entry("sleep", "a", now),
    ]
    happened = event(org, now, execution_id=running.id, sequence=3)
    record = Record(
        epoch=epoch,
        execution_id=running.id,
        entries=tuple(entries[:2]),
        logs=(line(0, now), line(1, now, fields=b'{"k":1}', level="error", stream="stderr", text="zeile\nä")),
        steps=2,
        credits_used=0.25,
        events=(NewEvent(event=happened),),
        event_sequence=3,
    )

    assert await apply(store, record) is True
    second = Record(
        epoch=epoch, execution_id=running.id, entries=tuple(entries[2:]), steps=1, credits_used=0.5
    )
    assert await apply(store, second) is True

    assert await store.journal(running.id) == entries
    assert await store.logs(running.id, after=-1, limit=10) == list(record.logs)
    assert await store.execution_events(running.id) == [happened]
    assert await _stored(store, running) == changed(running, steps=3, credits_used=0.75, event_sequence=3)


async def test_a_recorded_value_is_kept(
    store: Store, epoch: Epoch, clock: ManualClock, running: Execution
) -> None:
    """A call is memoized once: a second value changes nothing, unless the first was still open."""
    now = clock.now()
    first = (
        entry("step", "a", now, value=b"1"),
        entry("wait", "go", now, value=None),
        entry("step", "z", now),
    )
    again = (entry("step", "a", now, value=b"2"), entry("wait", "go", now, value=b"3"))
    await apply(store, Record(epoch=epoch, execution_id=running.id, entries=first))

    assert await apply(store, Record(epoch=epoch, execution_id=running.id, entries=again)) is True

    assert [(one.name, one.value) for one in await store.journal(running.id)] == [
        ("a", b"1"),
        ("go", b"3"),
        ("z", b"1"),
    ]


async def test_records_of_one_batch_apply_in_their_order(
    store: Store, epoch: Epoch, clock: ManualClock, running: Execution
) -> None:
    """And so does what follows them: a run may record and end in one batch."""
    records = [
        Record(
            epoch=epoch,
            execution_id=running.id,
            entries=(entry("step", f"s{n}", clock.now()),),
            event_sequence=n,
        )
        for n in range(1, 4)
    ]

    results = await store.commit([*records, _finish(running, epoch, clock)])

    assert results == [True, True, True, True]
    assert await apply(store, records[0]) is False
    assert [one.name for one in await store.journal(running.id)] == ["s1", "s2", "s3"]
    assert (await _stored(store, running)).event_sequence == 3


async def test_nothing_is_recorded_without_the_claim(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, running: Execution
) -> None:
    """Neither entries nor logs, counts or events."""
    now = clock.now()
    happened = event(org, now, execution_id=running.id, sequence=1)
    record = Record(
        epoch=epoch + 1,
        execution_id=running.id,
        entries=(entry("step", "a", now),),
        logs=(line(0, now),),
        steps=1,
        credits_used=1.0,
        events=(NewEvent(event=happened),),
        event_sequence=1,
    )

    assert await apply(store, record) is False

    assert await store.journal(running.id) == []
    assert await store.logs(running.id, after=-1, limit=10) == []
    assert await store.execution_events(running.id) == []
    assert await _stored(store, running) == running


# --- suspending and resuming ---


async def test_a_suspended_execution_waits_without_a_claim(
    store: Store, epoch: Epoch, clock: ManualClock, running: Execution
) -> None:
    """It wakes when its time has come, is queued then, and says no more that it waits."""
    wake_at = clock.now() + timedelta(hours=1)
    suspend = Suspend(epoch=epoch, execution_id=running.id, waits=(("go", 0),), wake_at=wake_at)

    assert await apply(store, suspend) == "waiting"

    assert await _stored(store, running) == changed(running, status=WAITING, wake_at=wake_at, wait_name="go")
    assert await store.next_wake_at() == wake_at
    assert await apply(store, Record(epoch=epoch, execution_id=running.id, steps=1)) is False
    clock.at = wake_at - timedelta(milliseconds=1)
    assert await _claim(store, epoch, clock) == ()
    clock.at = wake_at
    assert await _claim(store, epoch, clock) == (changed(running, status=QUEUED),)
    assert await store.next_wake_at() is None


async def test_only_an_answer_wakes_one_without_a_time(
    store: Store, epoch: Epoch, clock: ManualClock, running: Execution
) -> None:
    now = clock.now()
    await apply(
        store, Record(epoch=epoch, execution_id=running.id, entries=(entry("wait", "go", now, value=None),))
    )
    await apply(store, Suspend(epoch=epoch, execution_id=running.id, waits=(("go", 0),)))
    clock.move(timedelta(days=1_000))
    assert await _claim(store, epoch, clock) == ()
    assert await store.next_wake_at() is None

    assert await apply(store, _resume(running, "go", b'"yes"', clock)) == "resumed"

    assert [one.status for one in await _claim(store, epoch, clock)] == [QUEUED]
    assert [one.value for one in await store.journal(running.id)] == [b'"yes"']


async def test_an_answer_that_came_meanwhile_makes_it_ready(
    store: Store, epoch: Epoch, clock: ManualClock, running: Execution
) -> None:
    """Between recording the wait and suspending: it must not sleep through its answer."""
    waits = (entry("wait", "go", clock.now(), value=None), entry("wait", "stop", clock.now(), value=None))
    await apply(store, Record(epoch=epoch, execution_id=running.id, entries=waits))
    assert await apply(store, _resume(running, "stop", b"1", clock)) == "resumed"
    assert (await _stored(store, running)).status is RUNNING

    suspend = Suspend(epoch=epoch, execution_id=running.id, waits=(("go", 0), ("stop", 0)))
    assert await apply(store, suspend) == "ready"

    assert await _claim(store, epoch, clock) == (changed(running, status=QUEUED),)


async def test_an_execution_that_was_asked_to_end_does_not_sleep(
    store: Store, epoch: Epoch, clock: ManualClock, running: Execution
) -> None:
    """It is queued instead, so that whoever claims it ends it."""
    cancel = Cancel(epoch=epoch, organization_id=running.organization_id, execution_id=running.id)
    await apply(store, cancel)

    assert await apply(store, Suspend(epoch=epoch, execution_id=running.id)) == "ready"

    assert [one.is_cancel_requested for one in await _claim(store, epoch, clock)] == [True]


async def test_only_the_holder_of_a_running_execution_suspends_it(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, running: Execution
) -> None:
    queued = execution(org, clock.now())
    await accept(store, epoch, queued)

    assert await apply(store, Suspend(epoch=epoch + 1, execution_id=running.id)) is False
    assert await apply(store, Suspend(epoch=epoch, execution_id=queued.id)) is False

    assert await _stored(store, running) == running


async def test_an_answer_before_its_wait_is_kept_for_it(
    store: Store, epoch: Epoch, clock: ManualClock, running: Execution
) -> None:
    """It answers the first wait of that name; a second one cannot be kept."""
    assert await apply(store, _resume(running, "go", b"1", clock)) == "stored"
    assert await apply(store, _resume(running, "go", b"2", clock)) == "conflict"

    waits = (entry("wait", "go", clock.now(), value=None), entry("wait", "go", clock.now(), 1, value=None))
    await apply(store, Record(epoch=epoch, execution_id=running.id, entries=waits))

    assert [one.value for one in await store.journal(running.id)] == [b"1", None]
    assert await apply(store, Suspend(epoch=epoch, execution_id=running.id, waits=(("go", 1),))) == "waiting"


async def test_the_oldest_open_wait_of_a_name_is_answered_first(
    store: Store, epoch: Epoch, clock: ManualClock, running: Execution
) -> None:
    waits = tuple(entry("wait", "go", clock.now(), n, value=None) for n in (1, 0, 2))
    await apply(store, Record(epoch=epoch, execution_id=running.id, entries=waits))

    answers = [await apply(store, _resume(running, "go", b"%d" % n, clock)) for n in range(4)]

    assert answers == ["resumed", "resumed", "resumed", "conflict"]
    journal = await store.journal(running.id)
    assert sorted((one.occurrence, one.value) for one in journal) == [(0, b"0"), (1, b"1"), (2, b"2")]


async def test_a_step_of_the_same_name_is_no_wait(
    store: Store, epoch: Epoch, clock: ManualClock, running: Execution
) -> None:
    await apply(
        store, Record(epoch=epoch, execution_id=running.id, entries=(entry("step", "go", clock.now()),))
    )

    assert await apply(store, _resume(running, "go", b"1", clock)) == "stored"


async def test_an_end_answers_the_one_that_waits_for_it(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, running: Execution
) -> None:
    """One transaction: no node can die between the end of a called execution and the word to its caller."""
    called = execution(org, clock.now())
    await accept(store, epoch, called)
    wait = entry("wait", "its end", clock.now(), value=None)
    await apply(store, Record(epoch=epoch, execution_id=running.id, entries=(wait,)))
    await apply(store, Suspend(epoch=epoch, execution_id=running.id, waits=(("its end", 0),)))
    finish = changed(_finish(called, epoch, clock), answers=_resume(running, "its end", b"7", clock))
    fenced = await apply(store, changed(finish, epoch=epoch + 1))
    before = await _stored(store, running)
    done = await apply(store, finish)

    assert (fenced, before.status, done) == (False, WAITING, True)
    assert [one.id for one in await _claim(store, epoch, clock)] == [running.id]
    assert [one.value for one in await store.journal(running.id)] == [b"7"]


async def test_an_end_before_its_caller_waits_is_kept_and_one_for_nobody_is_an_end_all_the_same(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, running: Execution
) -> None:
    early, orphan = execution(org, clock.now()), execution(org, clock.now())
    for each in (early, orphan):
        await accept(store, epoch, each)
    told = _resume(running, "its end", b"7", clock)
    await apply(store, changed(_finish(early, epoch, clock), answers=told))
    done = await apply(
        store, changed(_finish(orphan, epoch, clock), answers=changed(told, execution_id=new_key()))
    )
    wait = entry("wait", "its end", clock.now(), value=None)
    await apply(store, Record(epoch=epoch, execution_id=running.id, entries=(wait,)))

    assert done is True
    assert (await _stored(store, orphan)).status is ExecutionStatus.SUCCEEDED
    assert [one.value for one in await store.journal(running.id)] == [b"7"]


async def test_answers_are_refused_where_nobody_can_take_them(
    store: Store, epoch: Epoch, clock: ManualClock, running: Execution
) -> None:
    """A foreign execution looks missing; an ended one is a conflict."""
    foreign = changed(_resume(running, "go", b"1", clock), organization_id=new_key())
    assert await apply(store, foreign) == "missing"
    missing = changed(_resume(running, "go", b"1", clock), execution_id=new_key())
    assert await apply(store, missing) == "missing"

    await apply(store, _finish(running, epoch, clock))

    assert await apply(store, _resume(running, "go", b"1", clock)) == "conflict"
    assert await store.journal(running.id) == []


# --- finishing ---


@pytest.mark.parametrize("status", sorted(TERMINAL_EXECUTION))
async def test_an_execution_ends_in_one_of_five_ways(
    store: Store, epoch: Epoch, clock: ManualClock, running: Execution, status: ExecutionStatus
) -> None:
    """With what it returned or why it did not; the claim is freed."""
    at = clock.move(SECOND)
    failure = Failure(code="FAILED", message="größer", type="ValueError", stack="line 1\n", limit="org")
    finish = changed(
        _finish(running, epoch, clock), status=status, output=b'{"ok":\x00}', error=failure, event_sequence=9
    )

    assert await apply(store, finish) is True

    assert await _stored(store, running) == changed(
        running,
        status=status,
        completed_at=at,
        run_ms=5,
        output=b'{"ok":\x00}',
        error=failure,
        event_sequence=9,
    )
    for write in (finish, Requeue(epoch=epoch, execution_id=running.id), _begin(running, epoch, clock)):
        assert await apply(store, write) is False


async def test_an_end_comes_with_its_events_and_conversation(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, hook: Key
) -> None:
    """The stored conversation is replaced; without the claim none of it is written."""
    talk = conversation(org, clock.now())
    given = execution(org, clock.now(), conversation_id=talk.id)
    await accept(store, epoch, given, conversation=talk)
    happened = event(org, clock.now(), execution_id=given.id, sequence=1)
    ended = changed(
        talk,
        status="resolved",
        completed_at=clock.now(),
        message_count=2,
        credits_used=1.5,
        satisfaction_score=0.75,
        resolution=b"{}",
    )
    finish = changed(
        _finish(given, epoch, clock),
        conversation=ended,
        events=(NewEvent(event=happened, deliveries=(delivery(happened, hook),)),),
    )

    assert await apply(store, changed(finish, epoch=epoch + 1)) is False
    assert await store.conversation(talk.id, organization_id=org) == talk
    assert await store.execution_events(given.id) == []

    assert await apply(store, finish) is True
    assert await store.conversation(talk.id, organization_id=org) == ended
    assert await store.execution_events(given.id) == [happened]


async def test_an_end_that_is_none_is_our_own_mistake(
    store: Store, epoch: Epoch, clock: ManualClock, running: Execution
) -> None:
    with pytest.raises(ValueError, match="terminal"):
        await store.commit([changed(_finish(running, epoch, clock), status=WAITING)])


# --- claiming, giving back, taking over ---


async def test_executions_are_claimed_oldest_first(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """Queued and woken ones alike, bounded, each once."""
    slept, *queued = [execution(org, clock.now()) for _ in range(4)]
    await accept(store, epoch, slept)
    await apply(store, _begin(slept, epoch, clock))
    await apply(store, Suspend(epoch=epoch, execution_id=slept.id, wake_at=clock.now()))
    for one in reversed(queued):
        await accept(store, epoch, one, is_claimed=False)

    first = await _claim(store, epoch, clock, limit=3)
    rest = await _claim(store, epoch, clock, limit=3)

    assert [one.id for one in first + rest] == [slept.id, *[one.id for one in queued]]
    assert {one.status for one in first} == {QUEUED}


async def test_giving_back_makes_an_execution_claimable(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, running: Execution
) -> None:
    """Running or only claimed; another's claim is not given back."""
    queued = execution(org, clock.now())
    await accept(store, epoch, queued)
    assert await apply(store, Requeue(epoch=epoch + 1, execution_id=running.id)) is False

    assert await apply(store, Requeue(epoch=epoch, execution_id=running.id)) is True
    assert await apply(store, Requeue(epoch=epoch, execution_id=queued.id)) is True
    assert await apply(store, Requeue(epoch=epoch, execution_id=queued.id)) is False

    assert await _claim(store, epoch, clock) == (changed(running, status=QUEUED), queued)


async def test_what_a_dead_node_held_is_taken_over_as_it_is(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, running: Execution
) -> None:
    """Queued or running, bounded, once; the dead node's later writes are refused."""
    queued, free = execution(org, clock.now()), execution(org, clock.now())
    await accept(store, epoch, queued)
    await accept(store, epoch, free, is_claimed=False)
    assert await _adopt(store, epoch) == ()
    await store.close_node(epoch)
    second = await store.open_node("two", lease=LEASE)

    adopted = await _adopt(store, second, limit=1) + await _adopt(store, second) + await _adopt(store, second)

    assert sorted(adopted, key=lambda one: one.id) == [running, queued]
    assert await apply(store, Record(epoch=epoch, execution_id=running.id, steps=1)) is False
    assert await apply(store, _finish(running, epoch, clock)) is False
    assert await apply(store, _begin(queued, second, clock)) is True
    assert await apply(store, _finish(running, second, clock)) is True


# --- cancelling ---


async def test_cancelling_one_that_nobody_holds_seizes_it(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, running: Execution
) -> None:
    """Queued or waiting: it is the caller's to finish, and nobody else claims it."""
    queued = execution(org, clock.now())
    await accept(store, epoch, queued, is_claimed=False)
    await apply(store, Suspend(epoch=epoch, execution_id=running.id, wake_at=clock.now()))
    waiting = await _stored(store, running)

    for one in (queued, waiting):
        result = await apply(store, Cancel(epoch=epoch, organization_id=org, execution_id=one.id))
        assert result == Cancelling(
            execution=changed(one, is_cancel_requested=True), is_seized=True, holder=epoch
        )

    assert await _claim(store, epoch, clock) == ()
    for one in (queued, waiting):
        assert await apply(store, changed(_finish(one, epoch, clock), status=ExecutionStatus.KILLED)) is True
    assert (await _stored(store, waiting)).wake_at is None


async def test_cancelling_a_claimed_one_sets_a_flag_for_its_holder(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, running: Execution
) -> None:
    """Asking twice is asking once."""
    assert await store.cancel_requested(epoch) == []
    for _ in range(2):
        result = await apply(store, Cancel(epoch=epoch, organization_id=org, execution_id=running.id))
        assert result == Cancelling(
            execution=changed(running, is_cancel_requested=True), is_seized=False, holder=epoch
        )

    assert await store.cancel_requested(epoch) == [running.id]
    assert await store.cancel_requested(epoch + 1) == []
    assert await apply(store, _finish(running, epoch, clock)) is True
    assert await store.cancel_requested(epoch) == []


async def test_cancelling_an_ended_one_changes_nothing(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, running: Execution
) -> None:
    await apply(store, _finish(running, epoch, clock))
    ended = await _stored(store, running)

    result = await apply(store, Cancel(epoch=epoch, organization_id=org, execution_id=running.id))

    assert result == Cancelling(execution=ended, is_seized=False, holder=None)
    assert await _stored(store, running) == ended


async def test_cancelling_finds_nothing_of_another_organization(
    store: Store, epoch: Epoch, running: Execution
) -> None:
    for organization_id, id_ in ((new_key(), running.id), (running.organization_id, new_key())):
        write = Cancel(epoch=epoch, organization_id=organization_id, execution_id=id_)
        assert await apply(store, write) is None

    assert await _stored(store, running) == running


# --- endings ------------------------------------------------------------------------------------------------


async def test_the_endings_of_some_executions_are_those_that_ended(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key, running: Execution
) -> None:
    other = execution(org, clock.now())
    await accept(store, epoch, other)
    failure = Failure(code="FAILED", message="no such order", type="KeyError")
    finish = changed(_finish(running, epoch, clock), status=ExecutionStatus.FAILED, error=failure)
    assert await apply(store, finish) is True

    (ending,) = await store.endings([running.id, other.id, new_key()])

    assert ending == Ending(
        execution_id=running.id,
        organization_id=org,
        status=ExecutionStatus.FAILED,
        completed_at=clock.now(),
        error=failure,
    )


async def test_an_ending_holds_the_result(
    store: Store, epoch: Epoch, clock: ManualClock, running: Execution
) -> None:
    await apply(store, changed(_finish(running, epoch, clock), output=b'{"a":1}'))

    (ending,) = await store.endings([running.id])

    assert (ending.status, ending.output, ending.error) == (ExecutionStatus.SUCCEEDED, b'{"a":1}', None)


async def test_waiting_for_an_end_changes_nothing_and_may_be_said_of_any_id(
    store: Store, epoch: Epoch, clock: ManualClock, running: Execution
) -> None:
    waits = [Await(epoch=epoch, execution_id=id_) for id_ in (running.id, running.id, new_key())]

    assert await store.commit(waits) == [True, True, True]
    assert await _stored(store, running) == running
    assert await store.commit([*waits, _finish(running, epoch, clock)]) == [True, True, True, True]


async def test_an_answer_to_a_name_whose_waits_are_all_answered_is_refused(
    store: Store, epoch: Epoch, clock: ManualClock, running: Execution
) -> None:
    """Found by random histories: the two stores disagreed when occurrence 0 was not there."""
    later = entry("wait", "go", clock.now(), occurrence=1, value=None)
    await apply(store, Record(epoch=epoch, execution_id=running.id, entries=(later,)))
    resume = Resume(
        organization_id=running.organization_id,
        execution_id=running.id,
        name="go",
        value=b"1",
        at=clock.now(),
    )

    assert await apply(store, resume) == "resumed"
    assert await apply(store, resume) == "conflict"
