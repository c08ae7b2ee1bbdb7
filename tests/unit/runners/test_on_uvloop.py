"""The runner on the loop that a server has, whose handles are not those of the standard library."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import uvloop

from hookline.model.ids import new_key
from hookline.model.states import Kind
from hookline.ports.runner import RunJob, Succeeded
from hookline.runners.host import RunnerHost, RunnerSettings

if TYPE_CHECKING:
    from pathlib import Path


def test_runs_that_come_faster_than_processes_get_ready_all_run(apps: Path, kept: Any) -> None:
    """A refill that is due soon is moved up by each run that has to wait."""

    async def runs() -> list[Any]:
        host = RunnerHost(RunnerSettings(app=str(apps / "every_way.py"), warm=1, max_processes=2))
        await host.start()
        try:
            jobs = [
                RunJob(execution_id=new_key(), kind=Kind.WORKFLOW, automation_id="echo", input=b"%d" % number)
                for number in range(6)
            ]
            return await asyncio.gather(*[host.run(job, kept) for job in jobs])
        finally:
            await host.close(0)

    outcomes = uvloop.run(runs())

    assert all(isinstance(outcome, Succeeded) for outcome in outcomes)
    assert len({json.dumps(json.loads(outcome.output)) for outcome in outcomes}) == 6
