"""The demo's script agent: Python that a stranger stored, run behind walls, its end told as PhantomBuster tells it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from hookline.cli.demo.narrator import brief

if TYPE_CHECKING:
    from hookline.cli.demo.story import Demo

_WAIT_SECONDS: Final = 30.0
"""Longest wait for a run that takes about a tenth of a second."""

_SLUG: Final = "count_words.py"
_SOURCE: Final = """\
from hookline_agent import get_argument, progress_hint, set_result_object

text = get_argument()["text"]
print("counting", len(text), "characters")
progress_hint(1.0, "counted")
set_result_object({"words": len(text.split())})
"""


def missing() -> str | None:
    """Say what to do before a script can run here, None for nothing: with one organization any machine can."""
    from hookline.runners.script.checks import check_walls

    check = asyncio.run(check_walls())
    return None if check.is_met else f"{check.told}: {check.remedy}"


async def show(demo: Demo) -> None:
    """Store it, make an agent, launch it, and read what it printed."""
    # Version 2 names the run, by which the two sides are compared.
    await demo.register("phantombuster", ("script.execution.ended",), options={"version": 2})
    wanted = demo.ledger.terminal + 1
    script = {"slug": _SLUG, "source": _SOURCE}
    await demo.call("POST", "/api/v1/scripts", script, note=lambda got: f"version {got['version']}")
    body = {"script": _SLUG, "name": "Word counter", "limits": {"time_seconds": 20}}
    agent = await demo.call("POST", "/api/v1/script-agents", body, note=lambda got: f"agent {got['id']}")
    run = await demo.call(
        "POST",
        f"/api/v1/script-agents/{agent['id']}/launch",
        {"argument": {"text": "nothing is lost on the way"}},
        note=lambda got: f"{brief(got['execution_id'])}, {got['status']}",
    )
    demo.ledger.accept(run["execution_id"], "script", "words")
    await demo.until_ended(wanted, seconds=_WAIT_SECONDS)
    await demo.call(
        "GET",
        f"/api/v1/executions/{run['execution_id']}/logs",
        note=lambda got: next(line["text"] for line in got["logs"] if line["stream"] == "stdout"),
    )
