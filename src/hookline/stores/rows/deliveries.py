"""Rows of events, deliveries and attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.model.events import Attempt, Delivery, Event
from hookline.model.ids import Key, new_key
from hookline.model.states import AttemptOutcome, DeliveryState, Lane
from hookline.stores.rows.table import AS_IS, FLAG, HEADERS, INSTANT, MAYBE_INSTANT, Table, one_of
from hookline.stores.rows.values import Row, to_ms

if TYPE_CHECKING:
    from datetime import datetime

    from hookline.ports import Epoch, Settle, Waiter

_EVENTS: Final = Table(
    Event,
    key=AS_IS,
    organization_id=AS_IS,
    own_id=AS_IS,
    type=AS_IS,
    data=AS_IS,
    occurred_at=INSTANT,
    received_at=INSTANT,
    execution_id=AS_IS,
    sequence=AS_IS,
    ordering_key=AS_IS,
    target_id=AS_IS,
    hops=AS_IS,
    trace=AS_IS,
)
_DELIVERIES: Final = Table(
    Delivery,
    id=AS_IS,
    organization_id=AS_IS,
    webhook_id=AS_IS,
    event_key=AS_IS,
    event_type=AS_IS,
    batch_id=AS_IS,
    state=one_of(DeliveryState),
    state_reason=AS_IS,
    lane=one_of(Lane),
    webhook_revision=AS_IS,
    attempts_made=AS_IS,
    failures=AS_IS,
    crashes=AS_IS,
    interruptions=AS_IS,
    ordering_key=AS_IS,
    created_at=INSTANT,
    next_attempt_at=MAYBE_INSTANT,
    ended_at=MAYBE_INSTANT,
    last_status=AS_IS,
    last_ms=AS_IS,
    body_size=AS_IS,
    body=AS_IS,
    url=AS_IS,
)
_ATTEMPTS: Final = Table(
    Attempt,
    delivery_id=AS_IS,
    number=AS_IS,
    id=AS_IS,
    started_at=INSTANT,
    duration_ms=AS_IS,
    outcome=one_of(AttemptOutcome),
    status=AS_IS,
    error=AS_IS,
    address=AS_IS,
    url=AS_IS,
    cause=AS_IS,
    request_headers=HEADERS,
    response_headers=HEADERS,
    response_body=AS_IS,
    is_response_cut=FLAG,
)

EVENT, DELIVERY, ATTEMPT = _EVENTS.columns, _DELIVERIES.columns, _ATTEMPTS.columns
event_row, event_from = _EVENTS.row, _EVENTS.value
delivery_from = _DELIVERIES.value
attempt_row, attempt_from = _ATTEMPTS.row, _ATTEMPTS.value

ENDED: Final = frozenset({DeliveryState.SUCCEEDED, DeliveryState.EXHAUSTED, DeliveryState.CANCELLED})
"""States of a delivery whose ``ended_at`` is set."""


def delivery_row(delivery: Delivery) -> Row:
    """Raises ValueError when a pending delivery is not due at any time, or another one is."""
    if (delivery.state is DeliveryState.PENDING) is (delivery.next_attempt_at is None):
        raise ValueError("next_attempt_at is set while a delivery is pending, and only then")
    return _DELIVERIES.row(delivery)


def batch_item_row(waiter: Waiter, event_key: Key, size: int, at: datetime) -> Row:
    """Columns: webhook_id, event_key, added_at, ordering_key, size."""
    return (waiter.webhook_id, event_key, to_ms(at), waiter.ordering_key, size)


def claimed_by(delivery: Delivery, epoch: Epoch) -> Epoch | None:
    """What the epoch column of a delivery written by ``epoch`` holds."""
    return epoch if delivery.state is DeliveryState.IN_FLIGHT else None


_CAUSES: Final = {Lane.FIRST: "live", Lane.RETRY: "retry", Lane.REPLAY: "replay"}


def interrupted_attempt(delivery_id: Key, *, number: int, lane: int, at: datetime) -> Attempt:
    """What is recorded when a node died holding a delivery. Nobody knows what was sent, or when."""
    return Attempt(
        id=new_key(),
        delivery_id=delivery_id,
        number=number,
        started_at=at,
        duration_ms=0,
        outcome=AttemptOutcome.INTERRUPTED,
        error="The node that held this delivery stopped before it recorded an outcome.",
        cause=_CAUSES[Lane(lane)],
    )


def check_settle(settle: Settle) -> None:
    """Raises ValueError for an outcome that would leave a delivery nobody owns and nothing wakes."""
    if settle.state is DeliveryState.IN_FLIGHT:
        raise ValueError("settling frees the claim")
    if (settle.state is DeliveryState.PENDING) is (settle.next_attempt_at is None):
        raise ValueError("next_attempt_at is set while a delivery is pending, and only then")
