"""Run robots: the ``DataRunner`` of their kind. One process and one browser for each run, and few runs at once."""

from __future__ import annotations

import asyncio
import os
import re
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from hookline.core.asked_back import FIELD
from hookline.core.octets import unwrapped
from hookline.core.robots.recording import bind, parse_recording
from hookline.errors import InputError, SettingError
from hookline.model.executions import Failure, RobotFacts
from hookline.model.robots import RobotDefinition
from hookline.ports.runner import Check, Failed, Killed, LogDraft, Lost, Succeeded, TimedOut
from hookline.runners.environment import clean_environment
from hookline.runners.robot.checks import find_chromium, look, look_at_sandbox
from hookline.runners.robot.folders import sweep
from hookline.runners.robot.messages import Begin, Broken, Done, Moved, Ready, Setup, Shot, Told, Unready
from hookline.runners.robot.process import RobotProcess
from hookline.runners.sandbox.husk import free_uid
from hookline.runners.time_limits import too_long

if TYPE_CHECKING:
    from collections.abc import Collection

    from hookline.model.ids import Key
    from hookline.ports.runner import Outcome, RunJob, RunListener
    from hookline.runners.robot.messages import ToNode

_log = structlog.get_logger("hookline.robots")

_START_SECONDS: Final = 60.0
_MOST_MS: Final = 600_000
"""Of a run whose job has no limit of its own (MX-15)."""
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)


class RobotSettings(msgspec.Struct, frozen=True, kw_only=True):
    """chromium: the operator's own, None for what is found.  networks: CIDRs that may be visited though private.

    egress: URL of the operator's proxy, None for none.  max_running: robots at once, 1 or more; others wait.
    memory_bytes: of one browser, all its processes together.
    """

    chromium: str | None = None
    networks: tuple[str, ...] = ()
    egress: str | None = None
    max_running: int = 4
    memory_bytes: int = 1 << 30


class _Verdict(Enum):
    KILLED = "The run was cancelled."
    TIMED_OUT = "The run took too long."
    STOPPED = "The node was stopped while the robot ran."


class _Run:
    """One under way. process: None until it has started."""

    def __init__(self, job: RunJob) -> None:
        self.job = job
        self.verdict: _Verdict | None = None
        self.process: RobotProcess | None = None
        self.ready: Ready | None = None
        self.waiting: asyncio.Task[Any] | None = None
        self.names: set[str] = set()

    def end(self, verdict: _Verdict) -> None:
        """End it whatever it does; its end is told by whoever reads from it."""
        self.verdict = self.verdict or verdict
        if self.process is not None:
            self.process.kill()

    def facts(self, *, is_partial: bool = False) -> RobotFacts:
        browser_id = None if self.ready is None else self.ready.browser_id
        return RobotFacts(browser_id=browser_id, partial_data_extracted=is_partial)


