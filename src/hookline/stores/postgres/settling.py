"""Writes about deliveries that exist: claim, settle, reopen, shift.

Settling is the hot one: one statement for any number of deliveries frees the claims, keeps the attempts and raises
the counters. It is guarded by the claim's epoch, so a late result of a lost lease changes nothing (fencing).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.core.lifecycle import CONDITION_UNREADABLE
from hookline.model.states import DeliveryState
from hookline.ports import ClaimDeliveries, Owed, Reopen, Settle, Shift, ShortenWaits
from hookline.stores import rows
from hookline.stores.postgres import batches, columns, order
from hookline.stores.postgres.columns import selected, transposed, unnest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookline.model.ids import Key
    from hookline.ports import Epoch
    from hookline.stores.postgres.batch import Batch
    from hookline.stores.postgres.connection import Connection

_WANTED: Final = {"webhook_id": "bytea", "lane": "smallint", "most": "integer", "revision": "integer"}
_CLAIM: Final = f"""
WITH wanted AS (
    SELECT {selected(_WANTED)} FROM {unnest(_WANTED, first=3)}
), picked AS MATERIALIZED (
    SELECT wanted.webhook_id, due.id, due.next_attempt_at, wanted.revision FROM wanted CROSS JOIN LATERAL (
        SELECT d.id, d.next_attempt_at FROM deliveries d
        WHERE d.webhook_id = wanted.webhook_id AND d.lane = wanted.lane AND d.next_attempt_at <= $2
        ORDER BY d.next_attempt_at, d.id LIMIT wanted.most FOR UPDATE SKIP LOCKED
    ) due
), claimed AS (
    UPDATE deliveries d
    SET state = 'in_flight', epoch = $1, next_attempt_at = NULL,
        webhook_revision = CASE WHEN d.webhook_revision = 0 THEN picked.revision ELSE d.webhook_revision END
    FROM picked WHERE d.webhook_id = picked.webhook_id AND d.id = picked.id
    RETURNING d.*, picked.next_attempt_at AS was_due_at
)
SELECT {rows.listed(rows.DELIVERY, of="d")}, {rows.listed(rows.EVENT, of="e")}
FROM claimed d LEFT JOIN events e ON e.organization_id = d.organization_id AND e.key = d.event_key
ORDER BY d.was_due_at, d.id
"""
_EVENT_AT: Final = len(rows.DELIVERY)

_SETTLED: Final = {
    "webhook_id": "bytea", "id": "bytea", "epoch": "bigint", "state": "text", "state_reason": "text",
    "lane": "smallint", "next_attempt_at": "bigint", "ended_at": "bigint", "failures": "integer", "crashes": "integer",
    "body": "bytea", "body_size": "bigint",
    "number": "integer", "last_status": "integer", "last_ms": "bigint",
}  # fmt: skip
_MINUTE: Final = {
    "webhook_id": "bytea", "minute": "bigint", "epoch": "bigint", "what": "text", "count": "bigint",
}  # fmt: skip
_TOTAL: Final = {
    "webhook_id": "bytea", "epoch": "bigint", "delivered": "bigint", "exhausted": "bigint",
    "last_delivery_at": "bigint",
}  # fmt: skip
_MADE: Final = columns.ATTEMPT | {"epoch": "bigint"}
_ATTEMPT_AT: Final = len(_SETTLED) + 1
_COUNT_AT: Final = _ATTEMPT_AT + len(_MADE)
_ALL_AT: Final = _COUNT_AT + len(_MINUTE) + len(_TOTAL)


def _count_sql(first: int, condition: str) -> tuple[str, str]:
    """The two upserts of counters, whose arrays begin at parameter ``first``."""
    minutes = f"""
    INSERT INTO webhook_minutes ({", ".join(_MINUTE)})
    SELECT {selected(_MINUTE)} FROM {unnest(_MINUTE, first=first)} WHERE {condition}
    ON CONFLICT (webhook_id, minute, epoch, what) DO UPDATE SET count = webhook_minutes.count + excluded.count
    """
    totals = f"""
    INSERT INTO webhook_totals ({", ".join(_TOTAL)})
    SELECT {selected(_TOTAL)} FROM {unnest(_TOTAL, first=first + len(_MINUTE))} WHERE {condition}
    ON CONFLICT (webhook_id, epoch) DO UPDATE
        SET delivered = webhook_totals.delivered + excluded.delivered,
            exhausted = webhook_totals.exhausted + excluded.exhausted,
            last_delivery_at = greatest(webhook_totals.last_delivery_at, excluded.last_delivery_at)
    """
    return minutes, totals


# The counters arrive summed, so they are right only when no claim was gone. If one was, they wait for a second
# statement that has them without it.
_MINUTES_IF_ALL, _TOTALS_IF_ALL = _count_sql(_COUNT_AT, f"(SELECT count(*) FROM settled) = ${_ALL_AT}")
# IS TRUE hides the epoch from the planner: it would search the index of claims for each row, whose entries of one
# epoch are all that is in flight and all that vacuum has not yet swept; the primary key finds the row alone.
_SETTLE: Final = f"""
WITH given AS MATERIALIZED (
    SELECT {selected(_SETTLED)} FROM {unnest(_SETTLED)}
), settled AS (
    UPDATE deliveries d
    SET state = given.state, state_reason = given.state_reason, epoch = NULL,
        lane = given.lane, next_attempt_at = given.next_attempt_at, ended_at = given.ended_at,
        failures = given.failures, crashes = given.crashes,
        body = coalesce(given.body, d.body), body_size = coalesce(given.body_size, d.body_size),
        attempts_made = greatest(given.number, d.attempts_made),
        last_status = CASE WHEN given.number IS NULL THEN d.last_status ELSE given.last_status END,
        last_ms = CASE WHEN given.number IS NULL THEN d.last_ms ELSE given.last_ms END
    FROM given WHERE d.webhook_id = given.webhook_id AND d.id = given.id AND (d.epoch = given.epoch) IS TRUE
    RETURNING given.id, given.epoch
), kept AS (
    INSERT INTO attempts ({", ".join(columns.ATTEMPT)})
    SELECT {selected(columns.ATTEMPT)} FROM {unnest(_MADE, first=_ATTEMPT_AT)}
    WHERE ((delivery_id, epoch) IN (SELECT id, epoch FROM settled)) IS TRUE
), counted AS ({_MINUTES_IF_ALL}
), summed AS ({_TOTALS_IF_ALL}
)
SELECT id, epoch FROM given WHERE ((id, epoch) IN (SELECT id, epoch FROM settled)) IS NOT TRUE
"""

_MINUTES_ALONE, _TOTALS_ALONE = _count_sql(1, "true")
_COUNT: Final = f"WITH counted AS ({_MINUTES_ALONE}) {_TOTALS_ALONE}"

_REOPEN: Final = f"""
UPDATE deliveries
SET state = 'pending', state_reason = NULL, lane = $3, next_attempt_at = $4, ended_at = NULL,
    webhook_revision = CASE WHEN state_reason = 'template_failed' THEN 0 ELSE webhook_revision END
