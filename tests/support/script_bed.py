"""Runs scripts through their runner alone: no node, no store, and everything that a run tells is kept."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hookline.errors import InputError
from hookline.model.ids import Key, new_key
from hookline.model.scripts import ScriptDefinition, ScriptLimits
from hookline.model.states import Kind
from hookline.ports.runner import RunJob

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hookline.model.executions import Artifact, JournalEntry
    from hookline.ports.runner import EmitDraft, LogDraft, Outcome
    from hookline.runners.sandbox.way_out import Relay
    from hookline.runners.script.runner import ScriptRunner


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.told = asyncio.Event()
        self.logs: list[LogDraft] = []
        self.progress: list[Any] = []
        self.files: dict[str, tuple[str, bytes]] = {}

    async def started(self, *, at: datetime) -> None:
        self.started_at = at
        self.began.set()

    async def recorded(
        self,
        entries: Sequence[JournalEntry],
        logs: Sequence[LogDraft],
        credits: float,  # noqa: A002
        emits: Sequence[EmitDraft],
    ) -> None:
        assert not entries
        assert not credits
        assert not emits
        self.logs += logs
        self.told.set()

    async def progressed(self, fields: bytes) -> None:
        self.progress.append(msgspec.json.decode(fields))

    async def produced(self, file: Path | int, name: str, content_type: str) -> Artifact:
        assert isinstance(file, int)
        with os.fdopen(file, "rb") as content:
            if name.startswith("."):
                raise InputError("No such name.")
            self.files[name] = (content_type, content.read())
        return None  # type: ignore[return-value]  # nobody looks at it

    def texts(self, stream: str = "stdout") -> list[str]:
        return [line.text for line in self.logs if line.stream == stream]

    async def said(self, text: str, stream: str = "stdout", *, within: float = 20.0) -> None:
        """Wait until the script printed a line."""
        async with asyncio.timeout(within):
            while text not in self.texts(stream):
                self.told.clear()
                await self.told.wait()


class Ran:
    """One run, under way or over."""

    def __init__(self, runner: ScriptRunner, job: RunJob) -> None:
        self.id: Key = job.execution_id
        self.listener = Listener()
        self.task = asyncio.ensure_future(runner.run(job, self.listener))

    async def ended(self, within: float = 30.0) -> Outcome:
        async with asyncio.timeout(within):
            return await self.task


def no_way_out() -> Relay:
    raise AssertionError("this script was not to have a network")


def launch(
    runner: ScriptRunner,
    source: str,
    *,
    slug: str = "script.py",
    argument: object = None,
    seconds: float = 20.0,
    limit: str = "agent",
    must_isolate: bool = True,
    network: bool = False,
    trace: dict[str, str] | None = None,
    **limits: int,
) -> Ran:
    definition = ScriptDefinition(
        slug=slug,
        org="acme",
        branch="main",
        source=source,
        limits=ScriptLimits(**limits),
        must_isolate=must_isolate,
        network=network,
    )
    job = RunJob(
        execution_id=new_key(),
        kind=Kind.SCRIPT,
        automation_id="5027055349780535",
        input=None if argument is None else msgspec.json.encode(argument),
        definition=msgspec.json.encode(definition),
        timeout_ms=round(seconds * 1000),
        limit=limit,
        trace=trace or {},
    )
    return Ran(runner, job)


def processes_with(mark: str) -> list[int]:
    """Ids of the processes of this machine that have this text in their command line or environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                told = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            except OSError:
                continue
            if mark.encode() in told:
                found.append(int(folder.name))
    return found


async def until_gone(mark: str, *, within: float = 10.0) -> None:
    """Wait until no process has this mark. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while processes_with(mark):  # noqa: ASYNC110 -- asks the machine
            await asyncio.sleep(0.02)


async def until_there(mark: str, *, within: float = 10.0) -> None:
    """Wait until a process has this mark: one that has just begun its program has no command line for a moment."""
    async with asyncio.timeout(within):
        while not processes_with(mark):  # noqa: ASYNC110 -- asks the machine
            await asyncio.sleep(0.02)
