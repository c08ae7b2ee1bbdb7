"""What the engine needs of whatever runs executions, and what a runner owes the engine.

The engine implements ``RunListener`` (one for each execution) and calls ``Runner``; an adapter in
``runners/`` implements ``Runner``. Nothing here starts a process, reads a clock or stores anything.

What a run records, in order: entries, log lines, credits and events. ``recorded`` is called with everything
that has arrived since the last call, and nothing recorded after it reaches the engine before it returns.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from hookline.model.executions import Artifact, Automation, Facts, Failure, JournalEntry
from hookline.model.ids import Key
from hookline.model.integrations import Handler, Integration
from hookline.model.states import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class RunJob(msgspec.Struct, frozen=True, kw_only=True):
    """One start of one execution: everything the user's function may see.

    input: JSON text of ``ctx.input``, None when absent.
    trigger: JSON text of an object with the names of ``ctx.trigger`` (``headers``, ``raw_body`` …), None when
    nothing triggered it. Bytes are written as ``core.octets`` says; a ``body`` without ``data`` has those of
    ``raw_body``. With ``"input": "body"`` the body's data are ``ctx.input``, whatever ``input`` shows to others.
    private: JSON text of an object with ``config``, ``instance_state`` and ``webhook_api_keys`` of a flow, or with
    ``history`` of a conversation: what only the running code may see, so it is put together at each start and never
    stored with the execution. None for others.
    journal: what earlier processes of this execution recorded, in any order; a wait that has been answered,
    even before it was asked for, carries its value.
    definition: JSON text of what is to run, for the kinds that are set up as data: a script with its limits, a
    robot's recording. Loaded anew at each start; None for code of the app, and where the input says it all (a render).
    attempt: which process of the execution this is, 1 for the first.
    model: of an agent that a model answers for, how its turns reach the model; its runner adds that.
    timeout_ms: longest wall time of this process, 1 or more; None for the automation's own, which the kinds that are
    set up as data never get.
    limit: whose limit ``timeout_ms`` is: agent, org or global.
    trace: headers with which its code goes on with the trace that led to it.
    """

    execution_id: Key
    kind: Kind
    automation_id: str
    input: bytes | None = None
    trigger: bytes | None = None
    private: bytes | None = None
    model: bytes | None = None
    definition: bytes | None = None
    journal: tuple[JournalEntry, ...] = ()
    attempt: int = 1
    timeout_ms: int | None = None
    limit: str = "agent"
    trace: dict[str, str] = {}

    def __repr__(self) -> str:
        # Not the fields: secrets are among them (P13).
        return f"RunJob({self.kind} {self.automation_id!r}, attempt {self.attempt})"


class CallJob(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a handler: a function of an integration that is no execution.

    flow: whose handler it is, None for the integration's own.
    context: JSON text of an object with the names of the handler's ``ctx``.  payload: JSON text of what came in, with
    the names of ``ctx.trigger``, None for handlers without one. Bytes are written as ``core.octets`` says in both.
    timeout_ms: longest wait for a process, and then longest wall time of the call.
    """

    integration_id: str
    flow: str | None
    handler: Handler
    context: bytes = b"{}"
    payload: bytes | None = None
    timeout_ms: int = 30_000

    def __repr__(self) -> str:
        return f"CallJob({self.handler} of {self.integration_id!r}, flow {self.flow!r})"


class CallResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended. value: JSON text, None when it failed.  failure: None when it did not; ``FAILED``,
    ``TIMED_OUT`` or ``LOST``.  logs: what it logged and printed, in order.
    """

    value: bytes | None = None
    failure: Failure | None = None
    logs: tuple[LogDraft, ...] = ()


class LogDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A log line before the store gives it its position.

    stream: ``log``, ``stdout``, ``stderr`` or ``progress``.  level: debug, info, warning or error.
    fields: JSON text of an object, or None.
    """

    at: datetime
    stream: str
    level: str
    text: str
    fields: bytes | None = None


class EmitDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An event from ``ctx.emit``.

    data: JSON text.  occurrence: counts from 0 per type; (execution, type, occurrence) never comes twice with
    the journal that was handed in, so it also names the event.
    """

    type: str
    data: bytes
    occurrence: int
    at: datetime


class OpenWait(msgspec.Struct, frozen=True, kw_only=True):
    """A ``ctx.wait_for_event`` without an answer.

    It has a journal entry (op ``wait``, this name and occurrence, value None). An answer sets that value.
    deadline: when the call gives up and returns None, or None for never.
    """

    name: str
    occurrence: int
    deadline: datetime | None = None


class Succeeded(msgspec.Struct, frozen=True, kw_only=True):
    """The function returned.

    output: JSON text of what it returned (``b"null"`` for None).
    resolution: JSON text of an object with ``type``, ``category``, ``tags``, ``satisfaction_score`` when an
    agent called ``ctx.resolve``, else None.
    facts: of a script, robot or render, for its terminal event; also on every other outcome that ends a run.
    """

    output: bytes
    resolution: bytes | None = None
    facts: Facts | None = None


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """The function raised, returned what is not JSON, or could not be started; trying again will not help."""

    failure: Failure
    facts: Facts | None = None


class Suspended(msgspec.Struct, frozen=True, kw_only=True):
    """The run let its process go and wants to be run again, at an instant or when a wait is answered.

    wake_at: the earliest end of a sleep or deadline of a wait, None when only an answer can wake it.
    waits: every wait that is open, oldest first; empty for a mere sleep. One of them may have been answered
    already: look before going to rest.
    """

    wake_at: datetime | None
    waits: tuple[OpenWait, ...] = ()

    @property
    def wait_name(self) -> str | None:
        """Name of the oldest open wait, None for a sleep."""
        return self.waits[0].name if self.waits else None


class TimedOut(msgspec.Struct, frozen=True, kw_only=True):
    """The time limit passed and the process was killed. ``failure.limit`` is the job's ``limit``."""

    failure: Failure
    facts: Facts | None = None


