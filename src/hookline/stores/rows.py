"""How a model value becomes a row and back, for both adapters: the same columns, the same order, the same bytes.

Instants become integer milliseconds since 1970 UTC, enums their text or number, header pairs msgpack, failures
JSON. This module holds no SQL beyond column names, opens nothing and reads no clock.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from hookline.errors import InputError
from hookline.model.configuration import Document, Stored
from hookline.model.events import Attempt, Delivery, Event
from hookline.model.executions import (
    Conversation,
    Ending,
    Execution,
    Failure,
    JournalEntry,
    LogLine,
    TriggerRequest,
)
from hookline.model.ids import Key, new_key
from hookline.model.states import AttemptOutcome, DeliveryState, ExecutionStatus, Kind, Lane
from hookline.ports import Minute, Settle, Waiter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hookline.ports import Epoch

D = TypeVar("D", bound=Document)
Row = tuple[Any, ...]
"""Values in the order of the column list they belong to."""

# --- instants -----------------------------------------------------------------------------------------------

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
MINUTE_MS: Final = 60_000


def to_ms(at: datetime) -> int:
    """Milliseconds since 1970 UTC. Exact: no float in between."""
    return (at - _EPOCH) // _MS


def from_ms(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def maybe_ms(at: datetime | None) -> int | None:
    return None if at is None else (at - _EPOCH) // _MS


def maybe_at(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


# --- columns ------------------------------------------------------------------------------------------------

EVENT: Final = (
    "key", "organization_id", "own_id", "type", "data", "occurred_at", "received_at", "execution_id", "sequence",
    "ordering_key", "target_id", "hops",
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
EXECUTION: Final = (
    "id", "organization_id", "kind", "automation_id", "automation_name", "status", "source", "trigger_id",
    "request_id", "replay_of", "conversation_id", "callback_id", "input", "trigger", "output", "error", "created_at",
    "started_at", "completed_at", "wake_at", "wait_name", "is_cancel_requested", "launch_ms", "run_ms", "attempt",
    "steps", "credits_used", "event_sequence", "callback_url", "gate", "gate_limit", "is_blocked", "mark",
)  # fmt: skip
ENDING: Final = ("id", "organization_id", "status", "completed_at", "output", "error")
JOURNAL: Final = ("op", "name", "occurrence", "value", "started_at", "duration_ms")
LOG: Final = ("position", "at", "stream", "level", "text", "fields")
CONVERSATION: Final = (
    "id", "organization_id", "agent_id", "user_id", "status", "started_at", "completed_at", "message_count",
    "credits_used", "satisfaction_score", "resolution",
)  # fmt: skip
REQUEST: Final = (
    "id", "organization_id", "trigger_id", "execution_id", "received_at", "method", "path", "query", "headers", "body",
    "remote_address", "status", "reason",
)  # fmt: skip
STORED: Final = ("id", "organization_id", "revision", "created_at", "updated_at", "document")


def listed(columns: Iterable[str], *, of: str | None = None) -> str:
    """Columns as SQL lists them. of: the table's alias, or None."""
    return ", ".join(columns if of is None else [f"{of}.{column}" for column in columns])


# --- events, deliveries, attempts ---------------------------------------------------------------------------

_STATES: Final = {state.value: state for state in DeliveryState}
_LANES: Final = {lane.value: lane for lane in Lane}
_OUTCOMES: Final = {outcome.value: outcome for outcome in AttemptOutcome}
_STATUSES: Final = {status.value: status for status in ExecutionStatus}
_KINDS: Final = {kind.value: kind for kind in Kind}

ENDED: Final = frozenset({DeliveryState.SUCCEEDED, DeliveryState.EXHAUSTED, DeliveryState.CANCELLED})
"""States of a delivery whose ``ended_at`` is set."""

_pack: Final = msgspec.msgpack.Encoder().encode
_unpack_headers: Final = msgspec.msgpack.Decoder(tuple[tuple[str, str], ...]).decode
_NO_HEADERS: Final = _pack(())


def pack_headers(headers: tuple[tuple[str, str], ...]) -> bytes:
    return _pack(headers) if headers else _NO_HEADERS