class RobotRunner:
    """``ports.runner.DataRunner`` for robots."""

    def __init__(self, settings: RobotSettings) -> None:
        self._settings = settings
        self._environment = clean_environment(os.environ)
        self._chromium: str | None = None
        self._room = asyncio.Semaphore(settings.max_running)
        self._runs: dict[Key, _Run] = {}
        self._is_closed = False
        self._emptied = asyncio.Event()

    def __repr__(self) -> str:
        return f"<RobotRunner: {len(self._runs)} runs>"

    async def start(self) -> None:
        for check in look(self._settings.chromium):
            if check.remedy is not None:
                raise SettingError(f"Robots cannot run: {check.told}. {check.remedy}")
        self._chromium = find_chromium(self._settings.chromium)
        await asyncio.to_thread(sweep)

    async def check(self) -> list[Check]:
        return [*look(self._settings.chromium), look_at_sandbox(self._settings.chromium)]

    async def close(self, grace: float) -> None:
        self._is_closed = True
        if self._runs and grace > 0:
            try:
                async with asyncio.timeout(grace):
                    await self._emptied.wait()
            except TimeoutError:
                pass
        for run in self._runs.values():
            run.end(_Verdict.STOPPED)
            if run.process is None and run.waiting is not None:
                run.waiting.cancel()
        while self._runs:
            self._emptied.clear()
            await self._emptied.wait()

    def cancel(self, execution_id: Key) -> bool:
        run = self._runs.get(execution_id)
        if run is None:
            return False
        run.end(_Verdict.KILLED)
        if run.waiting is not None:
            run.waiting.cancel()
        return True

    async def run(self, job: RunJob, listener: RunListener) -> Outcome:
        if self._is_closed:
            return _outcome(_Verdict.STOPPED, _Run(job), has_started=False)
        run = self._runs[job.execution_id] = _Run(job)
        self._emptied.clear()
        try:
            if not await self._has_room(run):
                assert run.verdict is not None
                return _outcome(run.verdict, run, has_started=False)
            try:
                return await self._run(run, job, listener)
            finally:
                self._room.release()
        finally:
            del self._runs[job.execution_id]
            if not self._runs:
                self._emptied.set()

    async def _has_room(self, run: _Run) -> bool:
        """Wait until few enough others run; False when the run ended before."""
        run.waiting = asyncio.ensure_future(self._room.acquire())
        try:
            await asyncio.wait({run.waiting})
        except asyncio.CancelledError:
            if not run.waiting.cancel():
                self._room.release()
            raise
        has_room = not run.waiting.cancelled()
        run.waiting = None
        if has_room and run.verdict is not None:
            self._room.release()
        return has_room and run.verdict is None

    async def _run(self, run: _Run, job: RunJob, listener: RunListener) -> Outcome:
        try:
            begin = _begin(job)
        except (InputError, msgspec.MsgspecError) as exc:
            message = (
                f"{exc.field}: {exc.message}"
                if isinstance(exc, InputError)
                else f"The robot is unreadable: {exc}"
            )
            return Failed(
                failure=Failure(code="FAILED", message=message, type="InputError"), facts=run.facts()
            )
        user = free_uid()
        try:
            run.process = RobotProcess(self._environment, user)
        except OSError as exc:
            return Lost(failure=Failure(code="LOST", message=f"No process: {exc}"), has_started=False)
        try:
            await run.process.connect()
            return await self._follow(run, run.process, begin, job, listener, user)
        finally:
            process, run.process = run.process, None
            await asyncio.shield(process.close())

    async def _follow(
        self,
        run: _Run,
        process: RobotProcess,
        begin: Begin,
        job: RunJob,
        listener: RunListener,
        user: int | None,
    ) -> Outcome:
        loop = asyncio.get_running_loop()
        limit = loop.call_later(_START_SECONDS, run.end, _Verdict.STOPPED)
        try:
            process.send(self._setup(process, user))
            message = await process.receive()
            if not isinstance(message, Ready):
                return self._not_ready(run, process, message)
            run.ready, process.sessions = message, set(message.sessions)
            limit.cancel()
            await listener.started(at=datetime.now(UTC))
            if run.verdict is None:
                limit = loop.call_later((job.timeout_ms or _MOST_MS) / 1000, run.end, _Verdict.TIMED_OUT)
                if not message.is_sandboxed:
                    await _note(listener, "warning", "This machine lets Chromium have no sandbox of its own.")
                process.send(begin)
            ended = await self._listen(run, process, listener)
        finally:
            limit.cancel()
        return self._ended(run, process, ended)

    def _setup(self, process: RobotProcess, user: int | None) -> Setup:
        return Setup(
            chromium=self._chromium,
            folder=str(process.folder.path),
            user=user,
            networks=self._settings.networks,
            egress=self._settings.egress,
            memory_bytes=self._settings.memory_bytes,
        )

    async def _listen(self, run: _Run, process: RobotProcess, listener: RunListener) -> Done | Broken | None:
        """Pass on what it tells, until it tells its end; None when it died."""
        while (message := await process.receive()) is not None:
            match message:
                case Told():
                    await _note(listener, message.level, message.text)
                case Moved():
                    fields = {"percent": message.percent, "label": message.label}
                    await listener.progressed(msgspec.json.encode(fields))
                case Shot():
                    await self._keep(run, process, listener, message)
                case Done() | Broken():
                    return message
                case _:
                    return None
        return None

    async def _keep(self, run: _Run, process: RobotProcess, listener: RunListener, shot: Shot) -> None:
        path = process.folder.path / Path(shot.file).name
        name = file_name(shot.name, run.names)
        run.names.add(name)
        try:
            await listener.produced(path, name, "image/png")
        except InputError as exc:
            await _note(listener, "warning", f"The screenshot {name} was not kept: {exc.message}")
        finally:
            path.unlink(missing_ok=True)

    def _not_ready(self, run: _Run, process: RobotProcess, message: ToNode | None) -> Outcome:
        if run.verdict is not None and run.verdict is not _Verdict.STOPPED:
            return _outcome(run.verdict, run, has_started=False)
        if isinstance(message, Unready):
            return Failed(
                failure=Failure(code="RUNNER_UNAVAILABLE", message=message.message), facts=run.facts()
            )
        told = "The robot's process ended before its browser had started."
        _log.warning("robot_not_ready", last_words=process.last_words())
        return Lost(failure=Failure(code="LOST", message=told), has_started=False, facts=run.facts())

    def _ended(self, run: _Run, process: RobotProcess, ended: Done | Broken | None) -> Outcome:
        if isinstance(ended, Done):
            return Succeeded(output=bytes(ended.output), facts=run.facts())
        if isinstance(ended, Broken):
            return Failed(failure=ended.failure, facts=run.facts(is_partial=ended.is_partial))
        if run.verdict is not None:
            return _outcome(run.verdict, run)
        _log.warning("robot_died", last_words=process.last_words())
        return Lost(failure=Failure(code="LOST", message="The robot's process died."), facts=run.facts())


