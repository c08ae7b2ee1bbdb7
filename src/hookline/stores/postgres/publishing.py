"""Writes that bring work in: events with their deliveries, executions, requests, and answers given once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.ports import Accept, Closed, FanOut, KeepRequest, Publish, Repeat
from hookline.stores import rows
from hookline.stores.postgres import batches, columns, order, turns
from hookline.stores.postgres.columns import or_first, selected, transposed, unnest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookline.model.executions import Conversation
    from hookline.model.ids import Key
    from hookline.ports import Instead, Once
    from hookline.stores.postgres.batch import Batch
    from hookline.stores.postgres.connection import Connection

_NEW_EVENT: Final = columns.EVENT | {"fanout_after": "bytea"}
_NEW_DELIVERY: Final = columns.DELIVERY | {"epoch": "bigint"}
# owner: the event whose fate it shares, where its own event_key does not say so (a batch).
_OWED: Final = _NEW_DELIVERY | {"owner": "bytea"}
_FIRST_DELIVERY: Final = len(_NEW_EVENT) + 1
_FANOUT_ARRAY: Final = len(_NEW_EVENT)

# IS TRUE keeps the planner from making a join of it: a hashed subplan costs 128 rows 0.05 ms, a nested loop 0.6 ms.
_INSERT_EVENTS: Final = f"""
WITH written AS (
    INSERT INTO events ({", ".join(columns.EVENT)})
    SELECT {selected(columns.EVENT, first=1)} FROM {unnest(_NEW_EVENT)}
    ON CONFLICT DO NOTHING
    RETURNING key
), owed AS (
    INSERT INTO deliveries ({", ".join(_NEW_DELIVERY)})
    SELECT {selected(_NEW_DELIVERY, first=_FIRST_DELIVERY)} FROM {unnest(_OWED, first=_FIRST_DELIVERY)}
    WHERE (coalesce(owner, event_key) IN (SELECT key FROM written)) IS TRUE
), opened AS (
    INSERT INTO fanouts (event_key, organization_id, after)
    SELECT key, {or_first("organization_id", 2, "bytea")}, after
    FROM unnest($1::bytea[], $2::bytea[], ${_FANOUT_ARRAY}::bytea[]) AS given(key, organization_id, after)
    WHERE after IS NOT NULL AND (key IN (SELECT key FROM written)) IS TRUE
)
SELECT key FROM unnest($1::bytea[]) AS given(key) WHERE (key IN (SELECT key FROM written)) IS NOT TRUE
"""

_FAN_OUT: Final = f"""
WITH written AS (
    INSERT INTO deliveries ({", ".join(_NEW_DELIVERY)})
    SELECT {selected(_NEW_DELIVERY)} FROM {unnest(_NEW_DELIVERY, first=3)}
    ON CONFLICT DO NOTHING
    RETURNING id
), moved AS (
    UPDATE fanouts SET after = greatest(after, $2) WHERE event_key = $1 AND $2::bytea IS NOT NULL
), closed AS (
    DELETE FROM fanouts WHERE event_key = $1 AND $2::bytea IS NULL
)
SELECT count(*) FROM written
"""

_ONCE: Final = {
    "scope": "bytea", "name": "text", "digest": "bytea", "answer": "bytea", "epoch": "bigint", "expires_at": "bigint",
}  # fmt: skip
_INSERT_ONCES: Final = f"""
INSERT INTO onces ({", ".join(_ONCE)}) SELECT {selected(_ONCE)} FROM {unnest(_ONCE)}
ON CONFLICT (scope, name) DO UPDATE
    SET digest = excluded.digest, answer = excluded.answer, instead = NULL, epoch = excluded.epoch,
        expires_at = excluded.expires_at
    WHERE onces.expires_at <= ${len(_ONCE) + 1}
