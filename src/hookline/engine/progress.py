"""Keep how far a run has come: few lines, and always the last.

A runner may tell of each frame or page; each line is a commit and is kept. So the first is written at once, what
follows within a quarter of a second waits, and of what waits only the latest counts.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_SPACING_SECONDS: Final = 0.25
"""Between two lines: as often as a bar on a page is worth moving."""


class Progress:
    """Of one run. write: stores a line; raises when the run is not ours any more."""

    def __init__(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: bytes | None = None
        self._resting: asyncio.Task[None] | None = None

    async def tell(self, fields: bytes) -> None:
        """Write it now or, soon after another, in a moment. Raises what ``write`` does, also for an earlier line."""
        if self._resting is not None and self._resting.done():
            resting, self._resting = self._resting, None
            resting.result()
        if self._resting is not None:
            self._waiting = fields
            return
        await self._write(fields)
        self._resting = asyncio.create_task(self._rest(), name="progress")

    async def close(self) -> None:
        """Write what waits: the run ends. Raises what ``write`` does."""
        if self._resting is not None:
            self._resting.cancel()
            await asyncio.gather(self._resting, return_exceptions=True)
            self._resting = None
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            await self._write(waiting)

    async def _rest(self) -> None:
        """Wait, and write the latest of what came meanwhile, until nothing did."""
        while True:
            await asyncio.sleep(_SPACING_SECONDS)
            if self._waiting is None:
                return
            waiting = self._waiting
            await self._write(waiting)
            if self._waiting is waiting:
                self._waiting = None
