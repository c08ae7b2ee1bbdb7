"""Both sides of the demo's books: what the server accepted, and what reached the receiver.

Pure: nothing here sends or waits. An event counts as arrived at a webhook when a delivery with its id came
there and its signature and shape were right.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from hookline.receiver import VerificationError, verify

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TERMINAL: Final = {
    "workflow.execution.completed",
    "workflow.execution.failed",
    "agent.message.sent",
    "agent.message.failed",
    "script.execution.ended",
    "robot.run.completed",
    "robot.run.failed",
    "render.job.completed",
    "render.job.failed",
}

_SHAPES: Final = {
    "agenticflow": ("event", "timestamp", "webhook_id", "data"),
    "standard": ("type", "timestamp", "data"),
    "phantombuster": (
        "agentId",
        "agentName",
        "containerId",
        "script",
        "scriptOrg",
        "branch",
        "launchDuration",
        "runDuration",
        "resultObject",
        "exitMessage",
        "exitCode",
    ),
    "maxun": ("event_type", "timestamp", "webhook_id", "data"),
    "phantomflow": ("job_id", "status", "output_url", "duration_seconds", "credits_used"),
}
"""Keys of what each dialect sends here, in order: everything that runs in the demo succeeds."""

_RESULTS: Final = ("output_data", "message", "output_url", "extracted_data", "resultObject")
"""Where each dialect has what a run gave."""

_RUNS: Final = ("job_id", "run_id", "containerId")
"""Where each dialect has the run's id."""

_COMPLETED: Final = (
    "workflow_id",
    "execution_id",
    "status",
    "started_at",
    "completed_at",
    "duration_seconds",
    "input_data",
    "output_data",
    "credits_used",
    "steps_completed",
)
"""What the data of workflow.execution.completed must hold (AF-9)."""


@dataclass(frozen=True, slots=True)
class Target:
    """A registered webhook of the demo. name: its dialect."""

    name: str
    patterns: tuple[str, ...]
    secret: str

    def wants(self, type_: str) -> bool:
        """Say whether an event of this type is owed to it."""
        return any(fnmatchcase(type_, pattern) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One delivery that reached the receiver.

    problem: what is wrong with it, or None.  result: what the run gave, as JSON text, for a terminal event.
    """

    webhook: str
    event_id: str
    type: str
    subject: str
    problem: str | None
    is_repeat: bool
    result: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of automation in the verdict; counts."""

    name: str
    accepted: int
    ended: int
    owed: int
    arrived: int

    @property
    def missing(self) -> int:
        return self.owed - self.arrived


@dataclass(frozen=True, slots=True)
class Verdict:
    rows: tuple[Row, ...]
    problems: tuple[str, ...]
    repeats: int


@dataclass(slots=True)
class Ledger:
    """accepted: execution id to kind, written down when the server answered 2xx."""

    targets: dict[str, Target] = field(default_factory=dict)
    accepted: dict[str, str] = field(default_factory=dict)
    subjects: dict[str, str] = field(default_factory=dict)
    arrived: dict[tuple[str, str], int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    terminal: int = 0

    def accept(self, execution_id: str, kind: str, subject: str) -> None:
        """Write down a request that was answered with a 2xx. subject: what people call it."""
        self.accepted[execution_id] = kind
        self.subjects[execution_id] = subject

    def arrive(self, webhook: str, headers: Mapping[str, str], body: bytes) -> Arrival:
        """Check a delivery and write it down."""
        event_id = headers.get("webhook-id", "")
        problem = self._problem(webhook, headers, body)
        type_, data = _event_of(headers, body)
        repeats = self.arrived.get((webhook, event_id), 0)
        if problem is None:
            self.arrived[webhook, event_id] = repeats + 1
            self.terminal += type_ in TERMINAL and repeats == 0
        else:
            self.problems.append(f"{type_} at {webhook}: {problem}")
        return Arrival(
            webhook, event_id, type_, self._subject(data), problem, repeats > 0, _result_of(type_, data)
        )

    def _subject(self, data: dict[str, Any]) -> str:
        """Return what people call the run; a conversation's last event names only the conversation."""
        conversation = str(data.get("conversation_id"))
        subject = self.subjects.get(str(data.get("execution_id"))) or self.subjects.get(conversation, "")
        if "conversation_id" in data:
            self.subjects[conversation] = subject
        return subject

    def owed(self, feed: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
        """Return (webhook, event id) of everything that the events of the server's feed owe."""
        return {
            (target.name, event["id"])
            for event in feed
            for target in self.targets.values()
            if target.wants(event["type"])
        }

    def verdict(self, feed: list[dict[str, Any]]) -> Verdict:
        """Compare what was accepted and recorded with what arrived."""
        kinds = sorted(set(self.accepted.values()), reverse=True)
        rows = tuple(self._row(kind, feed) for kind in kinds)
        problems = list(self.problems)
        for row in rows:
            if row.ended != row.accepted:
                problems.append(
                    f"{row.name}: {row.accepted} accepted, {row.ended} ended with one terminal event"
                )
            if row.missing:
                problems.append(f"{row.name}: {row.missing} of {row.owed} owed events did not arrive")
        return Verdict(rows, tuple(problems), sum(count - 1 for count in self.arrived.values()))

    def _row(self, kind: str, feed: list[dict[str, Any]]) -> Row:
        ids = {execution_id for execution_id, its_kind in self.accepted.items() if its_kind == kind}
        events = [event for event in feed if event.get("execution_id") in ids]
        ends = [event["execution_id"] for event in events if event["type"] in TERMINAL]
        owed = self.owed(events)
        return Row(
            name=kind,
            accepted=len(ids),
            ended=sum(ends.count(execution_id) == 1 for execution_id in ids),
            owed=len(owed),
            arrived=len(owed & self.arrived.keys()),
        )

    def _problem(self, webhook: str, headers: Mapping[str, str], body: bytes) -> str | None:
        target = self.targets.get(webhook)
        if target is None:
            return "no such webhook"
        try:
            verify(body, headers, target.secret)
        except VerificationError as error:
            return f"signature refused: {error}"
        return _shape_problem(webhook, json.loads(body))


def _event_of(headers: Mapping[str, str], body: bytes) -> tuple[str, dict[str, Any]]:
    """Return type and data; a body that does not name its type has it in a header, and is the data itself."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return "(not JSON)", {}
    if not isinstance(parsed, dict):
        return "(no object)", {}
    data = parsed.get("data")
    own = headers.get("hookline-event")
    if own is not None:
        told = data if isinstance(data, dict) else parsed
        run = next((told[name] for name in _RUNS if name in told), None)
        return own, {"execution_id": f"exec_{run}", **told}
    return str(parsed.get("event") or parsed.get("type")), data if isinstance(data, dict) else {}


def _result_of(type_: str, data: dict[str, Any]) -> str | None:
    if type_ not in TERMINAL:
        return None
    told = next((data[name] for name in _RESULTS if name in data), None)
    return json.dumps(told, ensure_ascii=False)


def _shape_problem(webhook: str, body: dict[str, Any]) -> str | None:
    if tuple(body) != _SHAPES[webhook]:
        return f"shape: expected {', '.join(_SHAPES[webhook])}, got {', '.join(body)}"
    if body.get("event") == "workflow.execution.completed":
        lacking = [name for name in _COMPLETED if name not in body["data"]]
        if lacking:
            return f"shape: data lacks {', '.join(lacking)}"
    return None
