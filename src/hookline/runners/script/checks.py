"""What scripts need of this machine, for ``hookline doctor``: walls to run behind, and Node.js."""

from __future__ import annotations

import asyncio

from hookline.model.scripts import ScriptDefinition, ScriptLimits
from hookline.ports.runner import Check
from hookline.runners.sandbox.cell import Cell, End
from hookline.runners.script.languages import CHANNEL, node_program, spec_of


async def check_walls() -> Check:
    """Run an empty program behind all walls, and say which of them held."""
    definition = ScriptDefinition(
        slug="check.py", org="", branch="", source="", limits=ScriptLimits(), must_isolate=True
    )
    probe = _Probe()
    try:
        spec = spec_of(definition, argument=None, seconds=30)
        cell = Cell(spec, probe, asyncio.get_running_loop(), channel=CHANNEL)
    except OSError as exc:
        return Check(name="isolation", told=str(exc), remedy="run on Linux 5.12 or newer")
    end = await probe.ended
    cell.left.close()
    if end.error is None and end.code == 0:
        return Check(name="isolation", told=", ".join(end.walls))
    return Check(
        name="isolation",
        told=end.error or f"an empty script ended with {end.code}",
        remedy="let this user make namespaces (kernel.unprivileged_userns_clone=1, user.max_user_namespaces), or run "
        "on a kernel with Landlock; with several organizations scripts are refused until then",
    )


class _Probe:
    def __init__(self) -> None:
        self.ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    def printed(self, stream: str, data: bytes) -> bool:  # noqa: ARG002
        return True

    def told(self, data: bytes) -> bool:  # noqa: ARG002
        return True

    def gone(self, end: End) -> None:
        self.ended.set_result(end)


def check_node() -> Check:
    """Say whether scripts in JavaScript can run."""
    program = node_program()
    if program is None:
        return Check(
            name="Node.js", told="not found", remedy="install Node.js 18 or newer for scripts in JavaScript"
        )
    return Check(name="Node.js", told=program)
