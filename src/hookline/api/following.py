"""Follow an execution while it runs, as server-sent events: its events, and the lines of its log.

Both streams end with the execution. Who was cut off goes on after the last id it has: an event's sequence, a line's
position. Nothing is kept for a reader: each look is a read of the store, so any node serves any stream.
"""

# ruff: noqa: FAST003 -- the id in the path is read by the dependency that finds the execution

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from hookline.api.events import event_view
from hookline.api.executions import Found, log_view
from hookline.api.reply import AtSite
from hookline.model.events import Event
from hookline.model.executions import Execution, LogLine
from hookline.ports import ExecutionArchive

router = APIRouter(prefix="/api/v1/executions", tags=["executions"])

_POLL_SECONDS = 0.2
"""How often a stream looks for more: well below what a person notices, and a point read each time."""

_LINES_AT_ONCE = 500

LastEventId = Annotated[str | None, Header()]


@router.get(
    "/{execution_id}/events",
    response_class=EventSourceResponse,
    summary="Follow its events (server-sent), from the one after Last-Event-ID until it has ended",
)
async def follow_events(
    site: AtSite, execution: Found, last_event_id: LastEventId = None
) -> AsyncIterator[ServerSentEvent]:
    seen = position_after(last_event_id, 0)
    store = site.services.store
    while True:
        # The state is read first: a terminal event is stored together with the terminal state.
        current = await store.execution(execution.id, organization_id=execution.organization_id)
        for event in await store.execution_events(execution.id):
            if event.sequence > seen:
                seen = event.sequence
                yield _event(event)
        if current is None or current.status.is_terminal:
            return
        await asyncio.sleep(_POLL_SECONDS)


@router.get(
    "/{execution_id}/logs/follow",
    response_class=EventSourceResponse,
    summary="Follow its log and progress (server-sent), from the line after Last-Event-ID until `end`",
)
async def follow_logs(
    site: AtSite, execution: Found, last_event_id: LastEventId = None
) -> AsyncIterator[ServerSentEvent]:
    seen = position_after(last_event_id, -1)
    async for found in new_lines(site.services.store, execution, after=seen):
        if isinstance(found, LogLine):
            yield _line(found)
        else:
            yield _end(found)


async def new_lines(
    store: ExecutionArchive, execution: Execution, *, after: int
) -> AsyncIterator[LogLine | Execution | None]:
    """Every line above a position as it comes and, once no more can come, the execution as it ended.

    The last item is None when the execution is gone.
    """
    while True:
        # The state is read first: nothing is logged after the end.
        current = await store.execution(execution.id, organization_id=execution.organization_id)
        while found := await store.logs(execution.id, after=after, limit=_LINES_AT_ONCE):
            for line in found:
                yield line
            after = found[-1].position
        if current is None or current.status.is_terminal:
            yield current
            return
        await asyncio.sleep(_POLL_SECONDS)


def position_after(last_event_id: str | None, beginning: int) -> int:
    """Return the place that a reader has come to; ``beginning`` for one that has none.

    A browser sends what it got from whomever: an id that is not ours means the beginning.
    """
    if last_event_id and last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) <= 15:
        return int(last_event_id)
    return beginning


def _event(event: Event) -> ServerSentEvent:
    text = msgspec.json.encode(event_view(event)).decode()
    return ServerSentEvent(raw_data=text, event=event.type, id=str(event.sequence))


def _line(line: LogLine) -> ServerSentEvent:
    text = msgspec.json.encode(log_view(line)).decode()
    return ServerSentEvent(raw_data=text, event=line.stream, id=str(line.position))


def _end(ended: Execution | None) -> ServerSentEvent:
    status = None if ended is None else str(ended.status)
    return ServerSentEvent(raw_data=msgspec.json.encode({"status": status}).decode(), event="end")
