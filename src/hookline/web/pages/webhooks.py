"""Webhooks: the list with health, one with its figures and what may be done to it, and the form that makes one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hookline.dialects import NAMES
from hookline.model.states import Scope
from hookline.web.desk import Refusal, path_of
from hookline.web.pages.base import Page, listed
from hookline.web.pages.overview import WINDOWS, chart
from hookline.web.pages.webhook_fields import AUTHENTICATIONS, FIELDS, fields_of, given_of
from hookline.web.pages.webhook_trial import trial
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from hookline.web.visit import Visit


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
    return await _form(visit, {"dialect": "agenticflow", "events": "workflow.*"})


async def create(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    try:
        made = await visit.desk.post("/api/v1/webhooks", fields_of(visit.fields))
    except Refusal as refusal:
        return await _form(visit, visit.fields, refusal=refusal)
    return View(template="webhook_made.html", context={"webhook": made}, status=201)


async def edit(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    shown = await visit.desk.get(path_of("webhooks", visit.part("id")))
    return await _form(visit, given_of(shown), id_=visit.part("id"))


async def change(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    id_ = visit.part("id")
    try:
        await visit.desk.send("PUT", path_of("webhooks", id_), fields_of(visit.fields, is_new=False))
    except Refusal as refusal:
        return await _form(visit, visit.fields, refusal=refusal, id_=id_)
    return Away(to=f"/ui/webhooks/{id_}", word="saved")


async def try_new(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    tried = await trial(visit, visit.fields, fields_of, None)
    return await _form(visit, visit.fields, tried=tried, is_part=visit.is_of_script)


async def try_change(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    id_ = visit.part("id")
    tried = await trial(visit, visit.fields, partial(fields_of, is_new=False), id_)
    return await _form(visit, visit.fields, tried=tried, id_=id_, is_part=visit.is_of_script)


async def _form(
    visit: Visit,
    given: dict[str, str],
    *,
    refusal: Refusal | None = None,
    id_: str | None = None,
    tried: dict[str, Any] | None = None,
    is_part: bool = False,
) -> View:
    """The form. tried: what it would do, None before anybody asked.  is_part: only that, for the page that shows it."""
    automations = [] if is_part else (await visit.desk.get("/api/v1/automations"))["automations"]
    context = {
        "given": dict.fromkeys(FIELDS, "") | given,
        "fields": [name for name in FIELDS if name not in ("ordered", "auth_name", "auth_secret")],
        "authentications": AUTHENTICATIONS,
        "automations": _choices(automations, given.get("automation", "")),
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


def _choices(automations: list[dict[str, Any]], chosen: str) -> list[tuple[str, str]]:
    """What runs a webhook may be for, and the chosen one even if nothing is called so any more."""
    known = [(f"{one['kind']} {one['id']}", f"{one['name']} ({one['kind']})") for one in automations]
    return known if not chosen or chosen in dict(known) else [*known, (chosen, chosen)]


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
