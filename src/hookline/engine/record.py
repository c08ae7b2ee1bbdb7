"""Record: every write of an execution from its start to its end, with the events that go with it.

All of them are guarded by the epoch of the claim. The terminal state, its event and what that event owes are one
transaction: nobody sees one without the others, and nothing moves an execution that has ended.
"""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.calling import answer_of
from hookline.core.event_types import CONVERSATION_ENDED, ENDED
from hookline.core.hops import hops_of
from hookline.core.lifecycle import move_execution
from hookline.core.turns import conversation_gate
from hookline.dialects import payloads
from hookline.engine.tracing import trace_of_events
from hookline.errors import ConflictError, RowError, StorageError
from hookline.model.events import Event
from hookline.model.executions import Conversation, Execution, Failure
from hookline.model.ids import Key, new_key
from hookline.model.states import ExecutionStatus, Kind
from hookline.ports import Begin, Finish, NewEvent, Record, Resume
from hookline.ports.runner import Failed, Killed, Lost, Succeeded, Suspended, TimedOut

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hookline.engine.artifacts import ArtifactKeeper
    from hookline.engine.commit import Committer
    from hookline.engine.definitions import Definitions
    from hookline.engine.endings import Endings
    from hookline.engine.meter import Meter
    from hookline.engine.publish import Outbox
    from hookline.engine.run import Run
    from hookline.engine.tracing import Tracing
    from hookline.model.executions import Artifact, Facts
    from hookline.ports import Clock, ConversationArchive, Epoch
    from hookline.ports.runner import Outcome

_LONGEST_PAUSE_SECONDS: Final = 5.0
"""Between tries to store an end while the store is away."""

_MAKE_FILES: Final = frozenset({Kind.SCRIPT, Kind.ROBOT, Kind.RENDER})
"""Kinds whose runs can leave files, which their terminal event tells of."""

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
        archive: ConversationArchive,
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
        files = await self._files(ended)
        await self._outbox.ready(execution.organization_id)
        for tries in itertools.count():
            try:
                is_ours = await self._write_end(ended, epoch, talk, facts, files)
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
        self,
        ended: Execution,
        epoch: Epoch,
        talk: _Talk | None,
        facts: Facts | None,
        files: list[Artifact] | None,
    ) -> bool:
        events = self._terminal_events(ended, talk, facts, files)
        assert ended.completed_at is not None
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

    async def _files(self, ended: Execution) -> list[Artifact] | None:
        """What it made, None for kinds that make no files."""
        if ended.kind not in _MAKE_FILES:
            return None
        try:
            return await self.artifacts.of(ended.id)
        except StorageError:
            return None

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
        self, ended: Execution, talk: _Talk | None, facts: Facts | None, files: list[Artifact] | None
    ) -> tuple[NewEvent, ...]:
        assert ended.completed_at is not None
        completed, failed = ENDED[ended.kind]
        is_success = ended.status is ExecutionStatus.SUCCEEDED
        if talk is None:
            told = [(completed if is_success else failed, payloads.workflow_terminal(ended, facts, files))]
        elif is_success:
            told = [(completed, payloads.message_sent(talk.conversation, ended))]
        else:
            told = [(failed, payloads.message_failed(talk.conversation, ended))]
        if talk is not None and talk.ends:
            told.append((CONVERSATION_ENDED, payloads.conversation_completed(talk.conversation)))
        callback = None
        if ended.callback_id is not None and ended.callback_url is not None:
            callback = (ended.callback_id, ended.callback_url)
        return self.owe(ended, told, ended.completed_at, callback=callback)


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
