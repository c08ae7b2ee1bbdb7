"""Replays: count first, then begin; one that runs shows how far it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from hookline.model.states import Scope
from hookline.web.desk import Refusal, path_of
from hookline.web.pages.base import Page, listed, webhook_names
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from hookline.web.visit import Visit

_FIELDS: Final = (
    "webhook_id",
    "since",
    "until",
    "state",
    "types",
    "rate_per_second",
    "include_never_attempted",
)
STATES: Final = ("succeeded", "exhausted", "cancelled")


async def replays(visit: Visit) -> View:
    return await _shown(visit)


async def _shown(visit: Visit, **more: Any) -> View:
    webhooks = await visit.desk.get("/api/v1/webhooks", limit=200)
    context = {
        "webhooks": webhooks["webhooks"],
        "states": STATES,
        "given": dict.fromkeys(_FIELDS, "") | {"state": "exhausted", "rate_per_second": "100"},
        "count": None,
        "refusal": None,
    }
    found = await listed(visit, "/api/v1/replays", "replays")
    context["names"] = await webhook_names(visit, found["rows"])
    return View(template="replays.html", context=found | context | more)


async def begin(visit: Visit) -> View | Away:
    """Count, or begin, as the button says that was pressed."""
    visit.need(Scope.WRITE)
    given = {name: visit.fields.get(name, "") for name in _FIELDS}
    is_dry = visit.fields.get("act") != "begin"
    try:
        told = await visit.desk.post("/api/v1/replays", job_of(given) | {"dry_run": is_dry})
    except Refusal as refusal:
        return await _shown(visit, given=given, refusal=refusal)
    if is_dry:
        return await _shown(visit, given=given, count=told)
    return Away(to="/ui/replays", word="begun")


def job_of(given: dict[str, str]) -> dict[str, Any]:
    """What the form says, as the API takes it. Times without a zone are UTC."""
    fields: dict[str, Any] = {
        "webhook_id": given["webhook_id"] or None,
        "since": _instant(given["since"]),
        "until": _instant(given["until"]) or None,
        "state": given["state"] or None,
        "types": given["types"].split(),
        "include_never_attempted": given["include_never_attempted"] == "on",
    }
    try:
        fields["rate_per_second"] = float(given["rate_per_second"] or 100)
    except ValueError:
        fields["rate_per_second"] = given["rate_per_second"]
    return {name: value for name, value in fields.items() if value is not None}


def _instant(text: str) -> str:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).isoformat()


def _act(verb: str, word: str) -> Callable[[Visit], Coroutine[Any, Any, Away]]:
    async def act(visit: Visit) -> Away:
        visit.need(Scope.WRITE)
        await visit.desk.post(f"{path_of('replays', visit.part('id'))}/{verb}")
        return Away(to="/ui/replays", word=word)

    return act


PAGES: Final = (
    Page("/ui/replays", replays),
    Page("/ui/replays", begin, ("POST",)),
    Page("/ui/replays/{id}/pause", _act("pause", "paused_replay"), ("POST",)),
    Page("/ui/replays/{id}/resume", _act("resume", "begun"), ("POST",)),
    Page("/ui/replays/{id}/cancel", _act("cancel", "cancelled"), ("POST",)),
)
