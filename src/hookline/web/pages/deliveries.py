"""Deliveries: the list, and one with each attempt's request and response side by side."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from hookline.model.states import Scope
from hookline.web.desk import path_of
from hookline.web.pages.base import Page, listed
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from hookline.web.visit import Visit

STATES: Final = ("pending", "in_flight", "succeeded", "held", "exhausted", "cancelled")
_MOST_SHOWN: Final = 16_384
"""Bytes of a body that a page shows: pages stay small."""


async def deliveries(visit: Visit) -> View:
    found = await listed(
        visit,
        "/api/v1/deliveries",
        "deliveries",
        state=visit.query("state"),
        webhook_id=visit.query("webhook_id"),
        event_type=visit.query("event_type"),
    )
    return View(template="deliveries.html", context=found | {"states": STATES})


async def delivery(visit: Visit) -> View:
    shown = await visit.desk.get(path_of("deliveries", visit.part("id")))
    body = shown.get("request_body")
    context = {
        "delivery": shown,
        "rounded": ", ".join(dict.fromkeys(warning["field"] for warning in shown["warnings"])),
        "body": None if body is None else body[:_MOST_SHOWN],
        "is_body_cut": body is not None and len(body) > _MOST_SHOWN,
        "attempts": [attempt | {"curl": curl(attempt, body)} for attempt in reversed(shown["attempts"])],
        "is_ended": shown["state"] in ("succeeded", "exhausted", "cancelled"),
    }
    return View(template="delivery.html", context=context)


def curl(attempt: dict[str, Any], body: str | None) -> str:
    """An attempt as a command that sends the same; what is redacted stays so."""
    words = ["curl", "-X", "POST", attempt["url"] or ""]
    for name, value in attempt["request_headers"]:
        if name.lower() not in ("content-length", "host", "connection"):
            words += ["-H", f"{name}: {value}"]
    if body is not None:
        words += ["--data-binary", body]
    return " ".join(shlex.quote(word) for word in words)


async def retry(visit: Visit) -> Away:
    visit.need(Scope.WRITE)
    await visit.desk.post(f"{path_of('deliveries', visit.part('id'))}/retry")
    return Away(to=f"/ui/deliveries/{visit.part('id')}", word="retried")


PAGES: Final = (
    Page("/ui/deliveries", deliveries),
    Page("/ui/deliveries/{id}", delivery),
    Page("/ui/deliveries/{id}/retry", retry, ("POST",)),
)
