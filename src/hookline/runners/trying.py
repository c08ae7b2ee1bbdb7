"""One step that a run is to do: its next try, and what becomes of a try that gave no result.

Nothing here waits or talks to the node; the sessions do.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import random
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from hookline.core.tries import FailedTry, entry_of
from hookline.model.executions import Failure, JournalEntry
from hookline.runners import values
from hookline.steps import StepError, step_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from hookline.steps import StepRule

_NOT_THE_STEP: Final = frozenset({"KILLED", "LOST"})
"""Codes of tries that were ended from outside: they use up none of the step's own."""


class TimeUp(BaseException):
    """A try took longer than its limit. No ``Exception``: the step's code must not take it for an error of its own."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it took longer than {seconds:g} s")


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise TimeUp in the block when it takes longer. Raises RuntimeError outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("a step with timeout_seconds must be called from the function's own thread")
    is_set = True

    def ring(_signal: int, _frame: FrameType | None) -> None:
        if is_set:  # it may have gone off in the moment in which the block ended
            raise TimeUp(seconds)

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        is_set = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)


class Step:
    """A step without a result. rule: None for one that is not tried again.

    tries: those behind it, in their order.  round_: of the execution (``core.tries``).
    """

    __slots__ = ("_began", "_last", "_made", "_number", "_round", "_started_at", "name", "occurrence", "rule")

    def __init__(
        self,
        name: str,
        occurrence: int,
        rule: StepRule | None,
        *,
        tries: Sequence[FailedTry] = (),
        round_: int = 0,
    ) -> None:
        self.name, self.occurrence, self.rule = name, occurrence, rule
        self._round = round_
        self._number = tries[-1].number if tries else 0
        own = [tried for tried in tries if tried.round == round_ and tried.failure.code not in _NOT_THE_STEP]
        self._made = len(own)
        self._last = own[-1] if own else None

    @property
    def timeout_seconds(self) -> float | None:
        return None if self.rule is None else self.rule.timeout_seconds

    @property
    def number(self) -> int:
        """Which try this is, from 1, over all rounds."""
        return self._number

    @property
    def round(self) -> int:
        return self._round

    @property
    def started_at(self) -> datetime:
        return self._started_at

    def error(self) -> StepError | None:
        """What its caller gets without a further try; None while there is one."""
        if self.rule is None or self._last is None or not self._last.is_final:
            return None
        return step_error(self.name, self._last.failure, self._made)

    def retry_at(self) -> datetime | None:
        """When the next try is due, None for at once."""
        return None if self._last is None or self.rule is None else self._last.retry_at

    def begin(self) -> None:
        self._number += 1
        self._started_at, self._began = datetime.now(UTC), perf_counter()

    def entry(self, result: Any) -> JournalEntry:
        """Return the entry for its result. Raises TypeError or ValueError when that is not JSON."""
        return JournalEntry(
            op="step",
            name=self.name,
            occurrence=self.occurrence,
            value=values.encode(result, f"the result of step {self.name!r}"),
            started_at=self._started_at,
            duration_ms=self._duration_ms(),
        )

    def failed(self, exc: BaseException) -> JournalEntry | None:
        """Take note of how the try ended; return its entry, None when it is not kept."""
        failure = _failure_of(exc)
        retry_at, is_final = None, False
        if failure.code not in _NOT_THE_STEP:
            delay = self._delay(exc)
            self._made += 1
            is_final = self.rule is not None and delay is None
            retry_at = None if delay is None else datetime.now(UTC) + timedelta(seconds=delay)
        self._last = FailedTry(self.occurrence, self._number, self._round, failure, retry_at, is_final)
        return entry_of(self.name, self._last, started_at=self._started_at, duration_ms=self._duration_ms())

    def _delay(self, exc: BaseException) -> float | None:
        """Seconds until the next try, None when there is none."""
        retry = None if self.rule is None else self.rule.retry
        if retry is None or self._made >= retry.retries or isinstance(exc, retry.give_up_on):
            return None
        return retry.delay(self._made, jitter=random())  # noqa: S311 -- spreads load, keeps no secret

    def _duration_ms(self) -> int:
        return round((perf_counter() - self._began) * 1000)


def _failure_of(exc: BaseException) -> Failure:
    if isinstance(exc, TimeUp):
        return values.failure(str(exc), type_="TimeoutError", code="TIMED_OUT")
    failure = values.failure_of(exc)
    if isinstance(exc, Exception | SystemExit):
        return failure
    return values.failure("the step was cancelled", type_=failure.type, code="KILLED")
