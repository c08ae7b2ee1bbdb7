"""Keep child processes ready: one run each (``Pool``), many runs in a few (``SharedGroup``), calls one after the
other (``CallPool``).

When the app cannot be imported, or its processes die before they are ready, new ones are started after
growing pauses, never in a tight circle; runs that wait are told after GIVE_UP failures in a row. What happens to
a process that was ready is its runs' affair: another takes its place at once.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from hookline.errors import SettingError
from hookline.model.executions import Failure
from hookline.ports.runner import Failed
from hookline.runners.process import Child
from hookline.runners.run import Verdict

if TYPE_CHECKING:
    from hookline.runners.deadlines import Deadlines
    from hookline.runners.process import Command
    from hookline.runners.protocol import Ready
    from hookline.runners.run import Run

GIVE_UP: Final = 3
"""Processes in a row that did not get ready before waiting runs fail: a file being replaced is not broken."""

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 30.0
"""Seconds between starts after failures: doubling from the first to the longest."""

HEAD_START: Final = 0.03
"""Seconds between handing out a process and starting its successor, unless a run waits: that its run has begun is
stored first, and then it gets the processor.
"""

_UNHEARD_SECONDS: Final = 2.0
"""A killed process is heard of by the end of its socket; when that is not read, or held by what it left behind, a stop
looks for itself after so long.
"""

CALL_PATIENCE: Final = 0.05
"""Seconds that calls wait for a busy process before another is started, which takes as long: most calls are short."""


class Starting(NamedTuple):
    """How processes of one sort come about.

    start_seconds: longest import of the app.  parallel: processes that may be starting at once.
    """

    command: Command
    deadlines: Deadlines
    loop: asyncio.AbstractEventLoop
    start_seconds: float
    parallel: int


class Group(ABC):
    """Child processes of one sort, and the runs that wait for one."""

    def __init__(self, how: Starting) -> None:
        self._how, self._deadlines, self._loop = how, how.deadlines, how.loop
        self._children: set[Child] = set()
        self._starting: set[Child] = set()
        self._waiting: deque[Run] = deque()
        self._failures = 0
        self._refill_timer: asyncio.TimerHandle | None = None
        self._refill_at = 0.0
        self._is_closed = False
        self._manifest: asyncio.Future[Ready] = how.loop.create_future()
        self._emptied = asyncio.Event()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self._children)} processes, {len(self._waiting)} runs wait>"

    def census(self) -> dict[str, int]:
        """How many processes are in which state."""
        busy = sum(bool(child.runs) for child in self._children)
        starting = len(self._starting)
        return {"starting": starting, "idle": len(self._children) - busy - starting, "busy": busy}

    @abstractmethod
    def _free(self) -> Child | None:
        """Return a process that can take a run now."""

    @abstractmethod
    def _missing(self) -> int:
        """Return how many more processes are wanted, beside those starting."""

    @abstractmethod
    def _place(self, child: Child) -> None:
        """Take a process that got ready, or was given back unused."""

    @abstractmethod
    def _forget(self, child: Child) -> None:
        """Drop a process that is gone."""

    async def start(self) -> Ready:
        """Start processes; return what the first of them declares. Raises SettingError when it cannot."""
        self._refill()
        return await self._manifest

    async def take(self, run: Run) -> bool:
        """Give the run a seat; False when it ended before there was one."""
        if self._is_closed:
            run.verdict = run.verdict or Verdict.STOPPED
            return False
        child = self._free()
        if child is not None:
            child.seat(run)
            self._refill_in(HEAD_START)
            return True
        waiter = run.waiter = self._loop.create_future()
        self._waiting.append(run)
        self._refill_in(0.0)
        try:
            await waiter
        finally:
            if run.seat is None:
                self._waiting = deque(each for each in self._waiting if each is not run)
            run.waiter = None
        return run.seat is not None

    def give_back(self, child: Child, run: Run) -> None:
        """End the run's use of its seat."""
        child.release(run)
        if not child.is_gone and not child.is_shared and not run.has_started and not self._is_closed:
            self._place(child)

    async def close(self) -> None:
        """End all processes; returns when none is left."""
        self.refuse()
        for child in self._children:
            child.kill()
        while self._children:
            try:
                async with asyncio.timeout(_UNHEARD_SECONDS):
                    await self._emptied.wait()
            except TimeoutError:
                for child in tuple(self._children):
                    child.reap()

    def refuse(self) -> None:
        """Take no more runs, and let go those that wait and the processes without one."""
        self._is_closed = True
        if self._refill_timer is not None:
            self._refill_timer.cancel()
        if not self._manifest.done():
            self._manifest.cancel()
        for run in self._waiting:
            run.verdict = run.verdict or Verdict.STOPPED
            run.stop_waiting()
        for child in self._children:
            if not child.runs:
                child.kill()

    def ready(self, child: Child, manifest: Ready) -> None:
        self._deadlines.discard(child)
        self._starting.discard(child)
        if self._failures:
            self._failures = 0
            if self._refill_timer is not None:
                self._refill_timer.cancel()
                self._refill_timer = None
        if not self._manifest.done():
            self._manifest.set_result(manifest)
        if not self._is_closed:
            self._place(child)
        self._refill_in(0.0)

    def gone(self, child: Child, why: Failure) -> None:
        self._deadlines.discard(child)
        self._children.discard(child)
        self._forget(child)
        if self._is_closed:
            if not self._children:
                self._emptied.set()
        elif child in self._starting:
            self._starting.discard(child)
            self._failed(why)
        else:
            self._refill_in(0.0)

    def _failed(self, why: Failure) -> None:
        """Act on a process that did not get ready."""
        self._failures += 1
        kind = f"{why.type}: " if why.type else ""
        message = f"the app could not be loaded: {kind}{why.message}"
        if not self._manifest.done():
            told = f"\n{why.stack.rstrip()}" if why.stack else ""
            self._manifest.set_exception(SettingError(message + told))
            return
        if self._failures >= GIVE_UP:
            failure = Failure(code="FAILED", message=message, type="SettingError", stack=why.stack)
            for run in self._waiting:
                run.end(Failed(failure=failure))
                run.stop_waiting()
        self._refill_in(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self._failures - 1)))

    def _refill_in(self, seconds: float) -> None:
        """Start what is missing after a pause, or sooner if that was said before. One after failures is kept."""
        if self._is_closed:
            return
        at = self._loop.time() + seconds
        if self._refill_timer is not None:
            if self._failures or self._refill_at <= at:
                return
            self._refill_timer.cancel()
        # Not the timer's own ``when``: uvloop's has none when it is due at once.
        self._refill_timer, self._refill_at = self._loop.call_later(seconds, self._refill), at

    def _refill(self) -> None:
        self._refill_timer = None
        for _ in range(min(self._missing(), self._how.parallel - len(self._starting))):
            try:
                child = Child(self._how.command, self, self._loop)
            except OSError as exc:
                self._failed(Failure(code="LOST", message=str(exc), type=type(exc).__name__))
                return
            self._children.add(child)
            self._starting.add(child)
            self._deadlines.set(child, self._how.start_seconds)

    def _next_waiting(self) -> Run | None:
        while self._waiting:
            run = self._waiting.popleft()
            if run.waiter is not None and not run.waiter.done():
                return run
        return None

    def _hand_over(self, child: Child, run: Run) -> None:
        child.seat(run)
        run.stop_waiting()


