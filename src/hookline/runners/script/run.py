"""Follow one run of a script: what it prints and tells goes to the engine, and what the engine wants ends it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.errors import SettingError
from hookline.ports.runner import LogDraft
from hookline.runners.output import OutputLines
from hookline.runners.run import CANCEL_GRACE, Verdict
from hookline.runners.sandbox.cell import Cell, End
from hookline.runners.script.files import keep_files
from hookline.runners.script.languages import CHANNEL, spec_of
from hookline.runners.script.outcomes import not_started, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.model.scripts import ScriptDefinition
    from hookline.ports.runner import Outcome, RunJob, RunListener
    from hookline.runners.sandbox.husk import Husks
    from hookline.runners.sandbox.way_out import Relay

_MOST_TOLD: Final = 64 * 1024 * 1024
"""Bytes that a run may tell through its channel; what follows is dropped, because no helper of ours writes as much."""

_MOST_LINE: Final = 8 * 1024 * 1024
_TAIL: Final = 4_096
"""Bytes of stderr shown as the reason of a failure."""


class _Hint(msgspec.Struct):
    percent: float
    label: str


class _Line(msgspec.Struct):
    """What the helper modules write, one JSON object a line."""

    result: msgspec.Raw = msgspec.Raw()
    progress: _Hint | None = None


class ScriptRun:
    """One run of a script: the owner of its cell."""

    def __init__(
        self,
        job: RunJob,
        definition: ScriptDefinition,
        listener: RunListener,
        relay: Callable[[], Relay],
        husks: Husks,
    ) -> None:
        self._new_relay = relay
        self._husks = husks
        self._job, self._definition, self._listener = job, definition, listener
        self._loop = asyncio.get_running_loop()
        self._cell: Cell | None = None
        self._verdict: Verdict | None = None
        self._ended: End | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._lines = OutputLines()
        self._drafts: list[LogDraft] = []
        self._tail = b""
        self._told = b""
        self._told_bytes = 0
        self._is_doubted = False
        self._result: bytes | None = None
        self._progress: bytes | None = None
        self._wake = asyncio.Event()

    # --- until it runs ---

    async def waits_for(self, room: asyncio.Semaphore) -> bool:
        """Wait for room; False when it was ended before there was any."""
        taking = asyncio.ensure_future(room.acquire())
        ending = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({taking, ending}, return_when=asyncio.FIRST_COMPLETED)
            if self._verdict is None:
                await taking
                return True
            return False
        finally:
            ending.cancel()
            if not taking.done():
                taking.cancel()
            elif self._verdict is not None and not taking.cancelled():
                room.release()

    async def follow(self) -> Outcome:
        """Run it to its end."""
        seconds = (self._job.timeout_ms or 1) / 1000
        try:
            spec = spec_of(self._definition, argument=self._job.input, seconds=seconds, trace=self._job.trace)
        except SettingError as exc:
            return not_started(self._definition, exc.message)
        await self._listener.started(at=datetime.now(UTC))
        if self._verdict is not None:
            return self.outcome()
        try:
            relay = self._new_relay() if spec.network else None
            husk = self._husks.take(namespaces=spec.namespaces)
            self._cell = Cell(spec, self, self._loop, channel=CHANNEL, relay=relay, husk=husk)
        except OSError as exc:
            return not_started(self._definition, f"Its process could not be started: {exc.strerror}.")
        self._timers.append(self._loop.call_later(seconds, self.end, Verdict.TIMED_OUT))
        while True:
            await self._hand_over()
            if self._ended is not None and not self._drafts and self._progress is None:
                await keep_files(self._cell.left, self._listener, most_bytes=spec.disk_bytes)
                return self.outcome()
            await self._wake.wait()
            self._wake.clear()

    async def _hand_over(self) -> None:
        if self._drafts:
            drafts, self._drafts = self._drafts, []
            await self._listener.recorded([], drafts, 0.0, [])
        if self._progress is not None:
            progress, self._progress = self._progress, None
            await self._listener.progressed(progress)

    # --- ending it ---

    def end(self, verdict: Verdict) -> None:
        """End it early, for the first reason that is given. Only a stop from outside gives it time to clean up."""
        if self._verdict is not None or self._ended is not None:
            return
        self._verdict = verdict
        self._wake.set()
        if self._cell is None:
            return
        if verdict is Verdict.KILLED:
            self._cell.terminate()
            self._timers.append(self._loop.call_later(CANCEL_GRACE, self._cell.kill))
        else:
            self._cell.kill()

    async def over(self) -> None:
        """Leave nothing of a run that nobody follows any more: returns when its process is gone."""
        for timer in self._timers:
            timer.cancel()
        if self._cell is not None and self._ended is None:
            self._cell.kill()
            while self._ended is None:
                self._wake.clear()
                await self._wake.wait()
        if self._cell is not None:
            self._cell.left.close()

    # --- what the cell tells ---

    def printed(self, stream: str, data: bytes) -> bool:
        if stream == "stderr":
            self._tail = (self._tail + data)[-_TAIL:]
        if self._lines.is_full:
            return False
        self._drafts += self._lines.feed(stream, data)
        self._wake.set()
        return not self._lines.is_full

    def told(self, data: bytes) -> bool:
        self._told_bytes += len(data)
        if self._told_bytes > _MOST_TOLD:
            return False
        *lines, self._told = (self._told + data).split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._told) > _MOST_LINE:
            self._told, self._told_bytes = b"", _MOST_TOLD
        self._wake.set()
        return True

    def _take(self, line: bytes) -> None:
        """Take one line of the helper module; a script that writes there itself may write anything."""
        try:
            told = msgspec.json.decode(line, type=_Line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._doubt()
            return
        self._result = bytes(told.result) or self._result
        if told.progress is not None:
            self._progress = msgspec.json.encode(told.progress)

    def _doubt(self) -> None:
        """Say once that something was told which cannot be read: a result that is missing then has its reason."""
        if not self._is_doubted:
            self._is_doubted = True
            text = "The script told something about itself that cannot be read: it was dropped."
            self._drafts.append(LogDraft(at=datetime.now(UTC), stream="log", level="warning", text=text))

    def gone(self, end: End) -> None:
        self._drafts += self._lines.close()
        self._ended = end
        self._wake.set()

    # --- how it ended ---

    def outcome(self) -> Outcome:
        """Say how it ended, or that it never began."""
        return outcome_of(
            self._job,
            self._definition,
            self._verdict,
            self._ended,
            has_begun=self._cell is not None,
            result=self._result,
            last_words=self._tail,
        )
