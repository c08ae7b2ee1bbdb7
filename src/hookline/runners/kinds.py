"""Give each execution to the runner of its kind: the node's ``Runner``.

Workflows and agents go to the host of the app; every other kind has a runner of its own, which is imported and started
when it first has something to run. Where one cannot start, its executions fail with the reason, and the next one tries
again: what was missing may have been installed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hookline.errors import SettingError
from hookline.model.executions import Failure
from hookline.ports.runner import Failed, Lost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hookline.model.executions import Automation
    from hookline.model.ids import Key
    from hookline.model.integrations import Integration
    from hookline.model.states import Kind
    from hookline.ports.runner import CallJob, CallResult, DataRunner, Outcome, RunJob, RunListener, Runner


class KindRunner:
    """``ports.runner.Runner``. makers: what imports and makes the runner of a kind; it may raise ImportError."""

    def __init__(self, host: Runner, makers: Mapping[Kind, Callable[[], DataRunner]]) -> None:
        self._host = host
        self._makers = dict(makers)
        self._started: dict[Kind, DataRunner] = {}
        self._starting: dict[Kind, asyncio.Lock] = {}
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<KindRunner: {self._host!r} and {', '.join(self._started) or 'no other'}>"

    @property
    def automations(self) -> tuple[Automation, ...]:
        return self._host.automations

    @property
    def integrations(self) -> tuple[Integration, ...]:
        return self._host.integrations

    @property
    def processes(self) -> Mapping[tuple[str, str], int]:
        return self._host.processes

    async def start(self) -> None:
        await self._host.start()

    async def close(self, grace: float) -> None:
        self._is_closed = True
        others = (runner.close(grace) for runner in self._started.values())
        await asyncio.gather(self._host.close(grace), *others)

    async def run(self, job: RunJob, listener: RunListener) -> Outcome:
        if job.kind not in self._makers:
            return await self._host.run(job, listener)
        try:
            runner = await self._runner(job.kind)
        except (ImportError, SettingError) as exc:
            message = exc.message if isinstance(exc, SettingError) else f"A part is not installed: {exc}."
            return Failed(failure=Failure(code="RUNNER_UNAVAILABLE", message=message))
        if runner is None:
            failure = Failure(code="LOST", message="The execution was lost: the node was stopped.")
            return Lost(failure=failure, has_started=False)
        return await runner.run(job, listener)

    async def _runner(self, kind: Kind) -> DataRunner | None:
        """Return the runner of a kind, started; None while this node stops. Raises ImportError, SettingError."""
        async with self._starting.setdefault(kind, asyncio.Lock()):
            if self._is_closed:
                return None
            runner = self._started.get(kind)
            if runner is None:
                runner = self._makers[kind]()
                await runner.start()
                self._started[kind] = runner
            return runner

    async def call(self, job: CallJob) -> CallResult:
        return await self._host.call(job)

    def cancel(self, execution_id: Key) -> bool:
        return self._host.cancel(execution_id) or any(
            runner.cancel(execution_id) for runner in self._started.values()
        )
