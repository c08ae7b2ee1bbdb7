"""Executions: the list, and one with its story, log, files and result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.model.states import Scope
from hookline.web.desk import Refusal, path_of
from hookline.web.files import captured, shown_files
from hookline.web.forms import read_json
from hookline.web.pages.base import Page, listed
from hookline.web.timeline import progress, story
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from hookline.web.visit import Visit

STATUSES: Final = ("queued", "running", "waiting", "succeeded", "failed", "killed", "timed_out", "lost")
KINDS: Final = ("workflow", "agent", "script", "robot", "render")
ENDED: Final = frozenset(STATUSES[3:])
_MOST_LINES: Final = 300


async def executions(visit: Visit) -> View:
    found = await listed(
        visit,
        "/api/v1/executions",
        "executions",
        status=visit.query("status"),
        kind=visit.query("kind"),
        automation=visit.query("automation"),
    )
    return View(template="executions.html", context=found | {"statuses": STATUSES, "kinds": KINDS})


async def execution(visit: Visit) -> View:
    return await _shown(visit)


async def _shown(visit: Visit, **more: Any) -> View:
    desk, path = visit.desk, path_of("executions", visit.part("id"))
    shown = await desk.get(path)
    moments = (await desk.get(f"{path}/timeline"))["timeline"]
    logs = await desk.get(f"{path}/logs", limit=_MOST_LINES)
    files = await desk.get(f"{path}/artifacts")
    steps = await desk.get(f"{path}/steps")
    told = story(
        moments, logs["logs"], request=await _request(visit, shown), webhooks=await _names(visit, moments)
    )
    context = {
        "execution": shown,
        "is_ended": shown["status"] in ENDED,
        "story": told,
        "steps": steps["steps"],
        "progress": progress(logs["logs"]),
        "logs": logs["logs"],
        "more_logs": logs["next"] is not None,
        "files": shown_files(files["artifacts"]),
        "captured": captured(shown["output"]) if shown["automation"]["kind"] == "robot" else [],
        "refusal": None,
        "given": {"name": "", "data": ""},
    }
    return View(template="execution.html", context=context | more, status=400 if "refusal" in more else 200)


async def _request(visit: Visit, shown: dict[str, Any]) -> dict[str, Any] | None:
    """The trigger request that began it; None where there was none, or retention has taken it."""
    id_ = shown["trigger"]["request_id"]
    if id_ is None:
        return None
    try:
        found: dict[str, Any] = await visit.desk.get(path_of("requests", id_))
    except Refusal:
        return None
    return found


async def _names(visit: Visit, moments: list[dict[str, Any]]) -> dict[str, str]:
    """Names of webhooks by id, where a delivery is told of."""
    if all(moment["what"] != "delivery" for moment in moments):
        return {}
    found = await visit.desk.get("/api/v1/webhooks", limit=200)
    return {one["id"]: one["name"] or one["url"] for one in found["webhooks"]}


async def cancel(visit: Visit) -> Away:
    visit.need(Scope.WRITE)
    await visit.desk.post(f"{path_of('executions', visit.part('id'))}/cancel")
    return Away(to=f"/ui/executions/{visit.part('id')}", word="cancelled")


async def replay(visit: Visit) -> Away:
    visit.need(Scope.WRITE)
    started = await visit.desk.post(f"{path_of('executions', visit.part('id'))}/replay")
    return Away(to=f"/ui/executions/{started['execution_id']}", word="replayed")


async def resume(visit: Visit) -> View | Away:
    """Answer what it waits for."""
    visit.need(Scope.WRITE)
    given = {"name": visit.fields.get("name", ""), "data": visit.fields.get("data", "")}
    try:
        body = {"name": given["name"], "data": read_json("data", given["data"])}
        await visit.desk.post(f"{path_of('executions', visit.part('id'))}/resume", body)
    except Refusal as refusal:
        return await _shown(visit, refusal=refusal, given=given)
    return Away(to=f"/ui/executions/{visit.part('id')}", word="answered")


PAGES: Final = (
    Page("/ui/executions", executions),
    Page("/ui/executions/{id}", execution),
    Page("/ui/executions/{id}/cancel", cancel, ("POST",)),
    Page("/ui/executions/{id}/replay", replay, ("POST",)),
    Page("/ui/executions/{id}/resume", resume, ("POST",)),
)
