"""Runs of robots without an engine: jobs, a listener that keeps what it is told, and a look at processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hookline.model.ids import new_key
from hookline.model.states import Kind
from hookline.ports.runner import RunJob
from hookline.runners.robot.processes import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from hookline.model.executions import Artifact, JournalEntry
    from hookline.ports.runner import EmitDraft, LogDraft


class Heard:
    """A ``RunListener``. files: name to content of what was produced."""

    def __init__(self) -> None:
        self.started_at: datetime | None = None
        self.lines: list[LogDraft] = []
        self.progress: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.on_progress: Callable[[], None] | None = None

    async def started(self, *, at: datetime) -> None:
        self.started_at = at

    async def recorded(
        self,
        entries: Sequence[JournalEntry],
        logs: Sequence[LogDraft],
        credits: float,  # noqa: A002, ARG002
        emits: Sequence[EmitDraft],  # noqa: ARG002
    ) -> None:
        assert not entries
        self.lines += logs

    async def progressed(self, fields: bytes) -> None:
        self.progress.append(msgspec.json.decode(fields))
        if self.on_progress is not None:
            self.on_progress()

    async def produced(self, file: Path | int, name: str, content_type: str) -> Artifact:
        assert content_type == "image/png"
        assert isinstance(file, Path)
        self.files[name] = file.read_bytes()  # noqa: ASYNC240
        return None  # type: ignore[return-value]  # nobody looks at it

    def texts(self, level: str) -> list[str]:
        return [line.text for line in self.lines if line.level == level]


def job(*actions: dict[str, Any] | list[dict[str, Any]], given: object = None, **settings: Any) -> RunJob:
    """A run of these actions, in this order; a list is a pair of its own."""
    pairs = [each if isinstance(each, list) else [each] for each in actions]
    workflow = [{"where": {}, "what": pair} for pair in reversed(pairs)]
    timeout_ms = settings.pop("timeout_ms", 60_000)
    definition = {
        "recording": settings.pop("recording", {"workflow": workflow}),
        "matching": "order",
        "pause_ms": 0,
        "max_repeats": 0,
        **settings,
    }
    return RunJob(
        execution_id=new_key(),
        kind=Kind.ROBOT,
        automation_id="robot",
        input=None if given is None else msgspec.json.encode(given),
        definition=msgspec.json.encode(definition),
        timeout_ms=timeout_ms,
    )


def goto(url: str) -> dict[str, Any]:
    return {"action": "goto", "args": [url]}


def family(root: int | None = None) -> set[int]:
    """Living processes that a process started, and those that these started; this test process's if root is None."""
    seen = list(processes())
    root = os.getpid() if root is None else root
    ours = {root}
    while more := {each.pid for each in seen if each.parent in ours} - ours:
        ours |= more
    return {each.pid for each in seen if each.pid in ours and each.state != "Z"} - {root}
