"""The ledger's writes on deliveries that wait, other than settling: claim, reopen, shift, fan out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.lifecycle import CONDITION_UNREADABLE
from hookline.model.states import DeliveryState
from hookline.ports import ClaimDeliveries, FanOut, Owed, Reopen, Shift, ShortenWaits, Want
from hookline.stores import rows
from hookline.stores.rows import DELIVERY, ENDED, EVENT, listed, maybe_ms, to_ms
from hookline.stores.sqlite import batches, order
from hookline.stores.sqlite.batch import INSERT_DELIVERY, INSERT_ITEM

if TYPE_CHECKING:
    from hookline.model.events import Delivery
    from hookline.stores.sqlite.batch import Batch

_DUE: Final = f"""
    SELECT {listed(DELIVERY, of="d")}, {listed(EVENT, of="e")}, d.rowid
    FROM deliveries AS d INDEXED BY deliveries_waiting
    LEFT JOIN events AS e ON e.organization_id = d.organization_id AND e.key = d.event_key
    WHERE d.webhook_id = ? AND d.lane = ? AND d.next_attempt_at IS NOT NULL AND d.next_attempt_at <= ?
    ORDER BY d.next_attempt_at, d.id
    LIMIT ?
"""
_CLAIM: Final = """
    UPDATE deliveries SET
        state = 'in_flight', epoch = ?, next_attempt_at = NULL,
        webhook_revision = iif(webhook_revision = 0, ?, webhook_revision)
    WHERE rowid = ?
"""

_REOPEN: Final = f"""
    UPDATE deliveries SET state = 'pending', state_reason = NULL, lane = ?, next_attempt_at = ?, ended_at = NULL,
        webhook_revision = iif(state_reason = 'template_failed', 0, webhook_revision)
    WHERE id = ? AND organization_id = ? AND epoch IS NULL AND NOT (state = 'pending' AND next_attempt_at IS NULL)
    RETURNING {listed(DELIVERY)}
"""
_DELIVERY: Final = f"SELECT {listed(DELIVERY)} FROM deliveries WHERE id = ? AND organization_id = ?"

# What waits and what is held have indexes of their own; the other states are looked for among all of the webhook's.
_IN_STATE: Final = {
    DeliveryState.PENDING: """
        SELECT rowid FROM deliveries INDEXED BY deliveries_waiting
        WHERE webhook_id = ?1 AND next_attempt_at IS NOT NULL
        UNION ALL
        SELECT rowid FROM deliveries INDEXED BY deliveries_ordered
        WHERE webhook_id = ?1 AND ordering_key IS NOT NULL AND ended_at IS NULL AND state = 'pending'
            AND next_attempt_at IS NULL
        LIMIT ?2
    """,
    DeliveryState.HELD: """
        SELECT rowid FROM deliveries INDEXED BY deliveries_held
        WHERE webhook_id = ? AND state = 'held' ORDER BY id LIMIT ?
    """,
    **{
        state: f"""
        SELECT rowid FROM deliveries INDEXED BY deliveries_of_webhook
        WHERE webhook_id = ? AND state = '{state}' ORDER BY id LIMIT ?
        """
        for state in (DeliveryState.SUCCEEDED, DeliveryState.EXHAUSTED, DeliveryState.CANCELLED)
    },
}
_CREATED_AT: Final = "SELECT created_at FROM deliveries WHERE rowid = ?"
_SHIFT: Final = f"""
    UPDATE deliveries SET
        state = ?, state_reason = coalesce(?, iif(state_reason = '{CONDITION_UNREADABLE}', state_reason, NULL)),
        next_attempt_at = ?, ended_at = ?
    WHERE rowid = ?
"""
_SHORTEN: Final = """
    UPDATE deliveries SET next_attempt_at = ?1
    WHERE webhook_id = ?2 AND next_attempt_at > ?1 AND failures = ?3 AND coalesce(last_status, 0) NOT IN (429, 503)
