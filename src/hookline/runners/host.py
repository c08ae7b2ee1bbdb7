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
from hookline.ports.runner import CallResult, Failed, Succeeded, Suspended
from hookline.runners.deadlines import Deadlines
from hookline.runners.environment import clean_environment
from hookline.runners.groups import CallPool, Pool, SharedGroup, Starting
from hookline.runners.process import Child, Command
from hookline.runners.protocol import FrameTooLargeError
from hookline.runners.run import Run, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hookline.model.executions import Artifact, JournalEntry
    from hookline.model.ids import Key
    from hookline.model.integrations import Integration
    from hookline.ports.runner import CallJob, EmitDraft, LogDraft, Outcome, RunJob, RunListener
    from hookline.runners.groups import Group
    from hookline.runners.model_access import ModelAccess

CORES: Final = os.cpu_count() or 2

MAX_CALL_LINES: Final = 200
"""Lines that one call of a handler may log: they go to the node's log, which is everybody's."""


class RunnerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How users' code is run. Raises SettingError.

    app: the file, ``path.py`` or ``path.py:name``; None for a node that runs no code.
    warm: processes kept ready for runs that do not share, 1 or more.
    max_processes: most processes of runs that do not share, ``warm`` or more; further runs wait.
    shared_processes: processes for automations that share, 1 or more.
    call_processes: most processes that serve handlers of integrations, 1 or more; further calls wait.
    recycle_after: executions or calls before a process that serves many is replaced.
    env_passthrough: variables user code may see beside the basic ones and ``HOOKLINE_APP_*``; a final ``*``
    makes a prefix.
    start_seconds: longest import of the app.
    """

    app: str | None
    warm: int = max(2, CORES)
    max_processes: int = 32
    shared_processes: int = 1
    call_processes: int = 16
    recycle_after: int = 10_000
    env_passthrough: tuple[str, ...] = ()
    start_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("warm", "shared_processes", "call_processes", "recycle_after"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name}: expected 1 or more; got {getattr(self, name)}")
        if self.max_processes < self.warm:
            raise SettingError(
                f"max_processes: expected {self.warm} (warm) or more; got {self.max_processes}"
            )


class CallLog:
    """The ``RunListener`` of a call: it keeps what is logged and printed, and stores nothing."""

    def __init__(self) -> None:
        self.lines: list[LogDraft] = []

    async def started(self, *, at: datetime) -> None:
        """Nothing waits for it."""

    async def recorded(
        self,
        entries: Sequence[JournalEntry],  # noqa: ARG002 -- a handler has no journal
        logs: Sequence[LogDraft],
        credits: float,  # noqa: A002, ARG002
        emits: Sequence[EmitDraft],  # noqa: ARG002
    ) -> None:
        self.lines += logs[: max(0, MAX_CALL_LINES - len(self.lines))]

    async def progressed(self, fields: bytes) -> None:
        """A handler tells of none."""

    async def produced(self, file: Path | int, name: str, content_type: str) -> Artifact:  # noqa: ARG002
        raise ValueError("a handler makes no files")


class RunnerHost:
    """The ``Runner`` for users' Python code; see ports/runner.py for what it promises.

    models: the way to models, for agents that they answer for; None for none.
    """

    def __init__(self, settings: RunnerSettings, models: ModelAccess | None = None) -> None:
        self._settings = settings
        self._models = models
        self._environment = clean_environment(os.environ, settings.env_passthrough)
        self._automations: dict[tuple[str, str], Automation] = {}
        self._runs: dict[Key, Run] = {}
        self._calling: set[Run] = set()
        self._numbers = itertools.count(1)
        self._deadlines: Deadlines | None = None
        self._pool: Pool | None = None
        self._shared: SharedGroup | None = None
        self._calls: CallPool | None = None
        self._integrations: tuple[Integration, ...] = ()
        self._idle = asyncio.Event()

    def __repr__(self) -> str:
        return f"<RunnerHost of {self._settings.app!r}: {len(self._runs)} runs>"

    @property
    def automations(self) -> tuple[Automation, ...]:
        return tuple(self._automations.values())

    @property
    def integrations(self) -> tuple[Integration, ...]:
        return self._integrations

    @property
    def processes(self) -> Mapping[tuple[str, str], int]:
        sorts = {"alone": self._pool, "shared": self._shared, "calls": self._calls}
        return {
            (sort, state): count
            for sort, group in sorts.items()
            if group is not None
            for state, count in group.census().items()
        }

    async def start(self) -> None:
        if self._settings.app is None:
            return
        self._deadlines = Deadlines(asyncio.get_running_loop())
        self._pool = Pool(
            self._starting("alone", CORES),
            warm=self._settings.warm,
            limit=self._settings.max_processes,
        )
        try:
            manifest = await self._pool.start()
            automations = manifest.automations
            self._automations = {(each.kind.value, each.id): each for each in automations}
            self._integrations = tuple(manifest.integrations)
            if any(
                each.has_route or any(flow.handlers for flow in each.flows) for each in self._integrations
            ):
                await self._start_calls()
            if self._models is not None and any(each.uses_model for each in automations):
                await self._models.open()
            if any(each.is_shared for each in automations):
                await self._start_sharing()
            if automations and all(each.is_shared for each in automations):
                self._pool.shrink()
        except BaseException:
            await self.close(0)
            raise

    async def _start_sharing(self) -> None:
        self._shared = SharedGroup(
            self._starting("shared", self._settings.shared_processes),
            recycle_after=self._settings.recycle_after,
        )
        await self._shared.start()

    async def _start_calls(self) -> None:
        self._calls = CallPool(
            self._starting("calls", CORES),
            warm=min(CORES, self._settings.call_processes),
            limit=self._settings.call_processes,
            recycle_after=self._settings.recycle_after,
        )
        await self._calls.start()

    def _starting(self, mode: str, parallel: int) -> Starting:
        assert self._settings.app is not None
        assert self._deadlines is not None
        return Starting(
            command=Command(place=self._settings.app, environment=self._environment, mode=mode),
            deadlines=self._deadlines,
            loop=asyncio.get_running_loop(),
            start_seconds=self._settings.start_seconds,
            parallel=parallel,
        )

    async def close(self, grace: float) -> None:
        groups = [group for group in (self._pool, self._shared, self._calls) if group is not None]
        for group in groups:
            group.refuse()
        if (self._runs or self._calling) and grace > 0:
            self._idle.clear()
            try:
                async with asyncio.timeout(grace):
                    await self._idle.wait()
            except TimeoutError:
                pass
        for run in (*self._runs.values(), *self._calling):
            run.verdict = run.verdict or Verdict.STOPPED
        for group in groups:
            await group.close()
        if self._models is not None:
            await self._models.close()
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
        if automation.uses_model and self._models is not None:
            job = msgspec.structs.replace(job, model=self._models.given)
        timeout_ms = automation.timeout_ms if job.timeout_ms is None else job.timeout_ms
        run = self._runs[job.execution_id] = Run(next(self._numbers), job, timeout_ms, self._deadlines)
        try:
            return await self._run(run, group, listener)
        finally:
            if isinstance(run.seat, Child):
                group.give_back(run.seat, run)
            del self._runs[job.execution_id]
            self._look_idle()

    async def call(self, job: CallJob) -> CallResult:
        if self._calls is None or self._deadlines is None:
            message = f"there is no {job.handler} in the app"
            return CallResult(failure=Failure(code="FAILED", message=message))
        run = Run(next(self._numbers), job, job.timeout_ms, self._deadlines)
        log = CallLog()
        self._calling.add(run)
        try:
            async with asyncio.timeout(job.timeout_ms / 1000):
                is_seated = await self._calls.take(run)
            outcome = await self._serve(run, log) if is_seated else run.outcome()
        except TimeoutError:
            message = f"No process was free in time for {job.handler}."
            return CallResult(failure=Failure(code="TIMED_OUT", message=message))
        finally:
            if isinstance(run.seat, Child):
                self._calls.give_back(run.seat, run)
            self._calling.discard(run)
            self._look_idle()
        if isinstance(outcome, Succeeded):
            return CallResult(value=outcome.output, logs=tuple(log.lines))
        assert not isinstance(outcome, Suspended)
        return CallResult(failure=outcome.failure, logs=tuple(log.lines))

    def _look_idle(self) -> None:
        if not self._runs and not self._calling:
            self._idle.set()

    async def _serve(self, run: Run, log: CallLog) -> Outcome:
        assert isinstance(run.seat, Child)
        if run.has_ended:
            return run.outcome()
        try:
            run.seat.start(run)
        except FrameTooLargeError as exc:
            return Failed(failure=Failure(code="FAILED", message=exc.message, type="FrameTooLargeError"))
        return await run.follow(log)

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
