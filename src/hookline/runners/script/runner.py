"""The runner of scripts: a process for each run, behind walls, as many at once as the machine can bear."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.model.scripts import ScriptDefinition
from hookline.ports.runner import Check, Lost
from hookline.runners.run import Verdict
from hookline.runners.sandbox.husk import Husks
from hookline.runners.script.checks import check_node, check_walls
from hookline.runners.script.outcomes import STOPPED
from hookline.runners.script.run import ScriptRun

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.model.ids import Key
    from hookline.ports.runner import Outcome, RunJob, RunListener
    from hookline.runners.sandbox.way_out import Relay


KEPT_READY: Final = 2
"""Sandboxes that wait for a script, once one has run: 10 MB each. More at once start from nothing, as the first did."""


class ScriptRunner:
    """``ports.runner.DataRunner``.

    relay: makes the way to the network of one run.  most_at_once: processes; further runs wait for one of them to end.
    """

    def __init__(self, relay: Callable[[], Relay], *, most_at_once: int = 32) -> None:
        self._relay = relay
        self._room = asyncio.Semaphore(most_at_once)
        self._runs: dict[Key, ScriptRun] = {}
        self._husks: Husks | None = None
        self._is_closed = False
        self._emptied = asyncio.Event()

    def __repr__(self) -> str:
        return f"<ScriptRunner: {len(self._runs)} runs>"

    async def start(self) -> None:
        """Nothing to look for: Python is here, and Node.js is looked for by the first script that needs it."""

    async def close(self, grace: float) -> None:
        self._is_closed = True
        if self._husks is not None:
            self._husks.close()
        if self._runs:
            self._emptied.clear()
            try:
                async with asyncio.timeout(grace):
                    await self._emptied.wait()
            except TimeoutError:
                for run in self._runs.values():
                    run.end(Verdict.STOPPED)
                await self._emptied.wait()

    def cancel(self, execution_id: Key) -> bool:
        run = self._runs.get(execution_id)
        if run is None:
            return False
        run.end(Verdict.KILLED)
        return True

    async def run(self, job: RunJob, listener: RunListener) -> Outcome:
        if self._is_closed:
            return Lost(failure=STOPPED, has_started=False)
        assert job.definition is not None
        definition = msgspec.json.decode(job.definition, type=ScriptDefinition)
        if self._husks is None:
            self._husks = Husks(asyncio.get_running_loop(), kept=KEPT_READY)
        run = self._runs[job.execution_id] = ScriptRun(job, definition, listener, self._relay, self._husks)
        try:
            if not await run.waits_for(self._room):
                return run.outcome()
            try:
                return await run.follow()
            finally:
                self._room.release()
        finally:
            await run.over()
            del self._runs[job.execution_id]
            if not self._runs:
                self._emptied.set()

    async def check(self) -> list[Check]:
        return [await check_walls(), check_node()]
