"""``/api/jobs``: render jobs, in the words of their seed (SEEDS PF-1 to PF-9).

A job is an execution of kind ``render``; its id here is the bare UUID. A key with the scope ``write`` or ``trigger``,
as Bearer or ``x-api-key``. ``/api/render`` is the same as ``/api/jobs``.
"""

# ruff: noqa: FAST003 -- the id in the path is read by the dependency that finds the job

import math
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from hookline.api.artifacts import PARTS, file_answer
from hookline.api.following import LastEventId, new_lines, position_after
from hookline.api.identity import Caller
from hookline.api.reply import AtSite, RawBody, Reader, Starter, found_or_missing, reply, when
from hookline.api.services import Site
from hookline.core.movie import movie_schema, read_movie
from hookline.core.movie.read import metadata_of
from hookline.engine.manage.job_webhooks import target_of
from hookline.engine.manage.targets import check_target
from hookline.engine.movies import MOVIE
from hookline.engine.receive import ExecutionStart
from hookline.errors import ConflictError, InputError, MissingError, StorageError
from hookline.model.executions import Artifact, Execution, LogLine
from hookline.model.ids import Key, bare, parse
from hookline.model.states import ExecutionStatus, Kind
from hookline.ports import Repeat

router = APIRouter(tags=["render jobs"])

_SCHEMA: Final = movie_schema()

_TAKES_A_MOVIE: Final = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Movie"}}},
    }
}

_PROGRESS: Final = "progress"
_LINES_AT_ONCE: Final = 500

_STATUS: Final = {
    ExecutionStatus.QUEUED: "queued",
    ExecutionStatus.WAITING: "queued",
    ExecutionStatus.RUNNING: "running",
    ExecutionStatus.SUCCEEDED: "completed",
}
"""How a job's state is told; every other one is ``failed``, with the reason as its error's code."""


class _Named:
    """A dependency: the job that the path names, of the caller's organization."""

    async def __call__(self, site: AtSite, caller: Starter, job_id: str) -> Execution:
        id = parse("execution", job_id)
        found = None
        if id is not None:
            found = await site.services.store.execution(id, organization_id=caller.organization_id)
        if found is None or found.kind is not Kind.RENDER:
            raise _missing()
        return found


Found = Annotated[Execution, Depends(_Named())]


@router.post("/api/jobs", status_code=202, summary="Render a movie", openapi_extra=_TAKES_A_MOVIE)
@router.post(
    "/api/render",
    operation_id="jobs_render",
    status_code=202,
    summary="Render a movie; the same as /api/jobs",
    openapi_extra=_TAKES_A_MOVIE,
)
async def create(site: AtSite, caller: Starter, body: RawBody) -> Response:
    return await start_job(site, caller, body)


async def start_job(site: Site, caller: Caller, body: bytes) -> Response:
    """Start the job of a movie, JSON text, and answer with how to follow it. Raises InputError or StorageError."""
    movie = read_movie(body)
    callback_id = None
    if movie.webhook_uri is not None:
        try:
            check_target(movie.webhook_uri, site.addresses, field="webhook_uri")
        except InputError as exc:
            raise InputError(exc.message, code="VALIDATION_ERROR", field=exc.field) from exc
        callback_id = await _target(site, caller)
    start = ExecutionStart(
        organization_id=caller.organization_id,
        kind=Kind.RENDER,
        automation_id=MOVIE.id,
        input=body,
        source="api",
        callback_id=callback_id,
        callback_url=movie.webhook_uri,
    )
    execution = await site.services.start_execution(start)
    if isinstance(execution, Repeat):
        raise StorageError("The job was started once already.")
    job_id = bare(execution.id)
    answer = {
        "job_id": job_id,
        "status": "queued",
        "estimated_credits": math.ceil(movie.seconds),
        # PF-8 has it: here nothing limits them.
        "credits_remaining": None,
        "status_url": f"{site.settings.public_url}/api/jobs/{job_id}",
        "progress_url": f"{site.settings.public_url}/api/jobs/{job_id}/progress",
    }
    return reply(answer, 202)


async def _target(site: Site, caller: Caller) -> Key:
    services = site.services
    return await target_of(
        caller.organization_id,
        registry=services.store,
        cache=services.directory,
        vault=services.vault,
        now=services.clock.now(),
    )


@router.get("/api/render/schema", summary="The JSON Schema of a movie; needs no key")
async def schema() -> Response:
    return reply(_SCHEMA, headers={"cache-control": "max-age=3600"})


