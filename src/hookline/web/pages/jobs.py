"""Render jobs: the list, one with its progress and at last its video, the form that starts one, and the secret that
signs what they tell.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from hookline.model.states import Scope
from hookline.web.desk import Refusal, path_of
from hookline.web.files import shown_files
from hookline.web.forms import read_json, wrong_place
from hookline.web.pages.base import Page, every_line, listed
from hookline.web.pages.executions import ENDED, STATUSES
from hookline.web.timeline import progress
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from hookline.web.visit import Visit

EXAMPLE: Final = json.dumps(
    {
        "width": 1280,
        "height": 720,
        "background": "#102030",
        "scenes": [
            {
                "duration": 3,
                "elements": [
                    {
                        "type": "text",
                        "text": "Hello World",
                        "font_size": 96,
                        "position": "center",
                        "fade": 0.5,
                    }
                ],
            }
        ],
    },
    indent=2,
)
"""A movie that renders as it is."""


async def jobs(visit: Visit) -> View:
    found = await listed(
        visit, "/api/v1/executions", "executions", kind="render", status=visit.query("status")
    )
    rows = [row | {"progress": await _progress(visit, row)} for row in found["rows"]]
    return View(template="jobs.html", context=found | {"rows": rows, "statuses": STATUSES})


async def job(visit: Visit) -> View:
    path = path_of("executions", visit.part("id"))
    shown = await visit.desk.get(path)
    files = await visit.desk.get(f"{path}/artifacts")
    context = {
        "job": shown,
        "is_ended": shown["status"] in ENDED,
        "progress": await _progress(visit, shown),
        "films": [one for one in shown_files(files["artifacts"]) if one["look"] == "film"],
        "movie": shown["input"] if isinstance(shown["input"], dict) else {},
    }
    return View(template="job.html", context=context)


async def _progress(visit: Visit, shown: dict[str, Any]) -> dict[str, Any] | None:
    """How far a job has come that is under way: nothing is asked about the others."""
    if shown["status"] != "running":
        return None
    return progress(await every_line(visit, shown["id"]))


async def new(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    given = EXAMPLE
    if visit.query("like"):
        like = await visit.desk.get(path_of("executions", visit.query("like")))
        given = json.dumps(like["input"], indent=2, ensure_ascii=False)
    return _form(given)


async def create(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    text = visit.fields.get("movie", "")
    try:
        made = await visit.desk.post("/api/jobs", read_json("", text))
    except Refusal as refusal:
        return _form(text, refusal)
    return Away(to=f"/ui/jobs/exec_{made['job_id']}", word="started")


def _form(text: str, refusal: Refusal | None = None) -> View:
    context = {"movie": text, "refusal": refusal, "wrong": wrong_place(refusal, text)}
    return View(template="job_form.html", context=context, status=400 if refusal else 200)


async def cancel(visit: Visit) -> Away:
    visit.need(Scope.WRITE)
    await visit.desk.post(f"{path_of('executions', visit.part('id'))}/cancel")
    return Away(to=f"/ui/jobs/{visit.part('id')}", word="cancelled")


async def secret(visit: Visit) -> View:
    return await _secret_shown(visit)


async def rotate(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    is_end = bool(visit.fields.get("finish"))
    try:
        made = await visit.desk.post("/api/v1/jobs/secret/rotate", {"finish": is_end})
    except Refusal as refusal:
        return await _secret_shown(visit, refusal=refusal)
    return Away(to="/ui/jobs/secret", word="saved") if is_end else await _secret_shown(visit, made["secret"])


async def _secret_shown(visit: Visit, made: str | None = None, refusal: Refusal | None = None) -> View:
    context = {"shown": await visit.desk.get("/api/v1/jobs/secret"), "secret": made, "refusal": refusal}
    return View(template="job_secret.html", context=context, status=400 if refusal else 200)


PAGES: Final = (
    Page("/ui/jobs", jobs),
    Page("/ui/jobs/secret", secret),
    Page("/ui/jobs/secret", rotate, ("POST",)),
    Page("/ui/jobs/new", new),
    Page("/ui/jobs/new", create, ("POST",)),
    Page("/ui/jobs/{id}", job),
    Page("/ui/jobs/{id}/cancel", cancel, ("POST",)),
)
