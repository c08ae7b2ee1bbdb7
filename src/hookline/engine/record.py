"""Record: every write of an execution from its start to its end, with the events that go with it.

All of them are guarded by the epoch of the claim. The terminal state, its event and what that event owes are one
transaction: nobody sees one without the others, and nothing moves an execution that has ended.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from hookline import failpoints
from hookline.core.calling import OPS, WORKFLOW, answer_of
from hookline.core.event_types import CONVERSATION_ENDED, ENDED, STARTED
from hookline.core.hops import hops_of
from hookline.core.lifecycle import move_execution
from hookline.core.times import rfc3339
from hookline.core.tries import rounds_of
from hookline.core.turns import conversation_gate
from hookline.dialects import payloads
from hookline.engine.progress import Progress
from hookline.engine.tracing import trace_of_events
from hookline.errors import ConflictError, RowError, StorageError
from hookline.model.events import Event
from hookline.model.executions import Conversation, Execution, Failure, JournalEntry, LogLine
from hookline.model.ids import Key, new_key
from hookline.model.states import ExecutionStatus, Kind
from hookline.ports import Begin, Finish, NewEvent, Record, Resume
from hookline.ports.runner import Failed, Killed, LogDraft, Lost, Succeeded, Suspended, TimedOut

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from hookline.engine.artifacts import ArtifactKeeper
    from hookline.engine.calls import FlowCalls
    from hookline.engine.commit import Committer
    from hookline.engine.definitions import Definitions
    from hookline.engine.endings import Endings
    from hookline.engine.meter import Meter
    from hookline.engine.publish import Outbox
    from hookline.engine.tracing import Tracing
    from hookline.model.executions import Artifact, Facts
    from hookline.ports import Archive, Clock, Epoch
    from hookline.ports.runner import EmitDraft, Outcome

_POSITIONS_PER_ATTEMPT: Final = 1 << 32
"""Log positions of one process: each attempt starts above all of the one before, without asking what it wrote."""

_STARTED: Final[dict[Kind, str]] = {kind: type_ for kind, type_ in STARTED.items() if kind is not Kind.AGENT}
"""An agent's first event is written when its turn is accepted."""

_LONGEST_PAUSE_SECONDS: Final = 5.0
"""Between tries to store an end while the store is away."""

KILLED: Final = Killed(failure=Failure(code="KILLED", message="The execution was cancelled."))


class ClaimGoneError(ConflictError):
    """The execution is no longer ours: it was cancelled, or another node took it over."""

    code = "CLAIM_GONE"


def execution_event(execution: Execution, type_: str, data: bytes, sequence: int, at: datetime) -> Event:
    """An event of an execution, with its place in the execution's order."""
    return Event(
        key=new_key(),
        organization_id=execution.organization_id,
        type=type_,
        data=data,
        occurred_at=at,
        received_at=at,
        execution_id=execution.id,
        sequence=sequence,
        hops=hops_of(execution.trigger),
        trace=trace_of_events(execution),
    )


