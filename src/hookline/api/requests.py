"""``/api/v1/requests``: what came in on triggers, why it was refused, and taking up again what was refused wrongly."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from hookline.api.again import (
    UNROUTABLE,
    Started,
    body_chunks,
    check_again,
    check_route,
    is_checked_again,
    reason_of,
    refusal_of,
    reopened,
    start_again,
    take_in_again,
    trigger_of,
)
from hookline.api.replays import begun, span
from hookline.api.reply import (
    AtPage,
    AtSite,
    Body,
    Reader,
    Writer,
    body_view,
    cursor_of,
    found_or_missing,
    instant,
    key_in_path,
    key_of_cursor,
    reply,
    when,
)
from hookline.api.services import Site
from hookline.api.why import explanation
from hookline.engine.routing import Chosen
from hookline.errors import (
    ConflictError,
    HooklineError,
    StorageError,
    UnroutableError,
    VerificationError,
)
from hookline.model.configuration import Replay, Stored, Trigger
from hookline.model.executions import TriggerRequest
from hookline.model.ids import Key, public
from hookline.ports import RequestFilter

router = APIRouter(prefix="/api/v1", tags=["requests"])

_PAGE: Final = 100
MOST_RERUNS_PER_SECOND: Final = 1_000
"""What runs again takes the place of what comes in."""


class Wanted:
    """Which requests a list shows."""

    def __init__(
        self,
        refused: Annotated[
            bool | None, Query(description="Only refused ones, or only accepted ones.")
        ] = None,
        ran: Annotated[
            bool | None, Query(description="Only those that started an execution, or only the others.")
        ] = None,
        since: Annotated[str | None, Query(description="Came at or after, RFC 3339.")] = None,
        until: Annotated[str | None, Query(description="Came before, RFC 3339.")] = None,
    ) -> None:
        self._filter = RequestFilter(
            refused=refused, ran=ran, since=instant(since, "since"), until=instant(until, "until")
        )

    def __repr__(self) -> str:
        return f"Wanted({self._filter!r})"

    def of(self, trigger_id: Key | None) -> RequestFilter:
        """Return the filter. trigger_id: None for those of all triggers."""
        return msgspec.structs.replace(self._filter, trigger_id=trigger_id)


AtWanted = Annotated[Wanted, Depends(Wanted)]


@router.get("/triggers/{trigger_id}/requests", summary="List the requests that came in on a trigger")
async def requests_of(
    site: AtSite, caller: Reader, page: AtPage, wanted: AtWanted, trigger_id: str
) -> Response:
    found = await _trigger(site, caller.organization_id, trigger_id)
    return await _list(site, caller.organization_id, page, wanted.of(found.id))


@router.get("/requests", summary="List the requests that came in, such as the refused ones")
async def requests(site: AtSite, caller: Reader, page: AtPage, wanted: AtWanted) -> Response:
    return await _list(site, caller.organization_id, page, wanted.of(None))


async def _list(site: Site, organization_id: Key, page: AtPage, wanted: RequestFilter) -> Response:
    found = await site.services.store.requests(organization_id, wanted, before=page.before, limit=page.enough)
    return page.reply("requests", found, lambda request: request.id, request_line)


@router.get("/requests/{request_id}", summary="Show a request as it came, without its credential")
async def request(site: AtSite, caller: Reader, request_id: str) -> Response:
    kept = await _kept(site, caller.organization_id, request_id)
    return reply(request_view(kept) | {"explain": await explanation(site, kept)})


@router.get(
    "/requests/{request_id}/explain",
    summary="Say what is wrong with a refused request, judged with today's secrets",
)
async def explain(site: AtSite, caller: Reader, request_id: str) -> Response:
    kept = await _kept(site, caller.organization_id, request_id)
    return reply(request_line(kept) | {"explain": await explanation(site, kept)})


@router.get(
    "/requests/{request_id}/body",
    response_class=Response,
    responses={200: {"description": "The bytes", "content": {"application/octet-stream": {}}}},
    summary="Get the exact bytes of a request's body",
)
async def body_of(site: AtSite, caller: Reader, request_id: str) -> Response:
    kept = await _kept(site, caller.organization_id, request_id)
    chunks = _body(site, kept)
    first = await anext(chunks, b"")  # what cannot be read is told by a status, not by a broken answer
    headers = {
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "content-disposition": 'attachment; filename="body"',
        "content-security-policy": "sandbox; default-src 'none'",
    }
    return StreamingResponse(_rest(first, chunks), media_type="application/octet-stream", headers=headers)


async def _body(site: Site, kept: TriggerRequest) -> AsyncIterator[bytes]:
    async with body_chunks(site, kept) as chunks:
        async for chunk in chunks:
            yield chunk


async def _rest(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk


# --- taken up again -----------------------------------------------------------------------------------------


class Recheck(Body):
    """since, until: RFC 3339, of the requests' arrival.  limit: how many are looked at.  cursor: `next` of the answer
    before.
    """

    since: str | None = None
    until: str | None = None
    limit: int = Field(default=500, ge=1, le=1000)
    cursor: str | None = None
    dry_run: bool = Field(default=False, description="Only count.")


class Reroute(Body):
    """instance_id, flow: where it goes, for what the request does not say itself."""

    instance_id: str | None = None
    flow: str | None = Field(default=None, min_length=1, max_length=200)


class _Tally:
    """What came of the requests that were looked at. good: those that fit.  left: how many stay refused, by reason."""

    def __init__(self) -> None:
        self.good = 0
        self.repeats = 0
        self.executions: list[str] = []
        self.left: Counter[str] = Counter()

    def add(self, started: Started | None) -> None:
        self.good += 1
        if started is None:
            self.left["answered_without_execution"] += 1
        elif started.is_new:
            self.executions.append(public("execution", started.execution_id))
        else:
            self.repeats += 1


@router.post(
    "/triggers/{trigger_id}/reverify",
    summary="Check refused requests again with today's secrets, and run those that fit, each once",
)
async def reverify(site: AtSite, caller: Writer, trigger_id: str, body: Recheck | None = None) -> Response:
    asked = body if body is not None else Recheck()
    found = await _trigger(site, caller.organization_id, trigger_id)
    wanted = RequestFilter(
        trigger_id=found.id,
        refused=True,
        ran=False,
        since=instant(asked.since, "since"),
        until=instant(asked.until, "until"),
    )
    tally, looked_at = _Tally(), 0
    after: Key = b"" if asked.cursor is None else key_of_cursor(asked.cursor)
    is_end = False
    while looked_at < asked.limit and not is_end:
        size = min(_PAGE, asked.limit - looked_at)
        lines = await site.services.store.requests_after(
            caller.organization_id, wanted, after=after, limit=size
        )
        for line in lines:
            await _again(site, found, line, tally, is_dry=asked.dry_run)
            after = line.id
        looked_at += len(lines)
        is_end = len(lines) < size
    return reply(
        {
            "dry_run": asked.dry_run,
            "requests": looked_at,
            "good": tally.good,
            "started": len(tally.executions),
            "repeats": tally.repeats,
            "refused": dict(tally.left.most_common()),
            "executions": tally.executions,
            "next": None if is_end else cursor_of(after),
        }
    )


async def _again(
    site: Site, found: Stored[Trigger], line: TriggerRequest, tally: _Tally, *, is_dry: bool
) -> None:
    """Check one refused request, and run it when it fits. Raises StorageError."""
    if not is_checked_again(line):
        tally.left[refusal_of(line)] += 1
        return
    kept = await site.services.store.request(line.id, organization_id=line.organization_id)
    if kept is None:
        return  # its time was over in this moment
    try:
        async with reopened(site, found, kept) as call:
            spooled = await take_in_again(site, call, kept)
            dedupe_id = check_again(site, call)
            if is_dry:
                await check_route(site, call, spooled)
                tally.good += 1
                return
            tally.add(await start_again(site, call, spooled, dedupe_id=dedupe_id))
    except StorageError:
        raise
    except HooklineError as error:
        tally.left[reason_of(error)] += 1


@router.post(
    "/requests/{request_id}/reroute",
    status_code=202,
    summary="Run a request that named no flow that was here, where it belongs, once",
)
async def reroute(site: AtSite, caller: Writer, request_id: str, body: Reroute | None = None) -> Response:
    asked = body if body is not None else Reroute()
    kept = await _kept(site, caller.organization_id, request_id)
    if refusal_of(kept) != UNROUTABLE:
        raise ConflictError("Only a request that could not be routed is routed again.", code="NOT_UNROUTABLE")
    if kept.execution_id is not None:
        raise ConflictError("This request started an execution before.", code="ALREADY_RAN")
    chosen = Chosen(
        instance_id=None if asked.instance_id is None else key_in_path("instance", asked.instance_id),
        flow=asked.flow,
    )
    found = await trigger_of(site, kept)
    try:
        async with reopened(site, found, kept) as call:
            spooled = await take_in_again(site, call, kept)
            started = await start_again(site, call, spooled, chosen=chosen)
    except UnroutableError as error:
        raise ConflictError(f"It still cannot be routed: {error.why}.", code=error.code) from error
    except VerificationError as error:  # it is the request's, not that of whoever asks
        raise ConflictError(
            f"Its signature does not fit the flow's secret: {error.message}", code=error.code
        ) from error
    answer: dict[str, Any] = {"request_id": public("request", kept.id), "execution_id": None}
    if started is None:
        return reply(answer | {"status": "answered"}, 200)
    answer["execution_id"] = public("execution", started.execution_id)
    return reply(answer | {"status": "queued" if started.is_new else "repeated"}, 202)


class Rerun(Body):
    """since, until: RFC 3339, of the requests' arrival; until is now if left out."""

    since: str
    until: str | None = None
    rate_per_second: float = Field(default=10.0, ge=0.01, le=MOST_RERUNS_PER_SECOND)
    dry_run: bool = Field(default=False, description="Only count.")


