"""Conversations in the ledger, over both stores: joined while open, closed once, never under a turn."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from store_bed import apply, changed, conversation, event, execution

from hookline.core.turns import conversation_gate
from hookline.model.states import ExecutionStatus, Kind
from hookline.ports import (
    Accept,
    Begin,
    ClaimExecutions,
    CloseConversation,
    Closed,
    ConversationFilter,
    Finish,
    NewEvent,
    OpenConversation,
)

if TYPE_CHECKING:
    from store_bed import ManualClock

    from hookline.model.executions import Conversation, Execution
    from hookline.model.ids import Key
    from hookline.ports import Epoch, Store

pytestmark = pytest.mark.asyncio

SECOND = timedelta(seconds=1)


def _turn(of: Conversation, clock: ManualClock) -> Execution:
    return execution(
        of.organization_id,
        clock.now(),
        kind=Kind.AGENT,
        conversation_id=of.id,
        gate=conversation_gate(of.id),
        gate_limit=1,
    )


def _close(of: Conversation, epoch: Epoch, clock: ManualClock, **changes: Any) -> CloseConversation:
    told = event(of.organization_id, clock.now(), type="agent.conversation.completed")
    fields: dict[str, Any] = {
        "epoch": epoch,
        "conversation": changed(of, status="resolved", completed_at=clock.now(), resolution=b"{}"),
        "gate": conversation_gate(of.id),
        "events": (NewEvent(event=told),),
        **changes,
    }
    return CloseConversation(**fields)


async def _opened(store: Store, epoch: Epoch, clock: ManualClock, org: Key, **fields: Any) -> Conversation:
    made = conversation(org, clock.now(), **fields)
    assert await apply(store, OpenConversation(epoch=epoch, conversation=made)) is True
    return made


async def _accept(store: Store, epoch: Epoch, turn: Execution) -> None:
    write = Accept(epoch=epoch, execution=turn, joins=turn.conversation_id)
    assert await apply(store, write) is True


async def _run(store: Store, epoch: Epoch, clock: ManualClock, turn: Execution) -> None:
    claimed = await apply(store, ClaimExecutions(epoch=epoch, limit=9, now=clock.now()))
    assert isinstance(claimed, tuple)
    assert [one.id for one in claimed] == [turn.id]
    begin = Begin(epoch=epoch, execution_id=turn.id, started_at=clock.now(), launch_ms=1)
    finish = Finish(
        epoch=epoch,
        execution_id=turn.id,
        status=ExecutionStatus.SUCCEEDED,
        completed_at=clock.now(),
        gate=turn.gate,
    )
    assert (await apply(store, begin), await apply(store, finish)) == (True, True)


async def _ended_events(store: Store, org: Key) -> int:
    return len(await store.recent_events(org, before=None, types=("agent.conversation.completed",), limit=9))


async def test_a_conversation_is_closed_once_and_takes_no_turn_after(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """AF-10: exactly one end."""
    made = await _opened(store, epoch, clock, org)
    assert [await apply(store, _close(made, epoch, clock)) for _ in range(2)] == [True, False]
    late = _turn(made, clock)
    result = await apply(store, Accept(epoch=epoch, execution=late, joins=made.id))

    assert isinstance(result, Closed)
    assert await store.execution(late.id, organization_id=org) is None
    stored = await store.conversation(made.id, organization_id=org)
    assert stored is not None
    assert (stored.status, stored.completed_at) == ("resolved", clock.now())
    assert await _ended_events(store, org) == 1


async def test_turns_run_one_at_a_time_and_hold_the_end_off(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    made = await _opened(store, epoch, clock, org)
    first, second = _turn(made, clock), _turn(made, clock)
    await _accept(store, epoch, first)
    await _accept(store, epoch, second)
    early = await apply(store, _close(made, epoch, clock))
    await _run(store, epoch, clock, first)
    between = await apply(store, _close(made, epoch, clock))
    await _run(store, epoch, clock, second)

    assert (early, between, await apply(store, _close(made, epoch, clock))) == (False, False, True)


async def test_an_end_made_from_an_old_count_is_refused(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    made = await _opened(store, epoch, clock, org, message_count=2)
    assert await apply(store, _close(changed(made, message_count=1), epoch, clock)) is False
    assert await _ended_events(store, org) == 0


async def test_silence_counts_from_the_last_turn(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """Only open ones in which nothing goes on are idle, and one that spoke meanwhile is not closed."""
    silent = await _opened(store, epoch, clock, org)
    spoken = await _opened(store, epoch, clock, org)
    closed = await _opened(store, epoch, clock, org)
    await apply(store, _close(closed, epoch, clock))
    turn = _turn(spoken, clock)
    await _accept(store, epoch, turn)
    since = clock.move(10 * SECOND)
    while_it_runs = await store.idle_conversations(now=since, idle_ms=0, limit=9)
    await _run(store, epoch, clock, turn)
    after_it_ran = await store.idle_conversations(now=since, idle_ms=0, limit=9)
    refused = await apply(store, _close(spoken, epoch, clock, idle_since=since))
    later = clock.move(SECOND)

    assert [one.id for one in while_it_runs] == [silent.id]
    assert [one.id for one in after_it_ran] == [silent.id]
    assert refused is False
    idle = await store.idle_conversations(now=later, idle_ms=0, limit=9)
    assert {one.id for one in idle} == {silent.id, spoken.id}
    assert await apply(store, _close(spoken, epoch, clock, idle_since=later)) is True


async def test_a_conversation_has_the_patience_of_its_agent(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """Issue 5: an idle time-out of the agent stands before the server's, be it shorter or longer."""
    patient = await _opened(store, epoch, clock, org, idle_ms=60_000)
    hasty = await _opened(store, epoch, clock, org, idle_ms=1_000)
    usual = await _opened(store, epoch, clock, org)

    async def idle_after(seconds: int) -> set[Key]:
        now = clock.now() + seconds * SECOND
        return {one.id for one in await store.idle_conversations(now=now, idle_ms=10_000, limit=9)}

    assert await idle_after(1) == set()
    assert await idle_after(2) == {hasty.id}
    assert await idle_after(11) == {hasty.id, usual.id}
    assert await idle_after(61) == {hasty.id, usual.id, patient.id}
    stored = await store.conversation(patient.id, organization_id=org)
    assert stored is not None
    assert stored.idle_ms == 60_000


async def test_conversations_are_listed_by_what_is_asked(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    ada = await _opened(store, epoch, clock, org, user_id="ada")
    bob = await _opened(store, epoch, clock, org, user_id="bob")
    other = await _opened(store, epoch, clock, org, agent_id="sales")
    await apply(store, _close(bob, epoch, clock))

    async def listed(**fields: str) -> list[Key]:
        found = await store.conversations(org, ConversationFilter(**fields), before=None, limit=9)
        return [one.id for one in found]

    assert await listed() == [other.id, bob.id, ada.id]
    assert await listed(user_id="bob") == [bob.id]
    assert await listed(agent_id="sales") == [other.id]
    assert await listed(status="open") == [other.id, ada.id]
    assert await store.conversations(bytes(16), ConversationFilter(), before=None, limit=9) == []
    page = await store.conversations(org, ConversationFilter(), before=other.id, limit=1)
    assert [one.id for one in page] == [bob.id]
