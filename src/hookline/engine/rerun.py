"""Rerun: the batches of a replay of requests, each execution started again once however often a node dies.

A new execution gets the very bytes of the old one: its input and what its ``ctx.trigger`` shows. Each is stored
together with a mark that names the job and the old execution (``Once``), so a batch that was cut off is simply done
again: what was started before is not started a second time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.turns import Turn
from hookline.engine.receive import ExecutionStart
from hookline.engine.redeliver import BATCH_SECONDS, MOST_AT_ONCE, MOST_COUNTED
from hookline.engine.replay import first_key
from hookline.errors import ConflictError
from hookline.model.configuration import Replay, Stored
from hookline.model.states import ReplayStatus
from hookline.ports import Once, RequestFilter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookline.engine.replay import Pace
    from hookline.model.executions import Automation, Execution, TriggerRequest
    from hookline.model.ids import Key
    from hookline.model.states import Kind
    from hookline.ports import Clock, Epoch, Repeat, Store

_MARKED_FOR: Final = timedelta(days=365)
"""Longer than any job rests."""

_PAGE: Final = 500


class Rerun:
    """``replay.Batches`` of the requests that came in on one trigger and ran, in the order of their arrival.

    start: stores an execution that will run.  find: the automation of that kind and id, None when it is not here.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        start: Callable[[ExecutionStart], Awaitable[Execution | Repeat]],
        find: Callable[[Key, Kind, str], Awaitable[Automation | None]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._start = start
        self._find = find

    def __repr__(self) -> str:
        return f"Rerun({self._start!r})"

    async def count(self, organization_id: Key, job: Replay) -> tuple[int, bool]:
        found, after = 0, first_key(job)
        while page := await self._page(organization_id, job, after, _PAGE):
            found += len(page)
            after = page[-1].id
            if found > MOST_COUNTED:
                return MOST_COUNTED, False
        return found, True

    async def resume(self, stored: Stored[Replay], pace: Pace) -> None:
        """The cursor stands before the batch that was cut off: it is done again with the next."""

    async def next(self, stored: Stored[Replay], pace: Pace, epoch: Epoch) -> bool:  # noqa: ARG002 -- see Once
        job = stored.document
        size = max(1, min(MOST_AT_ONCE, round(job.rate_per_second * BATCH_SECONDS)))
        page = await self._page(stored.organization_id, job, job.cursor or first_key(job), size)
        if not page:
            ended = msgspec.structs.replace(job, status=ReplayStatus.COMPLETED, ended_at=self._clock.now())
            await self._store.put(msgspec.structs.replace(stored, document=ended), at=self._clock.now())
            return False
        started = 0
        for request in page:
            await pace.wait(1 / job.rate_per_second)
            started += await self._run_again(stored, request)
        await self._note(stored, page[-1].id, started=started, skipped=len(page) - started)
        return True

    async def _page(self, organization_id: Key, job: Replay, after: Key, size: int) -> list[TriggerRequest]:
        wanted = RequestFilter(trigger_id=job.trigger_id, ran=True, since=job.since, until=job.until)
        return await self._store.requests_after(organization_id, wanted, after=after, limit=size)

    async def _run_again(self, stored: Stored[Replay], request: TriggerRequest) -> bool:
        """Start a request's execution again. False when nothing of its own ran, or it cannot run any more."""
        assert request.execution_id is not None
        first = await self._store.execution(request.execution_id, organization_id=stored.organization_id)
        if first is None or first.request_id != request.id:
            return False  # it was merged into that of another request, which is run again for both
        if await self._find(first.organization_id, first.kind, first.automation_id) is None:
            return False
        await self._start(again(first, once=_mark(stored, first)))
        return True

    async def _note(self, stored: Stored[Replay], cursor: Key, *, started: int, skipped: int) -> None:
        """Write down how far the job is, whatever somebody made of its status meanwhile."""
        while True:
            job = stored.document
            moved = msgspec.structs.replace(
                job, cursor=cursor, reopened=job.reopened + started, skipped=job.skipped + skipped
            )
            try:
                await self._store.put(msgspec.structs.replace(stored, document=moved), at=self._clock.now())
            except ConflictError:
                current = await self._store.get(Replay, stored.id, organization_id=stored.organization_id)
                if current is None or current.document.cursor != job.cursor:
                    return  # another node has it
                stored = current
            else:
                return


def again(first: Execution, *, once: Once | None = None) -> ExecutionStart:
    """Return what starts an execution again, from the same bytes, in the same line as the first one."""
    return ExecutionStart(
        organization_id=first.organization_id,
        kind=first.kind,
        automation_id=first.automation_id,
        input=first.input,
        trigger=first.trigger,
        trigger_id=first.trigger_id,
        source="replay",
        replay_of=first.id,
        once=once,
        turn=None if first.gate is None else Turn(gate=first.gate, limit=first.gate_limit),
    )


def _mark(stored: Stored[Replay], first: Execution) -> Once:
    return Once(
        scope=stored.id,
        name=f"execution {first.id.hex()}",
        digest=b"",
        answer=b"",
        expires_at=stored.created_at + _MARKED_FOR,
    )