RETURNING scope, name
"""
_NAME: Final = {"scope": "bytea", "name": "text"}
_READ_ONCES: Final = f"""
SELECT o.scope, o.name, o.digest, o.answer, o.instead
FROM {unnest(_NAME)}
JOIN onces o ON o.scope = given.scope AND o.name = given.name
"""

_NEW_EXECUTION: Final = columns.EXECUTION | {"epoch": "bigint", "awaited_by": "bigint"}
_INSERT_EXECUTIONS: Final = f"""
INSERT INTO executions ({", ".join(_NEW_EXECUTION)})
SELECT {selected(_NEW_EXECUTION)} FROM {unnest(_NEW_EXECUTION)}
ON CONFLICT DO NOTHING
"""
_INSERT_REQUESTS: Final = f"""
INSERT INTO trigger_requests ({", ".join(columns.REQUEST)})
SELECT {selected(columns.REQUEST)} FROM {unnest(columns.REQUEST)}
ON CONFLICT DO NOTHING
"""
_CHANGING: Final = tuple(name for name in columns.CONVERSATION if name not in {"id", "organization_id"})
_PUT_CONVERSATIONS: Final = f"""
INSERT INTO conversations ({", ".join(columns.CONVERSATION)})
SELECT {selected(columns.CONVERSATION)} FROM {unnest(columns.CONVERSATION)}
ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _CHANGING)}
    WHERE conversations.organization_id = excluded.organization_id
