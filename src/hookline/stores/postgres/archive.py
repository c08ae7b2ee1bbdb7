"""Reads about work that is done or under way: executions, events, deliveries, requests.

They run on a few connections of their own, beside the writer, and the server ends each after five seconds. Lists
order by key, newest first, along an index; filters are tested on the way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from hookline.model.ids import parse
from hookline.ports import EventPage
from hookline.stores import rows
from hookline.stores.postgres.connected import Connected
from hookline.stores.postgres.moved import FIRST_XID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hookline.model.events import Attempt, Delivery, Event
    from hookline.model.executions import Conversation, Execution, JournalEntry, LogLine, TriggerRequest
    from hookline.model.ids import Key
    from hookline.model.states import Kind
    from hookline.ports import ConversationFilter, DeliveryFilter, ExecutionFilter, RequestFilter

_EVENT: Final = rows.listed(rows.EVENT)
_DELIVERY: Final = rows.listed(rows.DELIVERY)
_EXECUTION: Final = rows.listed(rows.EXECUTION)
_REQUEST: Final = rows.listed(rows.REQUEST)

_EXECUTION_BY_ID: Final = f"""
SELECT {_EXECUTION} FROM executions WHERE id = $1 AND ($2::bytea IS NULL OR organization_id = $2)
"""
_JOURNAL: Final = f"SELECT {rows.listed(rows.JOURNAL)} FROM journal WHERE execution_id = $1 ORDER BY position"
_LOGS: Final = f"""
SELECT {rows.listed(rows.LOG)} FROM logs WHERE execution_id = $1 AND position > $2 ORDER BY position LIMIT $3
"""
_EXECUTION_EVENTS: Final = f"SELECT {_EVENT} FROM events WHERE execution_id = $1 ORDER BY sequence, key"
_RUN_TIMES: Final = """
SELECT completed_at - created_at FROM executions
WHERE kind = $1 AND automation_id = $2 AND status = 'succeeded' AND completed_at IS NOT NULL
ORDER BY id DESC LIMIT $3
"""
_RUN_TIME: Final = """
SELECT coalesce(sum(coalesce(run_ms, $1 - started_at)), 0)::bigint FROM executions
WHERE organization_id = $2 AND id >= $3 AND created_at >= $4 AND started_at IS NOT NULL
    AND (run_ms IS NOT NULL OR status = 'running')
"""
_CONVERSATION: Final = f"""
SELECT {rows.listed(rows.CONVERSATION)} FROM conversations WHERE id = $1 AND organization_id = $2
"""
_IDLE_CONVERSATIONS: Final = f"""
SELECT {rows.listed(rows.CONVERSATION)} FROM conversations c
WHERE completed_at IS NULL AND started_at < $1::bigint - coalesce(idle_ms, $2::bigint) AND NOT EXISTS (
    SELECT FROM executions x WHERE x.conversation_id = c.id
    AND (x.completed_at IS NULL OR x.completed_at >= $1::bigint - coalesce(c.idle_ms, $2::bigint))
)
ORDER BY started_at LIMIT $3
"""
_EVENT_BY_OWN_ID: Final = f"SELECT {_EVENT} FROM events WHERE organization_id = $1 AND own_id = $2"
_EVENT_BY_KEY: Final = (
    f"SELECT {_EVENT} FROM events WHERE organization_id = $1 AND key = $2 AND own_id IS NULL"
)

# Rows of a transaction that began before another one ended may still appear behind those that are there: only what
# is older than the oldest open transaction is shown, in the order of transactions. A transaction that writes for long,
# in any database of the server, so holds the feed back for that long; deliveries do not wait for it.
_FEED: Final = f"""
SELECT {_EVENT}, xid::text AS place_xid, seq AS place_seq FROM events
WHERE organization_id = $1 AND xid < pg_snapshot_xmin(pg_current_snapshot())
    AND (xid, seq) > ($2::text::xid8, $3::bigint) AND (cardinality($4::text[]) = 0 OR type = ANY($4))
ORDER BY xid, seq LIMIT $5
"""
_CURSOR: Final = re.compile(rb"([0-9]{1,20})\.([0-9]{1,19})(?:\.([0-9]{1,9}))?", re.ASCII)
"""Transaction, number, era; cursors made before there were eras are of the first."""

_OVERLAP: Final = 10_000
"""Events that a reader whose cursor is of another era may get twice: they may have been written in another order than
numbered. More are not in flight at once.
"""
_BIGGEST_XID: Final = 2**64 - 1
_BIGGEST_SEQ: Final = 2**63 - 1
_START: Final = b"0.0"

_EVENTS_BY_KEY: Final = f"""
SELECT {_EVENT} FROM events
WHERE organization_id = $1 AND ($2::bytea IS NULL OR key {{beyond}} $2)
    AND (cardinality($3::text[]) = 0 OR type = ANY($3))
