"""Events, deliveries and attempts: what happened, who is owed it, and each try to tell them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from hookline.model.ids import Key, bare
from hookline.model.states import AttemptOutcome, DeliveryState, Lane


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that happened; never edited.

    own_id: the publisher's id, unique in its organization, or None for one we named.
    data: the JSON text of the event's data exactly as it came, UTF-8; empty once retention has deleted it.
    sequence: counts the events of one execution from 1; 0 where there is no execution.
    occurred_at: when it happened, as the publisher says, else received_at. received_at: when we took it.
    target_id: a single webhook this event is for (a test, a callback), or None for all that match.
    hops: how many deliveries of ours led to the execution that it is of (``core.hops``).
    trace: its place in a trace as ``core.traces`` keeps it, None where nothing is traced.
    """

    key: Key
    organization_id: Key
    own_id: str | None = None
    type: str
    data: bytes
    occurred_at: datetime
    received_at: datetime
    execution_id: Key | None = None
    sequence: int = 0
    ordering_key: str | None = None
    target_id: Key | None = None
    hops: int = 0
    trace: str | None = None

    @property
    def is_stripped(self) -> bool:
        """Whether retention has deleted its data; no JSON text is empty."""
        return not self.data

    @property
    def is_test(self) -> bool:
        """Whether somebody made it to try a webhook out, and waits for the one answer."""
        return self.target_id is not None and self.sequence == 0

    @property
    def public_id(self) -> str:
        """The id receivers see and may dedupe by."""
        return self.own_id if self.own_id is not None else "evt_" + bare(self.key)


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event (or one batch) owed to one webhook.

    event_key: None for a batch.  batch_id: None for a single event.
    webhook_revision: the webhook's revision whose dialect, filters and options word the body; 0 until the
    first attempt is claimed, fixed from then on, so every attempt sends the same bytes.
    body: kept when an attempt failed, so that even an upgrade cannot change a retry; None before that and
    after a first success (it is derived from event and revision).
    url: where it goes instead of the webhook's own URL (a callback's); None for that.
    attempts_made: all attempts, interrupted ones too: numbers of attempts go on from here.
    failures: answered or failed attempts that used up a step of the schedule.
    crashes: times our own code failed on it (P22).  interruptions: times a node died holding it.
    next_attempt_at: None unless it waits for a claim.  state_reason: why it is held, exhausted or cancelled.
    last_status, last_ms, body_size: the latest attempt's HTTP status (None: no answer), duration in whole
    milliseconds and body bytes; for the logs route without a join.
    """

    id: Key
    organization_id: Key
    webhook_id: Key
    event_key: Key | None
    event_type: str = ""
    batch_id: Key | None = None
    state: DeliveryState = DeliveryState.PENDING
    state_reason: str | None = None
    lane: Lane = Lane.FIRST
    webhook_revision: int = 0
    attempts_made: int = 0
    failures: int = 0
    crashes: int = 0
    interruptions: int = 0
    ordering_key: str | None = None
    created_at: datetime
    next_attempt_at: datetime | None = None
    ended_at: datetime | None = None
    last_status: int | None = None
    last_ms: int | None = None
    body_size: int | None = None
    body: bytes | None = None
    url: str | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request made for a delivery; append-only.

    number: 1 for the first.  address: the IP that was dialled, None if none was.
    status: HTTP status, None without an answer.  error: one plain sentence for people, None on success.
    request_headers, response_headers: as sent and received, secrets redacted before they get here.
    response_body: at most 64 KiB as it came.  is_response_cut: more followed.
    cause: ``live``, ``retry``, ``manual``, ``replay`` or ``test``.
    """

    id: Key
    delivery_id: Key
    number: int
    started_at: datetime
    duration_ms: int
    outcome: AttemptOutcome
    status: int | None = None
    error: str | None = None
    address: str | None = None
    url: str = ""
    cause: str = "live"
    request_headers: tuple[tuple[str, str], ...] = ()
    response_headers: tuple[tuple[str, str], ...] = ()
    response_body: bytes = b""
    is_response_cut: bool = False


JsonObject = dict[str, Any]
