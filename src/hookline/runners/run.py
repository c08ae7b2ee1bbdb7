"""Follow one run, or one call of a handler, in the node: hand what it records to the engine, and say how it ended.

Nothing here touches processes or sockets; a ``Seat`` does (process.py). What arrives while the engine commits
is gathered and handed over in one piece.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from hookline.core.calling import OPS
from hookline.core.tries import FailedTry, entry_of, step_of
from hookline.model.executions import Failure
from hookline.ports.runner import CallJob, Failed, Killed, Lost, RunJob, Succeeded, Suspended, TimedOut
from hookline.runners.protocol import Began, Broken, Finished, Recorded, Suspend
from hookline.runners.time_limits import too_long

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookline.model.executions import JournalEntry
    from hookline.ports.runner import EmitDraft, LogDraft, Outcome, RunListener
    from hookline.runners.deadlines import Deadlines

AWAITED: Final = frozenset({"step", "try", "wait"}) | OPS
"""Ops whose caller may wait until the entry is stored."""

CANCEL_GRACE: Final = 5.0
"""Seconds between asking a run to end and killing its process."""


class Verdict(Enum):
    """What the node decided about a run, whatever its process says after that."""

    KILLED = "killed"
    TIMED_OUT = "timed out"
    STOPPED = "stopped"


class Seat(Protocol):
    """A process, as its runs see it."""

    @property
    def is_shared(self) -> bool: ...
    def stop(self, run: Run) -> None:
        """Ask the run to end."""

    def kill(self) -> None:
        """End the process and all it has started."""

    def acknowledge(self, run: Run, sequence: int) -> None: ...
    def unsettled(self, change: int) -> None:
        """Count runs with something the engine has not stored yet; reading stops while too much waits."""


class Recording:
    """What a run recorded and the engine does not have yet."""

    __slots__ = ("_latest", "_others", "credits", "emits", "logs", "needs_ack", "sequence")

    def __init__(self) -> None:
        self._others: list[JournalEntry] = []
        self._latest: dict[str, JournalEntry] = {}
        self.logs: list[LogDraft] = []
        self.credits = 0.0
        self.emits: list[EmitDraft] = []
        self.sequence = 0
        self.needs_ack = False

    def add(self, message: Recorded) -> None:
        for entry in message.entries:
            if entry.op in {"log", "credits"}:
                self._latest[entry.op] = entry  # the latest stands for all before it
            else:
                self._others.append(entry)
                self.needs_ack = self.needs_ack or entry.op in AWAITED
        self.logs += message.logs
        self.credits += message.credits
        self.emits += message.emits
        self.sequence = message.sequence

    def cut_off(self, entry: JournalEntry) -> None:
        """Add the try of a step that the process did not end itself."""
        self._others.append(entry)

    @property
    def entries(self) -> Sequence[JournalEntry]:
        return [*self._others, *self._latest.values()]


class Run:
    """One execution, or one call, under way in this node."""

    def __init__(self, number: int, job: RunJob | CallJob, timeout_ms: int, deadlines: Deadlines) -> None:
        self.number, self.job = number, job
        self.seat: Seat | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.verdict: Verdict | None = None
        self.has_started = False
        self._timeout_ms = timeout_ms
        self._deadlines = deadlines
        self._recording: Recording | None = None
        self._ending: Outcome | None = None
        self._open: dict[tuple[str, int], Began] = {}
        self._wake: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        state = self.verdict.value if self.verdict else "ended" if self.has_ended else "under way"
        job = self.job
        of = (
            f"{job.handler} of {job.flow!r}"
            if isinstance(job, CallJob)
            else f"{job.kind} {job.automation_id!r}"
        )
        return f"<Run {self.number} of {of}, {state}>"

    @property
    def has_ended(self) -> bool:
        return self._ending is not None

    def begin(self) -> None:
        """Start the clock: user code runs from now on."""
        self.has_started = True
        self._deadlines.set(self, self._timeout_ms / 1000)

    def due(self) -> None:
        """Act on the time limit, or on a request to end that was not followed."""
        if self.seat is None or self.has_ended:
            return
        if self.verdict is not None or not self.seat.is_shared:
            self.verdict = self.verdict or Verdict.TIMED_OUT
            self.seat.kill()
        else:
            self.verdict = Verdict.TIMED_OUT
            self._ask_to_end(self.seat)

    def cancel(self) -> None:
        """End it at the wish of the engine, also before it has begun."""
        if self.verdict is None and not self.has_ended:
            self.verdict = Verdict.KILLED
            if self.has_started and self.seat is not None:
                self._ask_to_end(self.seat)
            self.stop_waiting()

    def stop_waiting(self) -> None:
        """Let a run go that waits for a process; without a seat it ends as the verdict says."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def _ask_to_end(self, seat: Seat) -> None:
        seat.stop(self)
        self._deadlines.set(self, CANCEL_GRACE)

    def recorded(self, message: Began | Recorded) -> None:
        """Take what the process sent: what is to be stored, or that it is in a step, whose end it may not live to
        tell.
        """
        if isinstance(message, Began):
            self._open[message.name, message.step] = message
            return
        self._gather().add(message)
        if self._open:
            for entry in message.entries:
                self._open.pop(step_of(entry) or ("", -1), None)

    def printed(self, drafts: list[LogDraft]) -> None:
        """Take lines of output."""
        if drafts:
            self._gather().logs += drafts

    def answered(self, message: Finished | Suspend | Broken) -> None:
        """Take the last message of the run."""
        match message:
            case Finished():
                self.end(Succeeded(output=message.output, resolution=message.resolution))
            case Suspend() if self.verdict is None:
                self.end(Suspended(wake_at=message.wake_at, waits=tuple(message.waits)))
            case Broken() if self.verdict is None:
                self.end(Failed(failure=message.failure))
            case _:
                self.end(self.judged())

    def lost(self, how: str) -> None:
        """Take the news that the process is gone."""
        self.end(self.judged(how))

    def end(self, outcome: Outcome) -> None:
        """Settle how the run ended; the first word counts."""
        if self._ending is None:
            if self._open:
                self._close_steps(outcome)
            self._ending = outcome
            self._deadlines.discard(self)
            self._rouse()

    def _close_steps(self, outcome: Outcome) -> None:
        """Write down how steps ended that were under way when the run did."""
        failure = Failure(code="KILLED", message="The run ended while the step was under way.")
        if isinstance(outcome, Killed | TimedOut | Lost):
            failure = outcome.failure
        now = datetime.now(UTC)
        for (name, step), begun in self._open.items():
            entry = entry_of(
                name,
                FailedTry(step, begun.number, begun.round, failure),
                started_at=begun.started_at,
                duration_ms=max(0, (now - begun.started_at) // timedelta(milliseconds=1)),
            )
            if entry is not None:
                self._gather().cut_off(entry)
        self._open.clear()

    def outcome(self) -> Outcome:
        """Return how a run ended that never began."""
        return self._ending or self.judged()

    def judged(self, how: str = "it did not start") -> Outcome:
        """Return the outcome of a run without an answer of its own that counts."""
        match self.verdict:
            case Verdict.KILLED:
                return Killed(failure=Failure(code="KILLED", message="The execution was cancelled."))
            case Verdict.TIMED_OUT:
                limit = self.job.limit if isinstance(self.job, RunJob) else None
                return TimedOut(failure=too_long(self._what, self._timeout_ms, limit))
            case Verdict.STOPPED:
                how = "the node was stopped"
            case None:
                pass
        message = f"{self._what} was lost: {how}."
        return Lost(failure=Failure(code="LOST", message=message), has_started=self.has_started)

    @property
    def _what(self) -> str:
        return "The execution" if isinstance(self.job, RunJob) else f"The call of {self.job.handler}"

    def abandon(self) -> None:
        """Drop what is left of a run nobody follows any more."""
        self._deadlines.discard(self)
        if self._recording is not None and self.seat is not None:
            self.seat.unsettled(-1)
        self._recording = None

    async def follow(self, listener: RunListener) -> Outcome:
        """Hand over what is recorded until the run has ended; return how."""
        while True:
            if self._recording is not None:
                await self._hand_over(self._recording, listener)
            elif self._ending is not None:
                return self._ending
            else:
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake

    async def _hand_over(self, recording: Recording, listener: RunListener) -> None:
        self._recording = None
        try:
            await listener.recorded(recording.entries, recording.logs, recording.credits, recording.emits)
        finally:
            if self.seat is not None:
                self.seat.unsettled(-1)
        if recording.needs_ack and self.seat is not None and not self.has_ended:
            self.seat.acknowledge(self, recording.sequence)

    def _gather(self) -> Recording:
        if self._recording is None:
            self._recording = Recording()
            if self.seat is not None:
                self.seat.unsettled(+1)
            self._rouse()
        return self._recording

    def _rouse(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None and not wake.done():
            wake.set_result(None)
