"""Carry out steps, sleeps and waits of plain functions, where waiting means blocking.

The whole process belongs to one run, so to suspend is to leave the process. Threads of the user's function
may use the same ``ctx``: one at a time reads acknowledgements, none leaves while another is in a step.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
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
    from typing import NoReturn

    from hookline.runners.protocol import Ack, Start, ToNode
    from hookline.steps import StepRule


class PlainSession(RunSession):
    """The session behind a ``PlainContext``.

    receive: blocks for the next acknowledgement.  leave: flushes output and ends the process.
    """

    def __init__(
        self,
        start: Start,
        entries: Iterable[JournalEntry],
        send: Callable[[ToNode], None],
        *,
        receive: Callable[[], Ack],
        leave: Callable[[], NoReturn],
    ) -> None:
        super().__init__(start, entries, send)
        self._receive, self._leave = receive, leave
        self._acked = 0
        self._reading = threading.Lock()
        self._steps_changed = threading.Condition()
        self._steps_in_progress = 0
        self._pauses: list[Pause] = []

    def step(self, name: str, fn: Callable[[], Any], rule: StepRule | None) -> Any:
        begun = self.begin_step(name, rule)
        is_new = False
        while isinstance(begun, Step):
            pause = self.pause_before(begun, is_new=is_new)
            if pause is not None:
                self._rest(pause)
            begun, is_new = self._try(begun, fn), True
        return values.decode(begun.value)

    def sleep(self, seconds: float) -> None:
        self._rest(self.begin_sleep(seconds))

    def wait(self, name: str, timeout_seconds: float | None) -> Any:
        begun = self.begin_wait(name, timeout_seconds)
        if isinstance(begun, JournalEntry):
            return values.decode(begun.value)
        self._rest(begun)
        assert begun.wait is not None
        self._commit(closed(begun.wait))
        return None

    def call(
        self, op: str, name: str, data: Any, *, is_awaited: bool, timeout_seconds: float | None = None
    ) -> Any:
        entry, is_new = self.begin_call(op, name, data, is_awaited=is_awaited)
        if is_new:
            self._commit(entry)
        if not is_awaited:
            return None
        answer = self.wait(awaited(op, name, entry.occurrence), timeout_seconds)
        return result_of(op, name, answer, timeout_seconds)

    def _try(self, step: Step, fn: Callable[[], Any]) -> Step | JournalEntry:
        """Return the entry of the result, or the step when it is to be tried again."""
        self.begin_try(step)
        self._count_steps(+1)
        token = in_step.set(True)
        try:
            entry = self._tried(step, fn)
            if entry is not None:
                self._commit(entry)
        finally:
            in_step.reset(token)
            self._count_steps(-1)
        return entry or step

    def _tried(self, step: Step, fn: Callable[[], Any]) -> JournalEntry | None:
        """Return the entry of the result, None when the step is to be tried again. Raises what its caller gets."""
        try:
            return step.entry(_called(step, fn))
        except BaseException as exc:
            sequence = self.note_failure(step, exc)
            if step.rule is None or not isinstance(exc, Exception | TimeUp):
                raise
            if error := step.error():
                if sequence is not None:
                    self._await_stored(sequence)
                raise error from (None if isinstance(exc, TimeUp) else exc)
            return None

    def _commit(self, entry: JournalEntry) -> None:
        """Send the entry and wait until it is stored."""
        with self._lock:
            sequence = self._record([entry])
        self._await_stored(sequence)

    def _await_stored(self, sequence: int) -> None:
        """Wait until the node has stored all up to this number."""
        with self._reading:
            while self._acked < sequence:
                self._acked = self._receive().sequence

    def _count_steps(self, change: int) -> None:
        with self._steps_changed:
            self._steps_in_progress += change
            self._steps_changed.notify_all()

    def _rest(self, pause: Pause) -> None:
        """Return when the pause ends, or never: the process leaves and the run goes on in another."""
        with self._steps_changed:
            self._pauses.append(pause)
            while (left := pause.remaining()) > pause.patience:
                if self._steps_in_progress == 0 and not self._is_anything_moving():
                    self.suspend(self._pauses)
                    self._leave()
                self._steps_changed.wait(min(left, 3600.0))
            if left > 0:
                self._steps_changed.wait_for(lambda: pause.remaining() <= 0, left)
            self._pauses.remove(pause)

    def _is_anything_moving(self) -> bool:
        """Say whether another thread begins or ends a step within a moment."""
        return threading.active_count() > 1 and self._steps_changed.wait(QUIET)


def _called(step: Step, fn: Callable[[], Any]) -> Any:
    """Call it. Raises TimeUp, and TypeError for what would have to be awaited."""
    with nullcontext() if step.timeout_seconds is None else alarm(step.timeout_seconds):
        result = fn()
    if isawaitable(result):
        if hasattr(result, "close"):
            result.close()  # or Python warns that it was never awaited
        raise TypeError(f"step {step.name!r} calls an async function: make the automation itself async")
    return result
