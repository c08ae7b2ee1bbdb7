"""Carry out steps, sleeps and waits of async functions.

A run suspends when a sleep or wait holds it and no step is in progress; where there are other tasks, only after
a quiet moment, so that those still on their way to a step get there. A run that suspended hears nothing more: its
calls never return, and no ``finally`` of the user runs.
"""

from __future__ import annotations

import asyncio
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from hookline.core.calling import awaited
from hookline.model.executions import JournalEntry
from hookline.runners import values
from hookline.runners.session import QUIET, Pause, RunSession, closed, in_step
from hookline.runners.trying import Step, TimeUp, alarm
from hookline.siblings import result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hookline.runners.protocol import Start, ToNode
    from hookline.steps import StepRule


class AsyncSession(RunSession):
    """The session behind a ``Context``. Made and used in one event loop; only the plain calls may come from
    other threads.

    on_suspended: called once when the run has suspended; the process leaves or keeps the coroutine unresumed.
    """

    def __init__(
        self,
        start: Start,
        entries: Iterable[JournalEntry],
        send: Callable[[ToNode], None],
        *,
        loop: asyncio.AbstractEventLoop,
        on_suspended: Callable[[AsyncSession], None],
    ) -> None:
        super().__init__(start, entries, send)
        self.task: asyncio.Task[None] | None = None
        self._loop = loop
        self._on_suspended = on_suspended
        self._acks: dict[int, asyncio.Future[None]] = {}
        self._held: list[asyncio.Future[None]] = []
        self._steps_in_progress = 0
        self._pauses: dict[asyncio.Future[None], Pause] = {}
        self._check: asyncio.Handle | None = None

    def acknowledge(self, sequence: int) -> None:
        """Let the steps up to this number go on."""
        for number in [number for number in self._acks if number <= sequence]:
            acked = self._acks.pop(number)
            if not acked.done():
                acked.set_result(None)

    async def step(self, name: str, fn: Callable[[], Any], rule: StepRule | None) -> Any:
        begun = self.begin_step(name, rule)
        is_new = False
        while isinstance(begun, Step):
            pause = self.pause_before(begun, is_new=is_new)
            if pause is not None:
                await self._rest(pause)
            begun, is_new = await self._try(begun, fn), True
        return values.decode(begun.value)

    async def _try(self, step: Step, fn: Callable[[], Any]) -> Step | JournalEntry:
        """Return the entry of the result, or the step when it is to be tried again."""
        if self.is_over:
            await self._forever()
        self.begin_try(step)
        self._steps_in_progress += 1
        token = in_step.set(True)
        try:
            entry = await self._tried(step, fn)
            if entry is not None:
                await self._commit(entry)
        finally:
            in_step.reset(token)
            self._steps_in_progress -= 1
            self._look_for_rest(QUIET)
        return entry or step

    async def _tried(self, step: Step, fn: Callable[[], Any]) -> JournalEntry | None:
        """Return the entry of the result, None when the step is to be tried again. Raises what its caller gets."""
        try:
            return step.entry(await _called(fn, step.timeout_seconds))
        except BaseException as exc:
            sequence = self.note_failure(step, exc)
            if step.rule is None or not isinstance(exc, Exception | TimeUp):
                raise
            if error := step.error():
                if sequence is not None:
                    await self._stored(sequence)
                raise error from (None if isinstance(exc, TimeUp) else exc)
            return None

    async def sleep(self, seconds: float) -> None:
        await self._rest(self.begin_sleep(seconds))

    async def wait(self, name: str, timeout_seconds: float | None) -> Any:
        begun = self.begin_wait(name, timeout_seconds)
        if isinstance(begun, JournalEntry):
            return values.decode(begun.value)
        await self._rest(begun)
        assert begun.wait is not None
        await self._commit(closed(begun.wait))
        return None

    async def call(
        self, op: str, name: str, data: Any, *, is_awaited: bool, timeout_seconds: float | None = None
    ) -> Any:
        entry, is_new = self.begin_call(op, name, data, is_awaited=is_awaited)
        if self.is_over:
            await self._forever()
        if is_new:
            await self._commit(entry)
        if not is_awaited:
            return None
        answer = await self.wait(awaited(op, name, entry.occurrence), timeout_seconds)
        return result_of(op, name, answer, timeout_seconds)

    async def _commit(self, entry: JournalEntry) -> None:
        """Send the entry and wait until it is stored."""
        with self._lock:
            sequence = self._record([entry])
        await self._stored(sequence)

    async def _stored(self, sequence: int) -> None:
        """Wait until the node has stored all up to this number."""
        acked = self._acks[sequence] = self._loop.create_future()
        await acked

    async def _rest(self, pause: Pause) -> None:
        """Return when the pause ends, or never: the run suspends and goes on elsewhere."""
        if self.is_over:
            await self._forever()
        left = pause.remaining()
        if left <= pause.patience:
            await asyncio.sleep(max(0.0, left))
            if self.is_over:  # another task suspended the run meanwhile
                await self._forever()
            return
        over: asyncio.Future[None] = self._loop.create_future()
        alarm = None if pause.wake_at is None else self._loop.call_later(left, self._end, over)
        self._pauses[over] = pause
        is_alone = asyncio.current_task() is self.task and len(asyncio.all_tasks()) == 1
        self._look_for_rest(0.0 if is_alone else QUIET)
        try:
            await over
        finally:
            del self._pauses[over]
            if alarm is not None:
                alarm.cancel()

    def _look_for_rest(self, delay: float) -> None:
        """Suspend after the delay unless a step has begun by then."""
        if self._check is not None:
            self._check.cancel()
            self._check = None
        if self._pauses and not self._steps_in_progress and not self.is_over:
            self._check = (
                self._loop.call_later(delay, self._suspend) if delay else self._loop.call_soon(self._suspend)
            )

    def _suspend(self) -> None:
        self._check = None
        if not self._pauses or self._steps_in_progress or self.is_over:
            return
        if any(over.done() for over in self._pauses):
            # It ended or was cancelled in this very turn: its task has yet to hear of it, and moves on.
            self._look_for_rest(QUIET)
            return
        self.suspend(self._pauses.values())
        self._on_suspended(self)

    async def _forever(self) -> None:
        """Hold a task of a run that is over. The session is kept as long as the process."""
        never: asyncio.Future[None] = self._loop.create_future()
        self._held.append(never)
        await never

    def _end(self, over: asyncio.Future[None]) -> None:
        if not over.done() and not self.is_over:
            over.set_result(None)


async def _called(fn: Callable[[], Any], seconds: float | None) -> Any:
    """Call it, and await what is awaitable. Raises TimeUp."""
    if seconds is None:
        result = fn()
        return await result if isawaitable(result) else result
    with alarm(seconds):  # a plain function holds up the loop: no timer of it would ring
        result = fn()
    if not isawaitable(result):
        return result
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await result
    except TimeoutError:
        if limit.expired():
            raise TimeUp(seconds) from None
        raise
