"""Events: what happened, what became of each for every webhook, and the types that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.web.desk import path_of
from hookline.web.pages.base import Page
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from hookline.web.visit import Visit


async def events(visit: Visit) -> View | Away:
    """The feed, oldest first, a page at a time; or straight to the event that was asked for."""
    wanted = visit.query("id").strip()
    if wanted:
        return Away(to=path_of("events", wanted).replace("/api/v1/", "/ui/"))
    found = await visit.desk.get(
        "/api/v1/events", after=visit.query("after"), limit=50, type=visit.query("type")
    )
    meta = await visit.desk.get("/api/v1/meta")
    context = {
        "rows": found["events"],
        "following": visit.url(after=found["next"]) if len(found["events"]) == 50 else None,
        "types": meta["event_types"],
    }
    return View(template="events.html", context=context)


async def event(visit: Visit) -> View:
    path = path_of("events", visit.part("id"))
    context = {
        "event": await visit.desk.get(path),
        "verdicts": (await visit.desk.get(f"{path}/explain"))["webhooks"],
    }
    return View(template="event.html", context=context)


PAGES: Final = (Page("/ui/events", events), Page("/ui/events/{id}", event))