def _outcome(verdict: _Verdict, run: _Run, *, has_started: bool = True) -> Outcome:
    message = verdict.value
    if verdict is _Verdict.KILLED:
        return Killed(failure=Failure(code="KILLED", message=message), facts=run.facts())
    if verdict is _Verdict.TIMED_OUT:
        failure = too_long("The run", run.job.timeout_ms or _MOST_MS, run.job.limit, type_="TimeoutError")
        return TimedOut(failure=failure, facts=run.facts())
    return Lost(failure=Failure(code="LOST", message=message), has_started=has_started, facts=run.facts())


def _begin(job: RunJob) -> Begin:
    """What the robot is told. Raises InputError for a recording, or an input, that cannot be used."""
    if job.definition is None:
        raise InputError("There is no such robot any more.")
    definition = msgspec.json.decode(job.definition, type=RobotDefinition)
    recording = msgspec.json.decode(definition.recording)
    asked = parse_recording(recording).parameters
    parameters = _parameters(job, asked) if asked else {}
    # The robot reads it again; what cannot run is said here, before a browser is started for it.
    bind(recording, parameters)
    return Begin(
        recording=definition.recording,
        parameters=parameters,
        matching=definition.matching,
        pause_ms=definition.pause_ms,
        max_repeats=definition.max_repeats,
    )


def _parameters(job: RunJob, asked: Collection[str]) -> dict[str, Any]:
    """The members of the input, for a recording that asks for some: a trigger's body may have the caller's besides."""
    given = None if job.input is None else msgspec.json.decode(job.input)
    trigger = {} if job.trigger is None else msgspec.json.decode(job.trigger)
    if isinstance(trigger, dict) and trigger.get("input") == "body":
        given = unwrapped(trigger.get("body") or {}).get("data")
    if job.trigger is not None and isinstance(given, dict) and FIELD not in asked:
        given = {name: value for name, value in given.items() if name != FIELD}
    if not isinstance(given, dict):
        raise InputError(
            "This robot needs parameters: an object as its input.", field="input", expected="object"
        )
    return given


async def _note(listener: RunListener, level: str, text: str) -> None:
    draft = LogDraft(at=datetime.now(UTC), stream="log", level=level, text=text)
    await listener.recorded((), (draft,), 0.0, ())


def file_name(name: str, taken: set[str]) -> str:
    """A screenshot's name as that of a file: ``Screenshot 1`` is ``Screenshot-1.png``. taken: those there are."""
    stem = _UNSAFE.sub("-", name).strip("-.")[:100] or "Screenshot"
    found, number = f"{stem}.png", 1
    while found in taken:
        number += 1
        found = f"{stem}-{number}.png"
    return found
