"""Values of reads: what to look for, and what a store tells of itself."""

from __future__ import annotations

from datetime import datetime

import msgspec

from hookline.model.events import Delivery, Event
from hookline.model.ids import Key
from hookline.model.states import DeliveryState, ExecutionStatus, Kind, Lane


class ExecutionFilter(msgspec.Struct, frozen=True, kw_only=True):
    status: ExecutionStatus | None = None
    kind: Kind | None = None
    automation_id: str | None = None
    conversation_id: Key | None = None
    since: datetime | None = None
    until: datetime | None = None


class ConversationFilter(msgspec.Struct, frozen=True, kw_only=True):
    agent_id: str | None = None
    user_id: str | None = None
    status: str | None = None


class DeliveryFilter(msgspec.Struct, frozen=True, kw_only=True):
    webhook_id: Key | None = None
    states: tuple[DeliveryState, ...] = ()
    event_type: str | None = None
    event_key: Key | None = None
    since: datetime | None = None
    until: datetime | None = None


class RequestFilter(msgspec.Struct, frozen=True, kw_only=True):
    """refused: only those that were refused when they came, or only those that were not.  ran: only those that started
    an execution, then or later, or only those that did not.  since, until: of their arrival.
    """

    trigger_id: Key | None = None
    refused: bool | None = None
    ran: bool | None = None
    since: datetime | None = None
    until: datetime | None = None


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """events: ascending. cursor: opaque text to go on after the last one; the given cursor when empty."""

    events: tuple[Event, ...]
    cursor: str


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook lane that has pending deliveries, and when the first is due."""

    webhook_id: Key
    lane: Lane
    due_at: datetime


class Fanout(msgspec.Struct, frozen=True, kw_only=True):
    event: Event
    after: Key


class Minute(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook's counters for one minute, summed over nodes.

    webhook_id: None when summed over webhooks, too.
    delivered, exhausted: deliveries that ended so.  attempts, failed_attempts: HTTP attempts (interrupted ones not).
    by_class: answers by status class "2xx" … "5xx" and by outcome word where there was none.
    latency: attempts per bucket; bucket n holds durations from 2^n - 1 to 2^(n+1) - 2 ms (0: 0 ms, 1: 1-2 ms, …).
    """

    webhook_id: Key | None
    minute: datetime
    delivered: int = 0
    exhausted: int = 0
    attempts: int = 0
    failed_attempts: int = 0
    by_class: dict[str, int] = {}
    latency: dict[int, int] = {}


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """All-time counters of a webhook for AF-13. last_delivery_at: end of its latest succeeded delivery, or None."""

    delivered: int = 0
    exhausted: int = 0
    last_delivery_at: datetime | None = None


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """pending counts at most ``ceiling`` rows, so that asking stays cheap. oldest_due_at: None when nothing is due."""

    pending: int
    in_flight: int
    held: int
    oldest_due_at: datetime | None
    executions_queued: int
    executions_running: int
    executions_waiting: int


class Census(msgspec.Struct, frozen=True, kw_only=True):
    """What an organization has under way. Each number stops at the ceiling it was asked with.

    pending, held: deliveries.  executions: by state, of those created since the instant asked for.
    """

    pending: int
    held: int
    executions: dict[str, int]


class Batched(msgspec.Struct, frozen=True, kw_only=True):
    """delivery: of the batch that holds the event, None while it waits for one."""

    webhook_id: Key
    delivery: Delivery | None


class Stripped(msgspec.Struct, frozen=True, kw_only=True):
    """What one step of emptying payloads did. after: where the next one goes on.  is_end: nothing as old follows.
    freed: bytes.
    """

    after: Key
    is_end: bool
    freed: int


class Collecting(msgspec.Struct, frozen=True, kw_only=True):
    """since: when the oldest of the events that wait for a batch of this webhook began to."""

    webhook_id: Key
    since: datetime