class _Talk(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation as a turn of it leaves it. ends: by this turn; one that stood ended before stays as it is."""

    conversation: Conversation
    ends: bool


class Recorder:
    """Writes down what executions do. One per node."""

    def __init__(
        self,
        *,
        committer: Committer,
        archive: Archive,
        outbox: Outbox,
        endings: Endings,
        artifacts: ArtifactKeeper,
        definitions: Definitions,
        clock: Clock,
        meter: Meter,
        tracing: Tracing,
    ) -> None:
        self._committer = committer
        self._archive = archive
        self._outbox = outbox
        self._endings = endings
        self._definitions = definitions
        self._clock = clock
        self._meter = meter
        self.tracing = tracing
        self.artifacts = artifacts

    def now(self) -> datetime:
        return self._clock.now()

    async def ready(self, organization_id: Key) -> None:
        """Call before ``owe``."""
        await self._outbox.ready(organization_id)

    def owe(
        self,
        execution: Execution,
        facts: Sequence[tuple[str, bytes]],
        at: datetime,
        *,
        callback: tuple[Key, str] | None = None,
    ) -> tuple[NewEvent, ...]:
        """Number the events of an execution and say what each owes. callback: where the first one goes besides."""
        automation = (execution.kind, execution.automation_id)
        return tuple(
            [
                self._outbox.owe(
                    execution_event(execution, type_, data, execution.event_sequence + place, at),
                    automation,
                    callback=callback if place == 1 else None,
                )
                for place, (type_, data) in enumerate(facts, start=1)
            ]
        )

    async def guarded(self, write: Begin | Record, events: tuple[NewEvent, ...]) -> None:
        """Commit a write of a running execution. Raises ClaimGoneError when it is not ours any more."""
        result = await self._committer.commit(
            write, after=partial(self._outbox.conclude, events, write.epoch)
        )
        if result is not True:
            raise ClaimGoneError("The execution belongs to another node now.")

    async def finish(
        self, execution: Execution, epoch: Epoch, outcome: Outcome, run: Run | None = None
    ) -> Execution | None:
        """Write the terminal state with its event. Tried until it is stored: a run has only one end.

        Returns the execution as it ended, or None when it was not ours any more.
        """
        now = self._clock.now()
        ended = run.ended(outcome, now) if run is not None else ended_as(execution, outcome, now)
        talk = await self._resolved(ended, outcome, now)
        facts = await self._facts(ended, outcome)
        await self._outbox.ready(execution.organization_id)
        for tries in itertools.count():
            try:
                is_ours = await self._write_end(ended, epoch, talk, facts)
            except StorageError as exc:
                if exc.code == RowError.code:
                    failure = Failure(code="FAILED", message="The result cannot be stored.")
                    ended = msgspec.structs.replace(
                        ended, status=ExecutionStatus.FAILED, output=None, error=failure
                    )
                await asyncio.sleep(min(0.1 * 2**tries, _LONGEST_PAUSE_SECONDS))
            else:
                if is_ours:
                    self._meter.ended(ended)
                    self.tracing.ended(ended)
                return ended if is_ours else None
        raise AssertionError("count never ends")

    async def _write_end(
        self, ended: Execution, epoch: Epoch, talk: _Talk | None, facts: Facts | None
    ) -> bool:
        assert ended.completed_at is not None
        events = self._terminal_events(ended, talk, facts, ended.completed_at)
        finish = Finish(
            epoch=epoch,
            execution_id=ended.id,
            status=ended.status,
            gate=ended.gate,
            completed_at=ended.completed_at,
            run_ms=ended.run_ms,
            output=ended.output,
            error=ended.error,
            # A message that nobody came to handle counts for nothing, and must not write over a turn that runs.
            conversation=None if talk is None or _is_unheard(ended) else talk.conversation,
            events=events,
            event_sequence=ended.event_sequence + len(events),
            answers=_answers(ended),
        )

        def concluded(result: object) -> None:
            self._outbox.conclude(events, epoch, result)
            if result is True:
                self._endings.ended(ended)

        return await self._committer.commit(finish, after=concluded) is True

    async def _facts(self, ended: Execution, outcome: Outcome) -> Facts | None:
        """What the runner said of its kind's facts or, if it could not, what the definition says."""
        if isinstance(outcome, Suspended) or outcome.facts is not None:
            return None if isinstance(outcome, Suspended) else outcome.facts
        try:
            return await self._definitions.facts(ended)
        except StorageError:
            return None  # an end without them is better than none

    async def _resolved(self, ended: Execution, outcome: Outcome, now: datetime) -> _Talk | None:
        """An agent's conversation after its turn, or None for other kinds."""
        if ended.conversation_id is None:
            return None
        conversation = await self._archive.conversation(
            ended.conversation_id, organization_id=ended.organization_id
        )
        if conversation is None:
            return None
        resolution = outcome.resolution if isinstance(outcome, Succeeded) else None
        if _is_unheard(ended):
            return _Talk(conversation=conversation, ends=False)
        after = payloads.after_message if _is_kept_open(ended) else payloads.after_turn
        left = after(conversation, ended, resolution=resolution, now=now)
        is_end = conversation.completed_at is None and left.completed_at is not None
        return _Talk(conversation=left, ends=is_end)

    def _terminal_events(
        self, ended: Execution, talk: _Talk | None, facts: Facts | None, now: datetime
    ) -> tuple[NewEvent, ...]:
        completed, failed = ENDED[ended.kind]
        is_success = ended.status is ExecutionStatus.SUCCEEDED
        if talk is None:
            told = [(completed if is_success else failed, payloads.workflow_terminal(ended, facts))]
        elif is_success:
            told = [(completed, payloads.message_sent(talk.conversation, ended))]
        else:
            told = [(failed, payloads.message_failed(talk.conversation, ended))]
        if talk is not None and talk.ends:
            told.append((CONVERSATION_ENDED, payloads.conversation_completed(talk.conversation)))
        callback = None
        if ended.callback_id is not None and ended.callback_url is not None:
            callback = (ended.callback_id, ended.callback_url)
        return self.owe(ended, told, now, callback=callback)


def _answers(ended: Execution) -> Resume | None:
    """What the end says to who called it and waits."""
    answer = answer_of(ended)
    if answer is None or ended.completed_at is None:
        return None
    return Resume(
        organization_id=ended.organization_id,
        execution_id=answer.caller,
        name=answer.name,
        value=answer.value,
        at=ended.completed_at,
    )


def _is_kept_open(turn: Execution) -> bool:
    """Say whether a turn's conversation goes on when the turn has ended."""
    id_ = turn.conversation_id
    return id_ is not None and turn.gate is not None and turn.gate == conversation_gate(id_)


def _is_unheard(turn: Execution) -> bool:
    """Say whether a turn of a conversation that is kept open ended before anybody came to handle its message."""
    return not turn.attempt and _is_kept_open(turn)


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
        facts = [("workflow.step.completed", payloads.step_completed(execution, entry)) for entry in told]
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

    async def produced(self, path: Path, name: str, content_type: str) -> Artifact:
        """Keep a file that it made."""
        keep = self._recorder.artifacts.keep
        artifact = await keep(self.execution.id, self.epoch, path, name, content_type)
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


_STATUS: Final = {
    Succeeded: ExecutionStatus.SUCCEEDED,
    Failed: ExecutionStatus.FAILED,
    Killed: ExecutionStatus.KILLED,
    TimedOut: ExecutionStatus.TIMED_OUT,
    Lost: ExecutionStatus.LOST,
}


def ended_as(execution: Execution, outcome: Outcome, now: datetime) -> Execution:
    """An execution that ends with this outcome now."""
    assert not isinstance(outcome, Suspended)
    status = move_execution(execution.status, _STATUS[type(outcome)])
    return msgspec.structs.replace(
        execution,
        status=status,
        completed_at=now,
        output=outcome.output if isinstance(outcome, Succeeded) else None,
        error=None if isinstance(outcome, Succeeded) else outcome.failure,
    )


def _ms(duration: timedelta) -> int:
    return max(0, round(duration / timedelta(milliseconds=1)))
