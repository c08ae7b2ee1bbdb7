"""Run render jobs: the ``DataRunner`` of movies.

A job waits for its turn, then has a workshop of its own: files come in, one FFmpeg draws the video, the video is kept,
the workshop is gone. Whatever happens to FFmpeg or to what a movie names is an outcome of that job, never of the node.
A render whose node died may simply be run again: nothing outside of its folder knows of it before it has succeeded.
"""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from hookline.core.asked_back import without_callback
from hookline.core.movie import read_movie
from hookline.core.movie.read import metadata_of
from hookline.errors import InputError, SettingError
from hookline.model.executions import Failure, JournalEntry, RenderFacts
from hookline.ports.runner import Check, Failed, Killed, Lost, Succeeded, TimedOut
from hookline.runners.render.assets import Assets, FetchLimits, RenderFailedError, bring_fonts
from hookline.runners.render.command import CONTENT_TYPE, OUTPUT, render_command
from hookline.runners.render.graph import draw
from hookline.runners.render.programs import HOW_TO_GET, HOW_TO_GET_FONTS, Programs
from hookline.runners.render.progress import ProgressReader, cause_of
from hookline.runners.render.workshop import Limits, Workshop
from hookline.runners.time_limits import too_long

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from hookline.core.movie.definition import Movie
    from hookline.model.ids import Key
    from hookline.ports.runner import Outcome, RunJob, RunListener
    from hookline.ports.sender import Fetcher

T = TypeVar("T")


class _StoppedError(Exception):
    """The run was ended from outside while it waited for something."""