"""


# --- answers given once -------------------------------------------------------------------------------------


async def check_onces(connection: Connection, batch: Batch, *, now_ms: int) -> None:
    """Give every publish and accept whose Once was there before its ``Repeat`` as result."""
    asked: dict[tuple[Key, str], list[tuple[int, Once]]] = {}
    first: dict[tuple[Key, str], tuple[Any, ...]] = {}
    for place, write, once in batch.onces:
        name = (once.scope, once.name)
        asked.setdefault(name, []).append((place, once))
        first.setdefault(name, (*name, once.digest, once.answer, write.epoch, rows.to_ms(once.expires_at)))
    if not asked:
        return
    # In one order on all nodes, else two of them could wait for each other.
    given = [first[name] for name in sorted(first)]
    taken = await connection.fetch(_INSERT_ONCES, *transposed(given, _ONCE), now_ms)
    is_ours = {(row[0], row[1]) for row in taken}
    stored = {name: (row[2], row[3], None) for name, row in first.items() if name in is_ours}
    repeated = [name for name in asked if name not in is_ours]
    if repeated:
        for row in await connection.fetch(_READ_ONCES, *transposed(repeated, _NAME)):
            stored[row[0], row[1]] = (row[2], row[3] or b"", row[4] if row[3] is None else None)
    for name, askers in asked.items():
        digest, answer, instead = stored[name]
        for place, once in askers[1:] if name in is_ours else askers:
            batch.results[place] = Repeat(answer=answer, is_same=once.digest == digest, instead=instead)


# --- groups -------------------------------------------------------------------------------------------------


async def accept(connection: Connection, batch: Batch) -> None:
    executions: list[tuple[Any, ...]] = []
    requests: list[tuple[Any, ...]] = []
    conversations: list[Conversation] = []
    gave_way: dict[tuple[Key, str], Instead] = {}
    await _refuse_ended(connection, batch)
    for place, write in batch.of(Accept):
        instead = await _instead_of(connection, batch, place, write, gave_way)
        if instead is not None:
            batch.results[place] = instead
            if write.request is not None:
                kept = msgspec.structs.replace(write.request, execution_id=instead.execution_id)
                requests.append(rows.request_row(kept))
        if batch.results[place] is not None:
            continue
        execution = write.execution
        if execution.gate is None and execution.mark is None:
            claimed_by = write.epoch if write.is_claimed else None
            awaited_by = write.epoch if write.is_awaited else None
            executions.append((*rows.execution_row(execution), claimed_by, awaited_by))
        if write.request is not None:
            requests.append(rows.request_row(write.request))
        if write.conversation is not None:
            conversations.append(write.conversation)
        if not write.is_claimed:
            batch.notices.add("executions")
        batch.add_events(write.epoch, write.events)
        batch.results[place] = True
    if executions:
        await connection.execute(_INSERT_EXECUTIONS, *transposed(executions, _NEW_EXECUTION))
    await _insert_requests(connection, requests)
    await put_conversations(connection, conversations)


async def _refuse_ended(connection: Connection, batch: Batch) -> None:
    """Give every turn whose conversation has ended ``Closed`` as result."""
    for place, write in batch.of(Accept):
        if write.joins is not None and not await turns.is_open(connection, write):
            batch.results[place] = Closed()


async def _instead_of(
    connection: Connection, batch: Batch, place: int, write: Accept, gave_way: dict[tuple[Key, str], Instead]
) -> Instead | None:
    """Return what stands for a new execution, or insert one that takes turns and return None.

    gave_way: names of this batch whose first write gave way: the answer that its repeats were promised names an
    execution that is not stored, so what stands for the first stands for them.
    """
    name = None if write.once is None else (write.once.scope, write.once.name)
    result, instead = batch.results[place], None
    if result is None and (write.execution.gate is not None or write.execution.mark is not None):
        instead = await turns.accept(connection, batch, write)
        if instead is not None and name is not None:
            gave_way[name] = instead
    elif isinstance(result, Repeat) and result.is_same and name is not None:
        instead = gave_way.get(name)
    return instead


def publish(batch: Batch) -> None:
    for place, write in batch.of(Publish):
        if batch.results[place] is None:
            batch.add_events(write.epoch, write.events)


async def keep_requests(connection: Connection, batch: Batch) -> None:
    group = batch.of(KeepRequest)
    await _insert_requests(connection, [rows.request_row(write.request) for _, write in group])
    for place, _ in group:
        batch.results[place] = True


async def _insert_requests(connection: Connection, requests: list[tuple[Any, ...]]) -> None:
    if requests:
        await connection.execute(_INSERT_REQUESTS, *transposed(requests, columns.REQUEST))


async def put_conversations(connection: Connection, conversations: Iterable[Conversation]) -> None:
    """Insert or replace; the last of several for one id stands."""
    latest = {one.id: rows.conversation_row(one) for one in conversations}
    if latest:
        ordered = [latest[id] for id in sorted(latest)]
        await connection.execute(_PUT_CONVERSATIONS, *transposed(ordered, columns.CONVERSATION))


async def insert_events(connection: Connection, batch: Batch) -> None:
    """Insert what all accepted writes owe to the log, in one statement, and answer the publishes."""
    refused: frozenset[Key] = frozenset()
    if batch.events:
        await order.lock(connection, [delivery.webhook_id for delivery in batch.ordered])
        refused = frozenset(row[0] for row in await connection.fetch(_INSERT_EVENTS, *event_arrays(batch)))
        if batch.ordered:
            await order.place(connection, batch, batch.ordered)
        batch.items = _items(batch, refused)
    batch.answer_publishes(refused)


def _items(batch: Batch, refused: frozenset[Key]) -> list[tuple[Any, ...]]:
    return [
        rows.batch_item_row(waiter, new.event.key, len(new.event.data), new.event.received_at)
        for _, new in batch.events
        if new.batched and new.event.key not in refused
        for waiter in new.batched
    ]


def event_arrays(batch: Batch) -> list[Any]:
    events = [(*rows.event_row(new.event), new.fanout_after) for _, new in batch.events]
    deliveries = [
        (
            *rows.delivery_row(delivery),
            rows.claimed_by(delivery, epoch),
            None if delivery.event_key == new.event.key else new.event.key,
        )
        for epoch, new in batch.events
        for delivery in new.deliveries
    ]
    return transposed(events, _NEW_EVENT, are_alike=True) + transposed(deliveries, _OWED, are_alike=True)


async def fan_out(connection: Connection, batch: Batch) -> None:
    for place, write in batch.of(FanOut):
        ordered = [delivery for delivery in write.deliveries if delivery.ordering_key is not None]
        await order.lock(connection, [delivery.webhook_id for delivery in ordered])
        given = [
            (*rows.delivery_row(delivery), rows.claimed_by(delivery, write.epoch))
            for delivery in write.deliveries
        ]
        batch.results[place] = await connection.fetchval(
            _FAN_OUT, write.event_key, write.after, *transposed(given, _NEW_DELIVERY)
        )
        if ordered:
            await order.place(connection, batch, ordered)
        if write.batched:
            assert write.at is not None
            items = [
                rows.batch_item_row(waiter, write.event_key, write.size, write.at) for waiter in write.batched
            ]
            await batches.add(connection, items)
        if any(row[-1] is None for row in given):
            batch.notices.add("deliveries")
