"""Scripts and the agents that run them: sources and their versions, launching, and last runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from hookline.model.states import Scope
from hookline.web.desk import Refusal, path_of
from hookline.web.forms import number_of, read_json
from hookline.web.pages.base import Page, listed
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from hookline.web.visit import Visit

_SCRIPTS: Final = "/api/v1/scripts"
_AGENTS: Final = "/api/v1/script-agents"
_LIMITS: Final = ("time_seconds", "memory_mb", "disk_mb", "processes")
_RUNS: Final = 15
_MOST_SOURCE: Final = 60_000
"""Characters of a source that a page shows: pages stay small."""

EXAMPLE: Final = """\
from hookline_agent import get_argument, progress_hint, set_result_object

names = get_argument() or ["world"]
for number, name in enumerate(names, start=1):
    print("hello", name)
    progress_hint(number / len(names), name)
set_result_object({"greeted": len(names)})
"""
"""A script that runs as it is."""


async def scripts(visit: Visit) -> View:
    agents = await listed(visit, _AGENTS, "script_agents")
    found = await visit.desk.get(_SCRIPTS, limit=200)
    return View(template="scripts.html", context=agents | {"scripts": found["scripts"]})


async def script(visit: Visit) -> View:
    return await _shown(visit)


async def _shown(visit: Visit, **more: Any) -> View:
    path = path_of("scripts", visit.part("id"))
    shown = await visit.desk.get(path)
    wanted = visit.query("version")
    source = shown["source"]
    if wanted:
        source = (await visit.desk.get(f"{path}/versions/{quote(wanted, safe='')}"))["source"]
    versions = await visit.desk.get(f"{path}/versions")
    context = {
        "script": shown,
        "version": int(wanted) if wanted else shown["version"],
        "lines": source[:_MOST_SOURCE].split("\n"),
        "is_cut": len(source) > _MOST_SOURCE,
        "versions": versions["versions"],
        "source": shown["source"],
        "refusal": None,
    }
    return View(template="script.html", context=context | more, status=400 if "refusal" in more else 200)


async def new(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    return _script_form({"slug": "hello.py", "source": EXAMPLE})


async def create(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    given = {name: visit.fields.get(name, "") for name in ("slug", "source")}
    try:
        made = await visit.desk.post(_SCRIPTS, given)
    except Refusal as refusal:
        return _script_form(given, refusal)
    return Away(to=f"/ui/scripts/{made['id']}", word="saved")


def _script_form(given: dict[str, str], refusal: Refusal | None = None) -> View:
    context = {"given": given, "refusal": refusal}
    return View(template="script_form.html", context=context, status=400 if refusal else 200)


async def store_version(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    source = visit.fields.get("source", "")
    try:
        await visit.desk.send("PUT", path_of("scripts", visit.part("id")), {"source": source})
    except Refusal as refusal:
        return await _shown(visit, refusal=refusal, source=source)
    return Away(to=f"/ui/scripts/{visit.part('id')}", word="saved")


async def delete(visit: Visit) -> Away:
    visit.need(Scope.WRITE)
    await visit.desk.send("DELETE", path_of("scripts", visit.part("id")))
    return Away(to="/ui/scripts", word="deleted")


# --- agents -------------------------------------------------------------------------------------------------


async def agent(visit: Visit) -> View:
    return await _agent_shown(visit)


async def _agent_shown(visit: Visit, **more: Any) -> View:
    id_ = visit.part("id")
    shown = await visit.desk.get(path_of("script-agents", id_))
    runs = await visit.desk.get("/api/v1/executions", kind="script", automation=id_, limit=_RUNS)
    argument = shown["argument"]
    context = {
        "agent": shown,
        "runs": runs["executions"],
        "given": "" if argument is None else json.dumps(argument, indent=2, ensure_ascii=False),
        "refusal": None,
        "secret": None,
    }
    return View(
        template="script_agent.html", context=context | more, status=400 if "refusal" in more else 200
    )


async def launch(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    text = visit.fields.get("argument", "")
    try:
        given = read_json("argument", text)
        path = f"{path_of('script-agents', visit.part('id'))}/launch"
        started = await visit.desk.post(path, {} if given is None else {"argument": given})
    except Refusal as refusal:
        return await _agent_shown(visit, refusal=refusal, given=text)
    return Away(to=f"/ui/executions/{started['execution_id']}", word="started")


async def new_agent(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    return await _agent_form(visit, {"script": visit.query("script")})


async def create_agent(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    try:
        made = await visit.desk.post(_AGENTS, agent_fields(visit.fields))
    except Refusal as refusal:
        return await _agent_form(visit, visit.fields, refusal)
    if (made["webhook"] or {}).get("secret"):
        return View(template="script_agent_made.html", context={"agent": made}, status=201)
    return Away(to=f"/ui/script-agents/{made['id']}", word="saved")


def agent_fields(given: dict[str, str]) -> dict[str, Any]:
    """As the API takes them; what is left empty is left out."""
    limits = {name: number_of(given.get(name, "")) for name in _LIMITS}
    fields: dict[str, Any] = {
        "name": given.get("name", "").strip() or None,
        "script": given.get("script", ""),
        "argument": read_json("argument", given.get("argument", "")),
        "limits": {name: value for name, value in limits.items() if value is not None} or None,
        "network": given.get("network") == "on",
        "max_parallelism": number_of(given.get("max_parallelism", "")),
        "webhook": given.get("webhook", "").strip() or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


async def _agent_form(visit: Visit, given: dict[str, str], refusal: Refusal | None = None) -> View:
    found = await visit.desk.get(_SCRIPTS, limit=200)
    names = ("name", "script", "argument", "network", "max_parallelism", "webhook", *_LIMITS)
    context = {
        "scripts": [(one["id"], f"{one['slug']} ({one['branch']})") for one in found["scripts"]],
        "given": dict.fromkeys(names, "") | given,
        "refusal": refusal,
    }
    return View(template="script_agent_form.html", context=context, status=400 if refusal else 200)


async def delete_agent(visit: Visit) -> Away:
    visit.need(Scope.WRITE)
    await visit.desk.send("DELETE", path_of("script-agents", visit.part("id")))
    return Away(to="/ui/scripts", word="deleted")


PAGES: Final = (
    Page("/ui/scripts", scripts),
    Page("/ui/scripts/new", new),
    Page("/ui/scripts/new", create, ("POST",)),
    Page("/ui/scripts/{id}", script),
    Page("/ui/scripts/{id}", store_version, ("POST",)),
    Page("/ui/scripts/{id}/delete", delete, ("POST",)),
    Page("/ui/script-agents/new", new_agent),
    Page("/ui/script-agents/new", create_agent, ("POST",)),
    Page("/ui/script-agents/{id}", agent),
    Page("/ui/script-agents/{id}/launch", launch, ("POST",)),
    Page("/ui/script-agents/{id}/delete", delete_agent, ("POST",)),
)
