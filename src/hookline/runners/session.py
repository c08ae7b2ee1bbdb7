"""Remember what an execution already did, and report what it does now.

``Memory`` answers from the journal. ``RunSession`` is the part of a ``ctx`` that never waits: log lines,
credits and events go out at once and in order. How a step, sleep or wait holds up its caller differs between
plain and async code: plain_session.py, async_session.py.
"""

from __future__ import annotations

import math
import re
from _thread import RLock
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.calling import FLOW, Call
from hookline.core.tries import rounds_of, tries_by_step
from hookline.model.executions import JournalEntry
from hookline.model.ids import public
from hookline.ports.runner import EmitDraft, LogDraft, OpenWait
from hookline.runners import values
from hookline.runners.protocol import Began, Finished, Recorded, Suspend
from hookline.runners.streams import flush_output
from hookline.runners.trying import Step
from hookline.siblings import check_flow, check_workflow
from hookline.triggered import Trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hookline.core.tries import FailedTry
    from hookline.runners.protocol import Start, ToNode
    from hookline.steps import StepRule

SHORT_SLEEP: Final = 0.1
"""Seconds a sleep may hold its process: less than it takes to start another."""

PATIENCE: Final = 5.0
"""Seconds a resumed run waits in its process for an instant it was woken for. The node that woke it may have
a clock that runs ahead of ours: without this the run would suspend and wake in a tight circle."""

QUIET: Final = 0.2
"""Seconds without a step before a run with several tasks or threads suspends: others reach their calls."""

SHORT_RETRY: Final = 2.0
"""Seconds a step's wait for its next try may hold its process: most first retries, which are often the last."""

MAX_LINE: Final = 64 * 1024
"""Characters of one log line."""

LOG_BUDGET: Final = 10 * 1024 * 1024
"""Characters of log text one process may write: a loop that logs must not fill the disk."""