"""
_SHORTEN_ALL: Final = (
    "UPDATE deliveries SET next_attempt_at = ?1 WHERE webhook_id = ?2 AND next_attempt_at > ?1"
)

_SKIP_TAKEN: Final = " ON CONFLICT (event_key, webhook_id) WHERE event_key IS NOT NULL DO NOTHING"
_MOVE_CURSOR: Final = "UPDATE fanouts SET after = max(after, ?) WHERE event_key = ?"
_CLOSE_CURSOR: Final = "DELETE FROM fanouts WHERE event_key = ?"


def claim_deliveries(batch: Batch, write: ClaimDeliveries) -> tuple[Owed, ...]:
    now_ms = to_ms(write.now)
    taken: list[Owed] = []
    for want in write.wants:
        taken += _claim(batch, want, write.epoch, now_ms)
    return tuple(taken)


def _claim(batch: Batch, want: Want, epoch: int, now_ms: int) -> list[Owed]:
    found = batch.cursor.execute(_DUE, (want.webhook_id, want.lane, now_ms, want.limit)).fetchall()
    batch.cursor.executemany(_CLAIM, [(epoch, want.revision, row[-1]) for row in found])
    return [_owed(row, want) for row in found]


def _owed(row: rows.Row, want: Want) -> Owed:
    delivery = rows.delivery_from(row)
    event = row[len(DELIVERY) : -1]
    return Owed(
        delivery=msgspec.structs.replace(
            delivery,
            state=DeliveryState.IN_FLIGHT,
            next_attempt_at=None,
            webhook_revision=delivery.webhook_revision or want.revision,
        ),
        event=rows.event_from(event) if event[0] is not None else None,
    )


def reopen(batch: Batch, write: Reopen) -> Delivery | None:
    row = batch.first(_REOPEN, (write.lane, to_ms(write.at), write.delivery_id, write.organization_id))
    if row is None:  # none of that organization, or in flight
        row = batch.first(_DELIVERY, (write.delivery_id, write.organization_id))
    elif write.in_line:
        reopened = rows.delivery_from(row)
        if reopened.ordering_key is not None:
            order.rejoin(batch, reopened, to_ms(write.at))
            row = batch.first(_DELIVERY, (write.delivery_id, write.organization_id))
    return None if row is None else rows.delivery_from(row)


def shift(batch: Batch, write: Shift) -> int:
    """Raises ValueError for a move to pending without a time, or into flight."""
    if write.to is DeliveryState.IN_FLIGHT or (write.to is DeliveryState.PENDING) is (
        write.next_attempt_at is None
    ):
        raise ValueError("next_attempt_at is set while a delivery is pending, and only then")
    found: list[int] = []
    for source in write.sources:
        if source is not DeliveryState.IN_FLIGHT and source is not write.to:
            left = write.limit - len(found)
            found += [rowid for (rowid,) in batch.cursor.execute(_IN_STATE[source], (write.webhook_id, left))]
    if write.created_before is not None:
        before = to_ms(write.created_before)
        found = [rowid for rowid in found if batch.first(_CREATED_AT, (rowid,))[0] < before]  # type: ignore[index]
    ended_at = to_ms(write.at) if write.to in ENDED else None
    due = maybe_ms(write.next_attempt_at)
    batch.cursor.executemany(_SHIFT, [(write.to, write.reason, due, ended_at, rowid) for rowid in found])
    order.arrange(batch, write.webhook_id, to_ms(write.at))
    if found:
        batch.add_all(write.events, write.epoch)
    if write.to is DeliveryState.CANCELLED:
        batches.drop(batch, write.webhook_id)
    return len(found)


def shorten_waits(batch: Batch, write: ShortenWaits) -> int:
    latest = [to_ms(write.now + wait) for wait in write.waits]
    furthest = max(*latest, to_ms(write.now + write.asked))
    shortened = batch.change(_SHORTEN_ALL, (furthest, write.webhook_id))
    for failures, at in enumerate(latest):
        shortened += batch.change(_SHORTEN, (at, write.webhook_id, failures))
    return shortened


def fan_out(batch: Batch, write: FanOut) -> int:
    inserted = [
        delivery
        for delivery in write.deliveries
        if batch.change(
            INSERT_DELIVERY + _SKIP_TAKEN,
            (*rows.delivery_row(delivery), rows.claimed_by(delivery, write.epoch)),
        )
    ]
    order.place(batch, [delivery for delivery in inserted if delivery.ordering_key is not None])
    for waiter in write.batched:
        assert write.at is not None
        batch.cursor.execute(INSERT_ITEM, rows.batch_item_row(waiter, write.event_key, write.size, write.at))
    if write.after is None:
        batch.cursor.execute(_CLOSE_CURSOR, (write.event_key,))
    else:
        batch.cursor.execute(_MOVE_CURSOR, (write.after, write.event_key))
    return len(inserted)
