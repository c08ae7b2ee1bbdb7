"""Triggers and what came in: what was refused and why, and a form that sends a request as a caller would."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from hookline.core.inbound import PRESETS
from hookline.errors import InputError
from hookline.model.states import Scope
from hookline.web.desk import Refusal, path_of
from hookline.web.pages.base import Page, listed
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from hookline.web.visit import Visit

METHODS: Final = ("POST", "PUT", "PATCH", "DELETE", "GET")
_MOST_SHOWN: Final = 16_384
_FIELDS: Final = ("name", "automation", "profile", "auth", "preset", "username")
AUTHS: Final = (
    ("token", "a token in the URL or as Bearer"),
    ("api_key", "a key in the header Api-Key"),
    ("basic", "a name and a password"),
    ("signature", "a signature of each request"),
    ("none", "not at all: whoever knows the URL"),
)
_KINDS: Final = ("workflow", "agent", "script", "robot")


async def triggers(visit: Visit) -> View:
    return View(template="triggers.html", context=await listed(visit, "/api/v1/triggers", "triggers"))


async def trigger(visit: Visit) -> View:
    return await _shown(visit)


async def _shown(visit: Visit, **more: Any) -> View:
    path = path_of("triggers", visit.part("id"))
    context = {
        "trigger": await visit.desk.get(path),
        "requests": (await visit.desk.get(f"{path}/requests", limit=20))["requests"],
        "methods": METHODS,
        "given": {
            "method": "POST",
            "path": "",
            "headers": '{"Content-Type": "application/json"}',
            "body": "{}",
        },
        "answer": None,
        "fault": None,
        "made": None,
    }
    return View(template="trigger.html", context=context | more)


async def new(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    return await _form(visit, {"profile": "native", "auth": "token"})


async def create(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    kind, _, id_ = visit.fields.get("automation", "").partition(" ")
    body = {
        "name": visit.fields.get("name", "").strip() or None,
        "automation": {"kind": kind, "id": id_},
        "profile": visit.fields.get("profile") or "native",
        "auth": _auth_of(visit.fields),
        "synchronous": visit.fields.get("synchronous") == "on",
    }
    try:
        made = await visit.desk.post("/api/v1/triggers", body)
    except Refusal as refusal:
        field = refusal.details["field"] or ""
        refusal.details["field"] = field.removeprefix("auth.") if field != "auth.type" else "auth"
        return await _form(visit, visit.fields, refusal)
    return View(template="trigger_made.html", context={"trigger": made}, status=201)


def _auth_of(fields: dict[str, str]) -> dict[str, str]:
    """How callers are known, with what that way needs."""
    type_ = fields.get("auth") or "token"
    needs = {"signature": ("preset", "secret"), "basic": ("username", "password")}.get(type_, ())
    return {"type": type_} | {name: fields.get(name, "") for name in needs}


async def _form(visit: Visit, given: dict[str, str], refusal: Refusal | None = None) -> View:
    found = await visit.desk.get("/api/v1/automations")
    context = {
        "automations": [
            (f"{one['kind']} {one['id']}", f"{one['name']} ({one['kind']})")
            for one in found["automations"]
            if one["kind"] in _KINDS
        ],
        "given": dict.fromkeys((*_FIELDS, "synchronous"), "") | given,
        "presets": tuple(PRESETS),
        "auths": AUTHS,
        "refusal": refusal,
    }
    return View(template="trigger_form.html", context=context, status=400 if refusal else 200)


async def try_out(visit: Visit) -> View:
    """Send a request to the trigger, with nothing that a caller would not have: its credential must be given."""
    visit.need(Scope.WRITE)
    found = await visit.desk.get(path_of("triggers", visit.part("id")))
    given = {name: visit.fields.get(name, "") for name in ("method", "path", "headers", "body")}
    if given["method"] not in METHODS or found["url"] is None:
        raise InputError("The method is none of those that a trigger takes.", field="method")
    try:
        headers = _headers(given["headers"])
    except ValueError:
        return await _shown(visit, given=given, fault="The headers are no JSON object of texts.")
    url = urlsplit(found["url"]).path + given["path"]
    status, told, body = await visit.desk.knock(given["method"], url, headers, given["body"].encode())
    answer = {"status": status, "headers": told, "body": body[:_MOST_SHOWN].decode(errors="replace")}
    return await _shown(visit, given=given, answer=answer)


def _headers(text: str) -> dict[str, str]:
    """Raises ValueError for what is no JSON object, and for what cannot stand in a header."""
    found = json.loads(text or "{}")
    if not isinstance(found, dict):
        raise ValueError(text)  # noqa: TRY004 -- a mistake of the person's, like any other in this text
    headers = {str(name): str(value) for name, value in found.items()}
    for part in (*headers, *headers.values()):
        part.encode("latin-1")
    return headers


async def rotate(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    made = await visit.desk.post(f"{path_of('triggers', visit.part('id'))}/rotate")
    return await _shown(visit, made=made)


async def delete(visit: Visit) -> Away:
    visit.need(Scope.WRITE)
    await visit.desk.send("DELETE", path_of("triggers", visit.part("id")))
    return Away(to="/ui/triggers", word="deleted")


# --- requests -----------------------------------------------------------------------------------------------


async def requests(visit: Visit) -> View:
    found = await listed(visit, "/api/v1/requests", "requests", refused=visit.query("refused"))
    return View(template="requests.html", context=found)


async def request(visit: Visit) -> View:
    shown = await visit.desk.get(path_of("requests", visit.part("id")))
    body = shown["body"]
    context = {
        "request": shown,
        "body": body[:_MOST_SHOWN],
        "is_body_cut": len(body) > _MOST_SHOWN,
        "is_refused": shown["execution_id"] is None and shown["status"] >= 400,
    }
    return View(template="request.html", context=context)


PAGES: Final = (
    Page("/ui/triggers", triggers),
    Page("/ui/triggers/new", new),
    Page("/ui/triggers/new", create, ("POST",)),
    Page("/ui/triggers/{id}", trigger),
    Page("/ui/triggers/{id}/try", try_out, ("POST",)),
    Page("/ui/triggers/{id}/rotate", rotate, ("POST",)),
    Page("/ui/triggers/{id}/delete", delete, ("POST",)),
    Page("/ui/requests", requests),
    Page("/ui/requests/{id}", request),
)
