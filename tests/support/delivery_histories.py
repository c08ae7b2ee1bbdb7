"""Random histories of events and deliveries: whatever is written in whatever order, a store agrees with dicts."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from store_bed import LEASE, Backend, ManualClock, attempt, changed, delivery, event

from hookline.model.ids import new_key
from hookline.model.states import AttemptOutcome, DeliveryState, Lane
from hookline.ports import (
    AdoptExecutions,
    ClaimDeliveries,
    DeliveryFilter,
    NewEvent,
    Owed,
    Publish,
    Published,
    Reopen,
    Settle,
    Shift,
    Want,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from hookline.model.events import Delivery, Event
    from hookline.model.executions import Execution, JournalEntry
    from hookline.model.ids import Key
    from hookline.ports import Epoch, Store, Write
    from hookline.testing.postgres import PostgresServer

PENDING, IN_FLIGHT, HELD = DeliveryState.PENDING, DeliveryState.IN_FLIGHT, DeliveryState.HELD
ENDS = (DeliveryState.SUCCEEDED, DeliveryState.EXHAUSTED, DeliveryState.CANCELLED)

HOOKS = tuple(sorted(new_key() for _ in range(3)))
NAMES = ("go", "stop")
PLACES = st.integers(1, 1_000)
"""Picks one of what there is, modulo how many there are."""
LATE = st.sampled_from([False, False, False, True])
"""Written under the epoch before, whose claims are gone."""


class DeliveryHistories(RuleBasedStateMachine):
    """The model: what a store must hold, in dicts. One node at a time, which may die and come again."""

    backend_name = ""
    spoil: Callable[[Write], Write] = staticmethod(lambda write: write)
    server: PostgresServer | None = None

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.org = new_key()
        self.events: dict[Key, Event] = {}
        self.feed: list[Key] = []
        self.deliveries: dict[Key, Delivery] = {}
        self.holders: dict[Key, Epoch | None] = {}
        self.attempts: dict[Key, list[AttemptOutcome]] = {}
        self.executions: dict[Key, Execution] = {}
        self.journals: dict[Key, list[JournalEntry]] = {}

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def commit(self, writes: list[Write]) -> Any:
        return self.run(self.store.commit([self.spoil(write) for write in writes]))

    def apply(self, write: Write) -> Any:
        (result,) = self.commit([write])
        return result

    @initialize()
    def open(self) -> None:
        place: Path | str = Path(self.folder.name) / "hookline.db"
        if self.server is not None:
            place = self.server.fresh_database()
        self.backend = Backend(name=self.backend_name, place=place, clock=self.clock)
        self.store: Store = self.backend.store()
        self.run(self.store.open())
        self.epoch = self.run(self.store.open_node("node", lease=LEASE))

    def teardown(self) -> None:
        try:
            if hasattr(self, "store"):
                self.compare()
        finally:
            if hasattr(self, "store"):
                self.run(self.store.close())
            self.runner.close()
            self.folder.cleanup()

    # --- events and deliveries ---

    @rule(
        own_id=st.sampled_from([None, None, "a", "b", "c"]),
        states=st.lists(st.sampled_from([PENDING, IN_FLIGHT, HELD]), max_size=3),
        wait_ms=st.sampled_from([0, 0, 0, 500]),
    )
    def publish(self, own_id: str | None, states: list[DeliveryState], wait_ms: int) -> None:
        happened = event(self.org, self.clock.now(), own_id=own_id)
        owed = []
        for hook, state in zip(HOOKS, states, strict=False):
            due = self.clock.now() + timedelta(milliseconds=wait_ms)
            due_at = {"next_attempt_at": due} if state is PENDING else {}
            owed.append(delivery(happened, hook, state=state, **due_at))
        is_new = own_id is None or own_id not in {one.own_id for one in self.events.values()}

        result = self.apply(
            Publish(epoch=self.epoch, events=(NewEvent(event=happened, deliveries=tuple(owed)),))
        )

        assert result == Published((is_new,))
        if is_new:
            self.events[happened.key] = happened
            self.feed.append(happened.key)
            for one in owed:
                self.deliveries[one.id] = one
                self.holders[one.id] = self.epoch if one.state is IN_FLIGHT else None
                self.attempts[one.id] = []

    @rule(place=PLACES, limit=st.integers(1, 4))
    def claim(self, place: int, limit: int) -> None:
        lanes = [(one.webhook_id, one.lane) for one in self.deliveries.values() if one.state is PENDING]
        lanes += [(HOOKS[0], Lane.FIRST)]
        hook, lane = lanes[place % len(lanes)]
        want = Want(webhook_id=hook, lane=lane, limit=limit, revision=3)
        now = self.clock.now()
        due = [
            one
            for one in self.deliveries.values()
            if one.webhook_id == hook
            and one.lane is lane
            and one.next_attempt_at is not None
            and one.next_attempt_at <= now
        ]

        taken: tuple[Owed, ...] = self.apply(ClaimDeliveries(epoch=self.epoch, wants=(want,), now=now))

        times = [self.deliveries[owed.delivery.id].next_attempt_at for owed in taken]
        assert times == sorted(one.next_attempt_at for one in due)[:limit]  # type: ignore[type-var]
        for owed in taken:
            old = self.deliveries[owed.delivery.id]
            assert old in due
            assert owed.event == self.events[old.event_key]  # type: ignore[index]
            new = changed(
                old, state=IN_FLIGHT, next_attempt_at=None, webhook_revision=old.webhook_revision or 3
            )
            assert owed.delivery == new
            self.deliveries[old.id] = new
            self.holders[old.id] = self.epoch

    @precondition(lambda self: self.deliveries)
    @rule(
        places=st.lists(PLACES, min_size=1, max_size=4),
        ends=st.lists(st.sampled_from([PENDING, HELD, *ENDS]), min_size=4, max_size=4),
        is_sent=st.booleans(),
        is_late=LATE,
    )
    def settle(self, places: list[int], ends: list[DeliveryState], is_sent: bool, is_late: bool) -> None:
        """Several outcomes in one batch, some of them of claims that are gone or of the same delivery twice."""
        batch: list[Write] = []
        expected = []
        epoch = self.epoch - 1 if is_late else self.epoch
        now = self.clock.now()
        for place, end in zip(places, ends, strict=False):
            flying = [one for one in self.deliveries.values() if one.state is IN_FLIGHT]
            choice = list(self.deliveries.values()) if place % 7 == 0 or not flying else flying
            old = choice[place % len(choice)]
            sent = attempt(old, now, outcome=AttemptOutcome.HTTP_ERROR, status=500) if is_sent else None
            due = now + timedelta(seconds=1) if end is PENDING else None
            batch.append(
                Settle(
                    epoch=epoch,
                    delivery_id=old.id,
                    webhook_id=old.webhook_id,
                    at=now,
                    attempt=sent,
                    state=end,
                    state_reason="x" if end is HELD else None,
                    next_attempt_at=due,
                    failures=old.failures + is_sent,
                    body=b"body" if is_sent else None,
                )
            )
            is_ours = self.holders[old.id] == epoch
            expected.append(is_ours)
            if is_ours:
                self.holders[old.id] = None
                new = changed(
                    old,
                    state=end,
                    state_reason="x" if end is HELD else None,
                    lane=Lane.RETRY,
                    next_attempt_at=due,
                    failures=old.failures + is_sent,
                    ended_at=now if end in ENDS else None,
                )
                if sent is not None:
                    new = changed(
                        new, attempts_made=old.attempts_made + 1, last_status=500, last_ms=12, body=b"body"
                    )
                    self.attempts[old.id].append(sent.outcome)
                self.deliveries[old.id] = new

        assert self.commit(batch) == expected

    @precondition(lambda self: self.deliveries)
    @rule(place=PLACES, lane=st.sampled_from(Lane))
    def reopen(self, place: int, lane: Lane) -> None:
        old = list(self.deliveries.values())[place % len(self.deliveries)]
        if old.state is not IN_FLIGHT:
            self.deliveries[old.id] = changed(
                old,
                state=PENDING,
                state_reason=None,
                lane=lane,
                next_attempt_at=self.clock.now(),
                ended_at=None,
            )

        write = Reopen(organization_id=self.org, delivery_id=old.id, lane=lane, at=self.clock.now())
        assert self.apply(write) == self.deliveries[old.id]

    @rule(
        hook=st.sampled_from(HOOKS),
        sources=st.sets(st.sampled_from(DeliveryState), min_size=1),
        to=st.sampled_from([PENDING, HELD, *ENDS]),
        luck=st.integers(0, 2),
    )
    def shift(self, hook: Key, sources: set[DeliveryState], to: DeliveryState, luck: int) -> None:
        if luck:
            return
        now = self.clock.now()
        due, reason = (now, None) if to is PENDING else (None, "why")
        write = Shift(
            webhook_id=hook,
            sources=tuple(sources - {to}),
            to=to,
            reason=reason,
            next_attempt_at=due,
            at=now,
        )
        moving = [
            one
            for one in self.deliveries.values()
            if one.webhook_id == hook and one.state in sources - {to, IN_FLIGHT}
        ]

        assert self.apply(write) == len(moving)

        for old in moving:
            self.deliveries[old.id] = changed(
                old,
                state=to,
                state_reason=reason,
                next_attempt_at=due,
                ended_at=now if to in ENDS else None,
            )

    # --- time, death, restart ---

    @rule(ms=st.integers(1, 5_000))
    def wait(self, ms: int) -> None:
        self.clock.move(timedelta(milliseconds=ms))

    @rule(is_restart=st.booleans(), luck=st.integers(0, 4))
    def die(self, is_restart: bool, luck: int) -> None:
        """The node ends, the next one takes over what it held."""
        if luck:
            return
        self.run(self.store.close_node(self.epoch))
        if is_restart:
            self.run(self.store.close())
            self.store = self.backend.store()
            self.run(self.store.open())
        old_epoch, self.epoch = self.epoch, self.run(self.store.open_node("node", lease=LEASE))
        assert self.epoch > old_epoch
        held = [id_ for id_, holder in self.holders.items() if holder is not None and self._is_flying(id_)]

        assert self.run(self.store.recover(self.epoch)) == len(held)

        for id_ in held:
            old = self.deliveries[id_]
            stored = self.run(self.store.delivery(id_, organization_id=self.org))
            assert stored.next_attempt_at is not None  # by the database's clock
            self.deliveries[id_] = changed(
                old,
                state=PENDING,
                next_attempt_at=stored.next_attempt_at,
                attempts_made=old.attempts_made + 1,
                interruptions=old.interruptions + 1,
                last_status=None,
                last_ms=0,
            )
            self.holders[id_] = None
            self.attempts[id_].append(AttemptOutcome.INTERRUPTED)
        adopted = self.apply(AdoptExecutions(epoch=self.epoch, limit=1_000))
        runs = [one.id for one in self.executions.values() if self.holders[one.id] is not None]
        assert sorted(one.id for one in adopted) == sorted(runs)
        for one in adopted:
            assert one == self.executions[one.id]
            self.holders[one.id] = self.epoch

    def _is_flying(self, id_: Key) -> bool:
        return id_ in self.deliveries and self.deliveries[id_].state is IN_FLIGHT

    # --- what is stored ---

    @rule()
    def compare(self) -> None:
        """Everything that can be read, against the model."""
        self.run(self._compare())

    async def _compare(self) -> None:
        assert await self._feed() == self.feed
        found = await self.store.deliveries(self.org, DeliveryFilter(), before=None, limit=10_000)
        assert {one.id for one in found} == set(self.deliveries)
        for stored_delivery in found:
            assert stored_delivery == self.deliveries[stored_delivery.id]
        for id_, outcomes in self.attempts.items():
            sent = await self.store.attempts(id_)
            assert [one.outcome for one in sent] == outcomes
            assert [one.number for one in sent] == list(range(1, len(outcomes) + 1))
        for id_, one in self.executions.items():
            assert await self.store.execution(id_, organization_id=self.org) == one
            journal = await self.store.journal(id_)
            # A wait that was answered before it was recorded keeps its place; when it was is not promised.
            assert [_untimed(kept) for kept in journal] == [_untimed(kept) for kept in self.journals[id_]]
        due: dict[tuple[Key, Lane], Any] = {}
        for owed in self.deliveries.values():
            if owed.next_attempt_at is not None:
                place = (owed.webhook_id, owed.lane)
                due[place] = min(due.get(place, owed.next_attempt_at), owed.next_attempt_at)
        lanes = await self.store.waiting()
        assert {(lane.webhook_id, lane.lane): lane.due_at for lane in lanes} == due
        held = {id_ for id_, holder in self.holders.items() if holder == self.epoch}
        assert {id_ for id_, _ in await self.store.claimed_deliveries(self.epoch)} == held & set(
            self.deliveries
        )
        assert set(await self.store.claimed_executions(self.epoch)) == held & set(self.executions)

    async def _feed(self) -> list[Key]:
        """An event is shown when no earlier one can still commit: on a shared server that may take a moment."""
        async with asyncio.timeout(10):
            while True:
                page = await self.store.events(self.org, after=None, limit=10_000)
                if len(page.events) == len(self.feed):
                    return [one.key for one in page.events]
                await asyncio.sleep(0.01)


def _untimed(entry: JournalEntry) -> tuple[Any, ...]:
    return msgspec.structs.astuple(entry)[:4]