@router.get("/api/v1/schemas/movie", summary="The JSON Schema of a movie")
async def schema_by_key(_: Reader) -> Response:
    return await schema()


@router.get("/api/jobs/{job_id}", summary="Show a render job")
async def show(site: AtSite, job: Found) -> Response:
    return reply(await job_view(site, job))


@router.delete(
    "/api/jobs/{job_id}", status_code=202, summary="Cancel a render job; an ended one stays as it is"
)
async def cancel(site: AtSite, caller: Starter, job: Found) -> Response:
    cancelled = await site.services.cancel(caller.organization_id, job.id)
    return reply(await job_view(site, found_or_missing(cancelled, "job")), 202)


@router.head("/api/jobs/{job_id}/output", include_in_schema=False)
@router.get(
    "/api/jobs/{job_id}/output",
    response_class=Response,
    responses=PARTS,
    summary="Read the video; knows ranges and entity tags. `output_url` is the same for whoever has no key",
)
async def output(site: AtSite, request: Request, job: Found) -> Response:
    if not job.status.is_terminal:
        raise ConflictError("The job has not ended yet.", code="NOT_READY")
    artifact = await _video(site, job)
    if artifact is None:
        raise MissingError("There is no video of this job.")
    return file_answer(site, request, artifact)


@router.get(
    "/api/jobs/{job_id}/progress",
    response_class=EventSourceResponse,
    summary="Follow a render job (server-sent): its state, how far it comes, at last `completed` or `failed`",
)
async def progress(
    site: AtSite, job: Found, last_event_id: LastEventId = None
) -> AsyncIterator[ServerSentEvent]:
    if job.status.is_terminal:
        view = await job_view(site, job)
        yield _told(view["status"], view)
        return
    seen = position_after(last_event_id, -1)
    newest = await _newest(site, job, after=seen)
    # Who comes back with Last-Event-ID has missed what lies between: the newest state says it all.
    yield _told(
        _STATUS[job.status], _shown(job, newest), position=None if newest is None else newest.position
    )
    after = seen if newest is None else newest.position
    async for found in new_lines(site.services.store, job, after=after):
        if isinstance(found, LogLine):
            if found.stream == _PROGRESS:
                yield _told(_PROGRESS, _shown(job, found), position=found.position)
        elif found is not None:
            view = await job_view(site, found)
            yield _told(view["status"], view)


async def _newest(site: Site, job: Execution, *, after: int) -> LogLine | None:
    """How far a job has come, as it last told."""
    newest = None
    while lines := await site.services.store.logs(job.id, after=after, limit=_LINES_AT_ONCE):
        newest = next((line for line in reversed(lines) if line.stream == _PROGRESS), newest)
        after = lines[-1].position
    return newest


def _shown(job: Execution, line: LogLine | None) -> dict[str, Any]:
    """A state of a job under way. line: how far it has come, None when it has not begun."""
    told = {} if line is None or line.fields is None else msgspec.json.decode(line.fields)
    status = _STATUS[job.status] if line is None else "running"
    return {"job_id": bare(job.id), "status": status, **told}


def _told(event: str, data: dict[str, Any], *, position: int | None = None) -> ServerSentEvent:
    text = msgspec.json.encode(data).decode()
    return ServerSentEvent(raw_data=text, event=event, id=None if position is None else str(position))


async def job_view(site: Site, job: Execution) -> dict[str, Any]:
    """PF-3's words, with times beside; keys of another state are absent, not null."""
    view: dict[str, Any] = {"job_id": bare(job.id), "status": _STATUS.get(job.status, "failed")}
    if job.status is ExecutionStatus.SUCCEEDED:
        artifact = await _video(site, job)
        view |= {
            "output_url": None if artifact is None else site.services.artifacts.link(artifact),
            "duration_seconds": msgspec.json.decode(job.output or b"{}").get("duration_seconds"),
            "credits_used": math.ceil(job.credits_used),
        }
    elif job.error is not None:
        view["error"] = {"code": job.error.code, "message": job.error.message}
    metadata = metadata_of(job.input)
    if metadata is not None:
        view["metadata"] = metadata
    return view | {
        "created_at": when(job.created_at),
        "started_at": when(job.started_at),
        "completed_at": when(job.completed_at),
    }


async def _video(site: Site, job: Execution) -> Artifact | None:
    return await site.services.store.artifact(job.id, "movie.mp4")


def _missing() -> MissingError:
    return MissingError("There is no such job.")