class Pool(Group):
    """Processes that run one execution each. warm: how many to keep ready.  limit: how many there may be."""

    def __init__(self, how: Starting, *, warm: int, limit: int) -> None:
        super().__init__(how)
        self._warm, self._limit = warm, limit
        self._idle: deque[Child] = deque()

    def shrink(self) -> None:
        """Keep none ready any more: every automation shares."""
        self._warm = 0
        for child in self._idle:
            child.kill()

    def _free(self) -> Child | None:
        return self._idle.popleft() if self._idle else None

    def _missing(self) -> int:
        wanted = self._warm + len(self._waiting) - len(self._idle) - len(self._starting)
        return min(wanted, self._limit - len(self._children))

    def _place(self, child: Child) -> None:
        run = self._next_waiting()
        if run is None:
            self._idle.append(child)
        else:
            self._hand_over(child, run)

    def _forget(self, child: Child) -> None:
        if child in self._idle:
            self._idle.remove(child)


class CallPool(Pool):
    """Processes that serve one call at a time and live on.

    warm: how many are kept.  limit: how many there may be while calls wait for those that are busy, or hang.
    recycle_after: calls before one is replaced.
    """

    def __init__(self, how: Starting, *, warm: int, limit: int, recycle_after: int) -> None:
        super().__init__(how, warm=warm, limit=limit)
        self._recycle_after = recycle_after

    def give_back(self, child: Child, run: Run) -> None:
        super().give_back(child, run)
        if child.is_gone or not run.has_started:
            return
        is_wanted = self._waiting or len(self._idle) < self._warm
        is_well = run.has_ended and child.runs_started < self._recycle_after
        if is_well and is_wanted and not self._is_closed:
            self._place(child)
        else:
            child.kill()

    def _free(self) -> Child | None:
        return self._idle.pop() if self._idle else None  # the one whose caches are warmest

    def _refill_in(self, seconds: float) -> None:
        super()._refill_in(max(seconds, CALL_PATIENCE))

    def _missing(self) -> int:
        wanted = max(self._warm - len(self._children), len(self._waiting) - len(self._starting))
        return min(wanted, self._limit - len(self._children))


class SharedGroup(Group):
    """Processes that run many executions each; as many of them as may be starting at once.

    recycle_after: executions before one is replaced, so that what runs leave behind in
    memory does not grow for ever; it goes on serving until its successor is ready.
    """

    def __init__(self, how: Starting, *, recycle_after: int) -> None:
        super().__init__(how)
        self._recycle_after = recycle_after
        self._serving: list[Child] = []
        self._old: set[Child] = set()

    def give_back(self, child: Child, run: Run) -> None:
        super().give_back(child, run)
        if child in self._old and child not in self._serving and not child.runs:
            child.kill()

    def _free(self) -> Child | None:
        if not self._serving:
            return None
        child = (
            min(self._serving, key=lambda each: len(each.runs))
            if len(self._serving) > 1
            else self._serving[0]
        )
        if child.runs_started >= self._recycle_after:
            self._old.add(child)
        return child

    def _missing(self) -> int:
        return (
            self._how.parallel - len(self._starting) - sum(child not in self._old for child in self._serving)
        )

    def _place(self, child: Child) -> None:
        self._serving.append(child)
        for old in self._old:
            if old in self._serving:
                self._serving.remove(old)
                if not old.runs:
                    old.kill()
        while (run := self._next_waiting()) is not None:
            self._hand_over(child, run)

    def _forget(self, child: Child) -> None:
        self._old.discard(child)
        if child in self._serving:
            self._serving.remove(child)
