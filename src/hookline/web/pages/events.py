"""Events: what happened, newest first, what became of each for every webhook, and the types that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.web.desk import path_of
from hookline.web.pages.base import Page, listed
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from hookline.web.visit import Visit

_EVENTS: Final = "/api/v1/events"
_TYPES: Final = "/api/v1/event-types"
_LATEST: Final = 300
"""Events looked through for types that somebody publishes."""


async def events(visit: Visit) -> View | Away:
    """The newest, a page at a time; or straight to the event that was asked for."""
    wanted = visit.query("id").strip()
    if wanted:
        return Away(to=path_of("events", wanted).replace("/api/v1/", "/ui/"))
    found = await listed(visit, _EVENTS, "events", order="newest", type=visit.query("type"))
    types = await visit.desk.get(_TYPES)
    return View(
        template="events.html", context=found | {"types": [one["type"] for one in types["event_types"]]}
    )


async def event(visit: Visit) -> View:
    path = path_of("events", visit.part("id"))
    context = {
        "event": await visit.desk.get(path),
        "verdicts": (await visit.desk.get(f"{path}/explain"))["webhooks"],
    }
    return View(template="event.html", context=context)


async def types(visit: Visit) -> View:
    """The catalogue: what each type says, how often it came of late, and the newest of it as an example."""
    known = (await visit.desk.get(_TYPES))["event_types"]
    latest = (await visit.desk.get(_EVENTS, order="newest", limit=_LATEST))["events"]
    newest = {one["type"]: one for one in reversed(latest)}
    built_in = {one["type"] for one in known}
    counts = {type_: sum(one["type"] == type_ for one in latest) for type_ in newest}
    context = {
        "types": known,
        "own": sorted(newest.keys() - built_in),
        "newest": newest,
        "counts": counts,
        "looked_at": len(latest),
    }
    return View(template="event_types.html", context=context)


PAGES: Final = (
    Page("/ui/events", events),
    Page("/ui/events/{id}", event),
    Page("/ui/event-types", types),
)
