"""One process of one execution, as the engine follows it: what its runner tells becomes guarded writes (record.py)."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from hookline import failpoints
from hookline.core.calling import OPS, WORKFLOW
from hookline.core.event_types import STARTED
from hookline.core.times import rfc3339
from hookline.core.tries import rounds_of
from hookline.dialects import payloads
from hookline.engine.progress import Progress
from hookline.engine.record import ClaimGoneError, ended_as
from hookline.errors import StorageError
from hookline.model.executions import JournalEntry, LogLine
from hookline.model.states import ExecutionStatus, Kind
from hookline.ports import Begin, Record
from hookline.ports.runner import LogDraft

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from hookline.engine.calls import FlowCalls
    from hookline.engine.record import Recorder
    from hookline.model.executions import Artifact, Execution, Failure
    from hookline.ports import Epoch
    from hookline.ports.runner import EmitDraft, Outcome

_POSITIONS_PER_ATTEMPT: Final = 1 << 32
"""Log positions of one process: each attempt starts above all of the one before, without asking what it wrote."""

_STARTED: Final[dict[Kind, str]] = {kind: type_ for kind, type_ in STARTED.items() if kind is not Kind.AGENT}
"""An agent's first event is written when its turn is accepted."""


NODE_STOPPED: Final = "The node that ran it stopped."


def cut_off_line(execution: Execution, at: datetime, why: str) -> LogLine:
    """The last line of the log of an execution's latest process, which ended before its work did.

    execution: with at least one process.  why: a sentence.
    """
    position = execution.attempt * _POSITIONS_PER_ATTEMPT - 1
    text = f"{why} Process {execution.attempt} of this run was cut off; what it had not finished is not kept."
    return LogLine(position=position, at=at, stream="log", level="warning", text=text)


