"""Random histories of a whole store: deliveries and executions, against a model made of dicts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from delivery_histories import LATE, NAMES, PLACES, DeliveryHistories
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from store_bed import changed, entry, execution

from hookline.model.states import ExecutionStatus
from hookline.ports import (
    Accept,
    Begin,
    Cancel,
    Cancelling,
    ClaimExecutions,
    Finish,
    Record,
    Requeue,
    Resume,
    Suspend,
)

if TYPE_CHECKING:
    from hookline.model.executions import Execution, JournalEntry
    from hookline.model.ids import Key
    from hookline.ports import Epoch

QUEUED, RUNNING, WAITING = ExecutionStatus.QUEUED, ExecutionStatus.RUNNING, ExecutionStatus.WAITING


class Histories(DeliveryHistories):
    """The whole model."""

    # --- executions ---

    @rule(is_claimed=st.booleans(), is_begun=st.booleans())
    def accept(self, is_claimed: bool, is_begun: bool) -> None:
        given = execution(self.org, self.clock.now())
        assert self.apply(Accept(epoch=self.epoch, execution=given, is_claimed=is_claimed)) is True
        self.executions[given.id] = given
        self.holders[given.id] = self.epoch if is_claimed else None
        self.journals[given.id] = []
        if is_claimed and is_begun:
            now = self.clock.now()
            begin = Begin(epoch=self.epoch, execution_id=given.id, started_at=now, launch_ms=7)
            assert self.apply(begin) is True
            self._put(given, holder=self.epoch, status=RUNNING, attempt=1, started_at=now, launch_ms=7)

    def _pick(self, place: int, *statuses: ExecutionStatus, is_held: bool | None = None) -> Execution:
        """Mostly one to which something will happen, now and then any."""
        every = list(self.executions.values())
        apt = [
            one
            for one in every
            if one.status in statuses and (is_held is None or (self.holders[one.id] == self.epoch) is is_held)
        ]
        choice = every if place % 7 == 0 or not apt else apt
        return choice[place % len(choice)]

    def _put(self, old: Execution, *, holder: Epoch | None, **changes: Any) -> None:
        self.executions[old.id] = changed(old, **changes)
        self.holders[old.id] = holder

    @precondition(lambda self: self.executions)
    @rule(place=PLACES, is_late=LATE)
    def begin(self, place: int, is_late: bool) -> None:
        old, now = self._pick(place, QUEUED, is_held=True), self.clock.now()
        epoch = self.epoch - is_late
        may = self.holders[old.id] == epoch and old.status is QUEUED and not old.is_cancel_requested

        write = Begin(epoch=epoch, execution_id=old.id, started_at=now, launch_ms=7)
        assert self.apply(write) is may

        if may:
            first = {"started_at": now, "launch_ms": 7} if old.attempt == 0 else {}
            self._put(old, holder=epoch, status=RUNNING, attempt=old.attempt + 1, **first)

    @precondition(lambda self: self.executions)
    @rule(
        place=PLACES,
        op=st.sampled_from(["step", "wait"]),
        name=st.sampled_from(NAMES),
        occurrence=st.integers(0, 1),
        is_late=LATE,
    )
    def record(self, place: int, op: str, name: str, occurrence: int, is_late: bool) -> None:
        old, epoch = self._pick(place, RUNNING), self.epoch - is_late
        new = entry(op, name, self.clock.now(), occurrence, value=None if op == "wait" else b"1")
        may = self.holders[old.id] == epoch and old.status is RUNNING

        write = Record(epoch=epoch, execution_id=old.id, entries=(new,), steps=1, credits_used=0.5)
        assert self.apply(write) is may

        if may:
            self._put(old, holder=epoch, steps=old.steps + 1, credits_used=old.credits_used + 0.5)
            self._journal(old.id, new)

    def _journal(self, id_: Key, new: JournalEntry) -> None:
        journal = self.journals[id_]
        for place, one in enumerate(journal):
            if (one.op, one.name, one.occurrence) == (new.op, new.name, new.occurrence):
                if one.value is None:
                    journal[place] = changed(one, value=new.value)
                return
        journal.append(new)

    def _waits(self, id_: Key, name: str) -> list[JournalEntry]:
        found = [one for one in self.journals[id_] if (one.op, one.name) == ("wait", name)]
        return sorted(found, key=lambda one: one.occurrence)

    @precondition(lambda self: self.executions)
    @rule(place=PLACES, names=st.sets(st.sampled_from(NAMES)), wait_ms=st.sampled_from([None, 0, 500]))
    def suspend(self, place: int, names: set[str], wait_ms: int | None) -> None:
        old = self._pick(place, RUNNING)
        waits = [(one.name, one.occurrence) for name in sorted(names) for one in self._waits(old.id, name)]
        answered = any(one.value is not None for name in names for one in self._waits(old.id, name))
        wake_at = None if wait_ms is None else self.clock.now() + timedelta(milliseconds=wait_ms)
        may = self.holders[old.id] == self.epoch and old.status is RUNNING

        result = self.apply(
            Suspend(epoch=self.epoch, execution_id=old.id, waits=tuple(waits), wake_at=wake_at)
        )

        if not may:
            assert result is False
        elif answered or old.is_cancel_requested:
            assert result == "ready"
            self._put(old, holder=None, status=QUEUED)
        else:
            assert result == "waiting"
            wait_name = waits[0][0] if waits else None
            self._put(old, holder=None, status=WAITING, wake_at=wake_at, wait_name=wait_name)

    @precondition(lambda self: self.executions)
    @rule(place=PLACES, name=st.sampled_from(NAMES))
    def resume(self, place: int, name: str) -> None:
        old = self._pick(place, RUNNING, WAITING)
        waits = self._waits(old.id, name)
        still_open = [one for one in waits if one.value is None]
        write = Resume(
            organization_id=self.org, execution_id=old.id, name=name, value=b"answer", at=self.clock.now()
        )
        result = self.apply(write)

        if old.status.is_terminal:
            assert result == "conflict"
        elif still_open:
            assert result == "resumed"
            self._journal(old.id, changed(still_open[0], value=b"answer"))
            if old.status is WAITING and self.holders[old.id] is None:
                self._put(old, holder=None, status=QUEUED, wake_at=None, wait_name=None)
        elif waits:
            assert result == "conflict"
        else:
            assert result == "stored"
            self._journal(old.id, entry("wait", name, self.clock.now(), value=b"answer"))

    @precondition(lambda self: self.executions)
    @rule(place=PLACES, is_late=LATE)
    def finish(self, place: int, is_late: bool) -> None:
        old, now, epoch = (
            self._pick(place, RUNNING, WAITING, QUEUED, is_held=True),
            self.clock.now(),
            self.epoch - is_late,
        )
        may = self.holders[old.id] == epoch

        status = ExecutionStatus.SUCCEEDED
        write = Finish(
            epoch=epoch, execution_id=old.id, status=status, completed_at=now, output=b"1", run_ms=3
        )
        assert self.apply(write) is may

        if may:
            self._put(
                old,
                holder=None,
                status=status,
                completed_at=now,
                output=b"1",
                run_ms=3,
                wake_at=None,
                wait_name=None,
            )

    @precondition(lambda self: self.executions)
    @rule(place=PLACES, is_late=LATE)
    def requeue(self, place: int, is_late: bool) -> None:
        old, epoch = self._pick(place, RUNNING, QUEUED, is_held=True), self.epoch - is_late
        may = self.holders[old.id] == epoch

        assert self.apply(Requeue(epoch=epoch, execution_id=old.id)) is may

        if may:
            self._put(old, holder=None, status=QUEUED, wake_at=None, wait_name=None)

    @rule(limit=st.integers(1, 3))
    def claim_executions(self, limit: int) -> None:
        now = self.clock.now()
        runnable = [
            one
            for one in self.executions.values()
            if self.holders[one.id] is None
            and (
                one.status is QUEUED
                or (one.status is WAITING and one.wake_at is not None and one.wake_at <= now)
            )
        ]

        claimed = self.apply(ClaimExecutions(epoch=self.epoch, limit=limit, now=now))

        assert [one.id for one in claimed] == sorted(one.id for one in runnable)[:limit]
        for one in claimed:
            self._put(self.executions[one.id], holder=self.epoch, status=QUEUED, wake_at=None, wait_name=None)
            assert one == self.executions[one.id]

    @precondition(lambda self: self.executions)
    @rule(place=PLACES)
    def cancel(self, place: int) -> None:
        old = self._pick(place, RUNNING, WAITING, QUEUED)
        holder = self.holders[old.id]
        write = Cancel(epoch=self.epoch, organization_id=self.org, execution_id=old.id)
        result = self.apply(write)

        if old.status.is_terminal:
            assert result == Cancelling(execution=old, is_seized=False, holder=None)
            return
        self._put(old, holder=holder or self.epoch, is_cancel_requested=True)
        assert result == Cancelling(
            execution=self.executions[old.id], is_seized=holder is None, holder=holder or self.epoch
        )
