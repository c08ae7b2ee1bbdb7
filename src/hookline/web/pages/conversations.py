"""Conversations: the list, one talk as it goes on, saying something in it, and ending it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.model.states import Scope
from hookline.web.desk import Refusal, path_of
from hookline.web.forms import number_of
from hookline.web.pages.base import Page, every_line, listed
from hookline.web.timeline import spoken
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from hookline.web.visit import Visit

STATUSES: Final = ("open", "resolved", "failed")
_LIST: Final = "/api/v1/conversations"
_MOST_TURNS: Final = 100


async def conversations(visit: Visit) -> View:
    found = await listed(
        visit,
        _LIST,
        "conversations",
        agent=visit.query("agent"),
        user=visit.query("user"),
        status=visit.query("status"),
    )
    return View(
        template="conversations.html",
        context=found | {"statuses": STATUSES, "agents": await _agents(visit)},
    )


async def _agents(visit: Visit) -> list[tuple[str, str]]:
    found = await visit.desk.get("/api/v1/automations")
    return [(one["id"], one["name"]) for one in found["automations"] if one["kind"] == "agent"]


async def new(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    return await _form(visit, dict.fromkeys(("agent_id", "user_id", "message"), ""))


async def create(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    given = {name: visit.fields.get(name, "") for name in ("agent_id", "user_id", "message")}
    try:
        made = await visit.desk.post(_LIST, {name: text for name, text in given.items() if text})
    except Refusal as refusal:
        return await _form(visit, given, refusal)
    return Away(to=f"/ui/conversations/{made['id']}", word="started")


async def _form(visit: Visit, given: dict[str, str], refusal: Refusal | None = None) -> View:
    context = {"agents": await _agents(visit), "given": given, "refusal": refusal}
    return View(template="conversation_form.html", context=context, status=400 if refusal else 200)


async def conversation(visit: Visit) -> View:
    return await _shown(visit)


async def _shown(visit: Visit, refusal: Refusal | None = None) -> View:
    shown = await visit.desk.get(path_of("conversations", visit.part("id")))
    turns = shown["turns"]
    context = {
        "conversation": shown,
        "turns": [said(turn) | await _so_far(visit, turn) for turn in turns[-_MOST_TURNS:]],
        "left_out": max(0, len(turns) - _MOST_TURNS),
        "is_open": shown["status"] == "open",
        "refusal": refusal,
        "message": visit.fields.get("message", "") if refusal else "",
    }
    return View(template="conversation.html", context=context, status=400 if refusal else 200)


def said(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn as a talk shows it. message: what the user said.  reply: the agent's word, None while it works on it."""
    given, output = turn["input"], turn["output"]
    message = given.get("message") if isinstance(given, dict) else given
    reply = output.get("message", output) if isinstance(output, dict) else output
    return turn | {"message": message, "reply": reply, "is_ended": turn["completed_at"] is not None}


async def _so_far(visit: Visit, turn: dict[str, Any]) -> dict[str, str]:
    """words: what the agent has said of an answer that it is still giving."""
    if turn["status"] != "running":
        return {"words": ""}
    return {"words": spoken(await every_line(visit, turn["execution_id"]))}


async def say(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    path = f"{path_of('conversations', visit.part('id'))}/messages"
    try:
        await visit.desk.post(path, {"message": visit.fields.get("message", "")})
    except Refusal as refusal:
        return await _shown(visit, refusal)
    return Away(to=f"/ui/conversations/{visit.part('id')}#say")


async def complete(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    fields = visit.fields
    resolution = {"type": fields.get("type") or "solved", "category": fields.get("category") or None}
    body = {
        "resolution": resolution,
        "satisfaction_score": number_of(fields.get("satisfaction_score", "")),
    }
    try:
        await visit.desk.post(f"{path_of('conversations', visit.part('id'))}/complete", body)
    except Refusal as refusal:
        return await _shown(visit, refusal)
    return Away(to=f"/ui/conversations/{visit.part('id')}", word="ended")


PAGES: Final = (
    Page("/ui/conversations", conversations),
    Page("/ui/conversations/new", new),
    Page("/ui/conversations/new", create, ("POST",)),
    Page("/ui/conversations/{id}", conversation),
    Page("/ui/conversations/{id}/messages", say, ("POST",)),
    Page("/ui/conversations/{id}/complete", complete, ("POST",)),
)