@router.post(
    "/triggers/{trigger_id}/replay",
    status_code=201,
    summary="Run again what came in and ran, oldest first, paced, or count it first",
)
async def replay(site: AtSite, caller: Writer, trigger_id: str, body: Rerun) -> Response:
    found = await _trigger(site, caller.organization_id, trigger_id)
    since, until = span(site, body.since, body.until)
    job = Replay(trigger_id=found.id, since=since, until=until, rate_per_second=body.rate_per_second)
    return await begun(site, caller.organization_id, job, is_dry=body.dry_run)


# --- views --------------------------------------------------------------------------------------------------


async def _trigger(site: Site, organization_id: Key, trigger_id: str) -> Stored[Trigger]:
    id = key_in_path("trigger", trigger_id)
    return found_or_missing(
        await site.services.store.get(Trigger, id, organization_id=organization_id), "trigger"
    )


async def _kept(site: Site, organization_id: Key, request_id: str) -> TriggerRequest:
    id = key_in_path("request", request_id)
    return found_or_missing(await site.services.store.request(id, organization_id=organization_id), "request")


def request_line(request: TriggerRequest) -> dict[str, Any]:
    return {
        "id": public("request", request.id),
        "trigger_id": None if request.trigger_id is None else public("trigger", request.trigger_id),
        "execution_id": None if request.execution_id is None else public("execution", request.execution_id),
        "received_at": when(request.received_at),
        "method": request.method,
        "path": request.path,
        "remote_address": request.remote_address,
        "status": request.status,
        "reason": request.reason,
        "body_size": request.body_size,
    }


def request_view(request: TriggerRequest) -> dict[str, Any]:
    """is_body_whole: whether all bytes are kept; of a large body ``body`` is empty all the same, see ``…/body``."""
    return request_line(request) | {
        "query": request.query,
        "headers": request.headers,
        **body_view("body", request.body),
        "is_body_whole": request.is_whole,
    }
