"""Webhooks: the list with health, one with its figures and what may be done to it, and the form that makes one."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hookline.dialects import NAMES
from hookline.model.states import Scope
from hookline.web.desk import Refusal, path_of
from hookline.web.forms import number_of, read_json
from hookline.web.pages.base import Page, listed
from hookline.web.pages.overview import WINDOWS, chart
from hookline.web.pages.webhook_trial import trial
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from hookline.web.visit import Visit

_FIELDS: Final = ("url", "events", "name", "dialect", "conditions", "headers", "ordered")
_NUMBERS: Final = ("rate_per_second", "max_in_flight", "timeout_seconds", "max_redirects")


async def webhooks(visit: Visit) -> View:
    found = await listed(visit, "/api/v1/webhooks", "webhooks", status=visit.query("status"))
    return View(template="webhooks.html", context=found | {"statuses": ("active", "paused", "disabled")})


async def webhook(visit: Visit) -> View:
    return await _shown(visit)


async def _shown(visit: Visit, **more: Any) -> View:
    path = path_of("webhooks", visit.part("id"))
    wanted = visit.query("window", "24h")
    window = wanted if wanted in WINDOWS else "24h"
    stats = await visit.desk.get(f"{path}/stats", window=window)
    context = {
        "webhook": await visit.desk.get(path),
        "stats": stats,
        "chart": chart(stats),
        "window": window,
        "windows": WINDOWS,
        "deliveries": (await visit.desk.get("/api/v1/deliveries", limit=20, webhook_id=visit.part("id")))[
            "deliveries"
        ],
        "secret": None,
        "tested": None,
    }
    return View(template="webhook.html", context=context | more)


# --- making and changing ------------------------------------------------------------------------------------


async def new(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    return _form({"dialect": "agenticflow", "events": "workflow.*"})


async def create(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    try:
        made = await visit.desk.post("/api/v1/webhooks", fields_of(visit.fields))
    except Refusal as refusal:
        return _form(visit.fields, refusal=refusal)
    return View(template="webhook_made.html", context={"webhook": made}, status=201)


async def edit(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    shown = await visit.desk.get(path_of("webhooks", visit.part("id")))
    given = {
        "name": shown["name"],
        "url": shown["url"],
        "events": "\n".join(shown["events"]),
        "dialect": shown["dialect"],
        "conditions": _text(shown["conditions"]),
        "headers": _text(shown["headers"]),
        "ordered": "on" if shown["ordered"] else "",
        **{name: "" if shown[name] is None else str(shown[name]) for name in _NUMBERS},
    }
    return _form(given, id_=visit.part("id"))


async def change(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    id_ = visit.part("id")
    try:
        await visit.desk.send("PUT", path_of("webhooks", id_), fields_of(visit.fields, is_new=False))
    except Refusal as refusal:
        return _form(visit.fields, refusal=refusal, id_=id_)
    return Away(to=f"/ui/webhooks/{id_}", word="saved")


async def try_new(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    tried = await trial(visit, visit.fields, fields_of, None)
    return _form(visit.fields, tried=tried, is_part=visit.is_of_script)


async def try_change(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    id_ = visit.part("id")
    tried = await trial(visit, visit.fields, partial(fields_of, is_new=False), id_)
    return _form(visit.fields, tried=tried, id_=id_, is_part=visit.is_of_script)


def _form(
    given: dict[str, str],
    *,
    refusal: Refusal | None = None,
    id_: str | None = None,
    tried: dict[str, Any] | None = None,
    is_part: bool = False,
) -> View:
    """The form. tried: what it would do, None before anybody asked.  is_part: only that, for the page that shows it."""
    context = {
        "given": dict.fromkeys((*_FIELDS, *_NUMBERS), "") | given,
        "fields": [name for name in (*_FIELDS, *_NUMBERS) if name != "ordered"],
        "dialects": [(name, name) for name in NAMES],
        "refusal": refusal,
        "id": id_,
        "action": "/ui/webhooks/new" if id_ is None else f"/ui/webhooks/{id_}/edit",
        "trial": tried,
        "is_part": is_part,
    }
    return View(
        template="webhook_form.html",
        context=context,
        status=400 if refusal else 200,
        block="preview" if is_part else None,
    )


def fields_of(given: dict[str, str], *, is_new: bool = True) -> dict[str, Any]:
    """What a form says, as the API takes it. What is no number goes on as text: the API words the fault.

    Empty fields are left out of a new webhook, and unset those of one that is there. Raises Refusal for no JSON.
    """
    fields: dict[str, Any] = {
        "url": given.get("url", "").strip(),
        "events": given.get("events", "").split(),
        "dialect": given.get("dialect") or None,
        "name": given.get("name", "").strip() or None,
        "ordered": given.get("ordered") == "on",
    }
    for name in ("conditions", "headers"):
        fields[name] = read_json(name, given.get(name, ""))
    for name in _NUMBERS:
        fields[name] = number_of(given.get(name, ""))
    return {name: value for name, value in fields.items() if value is not None} if is_new else fields


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) if value else ""


# --- what may be done to one --------------------------------------------------------------------------------


def _act(verb: str, word: str) -> Callable[[Visit], Coroutine[Any, Any, View | Away]]:
    async def act(visit: Visit) -> View | Away:
        visit.need(Scope.WRITE)
        await visit.desk.post(f"{path_of('webhooks', visit.part('id'))}/{verb}")
        return Away(to=f"/ui/webhooks/{visit.part('id')}", word=word)

    return act


async def test(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    tested = await visit.desk.post(f"{path_of('webhooks', visit.part('id'))}/test")
    return await _shown(visit, tested=tested)


async def rotate(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    path = f"{path_of('webhooks', visit.part('id'))}/secret/rotate"
    if visit.fields.get("finish"):
        await visit.desk.post(path, {"finish": True})
        return Away(to=f"/ui/webhooks/{visit.part('id')}", word="saved")
    rotated = await visit.desk.post(path)
    return await _shown(visit, secret=rotated["secret"])


async def delete(visit: Visit) -> Away:
    visit.need(Scope.WRITE)
    await visit.desk.send("DELETE", path_of("webhooks", visit.part("id")))
    return Away(to="/ui/webhooks", word="deleted")


PAGES: Final = (
    Page("/ui/webhooks", webhooks),
    Page("/ui/webhooks/new", new),
    Page("/ui/webhooks/new", create, ("POST",)),
    Page("/ui/webhooks/new/try", try_new, ("POST",)),
    Page("/ui/webhooks/{id}", webhook),
    Page("/ui/webhooks/{id}/edit", edit),
    Page("/ui/webhooks/{id}/edit", change, ("POST",)),
    Page("/ui/webhooks/{id}/edit/try", try_change, ("POST",)),
    Page("/ui/webhooks/{id}/pause", _act("pause", "paused"), ("POST",)),
    Page("/ui/webhooks/{id}/resume", _act("resume", "resumed"), ("POST",)),
    Page("/ui/webhooks/{id}/test", test, ("POST",)),
    Page("/ui/webhooks/{id}/rotate", rotate, ("POST",)),
    Page("/ui/webhooks/{id}/delete", delete, ("POST",)),
)