class Killed(msgspec.Struct, frozen=True, kw_only=True):
    """``cancel`` ended it."""

    failure: Failure
    facts: Facts | None = None


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """The process died without an answer (crash, out of memory, ``os._exit``, the node stopping).

    has_started: False when no user code of this execution can have run, so starting it again is safe for any
    automation and need not count as an attempt.
    """

    failure: Failure
    has_started: bool = True
    facts: Facts | None = None


Outcome = Succeeded | Failed | Suspended | TimedOut | Killed | Lost


class RunListener(Protocol):
    """The engine's end of one run. Calls come one after another, never overlapping, in order."""

    async def started(self, *, at: datetime) -> None:
        """A process is ready and the user's function begins as soon as this returns.

        Called at most once, and not at all when the run ends before it could begin. If it raises, no user
        code runs and ``run`` raises the same.
        """

    async def recorded(
        self,
        entries: Sequence[JournalEntry],
        logs: Sequence[LogDraft],
        credits: float,  # noqa: A002 -- the word users know
        emits: Sequence[EmitDraft],
    ) -> None:
        """Commit what the run did; steps continue after it returns.

        If it raises, the run is ended and ``run`` raises the same.

        entries: new ones, or an open wait closed by its deadline (value ``null`` for one that was None: keep
        an answer that came first). For ops ``log`` and ``credits`` an entry with occurrence n stands for all
        of 0 to n, so only the latest needs to be kept; emits and steps have one each. Lines of stdout and
        stderr have no entry.
        credits: sum of the new ``ctx.add_credits`` calls, 0.0 when none.
        """

    async def progressed(self, fields: bytes) -> None:
        """Tell how far the run has come. fields: JSON text of an object, such as ``{"percent": 40, "label": "…"}``.

        Call it as often as you like: at most four a second are kept, and always the last. They are log lines of the
        stream ``progress``, so whoever follows the log goes on from a position. Raises as ``recorded`` does.
        """

    async def produced(self, file: Path | int, name: str, content_type: str) -> Artifact:
        """Keep a file that the run made: it is copied, and stored when this returns. A path may be deleted then.
        The artifact has its ``url``.

        file: a path, where a symbolic link is refused, since the run may have made it; or a descriptor that is open
        for reading, which is closed. Only a regular file is kept.  name: 1 to 128 of
        ``A-Z a-z 0-9 . _ -``, not beginning with a dot; the same name again replaces the file.
        Raises InputError for a name, a file or a size that cannot be kept, StorageError, and as ``recorded`` does.
        """


class Runner(Protocol):
    """Runs executions of user code somewhere, away from the node's process.

    Guarantees: exactly one outcome per ``run``; everything the function recorded reached the listener before
    a ``Succeeded``, ``Failed`` or ``Suspended`` is returned; at most one process per run at a time, and none
    is left when ``run`` returns or is cancelled.
    Does not guarantee: that ``Lost``, ``Killed`` and ``TimedOut`` runs had nothing more to record; any bound
    on how many runs one automation has at once (claim no more than ``Automation.concurrency``).
    """

    @property
    def automations(self) -> tuple[Automation, ...]:
        """What it can run, sorted by kind and id. Empty before ``start``."""

    @property
    def integrations(self) -> tuple[Integration, ...]:
        """What the user's code declares of integrations, sorted by id. Empty before ``start``."""

    @property
    def processes(self) -> Mapping[tuple[str, str], int]:
        """How many child processes there are, by sort (``alone``, ``shared``, ``calls``) and state (``starting``,
        ``idle``, ``busy``).
        """

    async def start(self) -> None:
        """Read the user's code and warm up. Raises SettingError when it cannot be imported."""

    async def close(self, grace: float) -> None:
        """Stop: refuse new runs at once (they are ``Lost`` and not started), give those under way ``grace``
        seconds, then kill them (``Lost``).
        """

    async def run(self, job: RunJob, listener: RunListener) -> Outcome:
        """Run one execution until it ends or suspends. Waits for a free process if all are busy."""

    async def call(self, job: CallJob) -> CallResult:
        """Call a handler. Never raises for what the handler does; a call that is cancelled ends its process."""

    def cancel(self, execution_id: Key) -> bool:
        """Ask a run to end; its ``run`` returns ``Killed`` soon, or its own outcome if that came first.

        Returns False when no such run is under way here.
        """


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a runner needs of this machine, for ``hookline doctor``.

    told: what was found, in one line.  remedy: what to do about it, None when it is as it should be.
    """

    name: str
    told: str
    remedy: str | None = None

    @property
    def is_met(self) -> bool:
        return self.remedy is None


class DataRunner(Protocol):
    """Runs the executions of one kind that is set up as data: scripts, robots, renders.

    It promises what ``Runner`` does. Its module is imported, and ``start`` called, before the first run and not
    earlier, so what a plain install lacks is missed only by who uses it.
    """

    async def start(self) -> None:
        """Look for what it needs. Raises SettingError, which tells how to get it; every run then fails with that."""

    async def close(self, grace: float) -> None:
        """Stop as ``Runner.close`` does."""

    async def run(self, job: RunJob, listener: RunListener) -> Outcome:
        """Run one execution until it has ended: ``Suspended`` is for workflows."""

    def cancel(self, execution_id: Key) -> bool:
        """Ask a run to end, as ``Runner.cancel`` does."""

    async def check(self) -> list[Check]:
        """Say what it needs and whether that is here. Works without ``start``, and changes nothing."""
