"""``/api/v1/deliveries``: what is owed, every attempt made for it, and sending it again."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from hookline.api.reply import (
    AtPage,
    AtSite,
    Reader,
    Writer,
    body_view,
    found_or_missing,
    instant,
    key_in_path,
    missing,
    reply,
    when,
)
from hookline.api.services import Site
from hookline.model.events import Attempt, Delivery, Event
from hookline.model.ids import Key, public
from hookline.model.states import DeliveryState
from hookline.ports import DeliveryFilter

router = APIRouter(prefix="/api/v1/deliveries", tags=["deliveries"])

StateName = Literal["pending", "in_flight", "succeeded", "held", "exhausted", "cancelled"]


@router.get("", summary="List deliveries")
async def list_all(
    site: AtSite,
    caller: Reader,
    page: AtPage,
    state: Annotated[list[StateName] | None, Query(description="May be repeated.")] = None,
    status: Annotated[list[StateName] | None, Query(description="The same as state.")] = None,
    webhook_id: str | None = None,
    event_id: Annotated[
        str | None, Query(description="Only those of this event sent alone; explain knows of batches.")
    ] = None,
    event_type: Annotated[str | None, Query(description="Only this exact type.", max_length=200)] = None,
    type_: Annotated[
        str | None, Query(alias="type", description="The same as event_type.", max_length=200)
    ] = None,
    since: Annotated[str | None, Query(description="Created at or after, RFC 3339.")] = None,
    until: Annotated[str | None, Query(description="Created before, RFC 3339.")] = None,
) -> Response:
    event = None
    if event_id is not None:
        event = await site.services.store.event(caller.organization_id, event_id)
        if event is None:
            raise missing("event")
    wanted = DeliveryFilter(
        webhook_id=None if webhook_id is None else key_in_path("webhook", webhook_id),
        event_key=None if event is None else event.key,
        states=tuple(DeliveryState(name) for name in (*(state or ()), *(status or ()))),
        event_type=event_type or type_,
        since=instant(since, "since"),
        until=instant(until, "until"),
    )
    found = await site.services.store.deliveries(
        caller.organization_id, wanted, before=page.before, limit=page.enough
    )
    view = await viewer(site, found)
    return page.reply("deliveries", found, lambda delivery: delivery.id, view)


@router.get("/{delivery_id}", summary="Show a delivery with its attempts")
async def show(site: AtSite, caller: Reader, delivery_id: str) -> Response:
    id = key_in_path("delivery", delivery_id)
    delivery = found_or_missing(
        await site.services.store.delivery(id, organization_id=caller.organization_id), "delivery"
    )
    attempts = await site.services.store.attempts(id)
    view = await viewer(site, [delivery])
    shown = view(delivery) | {"attempts": [attempt_view(attempt) for attempt in attempts]}
    body = await site.services.explainer.sent_body(delivery)
    shown |= {"request_body": None} if body is None else body_view("request_body", body)
    rounded = await site.services.explainer.rounded_numbers(delivery)
    shown["warnings"] = [_rounded_view(event, path) for event, path in rounded]
    if delivery.batch_id is not None:
        events = await site.services.store.batch_events(
            delivery.batch_id, organization_id=caller.organization_id
        )
        shown["event_ids"] = [event.public_id for event in events]
    return reply(shown)


@router.post("/{delivery_id}/retry", status_code=202, summary="Send it again now, the same bytes")
async def retry(site: AtSite, caller: Writer, delivery_id: str) -> Response:
    id = key_in_path("delivery", delivery_id)
    delivery = found_or_missing(await site.services.webhooks.reopen(caller.organization_id, id), "delivery")
    view = await viewer(site, [delivery])
    return reply(view(delivery), 202)


def _rounded_view(event: Event, path: str) -> dict[str, Any]:
    """A number that JavaScript cannot hold, which the receiver got as the nearest that it can (AF-X1)."""
    return {
        "code": "NUMBER_ROUNDED",
        "event_id": event.public_id,
        "field": f"data.{path}" if path else "data",
        "message": "JavaScript cannot hold this number; the nearest that it can is what the receiver gets.",
    }


async def viewer(site: Site, deliveries: Sequence[Delivery]) -> Callable[[Delivery], dict[str, Any]]:
    """Return the view of deliveries of one organization, which names each event by the id that its receiver sees."""
    if not deliveries:
        return partial(_view, {}, {})
    organization_id = deliveries[0].organization_id
    names = await site.services.directory.webhook_names(organization_id)
    keys = [delivery.event_key for delivery in deliveries if delivery.event_key is not None]
    own_ids = await site.services.store.own_event_ids(organization_id, keys) if keys else {}
    return partial(_view, own_ids, names)


def brief_view(delivery: Delivery) -> dict[str, Any]:
    """A delivery as a timeline names it."""
    return {
        "id": public("delivery", delivery.id),
        "webhook_id": public("webhook", delivery.webhook_id),
        "state": delivery.state,
        "state_reason": delivery.state_reason,
        "attempts_made": delivery.attempts_made,
    }


def _event_id(own_ids: Mapping[Key, str], delivery: Delivery) -> str | None:
    key = delivery.event_key
    return None if key is None else own_ids.get(key) or public("event", key)


def _view(own_ids: Mapping[Key, str], names: Mapping[Key, str], delivery: Delivery) -> dict[str, Any]:
    """webhook_name: None when it is not registered: deleted, or made for one run."""
    return {
        "id": public("delivery", delivery.id),
        "webhook_id": public("webhook", delivery.webhook_id),
        "webhook_name": names.get(delivery.webhook_id),
        "event_id": _event_id(own_ids, delivery),
        "event_type": delivery.event_type,
        "batch_id": None if delivery.batch_id is None else public("batch", delivery.batch_id),
        "state": delivery.state,
        "state_reason": delivery.state_reason,
        "attempts_made": delivery.attempts_made,
        "failures": delivery.failures,
        "interruptions": delivery.interruptions,
        "ordering_key": delivery.ordering_key,
        "last_status": delivery.last_status,
        "last_duration_ms": delivery.last_ms,
        "body_size": delivery.body_size,
        "created_at": when(delivery.created_at),
        "next_attempt_at": when(delivery.next_attempt_at),
        "ended_at": when(delivery.ended_at),
    }


def attempt_view(attempt: Attempt) -> dict[str, Any]:
    return {
        "id": public("attempt", attempt.id),
        "number": attempt.number,
        "cause": attempt.cause,
        "started_at": when(attempt.started_at),
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "error": attempt.error,
        "address": attempt.address,
        "url": attempt.url,
        "request_headers": attempt.request_headers,
        "response_headers": attempt.response_headers,
        **body_view("response_body", attempt.response_body),
        "is_response_cut": attempt.is_response_cut,
    }
