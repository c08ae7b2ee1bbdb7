"""What the engine asks of a store. Two adapters answer, and one contract suite holds both to these words.

The seam is small because hot writes are values: the engine hands over a batch of ``Write`` values and the store
applies them in one transaction, giving one result each. Every write is **total**: a duplicate, a claim that is
gone or a state that moved on is a result, never an exception. Only storage itself raises (``StorageError``), and
then nothing of the batch is stored.

Instants have whole milliseconds. Payloads are bytes and never parsed by a store. Every read that serves a caller
takes the organization and finds nothing of another's.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from hookline.model.configuration import Document, Stored
from hookline.model.events import Attempt, Delivery, Event
from hookline.model.executions import (
    Conversation,
    Ending,
    Execution,
    Failure,
    JournalEntry,
    LogLine,
    TriggerRequest,
)
from hookline.model.ids import Key
from hookline.model.states import DeliveryState, ExecutionStatus, Kind, Lane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

D = TypeVar("D", bound=Document)
Epoch = int
"""A node's lease number. Rises for ever; a claim carries it and settling checks it (fencing)."""

FANOUT_IN_TRANSACTION = 256
"""Matches written with their event; more are left to the durable cursor (DESIGN section 2)."""


# --- writes -------------------------------------------------------------------------------------------------


