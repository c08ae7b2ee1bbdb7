"""Values to put into a store, and a clock that tests move. Every builder makes a valid whole; arguments change it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time_ns
from typing import Any

import msgspec

from hookline.model.configuration import Organization
from hookline.model.events import Attempt, Delivery, Event
from hookline.model.executions import Conversation, Execution, JournalEntry, LogLine, TriggerRequest
from hookline.model.ids import Key, new_key
from hookline.model.states import AttemptOutcome, DeliveryState, Kind, Lane
from hookline.ports import (
    Accept,
    ClaimDeliveries,
    Epoch,
    Ledger,
    NewEvent,
    Once,
    Owed,
    Publish,
    Published,
    Result,
    Settle,
    Store,
    Want,
    Write,
)

LEASE = timedelta(seconds=30)
"""Longer than any test: nobody dies unless a test says so."""


class ManualClock:
    """Starts at the real time, because PostgreSQL judges leases by its own, and moves only when told."""

    def __init__(self) -> None:
        self.at = datetime.fromtimestamp(time_ns() // 1_000_000 / 1000, UTC)
        self.seconds = 1_000.0

    def now(self) -> datetime:
        return self.at

    def elapsed(self) -> float:
        return self.seconds

    def move(self, step: timedelta) -> datetime:
        self.at += step
        self.seconds += step.total_seconds()
        return self.at


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A database to open stores over, one after the other or, where it can, at once.

    place: the path of the file, or the URL.
    """

    name: str
    place: Path | str
    clock: ManualClock

    @property
    def admits_many_nodes(self) -> bool:
        return self.name == "postgres"

    @property
    def copies_itself(self) -> bool:
        """``backup`` makes a copy; else it says which command does."""
        return self.name == "sqlite"

    def store(self) -> Store:
        """A store over this database, not opened yet."""
        if self.name == "sqlite":
            from hookline.stores.sqlite.store import SqliteStore

            return SqliteStore(Path(self.place), clock=self.clock)
        from hookline.stores.postgres.store import PostgresStore

        return PostgresStore(str(self.place), clock=self.clock)


def event(organization_id: Key, at: datetime, **changes: Any) -> Event:
    values: dict[str, Any] = {
        "type": "order.paid",
        "data": b'{"total":1}',
        "occurred_at": at,
        "received_at": at,
    }
    return Event(key=new_key(), organization_id=organization_id, **(values | changes))


def delivery(of: Event, webhook_id: Key, **changes: Any) -> Delivery:
    """Pending and due when the event was received, unless changed. A claimed one: ``state=IN_FLIGHT``."""
    values: dict[str, Any] = {"state": DeliveryState.PENDING, "created_at": of.received_at} | changes
    if values["state"] is DeliveryState.PENDING:
        values.setdefault("next_attempt_at", of.received_at)
    return Delivery(
        id=new_key(),
        organization_id=of.organization_id,
        webhook_id=webhook_id,
        event_key=of.key,
        event_type=of.type,
        **values,
    )


def attempt(of: Delivery, at: datetime, **changes: Any) -> Attempt:
    """A delivered one, unless changed."""
    values: dict[str, Any] = {
        "number": of.attempts_made + 1,
        "started_at": at,
        "duration_ms": 12,
        "outcome": AttemptOutcome.DELIVERED,
        "status": 200,
    }
    return Attempt(id=new_key(), delivery_id=of.id, **(values | changes))


def succeeded(of: Delivery, epoch: Epoch, at: datetime, **changes: Any) -> Settle:
    values: dict[str, Any] = {
        "attempt": attempt(of, at),
        "state": DeliveryState.SUCCEEDED,
        "lane": Lane.RETRY,
    }
    return Settle(epoch=epoch, delivery_id=of.id, webhook_id=of.webhook_id, at=at, **(values | changes))


