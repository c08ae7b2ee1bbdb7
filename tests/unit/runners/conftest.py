"""A host over one app file, kept for all tests, and a listener that keeps what it is told."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import pytest_asyncio

from hookline.model.ids import new_key
from hookline.model.states import Kind
from hookline.ports.runner import RunJob, Suspended
from hookline.runners.host import RunnerHost, RunnerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from datetime import datetime

    from hookline.model.executions import Artifact, JournalEntry
    from hookline.ports.runner import EmitDraft, LogDraft, Outcome

APPS = Path(__file__).parent / "apps"


class Kept:
    """A listener that keeps everything, as a store would."""

    def __init__(self) -> None:
        self.started_at: datetime | None = None
        self.journal: dict[tuple[str, str, int], JournalEntry] = {}
        self.logs: list[LogDraft] = []
        self.credits = 0.0
        self.progress: list[bytes] = []
        self.emits: list[EmitDraft] = []
        self.calls = 0
        self.began = asyncio.Event()
        self.told = asyncio.Event()
        self.gate: asyncio.Event | None = None

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
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        for entry in entries:
            self.journal[entry.op, entry.name, entry.occurrence] = entry
        self.logs += logs
        self.credits += credits
        self.emits += emits
        self.told.set()

    async def progressed(self, fields: bytes) -> None:
        self.progress.append(fields)

    async def produced(self, file: Path | int, name: str, content_type: str) -> Artifact:
        raise AssertionError(f"nothing here makes files; this came: {name}, {content_type}, {file}")

    def texts(self, stream: str = "log") -> list[str]:
        return [line.text for line in self.logs if line.stream == stream]

    async def said(self, text: str) -> None:
        """Wait until the run has logged or printed this."""
        async with asyncio.timeout(10):
            while not any(line.text == text for line in self.logs):
                self.told.clear()
                await self.told.wait()


class Runs:
    """Starts executions of one host."""

    def __init__(self, host: RunnerHost) -> None:
        self.host = host

    def job(self, automation_id: str, data: Any = None, **rest: Any) -> RunJob:
        rest.setdefault("kind", Kind.WORKFLOW)
        rest.setdefault("execution_id", new_key())
        if data is not None:
            rest["input"] = msgspec.json.encode(data)
        return RunJob(automation_id=automation_id, **rest)

    async def run(self, automation_id: str, data: Any = None, **rest: Any) -> tuple[Outcome, Kept]:
        kept = Kept()
        return await self.host.run(self.job(automation_id, data, **rest), kept), kept

    async def again(self, job: RunJob, kept: Kept) -> Outcome:
        """Run the execution once more with all that it has recorded."""
        journal = tuple(kept.journal.values())
        return await self.host.run(
            msgspec.structs.replace(job, journal=journal, attempt=job.attempt + 1), kept
        )

    async def to_the_end(self, job: RunJob, kept: Kept) -> Outcome:
        """Run until it no longer suspends, as soon as it may go on."""
        outcome = await self.host.run(job, kept)
        while isinstance(outcome, Suspended) and outcome.wake_at is not None:
            outcome = await self.again(job, kept)
        return outcome


@pytest.fixture(scope="session")
def apps() -> Path:
    return APPS


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def runs() -> AsyncIterator[Runs]:
    host = RunnerHost(RunnerSettings(app=str(APPS / "every_way.py"), warm=2))
    await host.start()
    yield Runs(host)
    await host.close(0)


@pytest_asyncio.fixture(loop_scope="session")
async def new_runs() -> AsyncIterator[Callable[..., Awaitable[Runs]]]:
    """Make hosts of one's own; they are closed at the end."""
    hosts: list[RunnerHost] = []

    async def make(app: Path = APPS / "every_way.py", **settings: Any) -> Runs:
        host = RunnerHost(RunnerSettings(app=str(app), **settings))
        hosts.append(host)
        await host.start()
        return Runs(host)

    yield make
    for host in hosts:
        await host.close(0)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    def look(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    return look


@pytest.fixture
def gone(is_alive: Callable[[int], bool]) -> Callable[..., Awaitable[None]]:
    """Wait until none of these processes lives, a second at most."""

    async def wait(*pids: int) -> None:
        async with asyncio.timeout(1):
            while any(is_alive(pid) for pid in pids):  # noqa: ASYNC110 -- they are not ours to wait for
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def children() -> Callable[[], set[int]]:
    """Say which processes the test has started and not reaped; what other fixtures run is none of its business."""

    def all_of_them() -> set[int]:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        return {int(pid) for pid in text.split()}

    others = all_of_them()

    def look() -> set[int]:
        return all_of_them() - others

    return look
