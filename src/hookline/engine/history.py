"""How long does an automation take? Its own recent history answers (AF-4's ``estimated_completion``)."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING, Final

from hookline.errors import StorageError

if TYPE_CHECKING:
    from datetime import datetime

    from hookline.model.states import Kind
    from hookline.ports import ExecutionArchive

_REMEMBERED: Final = 50
_UNKNOWN_MS: Final = 1_000
"""What we say before the first run has ended: honest about being a guess, soon enough to poll."""


class RunTimes:
    """The latest accepted → completed times of each automation, in memory after the first question."""

    def __init__(self, archive: ExecutionArchive) -> None:
        self._archive = archive
        self._times: dict[tuple[Kind, str], deque[int]] = {}
        self._medians: dict[tuple[Kind, str], int] = {}

    async def estimate(self, kind: Kind, automation_id: str, *, at: datetime) -> datetime:
        """When an execution accepted at that instant should be done."""
        place = (kind, automation_id)
        typical = self._medians.get(place)
        if typical is None:
            if place not in self._times:
                await self._load(kind, automation_id)
            times = self._times.get(place)
            typical = self._medians[place] = round(median(times)) if times else _UNKNOWN_MS
        return at + timedelta(milliseconds=typical)

    async def _load(self, kind: Kind, automation_id: str) -> None:
        try:
            times = await self._archive.run_times(kind, automation_id, limit=_REMEMBERED)
        except StorageError:
            return
        self._times.setdefault((kind, automation_id), deque(reversed(times), maxlen=_REMEMBERED))

    def note(self, kind: Kind, automation_id: str, took: timedelta) -> None:
        """Remember that one ended well."""
        times = self._times.setdefault((kind, automation_id), deque(maxlen=_REMEMBERED))
        times.append(round(took / timedelta(milliseconds=1)))
        self._medians.pop((kind, automation_id), None)
