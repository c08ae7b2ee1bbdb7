"""``/api/v1/events``: the ascending feed, and one event with what it owes. Publishing is a hot route."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from hookline.api.deliveries import viewer
from hookline.api.reply import (
    AtPage,
    AtSite,
    Reader,
    found_or_missing,
    raw,
    reply,
    when,
)
from hookline.core.event_types import KIND_ENDED_BY, MEANINGS, OPERATIONAL
from hookline.model.events import Event
from hookline.model.ids import OWN_EVENT_ID, public
from hookline.ports import DeliveryFilter

router = APIRouter(prefix="/api/v1/events", tags=["events"])

_MOST_DELIVERIES = 500


@router.get("", summary="Read events in order, oldest first; none is ever skipped")
async def feed(
    site: AtSite,
    caller: Reader,
    page: AtPage,
    after: Annotated[
        str | None, Query(description="`next` of the page before; the beginning if absent.")
    ] = None,
    types: Annotated[
        list[str] | None, Query(alias="type", description="Only these exact types.", max_length=50)
    ] = None,
    order: Annotated[
        Literal["oldest", "newest"],
        Query(
            description="`newest`: a list for people, from `cursor` on; one that is published now may be missed."
        ),
    ] = "oldest",
) -> Response:
    wanted = tuple(types or ())
    if order == "newest":
        recent = await site.services.store.recent_events(
            caller.organization_id, before=page.before, types=wanted, limit=page.enough
        )
        return page.reply("events", recent, lambda event: event.key, event_view)
    found = await site.services.store.events(
        caller.organization_id, after=after or None, types=wanted, limit=page.limit
    )
    # Never null after the first event: whoever keeps `next` goes on from there tomorrow.
    return reply({"events": [event_view(event) for event in found.events], "next": found.cursor or after})


@router.get("/{event_id}", summary="Show an event and its deliveries")
async def show(site: AtSite, caller: Reader, event_id: str) -> Response:
    known = OWN_EVENT_ID.fullmatch(event_id) is not None
    found = await site.services.store.event(caller.organization_id, event_id) if known else None
    event = found_or_missing(found, "event")
    owed = await site.services.store.deliveries(
        caller.organization_id, DeliveryFilter(event_key=event.key), before=None, limit=_MOST_DELIVERIES
    )
    view = await viewer(site, owed)
    return reply(event_view(event) | {"deliveries": [view(delivery) for delivery in owed]})


catalogue = APIRouter(prefix="/api/v1/event-types", tags=["events"])


@catalogue.get(
    "", summary="List the event types that there are without anybody publishing them, and what each says"
)
async def list_types(_: Reader) -> Response:
    shown = [
        {
            "type": type_,
            "description": meaning,
            "ends_a_run": type_ in KIND_ENDED_BY,
            "is_operational": type_ in OPERATIONAL,
        }
        for type_, meaning in MEANINGS.items()
    ]
    return reply({"event_types": shown})


def event_view(event: Event) -> dict[str, Any]:
    return {
        "id": event.public_id,
        "type": event.type,
        "timestamp": when(event.occurred_at),
        "received_at": when(event.received_at),
        "execution_id": None if event.execution_id is None else public("execution", event.execution_id),
        "sequence": event.sequence or None,
        "ordering_key": event.ordering_key,
        "data": None if event.is_stripped else raw(event.data),
    } | ({"data_expired": True} if event.is_stripped else {})