class Run:
    """One process of one execution: the runner's listener, and the execution as it now stands.

    retries: how often it has failed and was run again before this.  has_children: it has run other workflows.
    calls: starts what it calls.
    """

    def __init__(
        self, recorder: Recorder, execution: Execution, epoch: Epoch, calls: FlowCalls | None = None
    ) -> None:
        self._recorder = recorder
        self._calls = calls
        self.execution = execution
        self.epoch = epoch
        self.attempt = execution.attempt + 1
        self.has_begun = False
        self.has_children = False
        self.retries = 0
        self._began_at: datetime | None = None
        self._position = execution.attempt * _POSITIONS_PER_ATTEMPT
        self._progress = Progress(self._tell)

    def look_back(self, journal: Sequence[JournalEntry]) -> None:
        """Take note of what its earlier processes did."""
        self.retries = rounds_of(journal)
        self.has_children = any(entry.op == WORKFLOW for entry in journal)

    async def started(self, *, at: datetime) -> None:
        """Queued → running, with the started event on the first attempt."""
        execution = self.execution
        await self._recorder.ready(execution.organization_id)
        launch_ms = _ms(at - execution.created_at)
        is_first = execution.attempt == 0
        running = msgspec.structs.replace(
            execution,
            status=ExecutionStatus.RUNNING,
            attempt=self.attempt,
            started_at=at if is_first else execution.started_at,
            launch_ms=launch_ms if is_first else execution.launch_ms,
        )
        type_ = _STARTED.get(execution.kind) if is_first else None
        events = (
            self._recorder.owe(running, [(type_, payloads.workflow_started(running))], at) if type_ else ()
        )
        running = msgspec.structs.replace(running, event_sequence=running.event_sequence + len(events))
        begin = Begin(
            epoch=self.epoch,
            execution_id=execution.id,
            started_at=at,
            launch_ms=launch_ms,
            events=events,
            event_sequence=running.event_sequence,
        )
        await self._recorder.guarded(begin, events)
        failpoints.hit("before_start")
        self.execution = running
        self.has_begun = True
        self._began_at = at

    async def recorded(
        self,
        entries: Sequence[JournalEntry],
        logs: Sequence[LogDraft],
        credits: float,  # noqa: A002 -- the word users know
        emits: Sequence[EmitDraft],
    ) -> None:
        """Write down what the run did, with an event for each step and each emit, in order."""
        now = self._recorder.now()
        if self._calls is not None and any(entry.op in OPS for entry in entries):
            self.has_children = self.has_children or any(entry.op == WORKFLOW for entry in entries)
            entries = await self._calls.make(self.execution, entries)
        steps = [entry for entry in entries if entry.op == "step"]
        told = steps if self.execution.kind is Kind.WORKFLOW else []
        execution = msgspec.structs.replace(
            self.execution,
            steps=self.execution.steps + len(steps),
            credits_used=self.execution.credits_used + credits,
        )
        facts = [
            ("workflow.step.completed", payloads.step_completed(_after(self.execution, steps=number), entry))
            for number, entry in enumerate(told, start=1)
        ]
        facts += [(emit.type, emit.data) for emit in emits]
        events = self._recorder.owe(execution, facts, now)
        execution = msgspec.structs.replace(execution, event_sequence=execution.event_sequence + len(events))
        lines = tuple(self._line(draft) for draft in logs)
        record = Record(
            epoch=self.epoch,
            execution_id=execution.id,
            entries=tuple(entries),
            logs=lines,
            steps=len(steps),
            credits_used=credits,
            events=events,
            event_sequence=execution.event_sequence,
        )
        await self._recorder.guarded(record, events)
        self._recorder.tracing.stepped(execution, steps)
        self.execution = execution

    async def progressed(self, fields: bytes) -> None:
        """Keep how far it has come, as a line of the stream ``progress``."""
        await self._progress.tell(fields)

    async def produced(self, file: Path | int, name: str, content_type: str) -> Artifact:
        """Keep a file that it made."""
        keep = self._recorder.artifacts.keep
        artifact = await keep(self.execution.id, self.epoch, file, name, content_type)
        if artifact is None:
            raise ClaimGoneError("The execution belongs to another node now.")
        return artifact

    async def close(self) -> None:
        """Write what is left to write: its runner says no more. Raises ClaimGoneError."""
        with suppress(StorageError):  # the end that follows is worth more than how far it had come
            await self._progress.close()

    async def _tell(self, fields: bytes) -> None:
        """Write a line of progress. It may come between others: nothing but its position is shared with them."""
        line = LogDraft(at=self._recorder.now(), stream="progress", level="info", text="", fields=fields)
        record = Record(epoch=self.epoch, execution_id=self.execution.id, logs=(self._line(line),))
        await self._recorder.guarded(record, ())

    async def note_retry(self, failure: Failure, at: datetime) -> None:
        """Write down that this run failed and another is to follow at ``at``. Raises ClaimGoneError."""
        now = self._recorder.now()
        entry = JournalEntry(
            op="retry", name="", occurrence=self.retries, value=msgspec.json.encode(failure), started_at=now
        )
        words = f"{failure.code}: {failure.message[:1000]} Retry {self.retries + 1} at {rfc3339(at)}."
        await self.recorded([entry], [LogDraft(at=now, stream="log", level="warning", text=words)], 0.0, [])

    async def note_cut_off(self, why: str) -> None:
        """Write down that this process ended before its work did. why: a sentence.  Raises ClaimGoneError."""
        line = cut_off_line(self.execution, self._recorder.now(), why)
        record = Record(epoch=self.epoch, execution_id=self.execution.id, logs=(line,))
        await self._recorder.guarded(record, ())

    def _line(self, draft: LogDraft) -> LogLine:
        position = self._position
        self._position += 1
        return LogLine(
            position=position,
            at=draft.at,
            stream=draft.stream,
            level=draft.level,
            text=draft.text,
            fields=draft.fields,
        )

    def ended(self, outcome: Outcome, now: datetime) -> Execution:
        """The execution as its outcome leaves it."""
        ended = ended_as(self.execution, outcome, now)
        run_ms = _ms(now - self._began_at) if self._began_at is not None else None
        return msgspec.structs.replace(ended, run_ms=run_ms)


def _after(execution: Execution, *, steps: int) -> Execution:
    """Return it as it stands when so many steps more are done."""
    return msgspec.structs.replace(execution, steps=execution.steps + steps)


def _ms(duration: timedelta) -> int:
    return max(0, round(duration / timedelta(milliseconds=1)))