class Waiter(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook that gets an event as part of a batch.  ordering_key: a batch never mixes several."""

    webhook_id: Key
    ordering_key: str | None = None


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event with the deliveries it owes, inserted together or not at all.

    deliveries: whole rows. State IN_FLIGHT means claimed by the writing epoch, PENDING waits for a claim; one with
    an ordering_key is PENDING or HELD, and waits without a time while an earlier one of its webhook and key has not
    ended. Earlier is by the order of commit.
    batched: webhooks for which it waits until a batch is formed (``FormBatches``).
    fanout_after: the last webhook id of both when more webhooks match than were written here:
    opens a durable cursor; None when all are written.
    """

    event: Event
    deliveries: tuple[Delivery, ...] = ()
    batched: tuple[Waiter, ...] = ()
    fanout_after: Key | None = None


class Once(msgspec.Struct, frozen=True, kw_only=True):
    """Makes a write happen once per (scope, name) until expires_at, in its own transaction.

    scope: an organization's or a trigger's key.  digest: SHA-256 of the request.  answer: what a repeat is
    answered with (sealed where it carries secrets).
    """

    scope: Key
    name: str
    digest: bytes
    answer: bytes
    expires_at: datetime


class Repeat(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a write whose Once was there before. is_same: the digest is equal."""

    answer: bytes
    is_same: bool


class Publish(msgspec.Struct, frozen=True, kw_only=True):
    """Insert events. Result: ``Published`` or ``Repeat``. An event whose own id exists is not inserted again,
    nor are its deliveries.
    """

    epoch: Epoch
    events: tuple[NewEvent, ...]
    once: Once | None = None


class Published(msgspec.Struct, frozen=True):
    """is_new: one flag per event, False for a repeat of an own id."""

    is_new: tuple[bool, ...]


class Accept(msgspec.Struct, frozen=True, kw_only=True):
    """Insert a trigger request with its execution and first events. Result: True, ``Repeat`` or ``Instead``.

    request: None when started through the management API.  is_claimed: the execution belongs to the writing epoch
    at once; else any node may claim it. Never with a gate or a mark.  is_awaited: this node waits for its end, as after
    ``Await``.

    when_full: what happens when ``execution.gate_limit`` others of its gate have not ended: ``queue`` (it is blocked
    until its turn, oldest first), ``skip`` (nothing is inserted: Instead of the newest of them) or ``replace`` (they
    are asked to end, leave the gate, and it begins).
    same_mark: what happens to others of ``execution.mark``: ``merge`` (one that waits and never ran takes input,
    trigger, request and wake_at of this one: Instead) or ``supersede`` (those that wait are asked to end).
    merge_within_ms: merging puts wake_at no later than so long after the first one's creation; 0 for no bound.
    """

    epoch: Epoch
    execution: Execution
    request: TriggerRequest | None = None
    is_claimed: bool = False
    is_awaited: bool = False
    conversation: Conversation | None = None
    events: tuple[NewEvent, ...] = ()
    once: Once | None = None
    when_full: str = "queue"
    same_mark: str = "merge"
    merge_within_ms: int = 0


class Instead(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an Accept that inserted no execution: another stands for it. Its request is kept under that
    one's id, its Once and its events are not.

    reason: ``skipped`` or ``merged``.
    """

    execution_id: Key
    reason: str


class KeepRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Keep a refused trigger request. Result: True."""

    request: TriggerRequest


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


class Requeue(msgspec.Struct, frozen=True, kw_only=True):
    """running or claimed → queued and unclaimed (its process died and it may resume; or the node stops).
    Result: True, or False when the claim is gone.
    """

    epoch: Epoch
    execution_id: Key


class ClaimExecutions(msgspec.Struct, frozen=True, kw_only=True):
    """Claim runnable executions: queued and unclaimed, or waiting with wake_at due (these become queued), oldest
    first, never a blocked one. Result: tuple of Execution, status queued.
    """

    epoch: Epoch
    limit: int
    now: datetime


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


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """Up to ``limit`` due deliveries of one webhook and lane. revision: frozen into rows that have none (0)."""

    webhook_id: Key
    lane: Lane
    limit: int
    revision: int


class ClaimDeliveries(msgspec.Struct, frozen=True, kw_only=True):
    """Claim due pending deliveries (next_attempt_at <= now), earliest first. Result: tuple of ``Owed``."""

    epoch: Epoch
    wants: tuple[Want, ...]
    now: datetime


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed delivery with its event (None for a batch)."""

    delivery: Delivery
    event: Event | None


class Settle(msgspec.Struct, frozen=True, kw_only=True):
    """Write an attempt and the delivery's new state in one go, and free the claim.

    Result: True; False when the claim is gone (fenced: then neither is written). State PENDING needs
    next_attempt_at. attempt None: nothing was sent (the claim is given back, or our own code failed).
    body: frozen body to keep, or None to leave what is there.  ordering_key: the delivery's own; when it ends here, the
    next of its line is due at ``at``.
    The webhook's counters for the minute of ``at`` rise with it.
    """

    epoch: Epoch
    delivery_id: Key
    webhook_id: Key
    at: datetime
    attempt: Attempt | None
    state: DeliveryState
    state_reason: str | None = None
    lane: Lane = Lane.RETRY
    next_attempt_at: datetime | None = None
    failures: int = 0
    crashes: int = 0
    body: bytes | None = None
    body_size: int | None = None
    ordering_key: str | None = None


class Reopen(msgspec.Struct, frozen=True, kw_only=True):
    """Make one delivery due again, whatever its state, unless in flight. Result: the Delivery as it then is,
    or None when there is none in that organization. In flight stays as it is, and so does an ordered one that waits
    for its turn.
    """

    organization_id: Key
    delivery_id: Key
    lane: Lane
    at: datetime


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """Move up to ``limit`` deliveries of a webhook that are in one of ``sources`` to ``to`` (hold on pause, drain
    on resume, cancel on delete). Never touches in-flight ones. Result: how many moved.

    created_before: of the ``limit`` oldest, only those created before then; None for whatever age.
    """

    webhook_id: Key
    sources: tuple[DeliveryState, ...]
    to: DeliveryState
    reason: str | None
    next_attempt_at: datetime | None
    at: datetime
    limit: int = 1000
    created_before: datetime | None = None


class FanOut(msgspec.Struct, frozen=True, kw_only=True):
    """Go on with an event's fan-out: insert deliveries (a (event, webhook) that exists is skipped) and move the
    cursor to ``after``, or close it with None. Result: number of deliveries inserted.

    batched: as in NewEvent, with the event's size in bytes and the instant at which they begin to wait.
    """

    epoch: Epoch
    event_key: Key
    deliveries: tuple[Delivery, ...]
    after: Key | None
    batched: tuple[Waiter, ...] = ()
    size: int = 0
    at: datetime | None = None


class FormBatches(msgspec.Struct, frozen=True, kw_only=True):
    """Make batches of what waits for a webhook's: those that are full (max_events, max_bytes) and those whose oldest
    event waits since ``added_before`` or longer. Result: ``Formed``. Fewer than ``limit`` deliveries: nothing ripe is
    left.
    """

    epoch: Epoch
    organization_id: Key
    webhook_id: Key
    revision: int
    max_events: int
    max_bytes: int
    added_before: datetime
    at: datetime
    limit: int = 64


class Formed(msgspec.Struct, frozen=True, kw_only=True):
    """deliveries: of the batches made, claimed by the writing epoch, or in line when they have an ordering key.
    left: events that go on waiting, as far as was looked.
    """

    deliveries: tuple[Delivery, ...]
    left: int


Write = (
    Publish
    | Accept
    | KeepRequest
    | Begin
    | Record
    | Suspend
    | Resume
    | Await
    | Finish
    | Requeue
    | ClaimExecutions
    | AdoptExecutions
    | Cancel
    | ClaimDeliveries
    | Settle
    | Reopen
    | Shift
    | FanOut
    | FormBatches
)
Result = object
"""What a Write's docstring says."""


class Ledger(Protocol):
    """The one writer.

    Guarantees: a batch is one transaction, durable (fsynced) when commit returns; results stand in the order of
    the writes; batches of one node are applied one after another. Within a batch the writes of one execution apply
    in the order of its life: Accept, Begin, Record, Suspend, Resume, Await, Finish; several of one kind as they stand.
    Does not guarantee: order between writes of different objects within a batch.
    """

    async def commit(self, writes: Sequence[Write]) -> list[Result]:
        """Apply all writes or none. Raises StorageError: nothing is stored, or (connection lost during COMMIT)
        it is unknown, and the caller must not say 2xx.
        """
        ...


# --- leases -------------------------------------------------------------------------------------------------


class Leases(Protocol):
    """Who is alive. A node is one row: epoch, name, seen at; dead after ``lease`` of database time."""

    async def open_node(self, name: str, *, lease: timedelta) -> Epoch:
        """Register this process and return its epoch, larger than all before it. On SQLite, holding the file's
        lock voids all earlier epochs at once.
        """
        ...

    async def renew(self, epoch: Epoch) -> bool:
        """Prolong the lease by database time. False: it had run out and was taken from us; stop claiming."""
        ...

    async def close_node(self, epoch: Epoch) -> None:
        """Give the lease up at a clean stop; what it still held counts as a dead node's at once."""
        ...

    async def recover(self, epoch: Epoch) -> int:
        """Release the deliveries of dead nodes: pending, due now, with an attempt recorded as INTERRUPTED
        (attempts_made and interruptions rise, failures do not). Bounded to 1,000 a call; returns how many.
        Executions are taken over by the AdoptExecutions write.
        """
        ...


# --- configuration ------------------------------------------------------------------------------------------


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration object was created, changed or deleted."""

    version: int
    kind: str
    id: Key
    organization_id: Key


class Registry(Protocol):
    """Configuration documents with revisions, unique lookup names, and a gapless change feed."""

    async def add(
        self,
        kind: type[D],
        *,
        id: Key,
        organization_id: Key,
        document: D,
        names: Sequence[tuple[str, str]],
        at: datetime,
    ) -> Stored[D]:
        """Insert with revision 1. names: (space, value) pairs, unique per kind and space over all organizations.
        Raises ConflictError when one is taken.
        """
        ...

    async def get(self, kind: type[D], id: Key, *, organization_id: Key | None) -> Stored[D] | None:
        """organization_id None: whatever organization it is of (engine's own use, never a caller's)."""
        ...

    async def get_revision(self, kind: type[D], id: Key, revision: int) -> D | None:
        """The document as it was at that revision, deleted or not."""
        ...

    async def revision_at(self, kind: type[D], id: Key, at: datetime) -> int | None:
        """The revision that was current at an instant; None before it was created."""
        ...

    async def find(self, kind: type[D], space: str, value: str) -> Stored[D] | None:
        """Find by unique name."""
        ...

    async def list(
        self,
        kind: type[D],
        *,
        organization_id: Key | None,
        before: Key | None = None,
        limit: int | None = None,
    ) -> list[Stored[D]]:
        """Newest first. before: only ids smaller than it.  limit None: all."""
        ...

    async def put(
        self, stored: Stored[D], *, names: Sequence[tuple[str, str]] | None = None, at: datetime
    ) -> Stored[D]:
        """Replace the document; stored.revision must be the current one, else ConflictError. names: replaces all
        lookup names when given. Returns it with revision + 1.
        """
        ...

    async def delete(self, kind: type[D], id: Key, *, organization_id: Key, at: datetime) -> bool:
        """Delete document and names, keep revisions. False when there was none."""
        ...

    async def version(self) -> int:
        """Version of the latest change, 0 at first. Versions rise by 1 in commit order and never skip."""
        ...

    async def changes(self, since: int, *, limit: int = 1000) -> Sequence[Change]: ...

    async def meta(self, name: str) -> bytes | None:
        """A small value of the installation (key check, first-start mark)."""
        ...

    async def set_meta(self, name: str, value: bytes) -> None: ...


# --- idempotent answers of cold routes ----------------------------------------------------------------------


class Onces(Protocol):
    """Remembers answers of POSTs that are not hot writes: reserve, act, finish (P5)."""

    async def reserve(self, once: Once, epoch: Epoch) -> Repeat | bool:
        """True: reserved for us. False: another call holds it and has not finished (a dead epoch's reservation
        is taken over instead). Repeat: finished before.
        """
        ...

    async def finish(self, once: Once, epoch: Epoch) -> None: ...

    async def forget(self, once: Once, epoch: Epoch) -> None:
        """Give a reservation back because the call failed."""
        ...


# --- reads --------------------------------------------------------------------------------------------------


class ExecutionFilter(msgspec.Struct, frozen=True, kw_only=True):
    status: ExecutionStatus | None = None
    kind: Kind | None = None
    automation_id: str | None = None
    conversation_id: Key | None = None
    since: datetime | None = None
    until: datetime | None = None


class DeliveryFilter(msgspec.Struct, frozen=True, kw_only=True):
    webhook_id: Key | None = None
    states: tuple[DeliveryState, ...] = ()
    event_type: str | None = None
    event_key: Key | None = None
    since: datetime | None = None
    until: datetime | None = None


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """events: ascending. cursor: opaque text to go on after the last one; the given cursor when empty."""

    events: tuple[Event, ...]
    cursor: str


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook lane that has pending deliveries, and when the first is due."""

    webhook_id: Key
    lane: Lane
    due_at: datetime


class Fanout(msgspec.Struct, frozen=True, kw_only=True):
    event: Event
    after: Key


class Minute(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook's counters for one minute, summed over nodes.

    delivered, exhausted: deliveries that ended so.  attempts, failed_attempts: HTTP attempts (interrupted ones not).
    by_class: answers by status class "2xx" … "5xx" and by outcome word where there was none.
    latency: attempts per bucket; bucket n holds durations from 2^n - 1 to 2^(n+1) - 2 ms (0: 0 ms, 1: 1-2 ms, …).
    """

    webhook_id: Key
    minute: datetime
    delivered: int = 0
    exhausted: int = 0
    attempts: int = 0
    failed_attempts: int = 0
    by_class: dict[str, int] = {}
    latency: dict[int, int] = {}


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """All-time counters of a webhook for AF-13. last_delivery_at: end of its latest succeeded delivery, or None."""

    delivered: int = 0
    exhausted: int = 0
    last_delivery_at: datetime | None = None


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """pending counts at most ``ceiling`` rows, so that asking stays cheap. oldest_due_at: None when nothing is due."""

    pending: int
    in_flight: int
    held: int
    oldest_due_at: datetime | None
    executions_queued: int
    executions_running: int
    executions_waiting: int


class Collecting(msgspec.Struct, frozen=True, kw_only=True):
    """since: when the oldest of the events that wait for a batch of this webhook began to."""

    webhook_id: Key
    since: datetime


class Archive(Protocol):
    """Reads. Lists are newest first; ``before`` is the last key of the page before; limits are given by callers."""

    async def execution(self, id: Key, *, organization_id: Key | None) -> Execution | None: ...

    async def executions(
        self, organization_id: Key, filter: ExecutionFilter, *, before: Key | None, limit: int
    ) -> list[Execution]: ...

    async def endings(self, ids: Sequence[Key]) -> list[Ending]:
        """Those of these executions that have ended, in any order, of whatever organization. At most 500 ids."""
        ...

    async def journal(self, execution_id: Key) -> list[JournalEntry]:
        """All entries in the order in which they were recorded."""
        ...

    async def logs(self, execution_id: Key, *, after: int, limit: int) -> list[LogLine]:
        """Ascending, positions larger than after (-1 for all)."""
        ...

    async def execution_events(self, execution_id: Key) -> list[Event]:
        """By sequence, ascending."""
        ...

    async def run_times(self, kind: Kind, automation_id: str, *, limit: int = 50) -> list[int]:
        """Accepted → completed of its latest succeeded executions, whole milliseconds, newest first."""
        ...

    async def conversation(self, id: Key, *, organization_id: Key) -> Conversation | None: ...

    async def event(self, organization_id: Key, public_id: str) -> Event | None: ...

    async def events(
        self, organization_id: Key, *, after: str | None, types: Sequence[str] = (), limit: int
    ) -> EventPage:
        """The ascending feed. after: a cursor, None for the beginning. It never skips: an event is shown only
        when no earlier one can still commit. types: exact types, empty for all. Raises InputError for a cursor
        that is not ours.
        """
        ...

    async def recent_events(
        self, organization_id: Key, *, before: Key | None, types: Sequence[str] = (), limit: int
    ) -> list[Event]:
        """Newest first by key."""
        ...

    async def delivery(self, id: Key, *, organization_id: Key) -> Delivery | None: ...

    async def deliveries(
        self, organization_id: Key, filter: DeliveryFilter, *, before: Key | None, limit: int
    ) -> list[Delivery]: ...

    async def attempts(self, delivery_id: Key) -> list[Attempt]:
        """By number, ascending."""
        ...

    async def request(self, id: Key, *, organization_id: Key) -> TriggerRequest | None: ...

    async def requests(
        self,
        organization_id: Key,
        *,
        trigger_id: Key | None,
        refused: bool | None,
        before: Key | None,
        limit: int,
    ) -> list[TriggerRequest]: ...

    async def waiting(self) -> list[Waiting]:
        """Every webhook lane with pending deliveries (a loose index scan: cost by lanes, not by rows)."""
        ...

    async def batch_events(self, batch_id: Key, *, organization_id: Key) -> list[Event]:
        """The events of a batch, in the order in which they were committed."""
        ...

    async def collecting(self) -> list[Collecting]:
        """Every webhook for which events wait for a batch (a loose index scan)."""
        ...

    async def fanouts(self, *, limit: int = 100) -> list[Fanout]:
        """Open fan-out cursors, oldest first."""
        ...

    async def next_wake_at(self) -> datetime | None:
        """When the next waiting execution is due, or None."""
        ...

    async def cancel_requested(self, epoch: Epoch) -> list[Key]:
        """Executions claimed by this epoch whose cancel flag is set."""
        ...

    async def own_event_ids(self, organization_id: Key, event_keys: Sequence[Key]) -> dict[Key, str]:
        """Publishers' own ids of those events that have one. At most 500 keys."""
        ...

    async def claimed_deliveries(self, epoch: Epoch) -> Sequence[tuple[Key, Key]]:
        """(id, organization) of every delivery that this epoch holds."""
        ...

    async def claimed_executions(self, epoch: Epoch) -> Sequence[Key]:
        """Every execution that this epoch holds."""
        ...

    async def totals(self, webhook_ids: Sequence[Key]) -> dict[Key, Totals]: ...

    async def minutes(self, webhook_id: Key, *, since: datetime, until: datetime) -> list[Minute]:
        """Ascending, minutes without traffic left out."""
        ...

    async def backlog(self, *, ceiling: int = 100_000) -> Backlog: ...


# --- the whole ----------------------------------------------------------------------------------------------


class Wake(msgspec.Struct, frozen=True):
    """Something happened on another node. topic: ``deliveries``, ``executions``, ``configuration``, ``cancel``,
    or ``finished``.
    """

    topic: str
    detail: str = ""


class Keeping(Protocol):
    """Opening, mending and copying the store itself."""

    async def open(self) -> None:
        """Connect, take the lock, check durability settings, migrate (SQLite: back up first). Raises SettingError
        (weaker durability, another process holds the file, newer schema) or StorageError.
        """
        ...

    async def close(self) -> None: ...

    async def ping(self) -> None:
        """Raises StorageError when a write could not be stored now."""
        ...

    async def backup(self, target: Path) -> None:
        """Copy a consistent snapshot while running. Raises SettingError where the store cannot (PostgreSQL: says
        which command does).
        """
        ...

    def wakes(self) -> AsyncIterator[Wake]:
        """What other nodes signal. A lost one costs latency, never work. On SQLite: ends at close, yields nothing."""
        ...

    async def prune(self, *, before: datetime, limit: int) -> int:
        """Delete up to ``limit`` events whose deliveries have all ended before then, with deliveries, attempts,
        and ended executions with what hangs on them; refused requests and counters of minutes before then, and
        expired onces, too. In steps that hold up no writer. Returns rows deleted; 0: nothing is left to delete.
        """
        ...


class Store(Ledger, Leases, Registry, Onces, Archive, Keeping, Protocol):
    """A store is all seven seams over one database; each part of the engine takes only the seam it needs."""


class Clock(Protocol):
    """Time, injected so that tests move it."""

    def now(self) -> datetime:
        """UTC, whole milliseconds."""
        ...

    def elapsed(self) -> float:
        """Seconds of a clock that never steps and runs while the machine sleeps (CLOCK_BOOTTIME)."""
        ...
