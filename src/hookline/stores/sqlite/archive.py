"""Reads, on a connection that sees only what is committed.

A point read or a page runs at once on the event loop. A filter that fits no index is searched in windows, and long
lists in slices; between two of them the loop serves others, so no step holds it up for long.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from hookline.model.ids import parse
from hookline.model.states import DeliveryState, Lane
from hookline.ports import (
    Batched,
    Collecting,
    DeliveryFilter,
    ExecutionFilter,
    Fanout,
    Waiting,
)
from hookline.stores import rows
from hookline.stores.rows import (
    ATTEMPT,
    CONVERSATION,
    DELIVERY,
    ENDING,
    EVENT,
    EXECUTION,
    JOURNAL,
    LOG,
    REQUEST,
    from_ms,
    listed,
    maybe_at,
)
from hookline.stores.sqlite.feed import SqliteFeed
from hookline.stores.sqlite.search import Search, Where

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
    from hookline.ports import ConversationFilter, Epoch, RequestFilter

_LANES_AT_ONCE: Final = 1_000
"""A webhook's counters read in one step: at most some 12,000 rows."""

_EXECUTION: Final = f"""
    SELECT {listed(EXECUTION)} FROM executions WHERE id = ?1 AND (?2 IS NULL OR organization_id = ?2)
"""
_JOURNAL: Final = f"SELECT {listed(JOURNAL)} FROM journal WHERE execution_id = ? ORDER BY position"
_LOGS: Final = (
    f"SELECT {listed(LOG)} FROM logs WHERE execution_id = ? AND position > ? ORDER BY position LIMIT ?"
)
_EXECUTION_EVENTS: Final = f"SELECT {listed(EVENT)} FROM events WHERE execution_id = ? ORDER BY sequence, seq"
_RUN_TIMES: Final = """
    SELECT completed_at - created_at FROM executions INDEXED BY executions_of_automation
    WHERE kind = ? AND automation_id = ? AND status = 'succeeded' ORDER BY id DESC LIMIT ?
"""
_RUN_TIME: Final = """
    SELECT coalesce(sum(coalesce(run_ms, ?1 - started_at)), 0) FROM executions
    WHERE organization_id = ?2 AND id >= ?3 AND created_at >= ?4 AND started_at IS NOT NULL
        AND (run_ms IS NOT NULL OR status = 'running')
"""
_CONVERSATION: Final = (
    f"SELECT {listed(CONVERSATION)} FROM conversations WHERE id = ? AND organization_id = ?"
)
_IDLE_CONVERSATIONS: Final = f"""
    SELECT {listed(CONVERSATION)} FROM conversations AS c INDEXED BY conversations_open
    WHERE completed_at IS NULL AND started_at < ?1 - coalesce(idle_ms, ?2) AND NOT EXISTS (
        SELECT 1 FROM executions WHERE conversation_id = c.id
        AND (completed_at IS NULL OR completed_at >= ?1 - coalesce(c.idle_ms, ?2))
    )
    ORDER BY started_at LIMIT ?3
"""
_EVENT_BY_OWN_ID: Final = f"SELECT {listed(EVENT)} FROM events WHERE organization_id = ? AND own_id = ?"
_EVENT_BY_KEY: Final = f"SELECT {listed(EVENT)} FROM events WHERE organization_id = ? AND key = ?"
_DELIVERY: Final = f"SELECT {listed(DELIVERY)} FROM deliveries WHERE id = ? AND organization_id = ?"
_ATTEMPTS: Final = f"SELECT {listed(ATTEMPT)} FROM attempts WHERE delivery_id = ? ORDER BY number"
_REQUEST_LINE: Final = tuple(["x'' AS body" if name == "body" else name for name in REQUEST])
_REQUEST: Final = f"SELECT {listed(REQUEST)} FROM trigger_requests WHERE id = ? AND organization_id = ?"
_NEXT_LANE: Final = """
    SELECT webhook_id, lane, next_attempt_at FROM deliveries INDEXED BY deliveries_waiting
    WHERE next_attempt_at IS NOT NULL AND webhook_id = ? AND lane > ?
    ORDER BY lane, next_attempt_at LIMIT 1
"""
_NEXT_WEBHOOK: Final = """
    SELECT webhook_id, lane, next_attempt_at FROM deliveries INDEXED BY deliveries_waiting
    WHERE next_attempt_at IS NOT NULL AND webhook_id > ?
    ORDER BY webhook_id, lane, next_attempt_at LIMIT 1
"""
_ENDING: Final = f"""
    SELECT {listed(ENDING)} FROM executions WHERE id = ? AND status NOT IN ('queued', 'running', 'waiting')
"""
_BATCH_EVENTS: Final = f"""
    SELECT {listed(EVENT, of="e")} FROM batch_items AS i
    JOIN events AS e ON e.organization_id = ? AND e.key = i.event_key
    WHERE i.batch_id = ? ORDER BY CASE WHEN i.ordering_key IS NULL THEN i.event_key END, e.seq
"""
_BATCHED: Final = f"""
    SELECT i.webhook_id, {listed(DELIVERY, of="d")} FROM batch_items AS i
    JOIN events AS e ON e.organization_id = ?1 AND e.key = i.event_key
    LEFT JOIN deliveries AS d ON d.id = i.batch_id
    WHERE i.event_key = ?2 ORDER BY i.webhook_id
"""
_WAS_OWED: Final = """
    SELECT 1 FROM deliveries WHERE event_key = ?1 AND webhook_id = ?2
    UNION ALL SELECT 1 FROM batch_items WHERE event_key = ?1 AND webhook_id = ?2
    LIMIT 1
"""
_NEXT_COLLECTING: Final = """
    SELECT webhook_id, added_at FROM batch_items INDEXED BY batch_items_waiting
    WHERE batch_id IS NULL AND webhook_id > ? ORDER BY webhook_id, event_key LIMIT 1
"""
_FANOUTS: Final = f"""
    SELECT {listed(EVENT, of="e")}, f.after FROM fanouts AS f
    JOIN events AS e ON e.organization_id = f.organization_id AND e.key = f.event_key
    ORDER BY f.event_key LIMIT ?
"""
_NEXT_WAKE: Final = """
    SELECT wake_at FROM executions
    WHERE status = 'waiting' AND wake_at IS NOT NULL AND is_blocked = 0 ORDER BY wake_at LIMIT 1
"""
_CANCEL_REQUESTED: Final = "SELECT id FROM executions WHERE epoch = ? AND is_cancel_requested ORDER BY id"
_OWN_EVENT_ID: Final = (
    "SELECT own_id FROM events WHERE organization_id = ? AND key = ? AND own_id IS NOT NULL"
)
_CLAIMED_DELIVERIES: Final = "SELECT id, organization_id FROM deliveries WHERE epoch = ?"
_CLAIMED_EXECUTIONS: Final = "SELECT id FROM executions WHERE epoch = ?"


