"""``/api/v1/conversations``: talks with an agent that go on over several messages (issue 5, AF-3, AF-10)."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from hookline.api.automations import not_loaded
from hookline.api.identity import Caller
from hookline.api.reply import (
    AtPage,
    AtSite,
    Body,
    RawBody,
    Reader,
    Starter,
    Writer,
    found_or_missing,
    key_in_path,
    member,
    raw,
    reply,
    when,
)
from hookline.api.services import Site
from hookline.api.shape import check_no_nul
from hookline.dialects.payloads import body_of_turn
from hookline.engine.conversations import Opening
from hookline.model.executions import Conversation, Execution
from hookline.model.ids import public
from hookline.model.states import Kind
from hookline.ports import ConversationFilter, ExecutionFilter

router = APIRouter(prefix="/api/v1/conversations", tags=["conversations"])

_MOST_TURNS = 500


class NewMessage(Body):
    """message: what the user says.  metadata, context: the agent gets them as they came."""

    message: str
    metadata: dict[str, Any] | None = None
    context: dict[str, Any] | None = None


class NewConversation(Body):
    """agent_id: an agent of the app.  message: begins its first turn; without one the conversation waits for it."""

    agent_id: str
    user_id: str | None = None
    message: str | None = None
    metadata: dict[str, Any] | None = None
    context: dict[str, Any] | None = None


class Resolution(Body):
    """How the conversation was settled (AF-10)."""

    type: str = "solved"
    category: str | None = None
    tags: list[str] = Field(default_factory=list)


class Completion(Body):
    satisfaction_score: Annotated[float | None, Field(allow_inf_nan=False)] = None
    resolution: Resolution = Field(default_factory=Resolution)


@router.post("", status_code=201, summary="Begin a conversation with an agent")
async def create(site: AtSite, caller: Starter, body: NewConversation, raw_body: RawBody) -> Response:
    agent = site.services.automation(Kind.AGENT, body.agent_id)
    if agent is None:
        raise await not_loaded(site, caller, Kind.AGENT)
    check_no_nul(body.user_id, "user_id")
    opening = Opening(
        organization_id=caller.organization_id,
        agent_id=body.agent_id,
        user_id=body.user_id,
        input=None if body.message is None else _turn(raw_body, body.user_id),
        metadata=member(raw_body, "metadata"),
        context=member(raw_body, "context"),
        idle_ms=agent.idle_ms,
    )
    conversation, execution = await site.services.conversations.open(opening)
    started = {} if execution is None else {"execution_id": public("execution", execution.id)}
    return reply(conversation_view(conversation) | started, 201)


@router.get("", summary="List conversations")
async def list_all(
    site: AtSite,
    caller: Reader,
    page: AtPage,
    agent: Annotated[str | None, Query(description="An agent's id.")] = None,
    user: Annotated[str | None, Query(description="A user's id.")] = None,
    status: Annotated[Literal["open", "resolved", "failed"] | None, Query()] = None,
) -> Response:
    filter_ = ConversationFilter(agent_id=agent, user_id=user, status=status)
    found = await site.services.store.conversations(
        caller.organization_id, filter_, before=page.before, limit=page.enough
    )
    return page.reply("conversations", found, lambda one: one.id, conversation_view)


@router.get("/{conversation_id}", summary="Show a conversation with its turns, oldest first")
async def show(site: AtSite, caller: Reader, conversation_id: str) -> Response:
    conversation = await _found(site, caller, conversation_id)
    turns = await site.services.store.executions(
        caller.organization_id,
        ExecutionFilter(conversation_id=conversation.id),
        before=None,
        limit=_MOST_TURNS,
    )
    return reply(conversation_view(conversation) | {"turns": [turn_view(turn) for turn in reversed(turns)]})


@router.post("/{conversation_id}/messages", status_code=202, summary="Say something in a conversation")
async def say(
    site: AtSite, caller: Starter, conversation_id: str, _: NewMessage, raw_body: RawBody
) -> Response:
    conversation = await _found(site, caller, conversation_id)
    input_ = _turn(raw_body, conversation.user_id)
    execution = await site.services.conversations.say(conversation, input_)
    told = {
        "conversation_id": public("conversation", conversation.id),
        "execution_id": public("execution", execution.id),
        "status": "queued",
    }
    return reply(told, 202)


@router.post("/{conversation_id}/complete", summary="End a conversation")
async def complete(
    site: AtSite, caller: Writer, conversation_id: str, body: Completion | None = None
) -> Response:
    conversation = await _found(site, caller, conversation_id)
    given = body or Completion()
    closed = await site.services.conversations.complete(
        conversation, given.resolution.model_dump(), given.satisfaction_score
    )
    return reply(conversation_view(closed))


def _turn(raw_body: bytes, user_id: str | None) -> bytes:
    message = member(raw_body, "message")
    assert message is not None
    return body_of_turn(
        message, user_id=user_id, metadata=member(raw_body, "metadata"), context=member(raw_body, "context")
    )


async def _found(site: Site, caller: Caller, conversation_id: str) -> Conversation:
    id = key_in_path("conversation", conversation_id)
    found = await site.services.store.conversation(id, organization_id=caller.organization_id)
    return found_or_missing(found, "conversation")


def conversation_view(conversation: Conversation) -> dict[str, Any]:
    """message_count, credits_used: of the turns that have ended."""
    return {
        "id": public("conversation", conversation.id),
        "agent_id": conversation.agent_id,
        "user_id": conversation.user_id,
        "status": conversation.status,
        "started_at": when(conversation.started_at),
        "completed_at": when(conversation.completed_at),
        "message_count": conversation.message_count,
        "credits_used": conversation.credits_used,
        "satisfaction_score": conversation.satisfaction_score,
        "resolution": raw(conversation.resolution),
    }


def turn_view(turn: Execution) -> dict[str, Any]:
    """input: the message with what came with it (AF-3).  output: the reply, null until there is one."""
    return {
        "execution_id": public("execution", turn.id),
        "status": turn.status,
        "input": raw(turn.input),
        "output": raw(turn.output),
        "error": None if turn.error is None else {"code": turn.error.code, "message": turn.error.message},
        "created_at": when(turn.created_at),
        "completed_at": when(turn.completed_at),
    }
