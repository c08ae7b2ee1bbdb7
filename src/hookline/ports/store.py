"""The seams of a store: each part of the engine takes only the one it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from hookline.ports.alerts import AlertRecords
from hookline.ports.archive import Archive
from hookline.ports.registry import Onces, Registry, Sealed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from hookline.model.executions import Artifact
    from hookline.model.ids import Key
    from hookline.ports.reads import Backlog, Census, Minute, Stripped, Totals
    from hookline.ports.writes import Epoch, Result, Write


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

    async def reserve_time(self, webhook_id: Key, count: int, interval: float) -> float:
        """Take the next free stretch of a webhook's time for this node, ``count`` times ``interval`` seconds long;
        returns the seconds until it begins, 0.0 or more. Stretches of one webhook never overlap, whichever node took
        them: a rate holds over all nodes. Another interval than the latest one's means another rate: what was given
        out by the old one keeps nobody waiting.
        """
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

    async def prune(self, *, before: datetime, limit: int, organization_id: Key | None = None) -> int:
        """Delete up to ``limit`` events whose deliveries have all ended before then, with deliveries, attempts,
        and ended executions with what hangs on them; refused requests and counters of minutes before then, and
        expired onces, alerts closed and mails ended before then, too. In steps that hold up no writer. Returns rows
        deleted; 0: nothing is left to delete.

        organization_id: only what is its, and then neither counters nor onces; None for all.
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
