"""Rows of events, deliveries and attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.model.events import Attempt, Delivery, Event
from hookline.model.ids import Key, new_key
from hookline.model.states import AttemptOutcome, DeliveryState, Lane
from hookline.stores.rows.values import (
    EPOCH,
    MS,
    Row,
    from_ms,
    maybe_at,
    maybe_ms,
    pack_headers,
    to_ms,
    unpack_headers,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hookline.ports import Epoch, Settle, Waiter

EVENT: Final = (
    "key", "organization_id", "own_id", "type", "data", "occurred_at", "received_at", "execution_id", "sequence",
    "ordering_key", "target_id", "hops", "trace",
)  # fmt: skip
DELIVERY: Final = (
    "id", "organization_id", "webhook_id", "event_key", "event_type", "batch_id", "state", "state_reason", "lane",
    "webhook_revision", "attempts_made", "failures", "crashes", "interruptions", "ordering_key", "created_at",
    "next_attempt_at", "ended_at", "last_status", "last_ms", "body_size", "body", "url",
)  # fmt: skip
ATTEMPT: Final = (
    "delivery_id", "number", "id", "started_at", "duration_ms", "outcome", "status", "error", "address", "url",
    "cause", "request_headers", "response_headers", "response_body", "is_response_cut",
)  # fmt: skip

_STATES: Final = {state.value: state for state in DeliveryState}
_LANES: Final = {lane.value: lane for lane in Lane}
_OUTCOMES: Final = {outcome.value: outcome for outcome in AttemptOutcome}

ENDED: Final = frozenset({DeliveryState.SUCCEEDED, DeliveryState.EXHAUSTED, DeliveryState.CANCELLED})
"""States of a delivery whose ``ended_at`` is set."""


def event_row(event: Event) -> Row:
    return (
        event.key,
        event.organization_id,
        event.own_id,
        event.type,
        event.data,
        (event.occurred_at - EPOCH) // MS,
        (event.received_at - EPOCH) // MS,
        event.execution_id,
        event.sequence,
        event.ordering_key,
        event.target_id,
        event.hops,
        event.trace,
    )


def event_from(row: Sequence[Any]) -> Event:
    return Event(
        key=row[0],
        organization_id=row[1],
        own_id=row[2],
        type=row[3],
        data=row[4],
        occurred_at=from_ms(row[5]),
        received_at=from_ms(row[6]),
        execution_id=row[7],
        sequence=row[8],
        ordering_key=row[9],
        target_id=row[10],
        hops=row[11],
        trace=row[12],
    )


def delivery_row(delivery: Delivery) -> Row:
    """Raises ValueError when a pending delivery is not due at any time, or another one is."""
    due = delivery.next_attempt_at
    if (delivery.state is DeliveryState.PENDING) is (due is None):
        raise ValueError("next_attempt_at is set while a delivery is pending, and only then")
    return (
        delivery.id,
        delivery.organization_id,
        delivery.webhook_id,
        delivery.event_key,
        delivery.event_type,
        delivery.batch_id,
        delivery.state,
        delivery.state_reason,
        delivery.lane,
        delivery.webhook_revision,
        delivery.attempts_made,
        delivery.failures,
        delivery.crashes,
        delivery.interruptions,
        delivery.ordering_key,
        (delivery.created_at - EPOCH) // MS,
        None if due is None else (due - EPOCH) // MS,
        maybe_ms(delivery.ended_at),
        delivery.last_status,
        delivery.last_ms,
        delivery.body_size,
        delivery.body,
        delivery.url,
    )


def batch_item_row(waiter: Waiter, event_key: Key, size: int, at: datetime) -> Row:
    """Columns: webhook_id, event_key, added_at, ordering_key, size."""
    return (waiter.webhook_id, event_key, to_ms(at), waiter.ordering_key, size)


def claimed_by(delivery: Delivery, epoch: Epoch) -> Epoch | None:
    """What the epoch column of a delivery written by ``epoch`` holds."""
    return epoch if delivery.state is DeliveryState.IN_FLIGHT else None


def delivery_from(row: Sequence[Any]) -> Delivery:
    return Delivery(
        id=row[0],
        organization_id=row[1],
        webhook_id=row[2],
        event_key=row[3],
        event_type=row[4],
        batch_id=row[5],
        state=_STATES[row[6]],
        state_reason=row[7],
        lane=_LANES[row[8]],
        webhook_revision=row[9],
        attempts_made=row[10],
        failures=row[11],
        crashes=row[12],
        interruptions=row[13],
        ordering_key=row[14],
        created_at=from_ms(row[15]),
        next_attempt_at=maybe_at(row[16]),
        ended_at=maybe_at(row[17]),
        last_status=row[18],
        last_ms=row[19],
        body_size=row[20],
        body=row[21],
        url=row[22],
    )


def attempt_row(attempt: Attempt) -> Row:
    return (
        attempt.delivery_id,
        attempt.number,
        attempt.id,
        (attempt.started_at - EPOCH) // MS,
        attempt.duration_ms,
        attempt.outcome,
        attempt.status,
        attempt.error,
        attempt.address,
        attempt.url,
        attempt.cause,
        pack_headers(attempt.request_headers),
        pack_headers(attempt.response_headers),
        attempt.response_body,
        attempt.is_response_cut,
    )


def attempt_from(row: Sequence[Any]) -> Attempt:
    return Attempt(
        delivery_id=row[0],
        number=row[1],
        id=row[2],
        started_at=from_ms(row[3]),
        duration_ms=row[4],
        outcome=_OUTCOMES[row[5]],
        status=row[6],
        error=row[7],
        address=row[8],
        url=row[9],
        cause=row[10],
        request_headers=unpack_headers(row[11]),
        response_headers=unpack_headers(row[12]),
        response_body=row[13],
        is_response_cut=bool(row[14]),
    )


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
        cause=_CAUSES[_LANES[lane]],
    )


def check_settle(settle: Settle) -> None:
    """Raises ValueError for an outcome that would leave a delivery nobody owns and nothing wakes."""
    if settle.state is DeliveryState.IN_FLIGHT:
        raise ValueError("settling frees the claim")
    if (settle.state is DeliveryState.PENDING) is (settle.next_attempt_at is None):
        raise ValueError("next_attempt_at is set while a delivery is pending, and only then")
