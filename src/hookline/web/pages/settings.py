"""Settings: keys, members and the mails that they get, alerts, and a link that lets a customer in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.web.desk import Refusal, path_of
from hookline.web.forms import number_of
from hookline.web.pages.base import Page
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from hookline.web.visit import Visit

KEPT: Final = (
    ("days", "Events and runs", "With deliveries, attempts, logs and files, after all of it has ended"),
    ("payload_days", "Payloads", "What events carried and what receivers answered"),
    ("held_days", "Held deliveries", "What waits for a webhook that is paused or disabled"),
)
"""What an organization may keep shorter than the server does: the API's name, people's, and what it covers."""
_RETENTION: Final = "/api/v1/settings/retention"
SCOPES: Final = ("read", "trigger", "write", "admin")


async def settings(visit: Visit) -> View:
    return await _shown(visit)


async def _shown(visit: Visit, **more: Any) -> View:
    """Each part is shown to whoever may ask for it: the API says who that is."""
    context: dict[str, Any] = {
        "meta": await visit.desk.get("/api/v1/meta"),
        "retention": await visit.desk.get(_RETENTION),
        "scopes": SCOPES,
    }
    for word in ("keys", "members"):
        try:
            context[word] = (await visit.desk.get(path_of(word), limit=100))[word]
        except Refusal as refusal:
            if refusal.status != 403:
                raise
            context[word] = None
    own = context["retention"]
    context["wishes"] = {name: "" if own[name] is None else f"{own[name]:g}" for name, *_ in KEPT}
    told = {"made": None, "link": None, "mail": None, "refusal": None, "given": {"name": "", "email": ""}}
    context["kept"] = KEPT
    status = 400 if "refusal" in more else 200
    return View(template="settings.html", context=context | told | more, status=status)


async def make_key(visit: Visit) -> View:
    scopes = [scope for scope in SCOPES if visit.fields.get(scope) == "on"]
    try:
        made = await visit.desk.post("/api/v1/keys", {"name": visit.fields.get("name", ""), "scopes": scopes})
    except Refusal as refusal:
        return await _shown(visit, refusal=refusal)
    return await _shown(visit, made=made)


async def revoke_key(visit: Visit) -> Away:
    await visit.desk.send("DELETE", path_of("keys", visit.part("id")))
    return Away(to="/ui/settings", word="deleted")


async def add_member(visit: Visit) -> View | Away:
    body = {"name": visit.fields.get("name", ""), "email": visit.fields.get("email", "")}
    try:
        await visit.desk.post("/api/v1/members", body)
    except Refusal as refusal:
        return await _shown(visit, refusal=refusal, given=body)
    return Away(to="/ui/settings", word="saved")


async def remove_member(visit: Visit) -> Away:
    await visit.desk.send("DELETE", path_of("members", visit.part("id")))
    return Away(to="/ui/settings", word="deleted")


async def try_mail(visit: Visit) -> View:
    try:
        told = await visit.desk.post("/api/v1/settings/smtp-test", {"to": visit.fields.get("to", "")})
    except Refusal as refusal:
        return await _shown(visit, refusal=refusal)
    return await _shown(visit, mail=told)


async def make_link(visit: Visit) -> View:
    try:
        link = await visit.desk.post("/api/v1/sign-in-links", {"role": visit.fields.get("role", "viewer")})
    except Refusal as refusal:
        return await _shown(visit, refusal=refusal)
    return await _shown(visit, link=link)


async def keep(visit: Visit) -> View | Away:
    wishes = {name: visit.fields.get(name, "") for name, *_ in KEPT}
    try:
        await visit.desk.send("PATCH", _RETENTION, {name: number_of(text) for name, text in wishes.items()})
    except Refusal as refusal:
        return await _shown(visit, refusal=refusal, wishes=wishes)
    return Away(to="/ui/settings", word="saved")


PAGES: Final = (
    Page("/ui/settings", settings),
    Page("/ui/settings/keys", make_key, ("POST",)),
    Page("/ui/settings/keys/{id}/revoke", revoke_key, ("POST",)),
    Page("/ui/settings/members", add_member, ("POST",)),
    Page("/ui/settings/members/{id}/remove", remove_member, ("POST",)),
    Page("/ui/settings/retention", keep, ("POST",)),
    Page("/ui/settings/mail", try_mail, ("POST",)),
    Page("/ui/settings/link", make_link, ("POST",)),
)
