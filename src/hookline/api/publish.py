"""``POST /api/v1/events``: publish events of one's own.

    {"type", "data", "id"?, "timestamp"?, "execution_id"?, "ordering_key"?}      one event
    {"events": [… 1 to 1000 of these]}                                           many, all or none

Answers 202 when all of it is durable: ``{"id","status":"accepted","duplicate"}``, or
``{"status":"accepted","events":[{"id","duplicate"}]}`` in the order of the request. ``duplicate`` says that an event
with this own id was there before: nothing was added, whatever its data. ``data`` is any JSON value and is kept byte
for byte. With an Idempotency-Key the first answer is kept in the events' own transaction and given again, so there
``duplicate`` speaks of the first call.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.api.errors import Answer
from hookline.api.identity import CALLER, identify
from hookline.api.inbound import idempotency_key
from hookline.api.shape import Field, check_object, path
from hookline.core.canonical import decode
from hookline.core.own_events import check_own_event
from hookline.core.times import parse_rfc3339
from hookline.engine.publish import EventDraft, PublishedEvent
from hookline.engine.vault import ANSWER
from hookline.errors import ConflictError, InputError, MissingError
from hookline.model.ids import parse
from hookline.model.states import Scope
from hookline.ports import Once, Repeat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookline.api.identity import Caller
    from hookline.api.inbound import Inbound
    from hookline.api.services import Services, Site
    from hookline.model.ids import Key

MOST_EVENTS: Final = 1000
"""Events in one request (CONTRACT section 3)."""

ONCE_WINDOW: Final = timedelta(hours=24)
"""How long a repeated Idempotency-Key gets the first answer (CONTRACT section 2)."""

REPLAYED: Final = (b"idempotent-replayed", b"true")

_FIELDS: Final = {
    "type": Field("string", is_required=True),
    "data": Field("any", is_required=True),
    "id": Field("string", is_nullable=True),
    "timestamp": Field("string", is_nullable=True),
    "execution_id": Field("string", is_nullable=True),
    "ordering_key": Field("string", is_nullable=True),
}


class _Event(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    data: msgspec.Raw
    id: str | None = None
    timestamp: str | None = None
    execution_id: str | None = None
    ordering_key: str | None = None


class _Events(msgspec.Struct, forbid_unknown_fields=True):
    events: list[_Event]


_read_event: Final = msgspec.json.Decoder(_Event).decode
_read_events: Final = msgspec.json.Decoder(_Events).decode
_write: Final = msgspec.json.Encoder().encode


async def publish(site: Site, request: Inbound) -> Answer:
    """The hot route."""
    caller = request.scope.get(CALLER) or await identify(site.services, request.headers)
    caller.need(Scope.WRITE)
    request.check_json()
    body = await request.body(site.settings.max_body_bytes)
    key = idempotency_key(request.headers.get(b"idempotency-key"))
    events, is_batch = _read(body)
    drafts = [
        await _draft(site.services, caller, event, f"events.{index}" if is_batch else "")
        for index, event in enumerate(events)
    ]
    if key is not None:
        return await _publish_once(site.services, caller, drafts, key=key, body=body, is_batch=is_batch)
    published = await site.services.publish(caller.organization_id, drafts)
    assert not isinstance(published, Repeat)
    return Answer(202, _words(published, is_batch=is_batch))


def _read(body: bytes) -> tuple[list[_Event], bool]:
    """Return the events and whether the caller sent a list of them. Raises InputError."""
    try:
        return [_read_event(body)], False
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    try:
        events = _read_events(body).events
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise _explain(decode(body)) from exc
    if not 1 <= len(events) <= MOST_EVENTS:
        raise InputError(
            f"A request holds 1 to {MOST_EVENTS} events.",
            field="events",
            expected=f"1 to {MOST_EVENTS} events",
            received=str(len(events)),
        )
    return events, True


def _explain(value: Any) -> InputError:
    """Return what is wrong with a body that is JSON, but neither an event nor a list of them."""
    try:
        if not isinstance(value, dict) or "events" not in value:
            check_object(value, _FIELDS)
        else:
            check_object(value, {"events": Field("array", is_required=True)})
            for index, event in enumerate(value["events"]):
                check_object(event, _FIELDS, at=f"events.{index}")
    except InputError as exc:
        return exc
    return InputError("The body cannot be read as an event.")


async def _draft(services: Services, caller: Caller, event: _Event, at: str) -> EventDraft:
    """Return a checked event. at: its path in the request. Raises InputError or MissingError."""
    data = bytes(event.data)
    decode(data, field=path(at, "data"))
    check_own_event(event.type, id=event.id, ordering_key=event.ordering_key, at=at)
    return EventDraft(
        type=event.type,
        data=data,
        own_id=event.id,
        occurred_at=(
            None if event.timestamp is None else parse_rfc3339(event.timestamp, field=path(at, "timestamp"))
        ),
        execution_id=(
            None
            if event.execution_id is None
            else await _execution(services, caller, event.execution_id, path(at, "execution_id"))
        ),
        ordering_key=event.ordering_key,
    )


async def _execution(services: Services, caller: Caller, text: str, field: str) -> Key:
    """Return the key of an execution of the caller's organization; another's is as missing as one that never was."""
    id = parse("execution", text)
    if id is None:
        raise InputError(
            "An execution's id looks like exec_ and a UUID.",
            field=field,
            expected="exec_…",
            received="string",
        )
    if await services.store.execution(id, organization_id=caller.organization_id) is None:
        raise MissingError("There is no such execution.", field=field)
    return id


def _words(published: Sequence[PublishedEvent], *, is_batch: bool) -> bytes:
    if not is_batch:
        event = published[0]
        return _write({"id": event.public_id, "status": "accepted", "duplicate": not event.is_new})
    events = [{"id": event.public_id, "duplicate": not event.is_new} for event in published]
    return _write({"status": "accepted", "events": events})


async def _publish_once(
    services: Services, caller: Caller, drafts: list[EventDraft], *, key: str, body: bytes, is_batch: bool
) -> Answer:
    vault = services.vault
    once = Once(
        scope=caller.organization_id,
        name=f"POST /api/v1/events {key}",
        digest=hashlib.sha256(body).digest(),
        answer=b"",
        expires_at=services.clock.now() + ONCE_WINDOW,
    )
    first = b""

    def answer(published: Sequence[PublishedEvent]) -> bytes:
        nonlocal first
        first = _words(published, is_batch=is_batch)
        return vault.seal(first, ANSWER)

    published = await services.publish(caller.organization_id, drafts, once=once, answer=answer)
    if not isinstance(published, Repeat):
        # The stored words, not fresh ones: all answers to one key are equal.
        return Answer(202, first)
    return repeated(vault.open(published.answer, ANSWER), is_same=published.is_same)


def repeated(first: bytes, *, is_same: bool) -> Answer:
    """Return the first answer again. Raises ConflictError when the request was another one."""
    if not is_same:
        raise other_request()
    return Answer(202, first, (REPLAYED,))


def other_request() -> ConflictError:
    return ConflictError(
        "This Idempotency-Key was used for another request.",
        code="IDEMPOTENCY_KEY_REUSED",
        field="Idempotency-Key",
    )
