"""``/api/v1/executions``: runs, what they did step by step, and stopping, answering and repeating them."""

# ruff: noqa: FAST003 -- the id in the path is read by the dependency that finds the execution

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query
from pydantic import Field
from starlette.responses import Response

from hookline.api.automations import started
from hookline.api.deliveries import brief_view
from hookline.api.reply import (
    AtPage,
    AtSite,
    Body,
    RawBody,
    Reader,
    Starter,
    Writer,
    found_or_missing,
    instant,
    key_in_path,
    member,
    missing,
    raw,
    reply,
    when,
)
from hookline.api.results import LONGEST_WAIT
from hookline.api.shape import check_no_nul
from hookline.api.steps import steps_view
from hookline.core.calling import OPS, caller_of, made_of
from hookline.core.preferences import preferences, whole_seconds
from hookline.core.times import rfc3339
from hookline.core.tries import OP as TRY
from hookline.core.tries import tried_of
from hookline.engine.rerun import again
from hookline.errors import ConflictError, InputError
from hookline.model.events import Event
from hookline.model.executions import Execution, Failure, JournalEntry, LogLine
from hookline.model.ids import Key, public
from hookline.model.states import ExecutionStatus, Kind
from hookline.ports import DeliveryArchive, DeliveryFilter, ExecutionArchive, ExecutionFilter

router = APIRouter(prefix="/api/v1/executions", tags=["executions"])

_MOST_LOG_LINES = 500
_MOST_DELIVERIES = 500
_TOLD_ELSEWHERE = frozenset({"log", "credits"})
"""Entries of the journal that only count what the log and the execution itself say."""

StatusName = Literal["queued", "running", "waiting", "succeeded", "failed", "killed", "timed_out", "lost"]
KindName = Literal["workflow", "agent", "script", "robot", "render"]


class Answered(Body):
    """data: any JSON value; kept byte for byte."""

    name: str = Field(min_length=1, max_length=200)
    data: Any = None


class _Named:
    """A dependency: the execution that the path names, of the caller's organization."""

    async def __call__(self, site: AtSite, caller: Reader, execution_id: str) -> Execution:
        id = key_in_path("execution", execution_id)
        found = await site.services.store.execution(id, organization_id=caller.organization_id)
        return found_or_missing(found, "execution")


Found = Annotated[Execution, Depends(_Named())]


@router.get("", summary="List executions")
async def list_all(
    site: AtSite,
    caller: Reader,
    page: AtPage,
    status: StatusName | None = None,
    state: Annotated[StatusName | None, Query(description="The same as status.")] = None,
    kind: KindName | None = None,
    automation: Annotated[str | None, Query(description="Id of the automation.", max_length=128)] = None,
    conversation_id: str | None = None,
    since: Annotated[str | None, Query(description="Created at or after, RFC 3339.")] = None,
    until: Annotated[str | None, Query(description="Created before, RFC 3339.")] = None,
) -> Response:
    named = status or state
    wanted = ExecutionFilter(
        status=None if named is None else ExecutionStatus(named),
        kind=None if kind is None else Kind(kind),
        automation_id=automation,
        conversation_id=None if conversation_id is None else key_in_path("conversation", conversation_id),
        since=instant(since, "since"),
        until=instant(until, "until"),
    )
    found = await site.services.store.executions(
        caller.organization_id, wanted, before=page.before, limit=page.enough
    )
    return page.reply("executions", found, lambda execution: execution.id, execution_view)


@router.get(
    "/{execution_id}", summary="Show an execution; with `Prefer: wait=N`, once it has ended or N s passed"
)
async def show(
    site: AtSite,
    execution: Found,
    prefer: Annotated[str | None, Header(description="`wait=N`: seconds, 90 at most.")] = None,
) -> Response:
    seconds = whole_seconds(preferences(prefer or "").get("wait", ""))
    if not seconds or execution.status.is_terminal or not site.services.endings.has_room:
        return reply(execution_view(execution) | await _waits(site.services.store, execution))
    seconds = min(seconds, LONGEST_WAIT)
    await site.services.endings.join(execution.id, seconds)
    found = await site.services.store.execution(execution.id, organization_id=execution.organization_id)
    now = found_or_missing(found, "execution")
    view = execution_view(now) | await _waits(site.services.store, now)
    return reply(view, headers={"Preference-Applied": f"wait={seconds}"})


