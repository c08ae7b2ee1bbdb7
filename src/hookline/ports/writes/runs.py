"""Writes of executions: from the claim to the end."""

from __future__ import annotations

from datetime import datetime

import msgspec

from hookline.model.executions import Artifact, Conversation, Execution, Failure, JournalEntry, LogLine
from hookline.model.ids import Key
from hookline.model.states import ExecutionStatus, Kind
from hookline.ports.writes.events import Epoch, NewEvent


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """queued → running, for the claim holder. Result: True, or False when the claim is gone or it was cancelled.

    The execution's ``attempt`` rises by one; started_at and launch_ms are set on the first attempt only.
    """

    epoch: Epoch
    execution_id: Key
    started_at: datetime
    launch_ms: int
    events: tuple[NewEvent, ...] = ()
    event_sequence: int = 0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Append what a running execution did. Result: True, or False when the claim is gone (then nothing is kept).

    entries: an (op, name, occurrence) that exists keeps its value, unless that was None.  steps, credits_used: added.
    event_sequence: the new value, or 0 to leave it.
    """

    epoch: Epoch
    execution_id: Key
    entries: tuple[JournalEntry, ...] = ()
    logs: tuple[LogLine, ...] = ()
    steps: int = 0
    credits_used: float = 0.0
    events: tuple[NewEvent, ...] = ()
    event_sequence: int = 0


class KeepArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """Keep a file of a running execution. Result: True, or False when the claim is gone (then nothing is kept).

    Its blob is whole already. One of the same name is replaced, and its blob is no longer kept.
    """

    epoch: Epoch
    artifact: Artifact


class Suspend(msgspec.Struct, frozen=True, kw_only=True):
    """running → waiting, the claim is freed. Result: ``"waiting"``, ``"ready"`` (one of ``waits`` was answered
    meanwhile, or it was asked to end: the execution is queued, unclaimed), or False when the claim is gone.

    waits: (name, occurrence) of each open wait, whose journal entry was recorded before.  wake_at: the earliest end
    of a sleep or of a wait's time-out, None when only an answer can wake it.
    """

    epoch: Epoch
    execution_id: Key
    waits: tuple[tuple[str, int], ...] = ()
    wake_at: datetime | None = None


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """Answer a wait. Result: ``"resumed"`` (the oldest open wait of that name has its value; a waiting execution is
    queued and unclaimed), ``"stored"`` (nothing waited for that name yet: kept as the answer of its occurrence 0),
    ``"conflict"`` (that name was answered already and waits no more, or the execution has ended) or ``"missing"``.
    """

    organization_id: Key
    execution_id: Key
    name: str
    value: bytes
    at: datetime


class Await(msgspec.Struct, frozen=True, kw_only=True):
    """Say that this node waits for the end of an execution: if another node ends it, it signals ``finished`` with the
    execution's id. Result: True. Nothing happens to one that has ended, or that is not there.
    """

    epoch: Epoch
    execution_id: Key


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """running, queued or waiting → a terminal state, for the claim holder, with its events. Result: True, or False
    when the claim is gone. conversation: replaces the stored row when given.  gate: the execution's own; the next of
    it may begin.

    answers: of the caller that waits for this end; carried out with it, and not when the claim is gone.
    """

    epoch: Epoch
    execution_id: Key
    status: ExecutionStatus
    gate: bytes | None = None
    completed_at: datetime
    run_ms: int | None = None
    output: bytes | None = None
    error: Failure | None = None
    conversation: Conversation | None = None
    events: tuple[NewEvent, ...] = ()
    event_sequence: int = 0
    answers: Resume | None = None


class Requeue(msgspec.Struct, frozen=True, kw_only=True):
    """running or claimed → queued and unclaimed (its process died and it may resume; or the node stops).
    Result: True, or False when the claim is gone.
    """

    epoch: Epoch
    execution_id: Key


class ClaimExecutions(msgspec.Struct, frozen=True, kw_only=True):
    """Claim runnable executions: queued and unclaimed, or waiting with wake_at due (these become queued), oldest
    first, never a blocked one. Result: tuple of Execution, status queued.

    kinds: only of these, one or more; None for all.
    """

    epoch: Epoch
    limit: int
    now: datetime
    kinds: tuple[Kind, ...] | None = None


class AdoptExecutions(msgspec.Struct, frozen=True, kw_only=True):
    """Take over executions claimed by epochs that are dead. Result: tuple of Execution as stored (queued or
    running), now claimed by this epoch.
    """

    epoch: Epoch
    limit: int


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """Ask an execution to end. Result: ``Cancelling``, or None when there is none in that organization.

    Unclaimed (queued, waiting): it becomes claimed by this epoch (is_seized), which must then Finish it.
    Claimed: the flag is set and its node is woken. Terminal: nothing changes.
    """

    epoch: Epoch
    organization_id: Key
    execution_id: Key


class Cancelling(msgspec.Struct, frozen=True, kw_only=True):
    execution: Execution
    is_seized: bool
    holder: Epoch | None
