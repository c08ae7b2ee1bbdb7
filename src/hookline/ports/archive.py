"""The seams of a store that read: what happened, and what waits.

Lists are newest first; ``before`` is the last key of the page before; limits are given by callers. Where a read takes
an organization it finds nothing of another's; None means the engine's own use, never a caller's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hookline.model.events import Attempt, Delivery, Event
    from hookline.model.executions import (
        Conversation,
        Ending,
        Execution,
        JournalEntry,
        LogLine,
        TriggerRequest,
    )
    from hookline.model.ids import Key
    from hookline.model.states import Kind
    from hookline.ports.reads import (
        Batched,
        Collecting,
        ConversationFilter,
        DeliveryFilter,
        EventPage,
        ExecutionFilter,
        Fanout,
        RequestFilter,
        Waiting,
    )
    from hookline.ports.writes import Epoch


class ExecutionArchive(Protocol):
    """Runs, with what they recorded, logged and emitted."""

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


class ConversationArchive(Protocol):
    """Conversations with agents; their turns are executions."""

    async def conversation(self, id: Key, *, organization_id: Key) -> Conversation | None: ...

    async def conversations(
        self, organization_id: Key, filter: ConversationFilter, *, before: Key | None, limit: int
    ) -> list[Conversation]: ...

    async def idle_conversations(self, *, now: datetime, idle_ms: int, limit: int) -> list[Conversation]:
        """Open ones of all organizations that began longer ago than their own ``idle_ms``, or this one where they have
        none, have no turn under way and none that ended within that; oldest first.
        """
        ...


class EventArchive(Protocol):
    """Events, and the feed that never skips one."""

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
        self,
        organization_id: Key,
        *,
        before: Key | None = None,
        after: Key | None = None,
        types: Sequence[str] = (),
        limit: int,
    ) -> list[Event]:
        """Newest first by key; oldest first those behind ``after``, if that is given."""
        ...

    async def own_event_ids(self, organization_id: Key, event_keys: Sequence[Key]) -> dict[Key, str]:
        """Publishers' own ids of those events that have one. At most 500 keys."""
        ...


class DeliveryArchive(Protocol):
    """Deliveries with their attempts, and what batches hold."""

    async def delivery(self, id: Key, *, organization_id: Key) -> Delivery | None: ...

    async def deliveries(
        self,
        organization_id: Key,
        filter: DeliveryFilter,
        *,
        before: Key | None = None,
        after: Key | None = None,
        limit: int,
    ) -> list[Delivery]:
        """Newest first by id; oldest first those behind ``after``, if that is given."""
        ...

    async def attempts(self, delivery_id: Key) -> list[Attempt]:
        """By number, ascending."""
        ...

    async def owed(self, webhook_id: Key, event_keys: Sequence[Key]) -> set[Key]:
        """Those of these events that were ever owed to a webhook, alone or in a batch. At most 500 keys."""
        ...

    async def batch_events(self, batch_id: Key, *, organization_id: Key) -> list[Event]:
        """The events of a batch, in the order in which they were committed."""
        ...

    async def batched(self, organization_id: Key, event_key: Key) -> list[Batched]:
        """The webhooks that get an event in a batch, or will."""
        ...


class RequestArchive(Protocol):
    """Requests that came in, refused ones too."""

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


class Pending(Protocol):
    """What waits to be done, as the loops ask that do it. It costs by what waits, not by what was."""

    async def waiting(self) -> list[Waiting]:
        """Every webhook lane with pending deliveries (a loose index scan: cost by lanes, not by rows)."""
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

    async def claimed_deliveries(self, epoch: Epoch) -> Sequence[tuple[Key, Key]]:
        """(id, organization) of every delivery that this epoch holds."""
        ...

    async def claimed_executions(self, epoch: Epoch) -> Sequence[Key]:
        """Every execution that this epoch holds."""
        ...


class Archive(
    ExecutionArchive,
    ConversationArchive,
    EventArchive,
    DeliveryArchive,
    RequestArchive,
    Pending,
    Protocol,
):
    """All that can be read of what happened and of what waits; a part of the engine takes the seam it needs."""
