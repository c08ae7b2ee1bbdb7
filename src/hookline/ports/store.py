"""The seams of a store: each part of the engine takes only the one it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from hookline.model.configuration import Document, Stored
from hookline.model.ids import Key
from hookline.ports.alerts import AlertRecords

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from hookline.model.events import Attempt, Delivery, Event
    from hookline.model.executions import (
        Artifact,
        Conversation,
        Ending,
        Execution,
        JournalEntry,
        LogLine,
        TriggerRequest,
    )
    from hookline.model.states import Kind
    from hookline.ports.reads import (
        Backlog,
        Batched,
        Census,
        Collecting,
        ConversationFilter,
        DeliveryFilter,
        EventPage,
        ExecutionFilter,
        Fanout,
        Minute,
        RequestFilter,
        Stripped,
        Totals,
        Waiting,
    )
    from hookline.ports.writes import (
        Epoch,
        Once,
        Repeat,
        Result,
        Write,
    )

D = TypeVar("D", bound=Document)


class Ledger(Protocol):
    """The one writer.

    Guarantees: a batch is one transaction, durable (fsynced) when commit returns; results stand in the order of
    the writes; batches of one node are applied one after another. Within a batch the writes of one execution apply
    in the order of its life: Accept, Begin, Record, KeepArtifact, Suspend, Resume, Await, Finish; several of one kind
    as they stand.
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

    async def reserve_time(self, webhook_id: Key, seconds: float) -> float:
        """Take the next free stretch of a webhook's time for this node; returns the seconds until it begins, 0.0 or
        more. Stretches of one webhook never overlap, whichever node took them: a rate holds over all nodes.
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


class Resealed(msgspec.Struct, frozen=True, kw_only=True):
    """A step through a table. after: where the next one begins, None when this was the last."""

    seen: int
    changed: int
    after: bytes | None


class Sealed(Protocol):
    """Rewrites sealed values in place, when the key that seals them changes."""

    async def reseal(
        self, table: str, *, after: bytes | None, limit: int, change: Callable[[bytes], bytes | None]
    ) -> Resealed:
        """Put what ``change`` makes of the next rows' values in their place, in one transaction.

        table: ``documents``, ``document_revisions`` or ``onces``.  change: pure; None leaves a value as it is.
        Guarantees: no change by others is lost; revisions and times of the rows stay.
        """
        ...


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

    async def run_time(self, organization_id: Key, *, since: datetime, now: datetime) -> int:
        """Milliseconds that an organization's executions, accepted since then, have run together; those that run now
        up to ``now``.
        """
        ...

    async def conversation(self, id: Key, *, organization_id: Key) -> Conversation | None: ...

    async def conversations(
        self, organization_id: Key, filter: ConversationFilter, *, before: Key | None, limit: int
    ) -> list[Conversation]: ...

    async def idle_conversations(self, *, now: datetime, idle_ms: int, limit: int) -> list[Conversation]:
        """Open ones of all organizations that began longer ago than their own ``idle_ms``, or this one where they have
        none, have no turn under way and none that ended within that; oldest first.
        """
        ...

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
        self, organization_id: Key, filter: RequestFilter, *, before: Key | None, limit: int
    ) -> list[TriggerRequest]:
        """Their bodies are left out."""
        ...

    async def requests_after(
        self, organization_id: Key, filter: RequestFilter, *, after: Key, limit: int
    ) -> list[TriggerRequest]:
        """In the order of their arrival, those that came after the one with this id. Their bodies are left out."""
        ...

    async def waiting(self) -> list[Waiting]:
        """Every webhook lane with pending deliveries (a loose index scan: cost by lanes, not by rows)."""
        ...

    async def batch_events(self, batch_id: Key, *, organization_id: Key) -> list[Event]:
        """The events of a batch, in the order in which they were committed."""
        ...

    async def batched(self, organization_id: Key, event_key: Key) -> list[Batched]:
        """The webhooks that get an event in a batch, or will."""
        ...

    async def owed(self, webhook_id: Key, event_keys: Sequence[Key]) -> set[Key]:
        """Those of these events that were ever owed to a webhook, alone or in a batch. At most 500 keys."""
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


class Figures(Protocol):
    """Numbers for dashboards and metrics. They cost by what waits, or by the window, not by how long the history is."""

    async def totals(self, webhook_ids: Sequence[Key]) -> dict[Key, Totals]: ...

    async def minutes(self, webhook_id: Key, *, since: datetime, until: datetime) -> list[Minute]:
        """Ascending, minutes without traffic left out."""
        ...

    async def traffic(self, organization_id: Key, *, since: datetime, until: datetime) -> list[Minute]:
        """As ``minutes``, summed over all webhooks of an organization; ``webhook_id`` is None."""
        ...

    async def census(self, organization_id: Key, *, since: datetime, ceiling: int = 10_000) -> Census:
        """How much of an organization waits, and how its executions since then stand."""
        ...

    async def backlog(self, *, ceiling: int = 100_000) -> Backlog: ...


class Artifacts(Protocol):
    """Which files executions left behind, and which blobs nothing refers to any more."""

    async def artifacts(self, execution_id: Key) -> list[Artifact]:
        """By name, ascending."""
        ...

    async def artifact(self, execution_id: Key, name: str) -> Artifact | None: ...

    async def dropped_blobs(self, *, limit: int) -> list[str]:
        """Blobs whose artifact was replaced, or went with its execution: they are to be deleted."""
        ...

    async def blobs_deleted(self, ids: Sequence[str]) -> None:
        """Forget those of ``dropped_blobs`` that are gone."""
        ...


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
        expired onces, alerts closed and mails ended before then, too. In steps that hold up no writer. Returns rows
        deleted; 0: nothing is left to delete.
        """
        ...

    async def strip(self, organization_id: Key, *, after: Key, before: datetime, limit: int) -> Stripped:
        """Empty the payloads of ended events received before then, oldest first, in one short transaction: the
        event's data, the bodies kept with its deliveries, what receivers answered. Looks at up to ``limit`` events
        whose keys are larger than ``after``; what is owed keeps all it has.
        """
        ...

    async def stored_bytes(self) -> int:
        """How much is stored: on SQLite the used pages of the file, elsewhere an estimate."""
        ...


class Store(
    Ledger, Leases, Registry, Onces, Sealed, Archive, AlertRecords, Figures, Artifacts, Keeping, Protocol
):
    """A store is all these seams over one database; each part of the engine takes only the seam it needs."""


class Clock(Protocol):
    """Time, injected so that tests move it."""

    def now(self) -> datetime:
        """UTC, whole milliseconds."""
        ...

    def elapsed(self) -> float:
        """Seconds of a clock that never steps and runs while the machine sleeps (CLOCK_BOOTTIME)."""
        ...