@router.get("/{execution_id}/steps", summary="List its steps, finished or not, with the tries that failed")
async def steps(site: AtSite, execution: Found) -> Response:
    return reply(steps_view(await site.services.store.journal(execution.id)))


@router.get("/{execution_id}/logs", summary="List what it logged, oldest first")
async def logs(
    site: AtSite,
    execution: Found,
    limit: Annotated[int, Query(ge=1, le=_MOST_LOG_LINES)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> Response:
    after = -1 if cursor is None else _position(cursor)
    found = await site.services.store.logs(execution.id, after=after, limit=limit + 1)
    more = str(found[limit - 1].position) if len(found) > limit else None
    return reply({"logs": [log_view(line) for line in found[:limit]], "next": more})


@router.get("/{execution_id}/timeline", summary="Everything that happened to it, in order")
async def timeline(site: AtSite, caller: Reader, execution: Found) -> Response:
    moments = _own_moments(execution)
    journal = await site.services.store.journal(execution.id)
    moments += [_done_moment(entry) for entry in journal if entry.op not in _TOLD_ELSEWHERE]
    lines = await site.services.store.logs(execution.id, after=-1, limit=_MOST_LOG_LINES)
    moments += [
        _moment(line.at, "log", level=line.level, stream=line.stream, text=line.text) for line in lines
    ]
    for event in await site.services.store.execution_events(execution.id):
        moments.append(_moment(event.received_at, "event", id=event.public_id, type=event.type))
        moments += await _sent_moments(site.services.store, caller.organization_id, event)
    moments.sort(key=lambda moment: str(moment["at"]))
    return reply({"execution_id": public("execution", execution.id), "timeline": moments})


@router.post("/{execution_id}/cancel", status_code=202, summary="End it; an ended one stays as it is")
async def cancel(site: AtSite, caller: Writer, execution_id: str) -> Response:
    id = key_in_path("execution", execution_id)
    execution = await site.services.cancel(caller.organization_id, id)
    return reply(execution_view(found_or_missing(execution, "execution")), 202)


@router.post("/{execution_id}/replay", status_code=202, summary="Start another one from the same bytes")
async def replay(site: AtSite, caller: Starter, execution_id: str) -> Response:
    id = key_in_path("execution", execution_id)
    first = found_or_missing(
        await site.services.store.execution(id, organization_id=caller.organization_id), "execution"
    )
    find = site.services.find_automation
    if await find(caller.organization_id, first.kind, first.automation_id) is None:
        raise ConflictError("Its automation is not here any more.", code="AUTOMATION_UNKNOWN")
    return reply(await started(site, again(first)) | {"replay_of": public("execution", first.id)}, 202)


@router.post("/{execution_id}/resume", status_code=202, summary="Answer what it waits for")
async def resume(
    site: AtSite, caller: Writer, execution_id: str, body: Answered, raw_body: RawBody
) -> Response:
    check_no_nul(body.name, "name")
    id = key_in_path("execution", execution_id)
    result = await site.services.resume(
        caller.organization_id,
        id,
        body.name,
        member(raw_body, "data") or b"null",
    )
    if result == "missing":
        raise missing("execution")
    if result == "conflict":
        raise ConflictError(
            "This was answered already, or the execution has ended.", code="ALREADY_ANSWERED", field="name"
        )
    answer: dict[str, Any] = {"execution_id": execution_id, "name": body.name, "status": result}
    if result == "stored":
        # Nothing waits for that name: a caller that mistyped it must be able to see so.
        answer["waits_for"] = await _open_waits(site.services.store, id)
    return reply(answer, 202)


async def _waits(store: ExecutionArchive, execution: Execution) -> dict[str, list[str]]:
    """What a waiting execution waits for; nothing for any other."""
    if execution.status is not ExecutionStatus.WAITING:
        return {}
    return {"waits_for": await _open_waits(store, execution.id)}


async def _open_waits(store: ExecutionArchive, id: Key) -> list[str]:
    """Return the names whose answers an execution waits for."""
    return [entry.name for entry in await store.journal(id) if entry.op == "wait" and entry.value is None]


# --- views --------------------------------------------------------------------------------------------------


def execution_view(execution: Execution) -> dict[str, Any]:
    """CONTRACT section 4."""
    return {
        "id": public("execution", execution.id),
        "automation": {
            "kind": execution.kind,
            "id": execution.automation_id,
            "name": execution.automation_name,
        },
        "status": execution.status,
        "trigger": {
            "source": execution.source,
            "id": _public("trigger", execution.trigger_id),
            "request_id": _public("request", execution.request_id),
            "replay_of": _public("execution", execution.replay_of),
            "conversation_id": _public("conversation", execution.conversation_id),
            "called_by": _called_by(execution),
        },
        "input": raw(execution.input),
        "output": raw(execution.output),
        "error": None if execution.error is None else failure_view(execution.error),
        "created_at": when(execution.created_at),
        "started_at": when(execution.started_at),
        "completed_at": when(execution.completed_at),
        "launch_duration_ms": execution.launch_ms,
        "run_duration_ms": execution.run_ms,
        "steps": execution.steps,
        "credits_used": execution.credits_used,
        "attempt": execution.attempt,
    }


def _called_by(execution: Execution) -> str | None:
    by = caller_of(execution)
    return None if by is None else by.execution_id


def _public(word: str, key: bytes | None) -> str | None:
    return None if key is None else public(word, key)


def failure_view(failure: Failure) -> dict[str, Any]:
    return {
        "code": failure.code,
        "message": failure.message,
        "type": failure.type,
        "stack": failure.stack,
        "limit": failure.limit,
    }


def log_view(line: LogLine) -> dict[str, Any]:
    return {
        "position": line.position,
        "at": when(line.at),
        "stream": line.stream,
        "level": line.level,
        "text": line.text,
        "fields": raw(line.fields),
    }


def _own_moments(execution: Execution) -> list[dict[str, Any]]:
    moments = [_moment(execution.created_at, "queued", source=execution.source)]
    if execution.started_at is not None:
        moments.append(_moment(execution.started_at, "started", launch_duration_ms=execution.launch_ms))
    if execution.completed_at is not None:
        moments.append(_moment(execution.completed_at, "ended", status=execution.status))
    return moments


def _done_moment(entry: JournalEntry) -> dict[str, Any]:
    """What a run recorded."""
    more: dict[str, Any] = {}
    if entry.op in OPS:
        more = {"execution_id": made_of(entry.value).execution_id}
    elif entry.op == TRY:
        tried = tried_of(entry)
        more = {
            "number": tried.number,
            "outcome": tried.failure.code.lower(),
            "error": tried.failure.message,
            "retry_at": when(tried.retry_at),
        }
    return _moment(entry.started_at, entry.op, name=entry.name, duration_ms=entry.duration_ms, **more)


async def _sent_moments(store: DeliveryArchive, organization_id: Key, event: Event) -> list[dict[str, Any]]:
    """What an event owed and what was tried for it."""
    moments: list[dict[str, Any]] = []
    wanted = DeliveryFilter(event_key=event.key)
    for delivery in await store.deliveries(organization_id, wanted, before=None, limit=_MOST_DELIVERIES):
        moments.append(_moment(delivery.created_at, "delivery", **brief_view(delivery)))
        moments += [
            _moment(
                attempt.started_at,
                "attempt",
                delivery_id=public("delivery", delivery.id),
                number=attempt.number,
                outcome=attempt.outcome,
                response_code=attempt.status,
                duration_ms=attempt.duration_ms,
            )
            for attempt in await store.attempts(delivery.id)
        ]
    return moments


def _moment(at: Any, what: str, **more: Any) -> dict[str, Any]:
    return {"at": rfc3339(at), "what": what, **more}


def _position(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 15):
        raise InputError(
            "The cursor is not one of ours.", field="cursor", expected="`next` of a page", received="string"
        )
    return int(cursor)
