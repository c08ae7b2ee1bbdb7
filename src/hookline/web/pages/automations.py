"""Automations: all that can run here, and running a workflow or an agent of the app by a form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.errors import MissingError
from hookline.model.states import Scope
from hookline.web.desk import Refusal, path_of
from hookline.web.forms import read_json
from hookline.web.pages.base import Page
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from hookline.web.visit import Visit

_RUNS: Final = 15
_STARTED_AT: Final = {"workflow": "workflows", "agent": "agents"}
"""Where the API starts a kind that is declared in the app; the others have pages of their own."""


async def automations(visit: Visit) -> View:
    found = await visit.desk.get("/api/v1/automations")
    rows = [one | {"page": _page_of(one)} for one in found["automations"]]
    return View(template="automations.html", context={"rows": rows})


def _page_of(automation: dict[str, Any]) -> str:
    """Where it is run, by kind."""
    kind, id_ = automation["kind"], automation["id"]
    own = {"script": f"/ui/script-agents/{id_}", "robot": f"/ui/robots/{id_}", "render": "/ui/jobs/new"}
    return own.get(kind, path_of("automations", kind, id_).replace("/api/v1/", "/ui/"))


async def automation(visit: Visit) -> View:
    return await _shown(visit)


async def _shown(visit: Visit, **more: Any) -> View:
    kind, id_ = visit.part("kind"), visit.part("id")
    found = await visit.desk.get("/api/v1/automations")
    shown = next((one for one in found["automations"] if (one["kind"], one["id"]) == (kind, id_)), None)
    if shown is None or kind not in _STARTED_AT:
        raise MissingError("There is no such automation.")
    runs = await visit.desk.get("/api/v1/executions", kind=kind, automation=id_, limit=_RUNS)
    context = {"automation": shown, "runs": runs["executions"], "given": "", "refusal": None}
    return View(template="automation.html", context=context | more, status=400 if "refusal" in more else 200)


async def run(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    kind, text = visit.part("kind"), visit.fields.get("input", "")
    try:
        given = read_json("input", text)
        path = f"{path_of(_STARTED_AT.get(kind, kind), visit.part('id'))}/executions"
        started = await visit.desk.post(path, {} if given is None else {"input": given})
    except Refusal as refusal:
        return await _shown(visit, refusal=refusal, given=text)
    return Away(to=f"/ui/executions/{started['execution_id']}", word="started")


PAGES: Final = (
    Page("/ui/automations", automations),
    Page("/ui/automations/{kind}/{id}", automation),
    Page("/ui/automations/{kind}/{id}", run, ("POST",)),
)
