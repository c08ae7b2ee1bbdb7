"""How long a process of an execution may run, and whose limit that is (PB-7).

The least of three: the automation's own time-out (agent), what is left of the organization's quota (org), and the
ceiling of this server (global). The quota is looked at when a process starts, so runs that are under way at the same
time may together use more than is left of it: by at most what each was given.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.model.configuration import Organization

if TYPE_CHECKING:
    from hookline.engine.directory import Directory
    from hookline.model.executions import Automation, Execution
    from hookline.ports import Clock, ExecutionArchive

USED_UP: Final = "The organization's run time of this period is used up."


class RunLimit(msgspec.Struct, frozen=True):
    """timeout_ms: 0 or less when nothing is left.  whose: agent, org or global."""

    timeout_ms: int
    whose: str


class RunLimits:
    """One per node. most_seconds: the ceiling of this server."""

    def __init__(
        self, *, directory: Directory, archive: ExecutionArchive, clock: Clock, most_seconds: float
    ) -> None:
        self._directory = directory
        self._archive = archive
        self._clock = clock
        self._most_ms = max(1, round(most_seconds * 1000))

    def __repr__(self) -> str:
        return f"RunLimits(most_ms={self._most_ms})"

    async def of(self, execution: Execution, automation: Automation | None) -> RunLimit | None:
        """The limit of a process that starts now; None when its automation is not known. Raises StorageError."""
        if automation is None:
            return None
        limits = [RunLimit(automation.timeout_ms, "agent"), RunLimit(self._most_ms, "global")]
        left = await self._left(execution)
        if left is not None:
            limits.append(RunLimit(left, "org"))
        return min(limits, key=lambda limit: limit.timeout_ms)

    async def _left(self, execution: Execution) -> int | None:
        """Milliseconds left of the organization's quota, None for no quota."""
        organization = await self._directory.get(Organization, execution.organization_id)
        quota = None if organization is None else organization.document.run_quota
        if quota is None:
            return None
        now = self._clock.now()
        since = now - timedelta(seconds=quota.window_seconds)
        used = await self._archive.run_time(execution.organization_id, since=since, now=now)
        return quota.seconds * 1000 - used