WHERE id = $1 AND organization_id = $2 AND state <> 'in_flight'
    AND NOT (state = 'pending' AND next_attempt_at IS NULL)
RETURNING {rows.listed(rows.DELIVERY)}
"""
_ORDERED: Final = """
SELECT DISTINCT webhook_id FROM deliveries WHERE id = ANY($1::bytea[]) AND ordering_key IS NOT NULL
"""
_READ: Final = f"SELECT {rows.listed(rows.DELIVERY)} FROM deliveries WHERE id = $1 AND organization_id = $2"

# One search for each state, worded so that the partial indexes of waiting and held rows serve it.
_SOURCE: Final = {
    DeliveryState.PENDING: "state = 'pending' AND (next_attempt_at IS NOT NULL OR ordering_key IS NOT NULL)",
    DeliveryState.HELD: "state = 'held'",
    DeliveryState.SUCCEEDED: "state = 'succeeded'",
    DeliveryState.EXHAUSTED: "state = 'exhausted'",
    DeliveryState.CANCELLED: "state = 'cancelled'",
}


def _shift_sql(source: DeliveryState) -> str:
    return f"""
    WITH picked AS MATERIALIZED (
        SELECT id FROM deliveries WHERE webhook_id = $1 AND {_SOURCE[source]} ORDER BY id LIMIT $2 FOR UPDATE
    ), moved AS (
        UPDATE deliveries d SET state = $3, next_attempt_at = $5, ended_at = $6,
            state_reason = coalesce($4, CASE d.state_reason WHEN '{CONDITION_UNREADABLE}' THEN d.state_reason END)
        FROM picked WHERE d.webhook_id = $1 AND d.id = picked.id AND ($7::bigint IS NULL OR d.created_at < $7)
        RETURNING d.id
    )
    SELECT count(*) FROM moved
    """


_SHIFT: Final = {source: _shift_sql(source) for source in _SOURCE}

_SHORTEN: Final = """
    WITH shortened AS (
        UPDATE deliveries AS d SET next_attempt_at = w.latest
        FROM unnest($2::integer[], $3::bigint[]) AS w (failures, latest)
        WHERE d.webhook_id = $1 AND d.next_attempt_at > w.latest AND d.failures = w.failures
            AND coalesce(d.last_status, 0) NOT IN (429, 503)
        RETURNING 1
    )
    SELECT count(*) FROM shortened