ORDER BY key {{order}} LIMIT $4
"""
_RECENT_EVENTS: Final = _EVENTS_BY_KEY.format(beyond="<", order="DESC")
_LATER_EVENTS: Final = _EVENTS_BY_KEY.format(beyond=">", order="ASC")
_DELIVERY_BY_ID: Final = f"SELECT {_DELIVERY} FROM deliveries WHERE id = $1 AND organization_id = $2"
_ATTEMPTS: Final = f"SELECT {rows.listed(rows.ATTEMPT)} FROM attempts WHERE delivery_id = $1 ORDER BY number"
_REQUEST_LINE: Final = rows.listed("''::bytea AS body" if name == "body" else name for name in rows.REQUEST)
_REQUEST_BY_ID: Final = f"SELECT {_REQUEST} FROM trigger_requests WHERE id = $1 AND organization_id = $2"


class PostgresArchive(Connected):
    """The part of ``hookline.ports.Archive`` that serves people; ``watch`` has what serves the engine."""

    async def _row(self, sql: str, *arguments: object) -> Any | None:
        async with self._readers.use() as connection:
            return await connection.fetchrow(sql, *arguments)

    async def _rows(self, sql: str, *arguments: object) -> list[Any]:
        async with self._readers.use() as connection:
            return await connection.fetch(sql, *arguments)

    async def _listed(self, where: Where, columns: str, table: str, limit: int) -> list[Any]:
        return await self._rows(where.page(columns, table), *where.values, limit)

    # --- executions

    async def execution(self, id: Key, *, organization_id: Key | None) -> Execution | None:
        row = await self._row(_EXECUTION_BY_ID, id, organization_id)
        return None if row is None else rows.execution_from(row)

    async def executions(
        self, organization_id: Key, filter: ExecutionFilter, *, before: Key | None, limit: int
    ) -> list[Execution]:
        where = Where(organization_id=organization_id)
        where.add("id < {}", before)
        where.add("status = {}", filter.status)
        where.add("kind = {}", filter.kind)
        where.add("automation_id = {}", filter.automation_id)
        where.add("conversation_id = {}", filter.conversation_id)
        where.add("created_at >= {}", rows.maybe_ms(filter.since))
        where.add("created_at < {}", rows.maybe_ms(filter.until))
        found = await self._listed(where, _EXECUTION, "executions", limit)
        return [rows.execution_from(row) for row in found]

    async def journal(self, execution_id: Key) -> list[JournalEntry]:
        return [rows.journal_from(row) for row in await self._rows(_JOURNAL, execution_id)]

    async def logs(self, execution_id: Key, *, after: int, limit: int) -> list[LogLine]:
        found = await self._rows(_LOGS, execution_id, after, limit)
        return [
            rows.log_from((*row[:4], row[4].decode("utf-8", "surrogatepass"), row[5]))
            for row in map(tuple, found)
        ]

    async def execution_events(self, execution_id: Key) -> list[Event]:
        return [rows.event_from(row) for row in await self._rows(_EXECUTION_EVENTS, execution_id)]

    async def run_times(self, kind: Kind, automation_id: str, *, limit: int = 50) -> list[int]:
        return [row[0] for row in await self._rows(_RUN_TIMES, kind, automation_id, limit)]

    async def run_time(self, organization_id: Key, *, since: datetime, now: datetime) -> int:
        row = await self._row(
            _RUN_TIME, rows.to_ms(now), organization_id, rows.first_key(since), rows.to_ms(since)
        )
        assert row is not None
        return int(row[0])

    async def conversation(self, id: Key, *, organization_id: Key) -> Conversation | None:
        row = await self._row(_CONVERSATION, id, organization_id)
        return None if row is None else rows.conversation_from(row)

    async def conversations(
        self, organization_id: Key, filter: ConversationFilter, *, before: Key | None, limit: int
    ) -> list[Conversation]:
        where = Where(organization_id=organization_id)
        where.add("id < {}", before)
        where.add("agent_id = {}", filter.agent_id)
        where.add("user_id = {}", filter.user_id)
        where.add("status = {}", filter.status)
        found = await self._listed(where, rows.listed(rows.CONVERSATION), "conversations", limit)
        return [rows.conversation_from(row) for row in found]

    async def idle_conversations(self, *, now: datetime, idle_ms: int, limit: int) -> list[Conversation]:
        found = await self._rows(_IDLE_CONVERSATIONS, rows.to_ms(now), idle_ms, limit)
        return [rows.conversation_from(row) for row in found]

    # --- events

    async def event(self, organization_id: Key, public_id: str) -> Event | None:
        if "\0" in public_id:
            return None
        row = await self._row(_EVENT_BY_OWN_ID, organization_id, public_id)
        key = parse("event", public_id)
        if row is None and key is not None:
            row = await self._row(_EVENT_BY_KEY, organization_id, key)
        return None if row is None else rows.event_from(row)

    async def events(
        self, organization_id: Key, *, after: str | None, types: Sequence[str] = (), limit: int
    ) -> EventPage:
        xid, seq = _place(after, self._era)
        found = await self._rows(_FEED, organization_id, xid, seq, list(types), limit)
        cursor = after
        if found:
            cursor = rows.cursor_text(
                f"{found[-1]['place_xid']}.{found[-1]['place_seq']}.{self._era}".encode()
            )
        elif cursor is None:
            cursor = rows.cursor_text(_START)
        return EventPage(events=tuple([rows.event_from(row) for row in found]), cursor=cursor or "")

    async def recent_events(
        self,
        organization_id: Key,
        *,
        before: Key | None = None,
        after: Key | None = None,
        types: Sequence[str] = (),
        limit: int,
    ) -> list[Event]:
        sql = _RECENT_EVENTS if after is None else _LATER_EVENTS
        found = await self._rows(sql, organization_id, before if after is None else after, list(types), limit)
        return [rows.event_from(row) for row in found]

    # --- deliveries

    async def delivery(self, id: Key, *, organization_id: Key) -> Delivery | None:
        row = await self._row(_DELIVERY_BY_ID, id, organization_id)
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
        where = Where(organization_id=organization_id)
        where.add("id < {}", before)
        where.add("id > {}", after)
        where.add("webhook_id = {}", filter.webhook_id)
        where.add("state = ANY({}::text[])", list(filter.states) or None)
        where.add("event_type = {}", filter.event_type)
        where.add("event_key = {}", filter.event_key)
        where.add("created_at >= {}", rows.maybe_ms(filter.since))
        where.add("created_at < {}", rows.maybe_ms(filter.until))
        sql = where.page(_DELIVERY, "deliveries", is_ascending=after is not None)
        return [rows.delivery_from(row) for row in await self._rows(sql, *where.values, limit)]

    async def attempts(self, delivery_id: Key) -> list[Attempt]:
        return [rows.attempt_from(row) for row in await self._rows(_ATTEMPTS, delivery_id)]

    # --- requests

    async def request(self, id: Key, *, organization_id: Key) -> TriggerRequest | None:
        row = await self._row(_REQUEST_BY_ID, id, organization_id)
        return None if row is None else rows.request_from(row)

    async def requests(
        self, organization_id: Key, filter: RequestFilter, *, before: Key | None, limit: int
    ) -> list[TriggerRequest]:
        where = _requests_where(organization_id, filter)
        where.add("id < {}", before)
        found = await self._listed(where, _REQUEST_LINE, "trigger_requests", limit)
        return [rows.request_from(row) for row in found]

    async def requests_after(
        self, organization_id: Key, filter: RequestFilter, *, after: Key, limit: int
    ) -> list[TriggerRequest]:
        where = _requests_where(organization_id, filter)
        where.add("id > {}", after)
        sql = where.page(_REQUEST_LINE, "trigger_requests", is_ascending=True)
        return [rows.request_from(row) for row in await self._rows(sql, *where.values, limit)]


def _requests_where(organization_id: Key, filter: RequestFilter) -> Where:
    where = Where(organization_id=organization_id)
    where.add("trigger_id = {}", filter.trigger_id)
    where.add("received_at >= {}", rows.maybe_ms(filter.since))
    where.add("received_at < {}", rows.maybe_ms(filter.until))
    # Not as a parameter: only so the planner sees that the index of refused ones serves.
    where.say("reason", is_null=None if filter.refused is None else not filter.refused)
    where.say("execution_id", is_null=None if filter.ran is None else not filter.ran)
    return where


class Where:
    """Conditions of a list that are asked for, each with its parameter. Values never become part of the text."""

    def __init__(self, **equal: object) -> None:
        self._conditions: list[str] = []
        self.values: list[object] = []
        for name, value in equal.items():
            self.add(f"{name} = {{}}", value)

    def __repr__(self) -> str:
        return f"Where({' AND '.join(self._conditions)})"

    def add(self, condition: str, value: object) -> None:
        """condition: SQL of ours with {} where the parameter stands.  value: None leaves the condition out."""
        if value is not None:
            self.values.append(value)
            self._conditions.append(condition.format(f"${len(self.values)}"))

    def say(self, column: str, *, is_null: bool | None) -> None:
        """is_null: None leaves the condition out."""
        if is_null is not None:
            self._conditions.append(f"{column} IS {'' if is_null else 'NOT '}NULL")

    def page(self, columns: str, table: str, *, is_ascending: bool = False) -> str:
        """The statement, newest first unless it is ascending; its last parameter is the number of rows."""
        conditions = " AND ".join(self._conditions)
        order, most = "ASC" if is_ascending else "DESC", len(self.values) + 1
        return f"SELECT {columns} FROM {table} WHERE {conditions} ORDER BY id {order} LIMIT ${most}"


def _place(cursor: str | None, era: int) -> tuple[str, int]:
    """(transaction, number) behind which a page begins. Raises InputError for a cursor that is not ours."""
    match = _CURSOR.fullmatch(_START if cursor is None else rows.cursor_bytes(cursor))
    if match is None:
        raise rows.wrong_cursor()
    xid, seq = int(match[1]), int(match[2])
    if xid > _BIGGEST_XID or seq > _BIGGEST_SEQ:
        raise rows.wrong_cursor()
    if int(match[3] or 0) != era and cursor is not None:
        return str(FIRST_XID), max(0, seq - _OVERLAP)
    return str(xid), seq
