"""Claim executions from the table: those that another node left there, and those whose sleep is over."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from hookline.errors import StorageError
from hookline.ports import ClaimExecutions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hookline.engine.commit import Committer
    from hookline.engine.lease import Lease
    from hookline.model.executions import Execution
    from hookline.model.states import Kind
    from hookline.ports import Clock, Epoch, Pending

_log = structlog.get_logger("hookline.claim")

_AT_ONCE: Final = 256

_SCAN_SECONDS: Final = 2.0
"""How often the table is asked for executions that nobody told us of."""

_SHORTEST_PAUSE_SECONDS: Final = 0.001
_SHORTEST_PAUSE_OF_SOME: Final = 0.2
"""… of a node that may not run every kind: what is due may be for others."""


class RunClaimer:
    """One per node.

    room: how many more this node would take.  kinds: which, None for all.  take: given what was claimed.
    """

    def __init__(
        self,
        *,
        committer: Committer,
        archive: Pending,
        lease: Lease,
        clock: Clock,
        room: Callable[[], int],
        kinds: Callable[[], tuple[Kind, ...] | None],
        take: Callable[[Sequence[Execution], Epoch], Awaitable[None]],
    ) -> None:
        self._committer = committer
        self._archive = archive
        self._lease = lease
        self._clock = clock
        self._room = room
        self._kinds = kinds
        self._take = take
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return "RunClaimer()"

    def start(self) -> None:
        self._task = asyncio.create_task(self._claim_forever(), name="execution-claimer")

    def close(self) -> None:
        """Claim nothing more."""
        if self._task is not None:
            self._task.cancel()

    def look(self) -> None:
        """The table may hold something to run: look soon."""
        self._wake.set()

    async def _claim_forever(self) -> None:
        while True:
            self._wake.clear()
            try:
                more = await self._claim_some()
            except StorageError as exc:
                _log.warning("execution_claim_failed", reason=exc.message)
                more = False
            if more:
                continue
            try:
                async with asyncio.timeout(await self._pause()):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _pause(self) -> float:
        """Seconds until the next sleeper wakes, at most the scan interval."""
        try:
            wake_at = await self._archive.next_wake_at()
        except StorageError:
            return _SCAN_SECONDS
        if wake_at is None:
            return _SCAN_SECONDS
        shortest = _SHORTEST_PAUSE_SECONDS if self._kinds() is None else _SHORTEST_PAUSE_OF_SOME
        return max(shortest, min(_SCAN_SECONDS, (wake_at - self._clock.now()) / timedelta(seconds=1)))

    async def _claim_some(self) -> bool:
        """Claim what can run; True when there may be more and there is room for it."""
        room = min(self._room(), _AT_ONCE)
        kinds = self._kinds()
        if room <= 0 or not self._lease.is_held() or kinds == ():
            return False
        epoch = self._lease.epoch
        claimed = await self._committer.commit(
            ClaimExecutions(epoch=epoch, limit=room, now=self._clock.now(), kinds=kinds)
        )
        assert isinstance(claimed, tuple)
        await self._take(claimed, epoch)
        return len(claimed) == room