class _Run:
    """One job under way. verdict: why it was ended from outside, None while it was not."""

    def __init__(self, job: RunJob) -> None:
        self.job = job
        self.has_started = False
        self.verdict: Outcome | None = None
        self._stopped = asyncio.Event()

    def stop(self, verdict: Outcome) -> None:
        """End it, for the first reason given."""
        self.verdict = self.verdict or verdict
        self._stopped.set()

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """Do what may take long. Raises _StoppedError as soon as the run is ended from outside; what the engine is
        asked to store is never cut off like this.
        """
        doing = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait((doing, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise _StoppedError
            return doing.result()
        finally:
            stopping.cancel()
            if not doing.done():
                doing.cancel()
                await asyncio.gather(doing, return_exceptions=True)


class RenderRunner:
    """``ports.runner.DataRunner``. parallel: renders at once, 1 or more; the others wait, still queued."""

    def __init__(
        self,
        programs: Programs,
        fetcher: Fetcher,
        *,
        parallel: int,
        limits: Limits | None = None,
        fetching: FetchLimits | None = None,
    ) -> None:
        self._programs = programs
        self._fetcher = fetcher
        self._limits = limits or Limits()
        self._fetching = fetching or FetchLimits()
        self._turns = asyncio.Semaphore(parallel)
        self._runs: dict[Key, _Run] = {}
        self._idle = asyncio.Event()
        self._ffmpeg = ""
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<RenderRunner: {len(self._runs)} runs>"

    async def start(self) -> None:
        found = await asyncio.to_thread(self._programs.choose_ffmpeg)
        if found.place is None or found.lack is not None:
            raise SettingError(f"Renders need FFmpeg, but {found.lack}: {HOW_TO_GET}.")
        self._ffmpeg = found.place

    async def close(self, grace: float) -> None:
        self._is_closed = True
        for run in self._runs.values():
            if not run.has_started:
                run.stop(_lost(run))
        try:
            async with asyncio.timeout(grace):
                while self._runs:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            pass
        for run in self._runs.values():
            run.stop(_lost(run))
        while self._runs:
            self._idle.clear()
            await self._idle.wait()

    def cancel(self, execution_id: Key) -> bool:
        run = self._runs.get(execution_id)
        if run is None:
            return False
        run.stop(Killed(failure=Failure(code="KILLED", message="The execution was cancelled.")))
        return True

    async def run(self, job: RunJob, listener: RunListener) -> Outcome:
        if job.execution_id in self._runs:
            raise ValueError("this execution is already under way here")
        run = self._runs[job.execution_id] = _Run(job)
        try:
            if self._is_closed:
                return _lost(run)
            return await self._in_turn(run, listener)
        except RenderFailedError as exc:
            return Failed(failure=Failure(code="RENDER_FAILED", message=str(exc)))
        except _StoppedError:
            assert run.verdict is not None
            return run.verdict
        finally:
            del self._runs[job.execution_id]
            self._idle.set()

    async def check(self) -> list[Check]:
        found = await asyncio.to_thread(self._programs.choose_ffmpeg)
        told = found.place or "not found"
        if found.place is None or found.lack is not None:
            told = told if found.place is None else f"{told}: {found.lack}"
            ffmpeg = Check(name="ffmpeg", told=told, remedy=HOW_TO_GET)
        else:
            ffmpeg = Check(name="ffmpeg", told=told)
        font = self._programs.find_font(None)
        if font is None:
            return [ffmpeg, Check(name="font", told="not found", remedy=HOW_TO_GET_FONTS)]
        return [ffmpeg, Check(name="font", told=str(font))]

    # --- one job ----------------------------------------------------------------------------------------------

    async def _in_turn(self, run: _Run, listener: RunListener) -> Outcome:
        await run.unless_stopped(self._turns.acquire())
        try:
            await listener.started(at=datetime.now(UTC))
            run.has_started = True
            timer = self._time_limit(run)
            try:
                return await self._render(run, listener)
            finally:
                if timer is not None:
                    timer.cancel()
        finally:
            self._turns.release()

    def _time_limit(self, run: _Run) -> asyncio.TimerHandle | None:
        if run.job.timeout_ms is None:
            return None
        seconds = run.job.timeout_ms / 1000
        failure = too_long("The render", run.job.timeout_ms, run.job.limit)
        return asyncio.get_running_loop().call_later(seconds, run.stop, TimedOut(failure=failure))

    async def _render(self, run: _Run, listener: RunListener) -> Outcome:
        movie = _movie_of(run.job)
        try:
            async with Workshop(self._limits) as workshop:
                frames = await self._draw(run, movie, workshop, listener)
                video = workshop.folder / OUTPUT
                artifact = await listener.produced(video, OUTPUT, CONTENT_TYPE)
        except OSError as exc:
            raise RenderFailedError(f"The render's files could not be written: {exc.strerror}.") from exc
        await _charge(run.job, movie, listener)
        seconds = round(frames / movie.fps, 3)
        output = {
            "file": artifact.name,
            "content_type": artifact.content_type,
            "size_bytes": artifact.size,
            "duration_seconds": seconds,
            "width": movie.width,
            "height": movie.height,
            "fps": movie.fps,
        }
        facts = RenderFacts(
            output_url=artifact.url, video_seconds=seconds, metadata=metadata_of(run.job.input)
        )
        return Succeeded(output=msgspec.json.encode(output), facts=facts)

    async def _draw(self, run: _Run, movie: Movie, workshop: Workshop, listener: RunListener) -> int:
        """Make the video in the workshop; return how many pictures it has. Raises RenderFailedError."""
        assets = Assets(movie, workshop, fetcher=self._fetcher, ffmpeg=self._ffmpeg, limits=self._fetching)
        fonts = bring_fonts(movie, workshop.folder, self._programs)
        media = await run.unless_stopped(assets.bring())
        graph = draw(movie, media, fonts)
        for name, text in graph.texts.items():
            (workshop.folder / name).write_text(text, encoding="utf-8", newline="\n")
        command = render_command(self._ffmpeg, movie, media.values(), graph)
        progress = ProgressReader(graph.frames)
        loop = asyncio.get_running_loop()
        began_at = loop.time()

        async def tell(printed: bytes) -> None:
            state = progress.feed(printed, loop.time() - began_at)
            if state is not None:
                await listener.progressed(msgspec.json.encode(state))

        ended = await run.unless_stopped(workshop.run(command, tell))
        if ended.status != 0:
            cause = cause_of(ended.said, {file.name: f"{path}.src" for path, file in media.items()})
            raise RenderFailedError(f"{ended.sentence}: {cause}")
        return progress.last_frame


async def _charge(job: RunJob, movie: Movie, listener: RunListener) -> None:
    """Write down the credits, once: an earlier process may have come this far before its node died.

    By what was asked for, not by what came out: a job costs what its answer said it would (PF-X3).
    """
    if any(entry.op == "credits" for entry in job.journal):
        return
    entry = JournalEntry(op="credits", name="", occurrence=0, value=None, started_at=datetime.now(UTC))
    await listener.recorded((entry,), (), float(math.ceil(movie.seconds)), ())


def _movie_of(job: RunJob) -> Movie:
    """Raises RenderFailedError: not every way to start a job checks the movie before."""
    try:
        text = job.input or b"null"
        return read_movie(text if job.trigger is None else without_callback(text))
    except InputError as exc:
        where = "" if exc.field is None or exc.field in exc.message else f"{exc.field}: "
        raise RenderFailedError(f"{where}{exc.message}") from exc


def _lost(run: _Run) -> Lost:
    failure = Failure(code="LOST", message="The execution was lost: the node was stopped.")
    return Lost(failure=failure, has_started=run.has_started)
