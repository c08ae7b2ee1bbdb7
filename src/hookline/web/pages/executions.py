"""Executions: the list, and one with its timeline, steps, logs and result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.model.states import Scope
from hookline.web.desk import path_of
from hookline.web.pages.base import Page, listed
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from hookline.web.visit import Visit

STATUSES: Final = ("queued", "running", "waiting", "succeeded", "failed", "killed", "timed_out", "lost")
KINDS: Final = ("workflow", "agent", "script", "robot", "render")
_ENDED: Final = frozenset(STATUSES[3:])
_MOST_LINES: Final = 500


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
    path = path_of("executions", visit.part("id"))
    shown = await visit.desk.get(path)
    timeline = await visit.desk.get(f"{path}/timeline")
    steps = await visit.desk.get(f"{path}/steps")
    logs = await visit.desk.get(f"{path}/logs", limit=_MOST_LINES)
    context = {
        "execution": shown,
        "is_ended": shown["status"] in _ENDED,
        "timeline": timeline["timeline"],
        "steps": steps["steps"],
        "logs": logs["logs"],
        "more_logs": logs["next"] is not None,
    }
    return View(template="execution.html", context=context)


async def cancel(visit: Visit) -> Away:
    visit.need(Scope.WRITE)
    await visit.desk.post(f"{path_of('executions', visit.part('id'))}/cancel")
    return Away(to=f"/ui/executions/{visit.part('id')}", word="cancelled")


async def replay(visit: Visit) -> Away:
    visit.need(Scope.WRITE)
    started = await visit.desk.post(f"{path_of('executions', visit.part('id'))}/replay")
    return Away(to=f"/ui/executions/{started['execution_id']}", word="replayed")


PAGES: Final = (
    Page("/ui/executions", executions),
    Page("/ui/executions/{id}", execution),
    Page("/ui/executions/{id}/cancel", cancel, ("POST",)),
    Page("/ui/executions/{id}/replay", replay, ("POST",)),
)