MAX_NAME: Final = 200
"""Characters of the name of a step, wait or event."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")

MAX_SLEEP: Final = 10 * 366 * 86400
"""Seconds: ten years, so that the instant exists."""

in_step: Final[ContextVar[bool]] = ContextVar("hookline_in_step", default=False)
"""Whether this code runs inside a step: it cannot suspend, half a step cannot be taken up again."""


class Memory:
    """What the journal says of each call, and how often each was made in this process."""

    def __init__(self, entries: Iterable[JournalEntry]) -> None:
        self._entries = {(entry.op, entry.name, entry.occurrence): entry for entry in entries}
        self._calls: dict[tuple[str, str], int] = {}
        self._covered: dict[str, int] = {}
        for op, _, occurrence in self._entries:
            self._covered[op] = max(occurrence, self._covered.get(op, -1))
        self._tries = tries_by_step(self._entries.values())
        self.round = rounds_of(self._entries.values())

    def next(self, op: str, name: str) -> tuple[int, JournalEntry | None]:
        """Count a call; return its occurrence and what is recorded of it."""
        occurrence = self._calls.get((op, name), 0)
        self._calls[op, name] = occurrence + 1
        return occurrence, self._entries.get((op, name, occurrence))

    def tries(self, name: str, occurrence: int) -> list[FailedTry]:
        """Return the failed tries of a step, in their order."""
        return [tried for _, tried in self._tries.get((name, occurrence), ())]

    def next_of_many(self, op: str) -> int | None:
        """Count a call of an op whose latest entry stands for all earlier ones; None when it is recorded."""
        occurrence, _ = self.next(op, "")
        return None if occurrence <= self._covered.get(op, -1) else occurrence


class Pause(msgspec.Struct, frozen=True):
    """A sleep or wait that must hold its caller.

    wake_at: None for never.  patience: seconds worth staying for.  wait: None for a sleep.
    """

    wake_at: datetime | None
    patience: float
    wait: OpenWait | None = None

    def remaining(self) -> float:
        """Seconds until it ends, at most 0 when it is over."""
        return math.inf if self.wake_at is None else (self.wake_at - _now()).total_seconds()


class RunSession:
    """One run in this process: its memory, and its line to the node.

    send: takes messages in order, from any thread.  flush: hands over what was printed so far.
    workflows: ids of the app's, which the run may run.
    """

    workflows: frozenset[str] = frozenset()

    def __init__(self, start: Start, entries: Iterable[JournalEntry], send: Callable[[ToNode], None]) -> None:
        self.run = start.run
        self.execution_id = public("execution", start.execution_id)
        self.attempt = start.attempt
        self.input = values.decode(start.input)
        private = values.decode(start.private) or {}
        trigger = values.decode_trigger(start.trigger)
        if keys := private.get("webhook_api_keys"):
            trigger["webhook_api_keys"] = keys
        if trigger:
            trigger["execution_id"] = self.execution_id
        self.trigger = Trigger(trigger)
        if trigger.get("input") == "body":
            self.input = self.trigger.body.data
        self.config: dict[str, Any] = private.get("config") or {}
        self.instance_state: Any = private.get("instance_state")
        self.history: list[dict[str, Any]] = private.get("history") or []
        self.trace_headers: dict[str, str] = start.trace
        self.resolution: dict[str, Any] | None = None
        self.model: dict[str, Any] | None = values.decode(start.model)
        self.is_over = False
        self.flush: Callable[[], None] = flush_output
        self._memory = Memory(entries)
        self._send = send
        self._lock = RLock()
        self._sequence = 0
        self._log_left = LOG_BUDGET

    def log(self, text: str, level: str, fields: dict[str, Any]) -> None:
        """Send a line, unless it is recorded, the run is over or its budget is used up."""
        with self._lock:
            occurrence = self._memory.next_of_many("log")
            if occurrence is None or self._log_left <= 0:
                return
            draft = self._line("log", level, text, fields)
            self._record([_done("log", "", occurrence, draft.at)], logs=[draft])

    def tell(self, stream: str, level: str, text: str, fields: dict[str, Any]) -> None:
        """Send a line that is not remembered: what says it again when it runs again. For inside of steps, which are
        remembered themselves, and for progress.
        """
        with self._lock:
            if self._log_left > 0:
                self._record([], logs=[self._line(stream, level, text, fields)])

    def _line(self, stream: str, level: str, text: str, fields: dict[str, Any]) -> LogDraft:
        line = values.clean(text[:MAX_LINE])
        shown = values.encode_fields(fields)
        self._log_left -= len(line) + len(shown or b"") + 64
        if self._log_left <= 0:
            stream, level, line, shown = "log", "warning", "too much was logged: the rest is dropped", None
        return LogDraft(at=_now(), stream=stream, level=level, text=line, fields=shown)

    def add_credits(self, amount: float) -> None:
        if isinstance(amount, bool) or not isinstance(amount, int | float):
            raise TypeError(f"credits must be a number; got {amount!r}")
        if not 0 <= amount < math.inf:
            raise ValueError(f"credits must be finite and not negative; got {amount!r}")
        with self._lock:
            occurrence = self._memory.next_of_many("credits")
            if occurrence is not None:
                self._record([_done("credits", "", occurrence, _now())], credits=float(amount))

    def emit(self, type_: str, data: Any) -> None:
        check_name(type_, "an event's type")
        encoded = values.encode(data, f"the data of event {type_!r}")
        with self._lock:
            occurrence, entry = self._memory.next("emit", type_)
            if entry is not None:
                return
            at = _now()
            draft = EmitDraft(type=type_, data=encoded, occurrence=occurrence, at=at)
            self._record([_done("emit", type_, occurrence, at)], emits=[draft])

    def output(self, drafts: list[LogDraft]) -> None:
        """Send lines of stdout or stderr (shared children; else they come through a pipe)."""
        with self._lock:
            self._record([], logs=drafts)

    def finished(self, result: Any) -> Finished:
        """Return the last message of a run that returned. Raises TypeError or ValueError."""
        resolution = None if self.resolution is None else values.encode(self.resolution, "ctx.resolve")
        return Finished(self.run, values.encode_result(result), resolution)

    def begin_step(self, name: str, rule: StepRule | None) -> Step | JournalEntry:
        """Return the recorded entry of this call, or what will make one. Raises StepError when it has failed for
        good, TypeError, ValueError.
        """
        check_name(name, "a step's name")
        with self._lock:
            occurrence, entry = self._memory.next("step", name)
        if entry is not None:
            return entry
        tries = self._memory.tries(name, occurrence)
        step = Step(name, occurrence, rule, tries=tries, round_=self._memory.round)
        if error := step.error():
            raise error
        return step

    def begin_try(self, step: Step) -> None:
        """Say that a try of the step begins, which may be the last that is heard of it."""
        step.begin()
        if not self.is_over:
            self._send(Began(self.run, step.name, step.occurrence, step.number, step.round, step.started_at))

    def note_failure(self, step: Step, exc: BaseException) -> int | None:
        """Record how a try of the step failed; return the sequence number of that, None when it is not kept."""
        entry = step.failed(exc)
        with self._lock:
            return None if entry is None else self._record([entry])

    def pause_before(self, step: Step, *, is_new: bool) -> Pause | None:
        """Return what is left of the wait before the next try. is_new: it began in this process."""
        at = step.retry_at()
        return None if at is None else Pause(at, SHORT_RETRY if is_new else PATIENCE)

    def begin_sleep(self, seconds: float) -> Pause:
        """Record and return a sleep, or the one this call already began. Raises ValueError, TypeError."""
        _check_can_pause("ctx.sleep")
        delay = timedelta(seconds=_checked_seconds(seconds, "ctx.sleep"))
        with self._lock:
            occurrence, entry = self._memory.next("sleep", "")
            if entry is not None and entry.value is not None:
                return Pause(msgspec.json.decode(entry.value, type=datetime), PATIENCE)
            at = _now()
            value = msgspec.json.encode(at + delay)
            entry = JournalEntry(op="sleep", name="", occurrence=occurrence, value=value, started_at=at)
            self._record([entry])
        return Pause(at + delay, SHORT_SLEEP)

    def begin_call(self, op: str, name: str, data: Any, *, is_awaited: bool) -> tuple[JournalEntry, bool]:
        """Return the entry of a call (``core.calling``), and whether it is new.

        Raises as ``check_flow`` or ``check_workflow``, TypeError or ValueError.
        """
        what = "flow" if op == FLOW else "workflow"
        _check_can_pause(f"a call of a {what}")
        if op == FLOW:
            check_flow(self.trigger, name)
        else:
            check_workflow(self.trigger, name, self.workflows)
        text = values.encode(data, f"what {what} {name!r} is called with")
        value = msgspec.json.encode(Call(data=msgspec.Raw(text), is_awaited=is_awaited))
        with self._lock:
            occurrence, entry = self._memory.next(op, name)
        if entry is not None:
            return entry, False
        return JournalEntry(op=op, name=name, occurrence=occurrence, value=value, started_at=_now()), True

    def begin_wait(self, name: str, timeout_seconds: float | None) -> Pause | JournalEntry:
        """Return the answered entry of this call, or the pause for it. Raises ValueError, TypeError."""
        _check_can_pause("ctx.wait_for_event")
        check_name(name, "the name of an awaited event")
        limit = None if timeout_seconds is None else _checked_seconds(timeout_seconds, "timeout_seconds")
        with self._lock:
            occurrence, entry = self._memory.next("wait", name)
            if entry is not None and entry.value is not None:
                return entry
            is_new = entry is None
            if entry is None:
                at = _now()
                entry = JournalEntry(op="wait", name=name, occurrence=occurrence, value=None, started_at=at)
                self._record([entry])
        deadline = None if limit is None else entry.started_at + timedelta(seconds=limit)
        wait = OpenWait(name=name, occurrence=occurrence, deadline=deadline)
        return Pause(deadline, SHORT_SLEEP if is_new else PATIENCE, wait)

    def suspend(self, pauses: Iterable[Pause]) -> None:
        """End the run here: it goes on when one of the pauses ends."""
        self.flush()
        with self._lock:
            self.is_over = True
            ends = [pause.wake_at for pause in pauses if pause.wake_at is not None]
            waits = [pause.wait for pause in pauses if pause.wait is not None]
            self._send(Suspend(self.run, min(ends, default=None), waits))

    def _record(
        self,
        entries: list[JournalEntry],
        *,
        logs: list[LogDraft] | None = None,
        credits: float = 0.0,  # noqa: A002 -- the word users know
        emits: list[EmitDraft] | None = None,
    ) -> int:
        """Send what was done, unless the run is over; return its sequence number. The lock is held."""
        if not self.is_over:
            message = Recorded(self.run, self._sequence + 1, entries, logs or [], credits, emits or [])
            self._send(message)  # raises FrameTooLargeError: the number is not used then
            self._sequence += 1
        return self._sequence


def closed(wait: OpenWait) -> JournalEntry:
    """Return the entry of a wait whose time is up."""
    return _done("wait", wait.name, wait.occurrence, _now())


def check_name(name: object, what: str) -> None:
    """Raise TypeError or ValueError unless it is a text of 1 to MAX_NAME characters."""
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a text; got {name!r}")
    if not 1 <= len(name) <= MAX_NAME:
        raise ValueError(f"{what} must have 1 to {MAX_NAME} characters; got {len(name)}")
    if "\0" in name or _SURROGATE.search(name):
        # Not every store can keep them, and a run must not depend on which one there is.
        raise ValueError(f"{what} cannot hold a NUL or half of a surrogate pair; got {name!r}")


def _check_can_pause(call: str) -> None:
    if in_step.get():
        raise RuntimeError(f"{call} cannot be called inside a step: call it between steps")


def _checked_seconds(seconds: object, what: str) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{what} takes a number of seconds; got {seconds!r}")
    if not seconds <= MAX_SLEEP:  # also refuses NaN
        raise ValueError(f"{what} takes at most ten years in seconds; got {seconds!r}")
    return max(0.0, seconds)


def _done(op: str, name: str, occurrence: int, at: datetime) -> JournalEntry:
    return JournalEntry(op=op, name=name, occurrence=occurrence, value=b"null", started_at=at)


def _now() -> datetime:
    return datetime.now(UTC)
