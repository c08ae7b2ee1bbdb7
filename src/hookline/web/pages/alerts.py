"""Alerts: which webhooks are in trouble, since when, and of which nobody wants to hear for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.model.states import Scope
from hookline.web.desk import path_of
from hookline.web.forms import number_of
from hookline.web.pages.base import Page, listed, webhook_names
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from hookline.web.visit import Visit

HOURS: Final = (("1", "1 hour"), ("24", "1 day"), ("168", "1 week"))


async def alerts(visit: Visit) -> View:
    found = await listed(
        visit,
        "/api/v1/alerts",
        "alerts",
        state=visit.query("state"),
        webhook_id=visit.query("webhook_id"),
    )
    meta = await visit.desk.get("/api/v1/meta")
    members = await visit.desk.get("/api/v1/members", limit=1)
    context = {
        "names": await webhook_names(visit, found["rows"]),
        "hours": HOURS,
        "alerting": meta["alerts"],
        "is_mailed": meta["alerts"]["mail"] and bool(members["members"]),
    }
    return View(template="alerts.html", context=found | context)


async def snooze(visit: Visit) -> Away:
    visit.need(Scope.WRITE)
    hours = number_of(visit.fields.get("hours", "24"))
    await visit.desk.post(f"{path_of('alerts', visit.part('id'))}/snooze", {"hours": hours})
    return Away(to="/ui/alerts", word="snoozed" if hours else "awake")


PAGES: Final = (
    Page("/ui/alerts", alerts),
    Page("/ui/alerts/{id}/snooze", snooze, ("POST",)),
)
