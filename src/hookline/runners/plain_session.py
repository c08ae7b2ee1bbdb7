"""Carry out steps, sleeps and waits of plain functions, where waiting means blocking.

The whole process belongs to one run, so to suspend is to leave the process. Threads of the user's function
may use the same ``ctx``: one at a time reads acknowledgements, none leaves while another is in a step.
"""

from __future__ import annotations

import threading
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from hookline.core.calling import awaited
from hookline.model.executions import JournalEntry
from hookline.runners import values
from hookline.runners.session import QUIET, Pause, RunSession, StepInProgress, closed, in_step
from hookline.siblings import result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn

    from hookline.runners.protocol import Ack, Start, ToNode


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

    def step(self, name: str, fn: Callable[[], Any]) -> Any:
        begun = self.begin_step(name)
        if isinstance(begun, StepInProgress):
            self._count_steps(+1)
            token = in_step.set(True)
            try:
                begun = self._carry_out(begun, name, fn)
            finally:
                in_step.reset(token)
                self._count_steps(-1)
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

    def call(self, flow: str, data: Any, timeout_seconds: float | None) -> Any:
        entry, is_new = self.begin_call(flow, data, is_awaited=timeout_seconds is not None)
        if is_new:
            self._commit(entry)
        if timeout_seconds is None:
            return None
        return result_of(flow, self.wait(awaited(flow, entry.occurrence), timeout_seconds), timeout_seconds)

    def _carry_out(self, begun: StepInProgress, name: str, fn: Callable[[], Any]) -> JournalEntry:
        result = fn()
        if isawaitable(result):
            if hasattr(result, "close"):
                result.close()  # or Python warns that it was never awaited
            raise TypeError(f"step {name!r} calls an async function: make the automation itself async")
        entry = begun.entry(result)
        self._commit(entry)
        return entry

    def _commit(self, entry: JournalEntry) -> None:
        """Send the entry and wait until it is stored."""
        with self._lock:
            sequence = self._record([entry])
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
