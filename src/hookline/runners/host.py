"""Run users' workflows and agents in child processes: the ``Runner`` of the node.

A run gets a process of its own, or a seat in a shared one when its automation says so. What a process does to
itself (crash, exhaust memory, print without end, hang) is an outcome of its run, never of the node. Runs in a
shared process die together; that is its price.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.errors import SettingError
from hookline.model.executions import Automation, Failure
from hookline.ports_runner import Failed
from hookline.runners.deadlines import Deadlines
from hookline.runners.environment import clean_environment
from hookline.runners.groups import Pool, SharedGroup
from hookline.runners.process import Child, Command
from hookline.runners.protocol import FrameTooLargeError
from hookline.runners.run import Run, Verdict

if TYPE_CHECKING:
    from hookline.model.ids import Key
    from hookline.ports_runner import Outcome, RunJob, RunListener
    from hookline.runners.groups import Group

CORES: Final = os.cpu_count() or 2


class RunnerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How users' code is run. Raises SettingError.

    app: the file, ``path.py`` or ``path.py:name``; None for a node that runs no code.
    warm: processes kept ready for runs that do not share, 1 or more.
    max_processes: most processes of runs that do not share, ``warm`` or more; further runs wait.
    shared_processes: processes for automations that share, 1 or more.
    recycle_after: executions before a shared process is replaced.
    env_passthrough: variables user code may see beside the basic ones and ``HOOKLINE_APP_*``; a final ``*``
    makes a prefix.
    start_seconds: longest import of the app.
    """

    app: str | None
    warm: int = max(2, CORES)
    max_processes: int = 32
    shared_processes: int = 1
    recycle_after: int = 10_000
    env_passthrough: tuple[str, ...] = ()
    start_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("warm", "shared_processes", "recycle_after"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name}: expected 1 or more; got {getattr(self, name)}")
        if self.max_processes < self.warm:
            raise SettingError(
                f"max_processes: expected {self.warm} (warm) or more; got {self.max_processes}"
            )


class RunnerHost:
    """The ``Runner`` for users' Python code; see ports_runner.py for what it promises."""

    def __init__(self, settings: RunnerSettings) -> None:
        self._settings = settings
        self._environment = clean_environment(os.environ, settings.env_passthrough)
        self._automations: dict[tuple[str, str], Automation] = {}
        self._runs: dict[Key, Run] = {}
        self._numbers = itertools.count(1)
        self._deadlines: Deadlines | None = None
        self._pool: Pool | None = None
        self._shared: SharedGroup | None = None
        self._idle = asyncio.Event()

    def __repr__(self) -> str:
        return f"<RunnerHost of {self._settings.app!r}: {len(self._runs)} runs>"

    @property
    def automations(self) -> tuple[Automation, ...]:
        return tuple(self._automations.values())

    async def start(self) -> None:
        if self._settings.app is None:
            return
        loop = asyncio.get_running_loop()
        self._deadlines = Deadlines(loop)
        self._pool = Pool(
            self._command(self._settings.app, is_shared=False),
            self._deadlines,
            loop,
            parallel=CORES,
            start_seconds=self._settings.start_seconds,
            warm=self._settings.warm,
            limit=self._settings.max_processes,
        )
        try:
            automations = await self._pool.start()
            self._automations = {(each.kind.value, each.id): each for each in automations}
            if any(each.is_shared for each in automations):
                await self._start_sharing(self._settings.app, self._deadlines, loop)
            if automations and all(each.is_shared for each in automations):
                self._pool.shrink()
        except BaseException:
            await self.close(0)
            raise

    async def _start_sharing(self, app: str, deadlines: Deadlines, loop: asyncio.AbstractEventLoop) -> None:
        self._shared = SharedGroup(
            self._command(app, is_shared=True),
            deadlines,
            loop,
            start_seconds=self._settings.start_seconds,
            count=self._settings.shared_processes,
            recycle_after=self._settings.recycle_after,
        )
        await self._shared.start()

    def _command(self, app: str, *, is_shared: bool) -> Command:
        return Command(place=app, environment=self._environment, is_shared=is_shared)

    async def close(self, grace: float) -> None:
        groups = [group for group in (self._pool, self._shared) if group is not None]
        for group in groups:
            group.refuse()
        if self._runs and grace > 0:
            self._idle.clear()
            try:
                async with asyncio.timeout(grace):
                    await self._idle.wait()
            except TimeoutError:
                pass
        for run in self._runs.values():
            run.verdict = run.verdict or Verdict.STOPPED
        for group in groups:
            await group.close()
        if self._deadlines is not None:
            self._deadlines.close()

    def cancel(self, execution_id: Key) -> bool:
        run = self._runs.get(execution_id)
        if run is None:
            return False
        run.cancel()
        return True

    async def run(self, job: RunJob, listener: RunListener) -> Outcome:
        automation = self._automations.get((job.kind, job.automation_id))
        group = self._shared if automation is not None and automation.is_shared else self._pool
        if automation is None or group is None or self._deadlines is None:
            message = f"there is no {job.kind} {job.automation_id!r} in the app"
            return Failed(failure=Failure(code="FAILED", message=message))
        if job.execution_id in self._runs:
            raise ValueError("this execution is already under way here")
        timeout_ms = automation.timeout_ms if job.timeout_ms is None else job.timeout_ms
        run = self._runs[job.execution_id] = Run(next(self._numbers), job, timeout_ms, self._deadlines)
        try:
            return await self._run(run, group, listener)
        finally:
            if isinstance(run.seat, Child):
                group.give_back(run.seat, run)
            del self._runs[job.execution_id]
            if not self._runs:
                self._idle.set()

    async def _run(self, run: Run, group: Group, listener: RunListener) -> Outcome:
        if not await group.take(run):
            return run.outcome()
        await listener.started(at=datetime.now(UTC))
        seat = run.seat
        if run.verdict is not None or run.has_ended or not isinstance(seat, Child):
            return run.outcome()
        try:
            seat.start(run)
        except FrameTooLargeError as exc:
            return Failed(failure=Failure(code="FAILED", message=exc.message, type="FrameTooLargeError"))
        return await run.follow(listener)