def failed(of: Delivery, epoch: Epoch, at: datetime, **changes: Any) -> Settle:
    """One more failure, to be tried again a minute later."""
    sent = attempt(of, at, outcome=AttemptOutcome.HTTP_ERROR, status=500, error="The receiver answered 500.")
    values: dict[str, Any] = {
        "attempt": sent,
        "state": DeliveryState.PENDING,
        "next_attempt_at": at + timedelta(minutes=1),
        "failures": of.failures + 1,
        "body": b'{"id":1}',
        "body_size": 8,
    }
    return Settle(epoch=epoch, delivery_id=of.id, webhook_id=of.webhook_id, at=at, **(values | changes))


def execution(organization_id: Key, at: datetime, **changes: Any) -> Execution:
    values: dict[str, Any] = {"kind": Kind.WORKFLOW, "automation_id": "orders", "automation_name": "Orders"}
    return Execution(id=new_key(), organization_id=organization_id, created_at=at, **(values | changes))


def request(organization_id: Key, at: datetime, **changes: Any) -> TriggerRequest:
    values: dict[str, Any] = {
        "trigger_id": new_key(),
        "execution_id": None,
        "method": "POST",
        "path": "/trigger/x",
        "query": "a=1",
        "headers": (("content-type", "application/json"), ("x-twice", "1"), ("x-twice", "2")),
        "body": b'{"a":\x00\xff}',
        "remote_address": "203.0.113.7",
        "status": 202,
    }
    return TriggerRequest(id=new_key(), organization_id=organization_id, received_at=at, **(values | changes))


def conversation(organization_id: Key, at: datetime, **changes: Any) -> Conversation:
    values: dict[str, Any] = {"agent_id": "helper", "user_id": "ada", "status": "open"}
    return Conversation(id=new_key(), organization_id=organization_id, started_at=at, **(values | changes))


def entry(op: str, name: str, at: datetime, occurrence: int = 0, **changes: Any) -> JournalEntry:
    values: dict[str, Any] = {"value": b"1"}
    return JournalEntry(op=op, name=name, occurrence=occurrence, started_at=at, **(values | changes))


def line(position: int, at: datetime, **changes: Any) -> LogLine:
    values: dict[str, Any] = {"stream": "log", "level": "info", "text": f"line {position}"}
    return LogLine(position=position, at=at, **(values | changes))


def once(scope: Key, name: str, expires_at: datetime, **changes: Any) -> Once:
    values: dict[str, Any] = {"digest": b"d" * 32, "answer": b"first answer"}
    return Once(scope=scope, name=name, expires_at=expires_at, **(values | changes))


def organization(name: str = "Acme") -> Organization:
    return Organization(name=name)


# --- what most tests begin with ---


async def apply(ledger: Ledger, write: Write) -> Result:
    """Commit one write alone and return its result."""
    (result,) = await ledger.commit([write])
    return result


async def publish(ledger: Ledger, epoch: Epoch, of: Event, *owed: Delivery, **changes: Any) -> None:
    """Store a new event with what it owes."""
    new = NewEvent(event=of, deliveries=owed, **changes)
    assert await apply(ledger, Publish(epoch=epoch, events=(new,))) == Published((True,))


async def accept(ledger: Ledger, epoch: Epoch, of: Execution, **changes: Any) -> None:
    """Store an execution, claimed unless changed."""
    values: dict[str, Any] = {"is_claimed": True}
    assert await apply(ledger, Accept(epoch=epoch, execution=of, **(values | changes))) is True


async def claim(
    ledger: Ledger, epoch: Epoch, webhook_id: Key, now: datetime, lane: Lane = Lane.FIRST, limit: int = 100
) -> tuple[Owed, ...]:
    want = Want(webhook_id=webhook_id, lane=lane, limit=limit, revision=1)
    result = await apply(ledger, ClaimDeliveries(epoch=epoch, wants=(want,), now=now))
    assert isinstance(result, tuple)
    return result


def changed(value: Any, /, **changes: Any) -> Any:
    return msgspec.structs.replace(value, **changes)
