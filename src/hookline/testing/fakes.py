"""Stand-ins for what lies outside a node: a receiver's answers and a runner's processes, both in memory.

They keep the promises of the protocols they stand for, so the engine cannot tell; what they add is a script and a
record. Time is real unless a test injects its own clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from hookline.model.executions import Automation, Failure
from hookline.model.states import AttemptOutcome
from hookline.ports.runner import CallJob, CallResult, Failed, Killed, Lost, Outcome, RunJob, RunListener
from hookline.ports.sender import Answer, Outgoing

if TYPE_CHECKING:
    from hookline.engine.clock import SystemClock
    from hookline.model.ids import Key
    from hookline.model.integrations import Handler, Integration

OK = Answer(AttemptOutcome.DELIVERED, status=200, address="127.0.0.1", duration_ms=1)
TIMED_OUT = Answer(AttemptOutcome.TIMEOUT, error="no answer in time", duration_ms=30_000)


def refused(status: int, *headers: tuple[str, str]) -> Answer:
    """An answer that is not a 2xx."""
    return Answer(
        AttemptOutcome.HTTP_ERROR, status=status, error=f"answered {status}", duration_ms=1, headers=headers
    )


class FakeSender:
    """A ``Sender`` that answers from a script: ``answer(request)`` for each request, 200 by default.

    sent: every request, in the order in which they were made.
    """

    def __init__(self, answer: Callable[[Outgoing], Answer | Awaitable[Answer]] | None = None) -> None:
        self._answer = answer
        self.sent: list[Outgoing] = []
        self._arrived = asyncio.Event()

    async def send(self, request: Outgoing) -> Answer:
        self.sent.append(request)
        self._arrived.set()
        if self._answer is None:
            return OK
        answer = self._answer(request)
        return answer if isinstance(answer, Answer) else await answer

    async def close(self) -> None:
        """Nothing is open."""

    async def received(self, count: int, *, within: float = 5.0) -> list[Outgoing]:
        """Wait until that many requests were made. Raises TimeoutError."""
        async with asyncio.timeout(within):
            while len(self.sent) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.sent


Work = Callable[[RunJob, RunListener], Awaitable[Outcome]]
Answerer = Callable[[CallJob], Awaitable[bytes]]
"""A handler: JSON text of what it returns."""


class FakeRunner:
    """A ``Runner`` whose executions are coroutines in this process.

    work: what runs for each automation; it is called after ``started`` returned.  integrations: as an app would
    declare them.  handlers: what answers their calls; one that is not there answers null.
    """

    def __init__(
        self,
        clock: SystemClock,
        work: dict[Automation, Work] | None = None,
        *,
        integrations: tuple[Integration, ...] = (),
        handlers: dict[Handler, Answerer] | None = None,
    ) -> None:
        self.integrations = integrations
        self.processes: dict[tuple[str, str], int] = {}
        self._handlers = handlers or {}
        self.called: list[CallJob] = []
        self._clock = clock
        self._work = {(automation.kind, automation.id): run for automation, run in (work or {}).items()}
        self.automations = tuple(work or ())
        self._running: dict[Key, asyncio.Task[Outcome]] = {}
        self._cancelled: set[Key] = set()
        self.started: list[RunJob] = []

    async def start(self) -> None:
        """Nothing to warm up."""

    async def close(self, grace: float) -> None:
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=grace)
        for task in list(self._running.values()):
            task.cancel()

    async def run(self, job: RunJob, listener: RunListener) -> Outcome:
        await listener.started(at=self._clock.now())
        self.started.append(job)
        task = asyncio.ensure_future(self._work[job.kind, job.automation_id](job, listener))
        self._running[job.execution_id] = task
        try:
            return await task
        except asyncio.CancelledError:
            if job.execution_id in self._cancelled:
                return Killed(failure=Failure(code="KILLED", message="cancelled"))
            return Lost(failure=Failure(code="LOST", message="the node stopped"))
        except Exception as exc:  # noqa: BLE001 -- whatever user code raises is its failure
            return Failed(failure=Failure(code="FAILED", message=str(exc), type=type(exc).__name__))
        finally:
            self._running.pop(job.execution_id, None)

    async def call(self, job: CallJob) -> CallResult:
        self.called.append(job)
        answer = self._handlers.get(job.handler)
        if answer is None:
            return CallResult(value=b"null")
        try:
            return CallResult(value=await answer(job))
        except Exception as exc:  # noqa: BLE001 -- whatever user code raises is its failure
            return CallResult(failure=Failure(code="FAILED", message=str(exc), type=type(exc).__name__))

    def cancel(self, execution_id: Key) -> bool:
        task = self._running.get(execution_id)
        if task is None:
            return False
        self._cancelled.add(execution_id)
        task.cancel()
        return True
