"""Automations, executions, and what a run leaves behind: steps, logs, trigger requests."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from hookline.model.ids import Key
from hookline.model.states import ExecutionStatus, Kind


class RetryRule(msgspec.Struct, frozen=True, kw_only=True):
    """How often an execution that did not succeed runs again before that is its end (PR-18).

    max_retries: 0 to 10.  delay_ms: before the first retry; later ones wait as long, or twice as long each time when
    is_exponential.  unique_id: where a request names what it is about (``core.routing``): a new one ends those of the
    same name that wait for a retry; None for nowhere.
    """

    max_retries: int
    delay_ms: int
    is_exponential: bool = False
    unique_id: str | None = None

    def delay(self, retry: int) -> timedelta:
        """Wait before retry number ``retry``, counted from 0."""
        return timedelta(milliseconds=self.delay_ms * (2**retry if self.is_exponential else 1))


class QueueRule(msgspec.Struct, frozen=True, kw_only=True):
    """How many executions of one flow of one instance run at once (PR-19).

    limit: 1 for strictly one after the other.  dedupe_id: where a request names itself, so that it is taken once;
    None for nowhere.
    """

    limit: int
    dedupe_id: str | None = None


class Automation(msgspec.Struct, frozen=True, kw_only=True):
    """A thing that can run, as the user's code declares it; shared by all organizations.

    timeout_ms: longest run, 1 or more.  concurrency: most runs at once on one node, None for the node's own limit.
    is_shared: async code that accepts to share a child process with others.
    is_resumable: a run whose process died starts again and skips finished steps, instead of ending ``lost``.
    max_attempts: processes started for one execution before it ends ``lost``, resumable or not; 1 or more.
    retry, queue: of executions that a trigger starts; None for none.
    idle_ms: silence that ends a conversation with this agent, 1 or more; None for the server's own.
    uses_model: an agent whose turns a model answers: it is given the way to one.
    """

    kind: Kind
    id: str
    name: str
    timeout_ms: int = 900_000
    concurrency: int | None = None
    is_shared: bool = False
    is_resumable: bool = False
    max_attempts: int = 10
    retry: RetryRule | None = None
    queue: QueueRule | None = None
    idle_ms: int | None = None
    uses_model: bool = False
    description: str = ""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why an execution did not succeed.

    code: ``FAILED KILLED TIMED_OUT LOST`` or the runner's own.  type: the exception's class, else None.
    limit: for ``TIMED_OUT`` which one: agent, org or global.
    """

    code: str
    message: str
    type: str | None = None
    stack: str | None = None
    limit: str | None = None


class ScriptFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a script's runner knows of a run that ended, for ``script.execution.ended`` (PB-3, PB-6).

    The run's output is what the script set as its result object; a run that failed has none (PB-6).
    script: the slug of the source with its suffix, such as ``test_script_50516785467.js``.  script_org, branch: as the
    script is stored, None when it has none.  exit_code: of the process, None when it was never seen to end; a run
    succeeded if and only if it is 0.
    """

    script: str | None = None
    script_org: str | None = None
    branch: str | None = None
    exit_code: int | None = None


class RobotFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a robot's runner knows of a run that ended, for ``robot.run.completed`` and ``failed`` (MX-3, MX-5).

    The run's output is a JSON object with any of ``captured_texts`` (name to records, as MX-12 has it),
    ``captured_lists`` (name to records), ``crawl_data``, ``search_data`` and ``screenshots_count``; counts and the
    seed's flat ``captured_texts`` are derived from it.
    browser_id: of the browser session, None when none was opened.  partial_data_extracted: something was captured
    before the run failed.
    """

    browser_id: str | None = None
    partial_data_extracted: bool = False


class RenderFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a render's runner knows of a job that ended, for ``render.job.completed`` and ``failed`` (PF-3, PF-7).

    A failed job's error has the code ``RENDER_FAILED`` and a message with exit code and cause line.
    output_url: where the video can be downloaded, None when there is none.  video_seconds: its length.
    metadata: JSON text that the job came with, to be echoed (PF-11), None for none.
    """

    output_url: str | None = None
    video_seconds: float | None = None
    metadata: msgspec.Raw | None = None


Facts = ScriptFacts | RobotFacts | RenderFacts
"""What one kind of run knows at its end; it stands in the terminal event's data."""


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One run of an automation.

    input, output: JSON text; None means absent (JSON null is ``b"null"``).
    trigger: JSON text of what ``ctx.trigger`` shows (method, headers, query, …), or None.
    source: ``trigger``, ``api``, ``replay``, ``schedule``, ``deploy`` (of an instance), ``flow`` or ``workflow``
    (one called it).
    attempt: processes started for it so far.  steps: finished steps.  credits_used: summed by ``ctx.add_credits``.
    event_sequence: number of its events so far.
    callback_id, callback_url: the hidden target that its terminal event also goes to, and where; None for neither.
    wake_at, wait_name: why it is ``waiting``: until an instant, or for an event of that name.
    gate: executions of one gate take turns, at most ``gate_limit`` at once; None for no gate.  is_blocked: it stays
    ``queued`` until one of them ends.  mark: what a later request may recognize it by (``core.turns``), or None.
    trace: the place in a trace that led to it, as ``core.traces`` keeps it, None where nothing is traced.
    """

    id: Key
    organization_id: Key
    kind: Kind
    automation_id: str
    automation_name: str
    status: ExecutionStatus = ExecutionStatus.QUEUED
    source: str = "api"
    trigger_id: Key | None = None
    request_id: Key | None = None
    replay_of: Key | None = None
    conversation_id: Key | None = None
    callback_id: Key | None = None
    callback_url: str | None = None
    input: bytes | None = None
    trigger: bytes | None = None
    output: bytes | None = None
    error: Failure | None = None
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    wake_at: datetime | None = None
    wait_name: str | None = None
    is_cancel_requested: bool = False
    launch_ms: int | None = None
    run_ms: int | None = None
    attempt: int = 0
    steps: int = 0
    credits_used: float = 0.0
    event_sequence: int = 0
    gate: bytes | None = None
    gate_limit: int = 0
    is_blocked: bool = False
    mark: bytes | None = None
    trace: str | None = None


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How an execution ended: all that those who waited for it are told.

    output: JSON text of the result, None unless it succeeded.  error: None when it did.
    """

    execution_id: Key
    organization_id: Key
    status: ExecutionStatus
    completed_at: datetime
    output: bytes | None = None
    error: Failure | None = None


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One memoized ``ctx`` call: (op, name, occurrence) is unique in its execution.

    op: ``step``, ``try``, ``sleep``, ``wait``, ``call``, ``child``, ``emit``, ``log``, ``credits`` or ``retry``.
    occurrence: counts from 0 per (op, name).
    value: JSON text of what the call returned; for a sleep the instant it ends; for a call or child a
    ``core.calling.Call``, then a ``Made``; for a retry the failure before it; for a try a ``core.tries.FailedTry``;
    None while a wait is open.
    started_at, duration_ms: for steps and tries; else when it was recorded and 0.
    """

    op: str
    name: str
    occurrence: int
    value: bytes | None
    started_at: datetime
    duration_ms: int = 0


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an execution's log.

    position: counts from 0 within the execution; a reader asks for what follows the last one it has.
    stream: ``log``, ``stdout``, ``stderr`` or ``progress``.  fields: JSON text of extra values, or None; of a line of
    ``progress`` an object with what the kind of work tells (``percent``, ``label``, …).
    """

    position: int
    at: datetime
    stream: str
    level: str
    text: str
    fields: bytes | None = None


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file that an execution made, kept as a blob for as long as the execution is.

    name: unique in its execution, as users see it.  size: bytes.  digest: SHA-256 of the content, hex.
    url: a signed link to it that expires, where it was just made; never stored.
    """

    execution_id: Key
    name: str
    content_type: str
    size: int
    digest: str
    blob_id: str
    created_at: datetime
    url: str = ""


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """Turns between one user and one agent; each turn is an execution.

    One that a trigger's request opens ends with its first turn; one that was opened over the API is kept open until
    its agent, a caller or silence ends it, and counts the messages of a turn when that has ended.
    status: ``open``, ``resolved`` or ``failed``.  resolution: JSON text, or None.
    idle_ms: silence that ends it, 1 or more, as its agent had it when it began; None for the server's own.
    """

    id: Key
    organization_id: Key
    agent_id: str
    user_id: str | None
    status: str
    started_at: datetime
    completed_at: datetime | None = None
    message_count: int = 0
    credits_used: float = 0.0
    satisfaction_score: float | None = None
    resolution: bytes | None = None
    idle_ms: int | None = None


MESSAGE: Final = "MESSAGE"
"""Method of a kept request that a broker brought: no HTTP method, and no trigger's."""


class TriggerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One inbound request as it came, secrets redacted, accepted or refused.

    A broker's message that can never be an event is kept as one, too: its path is its subject, and in place of an
    address stands what it is found by in the broker.

    execution_id: what it started, at once or when it was checked or routed again later; None for nothing.
    reason: why it was refused, ``CODE: sentence`` or ``unroutable: why``; None when accepted.
    path: as it came, percent-encoded.  body: the exact bytes; of a refused request perhaps only the first of them.
    body_size: bytes that the body had, None when it was never read.  body_blob: the blob that has all of it, or None.
    """

    id: Key
    organization_id: Key
    trigger_id: Key | None
    execution_id: Key | None
    received_at: datetime
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    remote_address: str
    status: int
    reason: str | None = None
    body_size: int | None = None
    body_blob: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all bytes of the body are kept."""
        return self.body_blob is not None or self.body_size == len(self.body)