"""
_SHORTEN_ALL: Final = """
    WITH shortened AS (
        UPDATE deliveries SET next_attempt_at = $2 WHERE webhook_id = $1 AND next_attempt_at > $2 RETURNING 1
    )
    SELECT count(*) FROM shortened
"""


async def claim(connection: Connection, batch: Batch) -> None:
    for place, write in batch.of(ClaimDeliveries):
        wants = [(want.webhook_id, want.lane, want.limit, want.revision) for want in write.wants]
        found = await connection.fetch(
            _CLAIM, write.epoch, rows.to_ms(write.now), *transposed(wants, _WANTED)
        )
        batch.results[place] = tuple([_owed(tuple(row)) for row in found])


def _owed(row: tuple[Any, ...]) -> Owed:
    event = row[_EVENT_AT:]
    return Owed(delivery=rows.delivery_from(row), event=None if event[0] is None else rows.event_from(event))


# --- settling -----------------------------------------------------------------------------------------------


async def settle(connection: Connection, batch: Batch) -> None:
    given: dict[tuple[Key, Epoch], Settle] = {}
    for place, write in batch.of(Settle):
        if batch.results[place] is not None:
            continue  # outdated
        claim = (write.delivery_id, write.epoch)
        # The claim is gone for a second one.
        batch.results[place] = claim not in given
        given.setdefault(claim, write)
    if not given:
        return
    ended = [one for one in given.values() if one.ordering_key is not None and one.state in rows.ENDED]
    await order.lock(connection, [one.webhook_id for one in ended])
    await _settle(connection, batch, given)
    if ended:
        lines = {(one.webhook_id, one.ordering_key): rows.to_ms(one.at) for one in ended}
        await order.release(connection, batch, [(*line, due) for line, due in sorted(lines.items())])
    for place, write in batch.of(Settle):
        if write.events and batch.results[place] is True:
            batch.add_events(write.epoch, write.events)


def needs_transaction(batch: Batch) -> bool:
    """Say whether settling takes more than its one statement."""
    return any(
        write.ordering_key is not None or write.events or write.health is not None
        for _, write in batch.of(Settle)
    )


async def _settle(connection: Connection, batch: Batch, given: dict[tuple[Key, Epoch], Settle]) -> None:
    refused = await connection.fetch(_SETTLE, *_settle_arrays(given.values()))
    if not refused:
        return
    for row in refused:
        del given[row[0], row[1]]
    for place, write in batch.of(Settle):
        if batch.results[place] is True:
            batch.results[place] = (write.delivery_id, write.epoch) in given
    if given:
        await connection.execute(_COUNT, *_counter_arrays(given.values()))


def _settle_arrays(settles: Iterable[Settle]) -> list[Any]:
    settled, attempts = [], []
    for write in settles:
        rows.check_settle(write)
        due, attempt = write.next_attempt_at, write.attempt
        settled.append((
            write.webhook_id, write.delivery_id, write.epoch, write.state, write.state_reason, write.lane,
            None if due is None else rows.to_ms(due),
            rows.to_ms(write.at) if write.state in rows.ENDED else None,
            write.failures, write.crashes, write.body, write.body_size,
            *((None, None, None) if attempt is None else (attempt.number, attempt.status, attempt.duration_ms)),
        ))  # fmt: skip
        if attempt is not None:
            attempts.append((*rows.attempt_row(attempt), write.epoch))
    return [
        *transposed(settled, _SETTLED),
        *transposed(attempts, _MADE),
        *_counter_arrays(settles),
        len(settled),
    ]


def _counter_arrays(settles: Iterable[Settle]) -> list[Any]:
    """Counters of these deliveries, summed by the epoch that settles them: nodes never share a row."""
    by_epoch: dict[Epoch, rows.Counters] = {}
    for write in settles:
        counters = by_epoch.get(write.epoch)
        if counters is None:
            counters = by_epoch[write.epoch] = rows.Counters()
        counters.add(write, rows.to_ms(write.at))
    minutes = [
        (webhook, minute, epoch, what, count)
        for epoch, counters in by_epoch.items()
        for (webhook, minute, what), count in counters.minutes.items()
    ]
    totals = [
        (webhook, epoch, *total)
        for epoch, counters in by_epoch.items()
        for webhook, total in counters.totals.items()
    ]
    return [*transposed(minutes, _MINUTE), *transposed(totals, _TOTAL)]


# --- by people ----------------------------------------------------------------------------------------------


async def reopen(connection: Connection, batch: Batch) -> None:
    in_line = [write.delivery_id for _, write in batch.of(Reopen) if write.in_line]
    if in_line:
        found = await connection.fetch(_ORDERED, in_line)
        await order.lock(connection, [webhook_id for (webhook_id,) in found])
    for place, write in batch.of(Reopen):
        named = (write.delivery_id, write.organization_id)
        row: Any = await connection.fetchrow(_REOPEN, *named, write.lane, rows.to_ms(write.at))
        if row is None:  # in flight, waiting for its turn, or not there
            row = await connection.fetchrow(_READ, *named)
        else:
            batch.notices.add("deliveries")
            reopened = rows.delivery_from(row)
            if write.in_line and reopened.ordering_key is not None:
                await order.rejoin(connection, batch, reopened, rows.to_ms(write.at))
                row = await connection.fetchrow(_READ, *named)
        batch.results[place] = None if row is None else rows.delivery_from(row)


async def shift(connection: Connection, batch: Batch) -> None:
    for place, write in batch.of(Shift):
        await order.lock(connection, [write.webhook_id])
        batch.results[place] = moved = await _shift(connection, write)
        await order.arrange(connection, write.webhook_id, rows.to_ms(write.at))
        if write.to is DeliveryState.CANCELLED:
            await batches.drop(connection, write.webhook_id)
        if moved:
            batch.add_events(write.epoch, write.events)
        if moved and write.to is DeliveryState.PENDING:
            batch.notices.add("deliveries")


async def _shift(connection: Connection, write: Shift) -> int:
    due = write.next_attempt_at
    if (write.to is DeliveryState.PENDING) is (due is None) or write.to is DeliveryState.IN_FLIGHT:
        raise ValueError("next_attempt_at is set while a delivery is pending, and only then")
    ended_at = rows.to_ms(write.at) if write.to in rows.ENDED else None
    moved = 0
    for source in write.sources:
        if source in {DeliveryState.IN_FLIGHT, write.to} or moved >= write.limit:
            continue
        count = await connection.fetchval(
            _SHIFT[source],
            write.webhook_id, write.limit - moved, write.to, write.reason, rows.maybe_ms(due), ended_at,
            rows.maybe_ms(write.created_before),
        )  # fmt: skip
        moved += count or 0
    return moved


async def shorten_waits(connection: Connection, batch: Batch) -> None:
    for place, write in batch.of(ShortenWaits):
        latest = [rows.to_ms(write.now + wait) for wait in write.waits]
        furthest = max(*latest, rows.to_ms(write.now + write.asked))
        shortened = await connection.fetchval(_SHORTEN_ALL, write.webhook_id, furthest)
        shortened += await connection.fetchval(_SHORTEN, write.webhook_id, list(range(len(latest))), latest)
        batch.results[place] = shortened
        if shortened:
            batch.notices.add("deliveries")
