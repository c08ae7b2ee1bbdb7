"""Robots: the list, one with its recording and last runs, running it with values, and storing one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from hookline.model.states import Scope
from hookline.web.desk import Refusal, path_of
from hookline.web.forms import number_of, read_json, wrong_place
from hookline.web.pages.base import Page, listed
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from hookline.web.visit import Visit

_LIST: Final = "/api/v1/robots"
_NUMBERS: Final = ("timeout_seconds", "concurrency", "pause_ms", "max_repeats")
_RUNS: Final = 15

EXAMPLE: Final = json.dumps(
    {
        "workflow": [
            {
                "where": {},
                "what": [
                    {"action": "goto", "args": ["https://example.com/"]},
                    {"action": "screenshot", "args": [{"fullPage": True, "type": "png"}]},
                ],
            }
        ]
    },
    indent=2,
)
"""A recording that runs as it is."""


async def robots(visit: Visit) -> View:
    return View(template="robots.html", context=await listed(visit, _LIST, "robots"))


async def robot(visit: Visit) -> View:
    return await _shown(visit)


async def _shown(visit: Visit, **more: Any) -> View:
    path = path_of("robots", visit.part("id"))
    runs = await visit.desk.get("/api/v1/executions", kind="robot", automation=visit.part("id"), limit=_RUNS)
    context = {
        "robot": await visit.desk.get(path),
        "runs": runs["executions"],
        "refusal": None,
        "given": "",
    }
    return View(template="robot.html", context=context | more, status=400 if "refusal" in more else 200)


async def run(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    text = visit.fields.get("input", "")
    try:
        given = read_json("input", text)
        path = f"{path_of('robots', visit.part('id'))}/runs"
        started = await visit.desk.post(path, {} if given is None else {"input": given})
    except Refusal as refusal:
        return await _shown(visit, refusal=refusal, given=text)
    return Away(to=f"/ui/executions/{started['execution_id']}", word="started")


# --- storing and changing -----------------------------------------------------------------------------------


async def new(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    return _form({"recording": EXAMPLE})


async def create(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    try:
        made = await visit.desk.post(_LIST, _fields(visit.fields))
    except Refusal as refusal:
        return _form(visit.fields, refusal)
    return Away(to=f"/ui/robots/{made['id']}", word="saved")


async def edit(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    shown = await visit.desk.get(path_of("robots", visit.part("id")))
    given = {
        name: "" if shown[name] is None else str(shown[name]) for name in (*_NUMBERS, "name", "matching")
    }
    recording = json.dumps(shown["recording"], indent=2, ensure_ascii=False)
    return _form(given | {"recording": recording}, id_=visit.part("id"))


async def change(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    id_ = visit.part("id")
    try:
        await visit.desk.send("PUT", path_of("robots", id_), _fields(visit.fields))
    except Refusal as refusal:
        return _form(visit.fields, refusal, id_=id_)
    return Away(to=f"/ui/robots/{id_}", word="saved")


def _fields(given: dict[str, str]) -> dict[str, Any]:
    """As the API takes them; numbers left empty stay as they are."""
    fields: dict[str, Any] = {
        "name": given.get("name", "").strip(),
        "recording": read_json("recording", given.get("recording", "")),
        "matching": given.get("matching") or "order",
    }
    numbers = {name: number_of(given.get(name, "")) for name in _NUMBERS}
    return fields | {name: value for name, value in numbers.items() if value is not None}


def _form(given: dict[str, str], refusal: Refusal | None = None, id_: str | None = None) -> View:
    context = {
        "given": dict.fromkeys((*_NUMBERS, "name", "matching", "recording"), "") | given,
        "refusal": refusal,
        "wrong": wrong_place(refusal, given.get("recording", ""), below="recording"),
        "id": id_,
    }
    return View(template="robot_form.html", context=context, status=400 if refusal else 200)


async def delete(visit: Visit) -> Away:
    visit.need(Scope.WRITE)
    await visit.desk.send("DELETE", path_of("robots", visit.part("id")))
    return Away(to="/ui/robots", word="deleted")


PAGES: Final = (
    Page("/ui/robots", robots),
    Page("/ui/robots/new", new),
    Page("/ui/robots/new", create, ("POST",)),
    Page("/ui/robots/{id}", robot),
    Page("/ui/robots/{id}/runs", run, ("POST",)),
    Page("/ui/robots/{id}/edit", edit),
    Page("/ui/robots/{id}/edit", change, ("POST",)),
    Page("/ui/robots/{id}/delete", delete, ("POST",)),
)