class SqliteArchive(SqliteFeed):
    """ports.Archive."""

    # --- executions ---

    async def execution(self, id: Key, *, organization_id: Key | None) -> Execution | None:
        row = self._db.read_one(_EXECUTION, (id, organization_id))
        return None if row is None else rows.execution_from(row)

    async def endings(self, ids: Sequence[Key]) -> list[Ending]:
        found = [self._db.read_one(_ENDING, (id_,)) for id_ in ids]
        return [rows.ending_from(row) for row in found if row is not None]

    async def executions(
        self, organization_id: Key, filter: ExecutionFilter, *, before: Key | None, limit: int
    ) -> list[Execution]:
        where = Where()
        where.equals("status", filter.status)
        where.equals("kind", filter.kind)
        where.equals("automation_id", filter.automation_id)
        where.equals("conversation_id", filter.conversation_id)
        where.between("created_at", filter.since, filter.until)
        search = Search("executions", EXECUTION, where)
        search.key("organization_id", organization_id)
        return [rows.execution_from(row) for row in await search.run(self._db, before, limit)]

    async def journal(self, execution_id: Key) -> list[JournalEntry]:
        return [rows.journal_from(row) for row in self._db.read(_JOURNAL, (execution_id,))]

    async def logs(self, execution_id: Key, *, after: int, limit: int) -> list[LogLine]:
        return [rows.log_from(row) for row in self._db.read(_LOGS, (execution_id, after, limit))]

    async def execution_events(self, execution_id: Key) -> list[Event]:
        return [rows.event_from(row) for row in self._db.read(_EXECUTION_EVENTS, (execution_id,))]

    async def run_times(self, kind: Kind, automation_id: str, *, limit: int = 50) -> list[int]:
        return [ms for (ms,) in self._db.read(_RUN_TIMES, (kind, automation_id, limit))]

    async def run_time(self, organization_id: Key, *, since: datetime, now: datetime) -> int:
        row = self._db.read_one(
            _RUN_TIME, (rows.to_ms(now), organization_id, rows.first_key(since), rows.to_ms(since))
        )
        assert row is not None
        return int(row[0])

    async def conversation(self, id: Key, *, organization_id: Key) -> Conversation | None:
        row = self._db.read_one(_CONVERSATION, (id, organization_id))
        return None if row is None else rows.conversation_from(row)

    async def conversations(
        self, organization_id: Key, filter: ConversationFilter, *, before: Key | None, limit: int
    ) -> list[Conversation]:
        where = Where()
        where.equals("agent_id", filter.agent_id)
        where.equals("user_id", filter.user_id)
        where.equals("status", filter.status)
        search = Search("conversations", CONVERSATION, where)
        search.key("organization_id", organization_id)
        return [rows.conversation_from(row) for row in await search.run(self._db, before, limit)]

    async def idle_conversations(self, *, now: datetime, idle_ms: int, limit: int) -> list[Conversation]:
        found = self._db.read(_IDLE_CONVERSATIONS, (rows.to_ms(now), idle_ms, limit))
        return [rows.conversation_from(row) for row in found]

    # --- events ---

    async def event(self, organization_id: Key, public_id: str) -> Event | None:
        row = self._db.read_one(_EVENT_BY_OWN_ID, (organization_id, public_id))
        key = parse("event", public_id)
        if row is None and key is not None:
            row = self._db.read_one(_EVENT_BY_KEY, (organization_id, key))
        return None if row is None else rows.event_from(row)

    async def recent_events(
        self,
        organization_id: Key,
        *,
        before: Key | None = None,
        after: Key | None = None,
        types: Sequence[str] = (),
        limit: int,
    ) -> list[Event]:
        where = Where()
        where.one_of("type", types)
        search = Search("events", EVENT, where, id_column="key")
        search.key("organization_id", organization_id)
        return [rows.event_from(row) for row in await search.run(self._db, before, limit, after=after)]

    # --- deliveries ---

    async def delivery(self, id: Key, *, organization_id: Key) -> Delivery | None:
        row = self._db.read_one(_DELIVERY, (id, organization_id))
        return None if row is None else rows.delivery_from(row)

    async def deliveries(
        self,
        organization_id: Key,
        filter: DeliveryFilter,
        *,
        before: Key | None = None,
        after: Key | None = None,
        limit: int,
    ) -> list[Delivery]:
        where = Where()
        where.one_of("state", filter.states)
        where.equals("event_type", filter.event_type)
        where.between("created_at", filter.since, filter.until)
        search = Search("deliveries", DELIVERY, where)
        if filter.event_key is not None:
            search.key("event_key", filter.event_key)
            where.equals("webhook_id", filter.webhook_id)
            where.equals("organization_id", organization_id)
        elif filter.webhook_id is not None:
            search.key("webhook_id", filter.webhook_id)
            where.equals("organization_id", organization_id)
        else:
            search.key("organization_id", organization_id)
        if filter.states == (DeliveryState.EXHAUSTED,) and filter.webhook_id is filter.event_key is None:
            search.source = "deliveries INDEXED BY deliveries_exhausted"
            search.condition = " AND state = 'exhausted'"
        return [rows.delivery_from(row) for row in await search.run(self._db, before, limit, after=after)]

    async def attempts(self, delivery_id: Key) -> list[Attempt]:
        return [rows.attempt_from(row) for row in self._db.read(_ATTEMPTS, (delivery_id,))]

    # --- trigger requests ---

    async def request(self, id: Key, *, organization_id: Key) -> TriggerRequest | None:
        row = self._db.read_one(_REQUEST, (id, organization_id))
        return None if row is None else rows.request_from(row)

    async def requests(
        self, organization_id: Key, filter: RequestFilter, *, before: Key | None, limit: int
    ) -> list[TriggerRequest]:
        search = _requests_search(organization_id, filter)
        return [rows.request_from(row) for row in await search.run(self._db, before, limit)]

    async def requests_after(
        self, organization_id: Key, filter: RequestFilter, *, after: Key, limit: int
    ) -> list[TriggerRequest]:
        search = _requests_search(organization_id, filter)
        return [rows.request_from(row) for row in await search.run(self._db, None, limit, after=after)]

    # --- what the engine asks for ---

    async def waiting(self) -> list[Waiting]:
        found: list[Waiting] = []
        row = self._db.read_one(_NEXT_WEBHOOK, (b"",))
        while row is not None:
            found.append(Waiting(webhook_id=row[0], lane=Lane(row[1]), due_at=from_ms(row[2])))
            if len(found) % _LANES_AT_ONCE == 0:
                await asyncio.sleep(0)
            row = self._db.read_one(_NEXT_LANE, row[:2]) or self._db.read_one(_NEXT_WEBHOOK, row[:1])
        return found

    async def batch_events(self, batch_id: Key, *, organization_id: Key) -> list[Event]:
        return [rows.event_from(row) for row in self._db.read(_BATCH_EVENTS, (organization_id, batch_id))]

    async def batched(self, organization_id: Key, event_key: Key) -> list[Batched]:
        return [
            Batched(webhook_id=row[0], delivery=None if row[1] is None else rows.delivery_from(row[1:]))
            for row in self._db.read(_BATCHED, (organization_id, event_key))
        ]

    async def owed(self, webhook_id: Key, event_keys: Sequence[Key]) -> set[Key]:
        return {key for key in event_keys if self._db.read_one(_WAS_OWED, (key, webhook_id)) is not None}

    async def collecting(self) -> list[Collecting]:
        found: list[Collecting] = []
        row = self._db.read_one(_NEXT_COLLECTING, (b"",))
        while row is not None:
            found.append(Collecting(webhook_id=row[0], since=from_ms(row[1])))
            row = self._db.read_one(_NEXT_COLLECTING, row[:1])
        return found

    async def fanouts(self, *, limit: int = 100) -> list[Fanout]:
        return [
            Fanout(event=rows.event_from(row), after=row[-1]) for row in self._db.read(_FANOUTS, (limit,))
        ]

    async def next_wake_at(self) -> datetime | None:
        row = self._db.read_one(_NEXT_WAKE)
        return None if row is None else maybe_at(row[0])

    async def cancel_requested(self, epoch: Epoch) -> list[Key]:
        return [id_ for (id_,) in self._db.read(_CANCEL_REQUESTED, (epoch,))]

    async def own_event_ids(self, organization_id: Key, event_keys: Sequence[Key]) -> dict[Key, str]:
        found = {key: self._db.read_one(_OWN_EVENT_ID, (organization_id, key)) for key in event_keys}
        return {key: row[0] for key, row in found.items() if row is not None}

    async def claimed_deliveries(self, epoch: Epoch) -> list[tuple[Key, Key]]:
        return [
            (id_, organization_id) for id_, organization_id in self._db.read(_CLAIMED_DELIVERIES, (epoch,))
        ]

    async def claimed_executions(self, epoch: Epoch) -> list[Key]:
        return [id_ for (id_,) in self._db.read(_CLAIMED_EXECUTIONS, (epoch,))]


def _requests_search(organization_id: Key, filter: RequestFilter) -> Search:
    where = Where()
    search = Search("trigger_requests", _REQUEST_LINE, where)
    if filter.trigger_id is not None:
        search.key("trigger_id", filter.trigger_id)
        where.equals("organization_id", organization_id)
    else:
        search.key("organization_id", organization_id)
    where.between("received_at", filter.since, filter.until)
    if filter.ran is not None:
        where.add(f"execution_id IS {'NOT ' if filter.ran else ''}NULL")
    if filter.refused:
        index = "trigger_requests_refused" + ("" if filter.trigger_id is not None else "_anywhere")
        search.source = f"trigger_requests INDEXED BY {index}"
        search.condition = " AND reason IS NOT NULL"
    elif filter.refused is not None:
        where.add("reason IS NULL")
    return search