def event_row(event: Event) -> Row:
    return (
        event.key,
        event.organization_id,
        event.own_id,
        event.type,
        event.data,
        (event.occurred_at - _EPOCH) // _MS,
        (event.received_at - _EPOCH) // _MS,
        event.execution_id,
        event.sequence,
        event.ordering_key,
        event.target_id,
        event.hops,
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
        (delivery.created_at - _EPOCH) // _MS,
        None if due is None else (due - _EPOCH) // _MS,
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
        (attempt.started_at - _EPOCH) // _MS,
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
        request_headers=_unpack_headers(row[11]),
        response_headers=_unpack_headers(row[12]),
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


# --- settling -----------------------------------------------------------------------------------------------


def check_settle(settle: Settle) -> None:
    """Raises ValueError for an outcome that would leave a delivery nobody owns and nothing wakes."""
    if settle.state is DeliveryState.IN_FLIGHT:
        raise ValueError("settling frees the claim")
    if (settle.state is DeliveryState.PENDING) is (settle.next_attempt_at is None):
        raise ValueError("next_attempt_at is set while a delivery is pending, and only then")


class Counters:
    """What settled deliveries add to their webhooks' counters, summed over one batch.

    Adding is on the hottest path, so like outcomes are only counted there and worded when they are asked for.
    """

    __slots__ = ("_latest", "_like")

    def __init__(self) -> None:
        self._like: dict[tuple[Any, ...], int] = {}
        self._latest: dict[Key, int] = {}

    def __repr__(self) -> str:
        return f"Counters(like={len(self._like)})"

    def add(self, settle: Settle, at_ms: int) -> None:
        """at_ms: ``settle.at``, which every caller has in milliseconds already."""
        webhook, state, attempt = settle.webhook_id, settle.state, settle.attempt
        minute = at_ms - at_ms % MINUTE_MS
        if attempt is None:
            like: tuple[Any, ...] = (webhook, minute, state, None, None, 0)
        else:
            bucket = latency_bucket(attempt.duration_ms)
            like = (webhook, minute, state, attempt.outcome, attempt.status, bucket)
        self._like[like] = self._like.get(like, 0) + 1
        if state is DeliveryState.SUCCEEDED and self._latest.get(webhook, 0) < at_ms:
            self._latest[webhook] = at_ms

    @property
    def minutes(self) -> dict[tuple[Key, int, str], int]:
        """(webhook, start of the minute in ms, what) to count."""
        counts: dict[tuple[Key, int, str], int] = {}
        for (webhook, minute, *like), count in self._like.items():
            for what in _counted(*like):
                place = (webhook, minute, what)
                counts[place] = counts.get(place, 0) + count
        return counts

    @property
    def totals(self) -> dict[Key, list[Any]]:
        """Webhook to [delivered, exhausted, latest successful end in ms or None], if any of them ended so."""
        totals: dict[Key, list[Any]] = {}
        for (webhook, _, state, *_rest), count in self._like.items():
            if state is DeliveryState.SUCCEEDED or state is DeliveryState.EXHAUSTED:
                total = totals.setdefault(webhook, [0, 0, self._latest.get(webhook)])
                total[state is DeliveryState.EXHAUSTED] += count
        return totals


def _counted(
    state: DeliveryState, outcome: AttemptOutcome | None, status: int | None, bucket: int
) -> Iterator[str]:
    """The counters that one outcome raises. A delivery that a node died holding was no HTTP attempt we know of."""
    if outcome is not None and outcome is not AttemptOutcome.INTERRUPTED:
        yield "attempt"
        if outcome is not AttemptOutcome.DELIVERED:
            yield "failed"
        yield f"class:{outcome}" if status is None else f"class:{status // 100}xx"
        yield f"latency:{bucket}"
    if state is DeliveryState.SUCCEEDED:
        yield "delivered"
    elif state is DeliveryState.EXHAUSTED:
        yield "exhausted"


def latency_bucket(duration_ms: int) -> int:
    """Bucket n holds 2^n - 1 to 2^(n+1) - 2 milliseconds."""
    return (max(0, duration_ms) + 1).bit_length() - 1


def minute_from(webhook_id: Key, minute_ms: int, counts: dict[str, int]) -> Minute:
    """One minute out of what its counters say. counts: the stored word to its sum over nodes."""
    return Minute(
        webhook_id=webhook_id,
        minute=from_ms(minute_ms),
        delivered=counts.get("delivered", 0),
        exhausted=counts.get("exhausted", 0),
        attempts=counts.get("attempt", 0),
        failed_attempts=counts.get("failed", 0),
        by_class={what[6:]: count for what, count in counts.items() if what.startswith("class:")},
        latency={int(what[8:]): count for what, count in counts.items() if what.startswith("latency:")},
    )


# --- executions ---------------------------------------------------------------------------------------------

_failure_decoder: Final = msgspec.json.Decoder(Failure)


def failure_json(failure: Failure | None) -> bytes | None:
    return None if failure is None else msgspec.json.encode(failure)


def execution_row(execution: Execution) -> Row:
    return (
        execution.id,
        execution.organization_id,
        execution.kind,
        execution.automation_id,
        execution.automation_name,
        execution.status,
        execution.source,
        execution.trigger_id,
        execution.request_id,
        execution.replay_of,
        execution.conversation_id,
        execution.callback_id,
        execution.input,
        execution.trigger,
        execution.output,
        failure_json(execution.error),
        (execution.created_at - _EPOCH) // _MS,
        maybe_ms(execution.started_at),
        maybe_ms(execution.completed_at),
        maybe_ms(execution.wake_at),
        execution.wait_name,
        execution.is_cancel_requested,
        execution.launch_ms,
        execution.run_ms,
        execution.attempt,
        execution.steps,
        execution.credits_used,
        execution.event_sequence,
        execution.callback_url,
        execution.gate,
        execution.gate_limit,
        execution.is_blocked,
        execution.mark,
    )


def execution_from(row: Sequence[Any]) -> Execution:
    return Execution(
        id=row[0],
        organization_id=row[1],
        kind=_KINDS[row[2]],
        automation_id=row[3],
        automation_name=row[4],
        status=_STATUSES[row[5]],
        source=row[6],
        trigger_id=row[7],
        request_id=row[8],
        replay_of=row[9],
        conversation_id=row[10],
        callback_id=row[11],
        input=row[12],
        trigger=row[13],
        output=row[14],
        error=None if row[15] is None else _failure_decoder.decode(row[15]),
        created_at=from_ms(row[16]),
        started_at=maybe_at(row[17]),
        completed_at=maybe_at(row[18]),
        wake_at=maybe_at(row[19]),
        wait_name=row[20],
        is_cancel_requested=bool(row[21]),
        launch_ms=row[22],
        run_ms=row[23],
        attempt=row[24],
        steps=row[25],
        credits_used=row[26],
        event_sequence=row[27],
        callback_url=row[28],
        gate=row[29],
        gate_limit=row[30],
        is_blocked=bool(row[31]),
        mark=row[32],
    )


def ending_from(row: Sequence[Any]) -> Ending:
    return Ending(
        execution_id=row[0],
        organization_id=row[1],
        status=_STATUSES[row[2]],
        completed_at=from_ms(row[3]),
        output=row[4],
        error=None if row[5] is None else _failure_decoder.decode(row[5]),
    )


def journal_row(entry: JournalEntry) -> Row:
    return (
        entry.op,
        entry.name,
        entry.occurrence,
        entry.value,
        (entry.started_at - _EPOCH) // _MS,
        entry.duration_ms,
    )


def journal_from(row: Sequence[Any]) -> JournalEntry:
    return JournalEntry(
        op=row[0],
        name=row[1],
        occurrence=row[2],
        value=row[3],
        started_at=from_ms(row[4]),
        duration_ms=row[5],
    )


def log_row(line: LogLine) -> Row:
    return (line.position, (line.at - _EPOCH) // _MS, line.stream, line.level, line.text, line.fields)


def log_from(row: Sequence[Any]) -> LogLine:
    return LogLine(
        position=row[0], at=from_ms(row[1]), stream=row[2], level=row[3], text=row[4], fields=row[5]
    )


def conversation_row(conversation: Conversation) -> Row:
    return (
        conversation.id,
        conversation.organization_id,
        conversation.agent_id,
        conversation.user_id,
        conversation.status,
        (conversation.started_at - _EPOCH) // _MS,
        maybe_ms(conversation.completed_at),
        conversation.message_count,
        conversation.credits_used,
        conversation.satisfaction_score,
        conversation.resolution,
    )


def conversation_from(row: Sequence[Any]) -> Conversation:
    return Conversation(
        id=row[0],
        organization_id=row[1],
        agent_id=row[2],
        user_id=row[3],
        status=row[4],
        started_at=from_ms(row[5]),
        completed_at=maybe_at(row[6]),
        message_count=row[7],
        credits_used=row[8],
        satisfaction_score=row[9],
        resolution=row[10],
    )


def request_row(request: TriggerRequest) -> Row:
    return (
        request.id,
        request.organization_id,
        request.trigger_id,
        request.execution_id,
        (request.received_at - _EPOCH) // _MS,
        request.method,
        request.path,
        request.query,
        pack_headers(request.headers),
        request.body,
        request.remote_address,
        request.status,
        request.reason,
    )


def request_from(row: Sequence[Any]) -> TriggerRequest:
    return TriggerRequest(
        id=row[0],
        organization_id=row[1],
        trigger_id=row[2],
        execution_id=row[3],
        received_at=from_ms(row[4]),
        method=row[5],
        path=row[6],
        query=row[7],
        headers=_unpack_headers(row[8]),
        body=row[9],
        remote_address=row[10],
        status=row[11],
        reason=row[12],
    )


# --- documents ----------------------------------------------------------------------------------------------

_decoders: dict[type[Document], msgspec.json.Decoder[Any]] = {}


def document_json(document: Document) -> bytes:
    return msgspec.json.encode(document)


def document_from(kind: type[D], data: bytes) -> D:
    """Fields that this version does not know are left out, those it adds take their defaults."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    document: D = decoder.decode(data)
    return document


def stored_from(kind: type[D], row: Sequence[Any]) -> Stored[D]:
    return Stored(
        id=row[0],
        organization_id=row[1],
        revision=row[2],
        created_at=from_ms(row[3]),
        updated_at=from_ms(row[4]),
        document=document_from(kind, row[5]),
    )


# --- the feed's cursor --------------------------------------------------------------------------------------


def cursor_text(position: bytes) -> str:
    """A place in the feed as opaque text."""
    return base64.urlsafe_b64encode(position).rstrip(b"=").decode("ascii")


def cursor_bytes(cursor: str) -> bytes:
    """Raises InputError for text that ``cursor_text`` did not make."""
    try:
        raw = cursor.encode("ascii")
        position = base64.b64decode(raw + b"=" * (-len(raw) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError) as exc:
        raise wrong_cursor() from exc
    if cursor_text(position) != cursor:
        raise wrong_cursor()
    return position


def wrong_cursor() -> InputError:
    return InputError("The cursor is not one of ours.", field="after")
