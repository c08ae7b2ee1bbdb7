"""Shrink: payloads go before what tells of them, and the whole stays below a size.

A payload is most of what an event takes; that it happened, when, to whom and with what answer is little and is what
people look for later. So payloads have an age of their own, and when too much is stored the oldest go first, then the
oldest events themselves. What is owed keeps all it has. Steps are small, and after each the database is left to others
for as long as the step took.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from hookline.core.retention import kept
from hookline.model.configuration import Organization

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from hookline.core.retention import Kept
    from hookline.model.configuration import Stored
    from hookline.model.ids import Key
    from hookline.ports import Clock, Store

_log = structlog.get_logger("hookline.shrink")

_EVENTS_AT_ONCE: Final = 200

_BEGIN_ANEW_SECONDS: Final = 6 * 3_600.0
"""What was owed when its turn came is looked at again so often; what came since is always looked at."""

_TARGET: Final = 0.9
"""When too much is stored, so much of the bound is left: each sweep then has something to show for its search."""

_AGE_STEP: Final = 0.8
"""Each round takes what is older than this share of the age before…"""
_YOUNGEST: Final = timedelta(minutes=1)
"""… down to this: what has just come is not what fills a disk."""


class Shrinker:
    """One per node. kept: how long the server keeps things.  most_bytes: 0 for no bound."""

    def __init__(self, *, store: Store, clock: Clock, kept: Kept, most_bytes: int) -> None:
        self._store = store
        self._clock = clock
        self._kept = kept
        self._most_bytes = most_bytes
        self._places: dict[Key, Key] = {}
        self._began_at = clock.elapsed()
        self.bytes_stripped = 0
        self.rows_pruned = 0

    def __repr__(self) -> str:
        return f"Shrinker(bytes_stripped={self.bytes_stripped}, rows_pruned={self.rows_pruned})"

    async def shrink(self, may_go_on: Callable[[], bool]) -> None:
        """Do all there is to do while ``may_go_on``. Raises StorageError."""
        if self._clock.elapsed() - self._began_at > _BEGIN_ANEW_SECONDS:
            self._places.clear()
            self._began_at = self._clock.elapsed()
        now = self._clock.now()
        for organization in await self._organizations():
            own = kept(self._kept, organization.document.retention)
            if own.payload_days < own.days:
                await self._strip(organization.id, now - timedelta(days=own.payload_days), None, may_go_on)
        if not self._most_bytes:
            return
        stored = await self._store.stored_bytes()
        if stored > self._most_bytes:
            _log.info("too_much_stored", bytes=stored, most=self._most_bytes)
            await self._strip_oldest(now, stored - round(_TARGET * self._most_bytes), may_go_on)
            await self._prune_oldest(now, may_go_on)

    async def _strip_oldest(self, now: datetime, excess: int, may_go_on: Callable[[], bool]) -> None:
        """Empty payloads, the oldest first over all organizations, until so many bytes are free."""
        age = timedelta(days=self._kept.payload_days)
        while excess > 0 and age > _YOUNGEST and may_go_on():
            age *= _AGE_STEP
            for stored in await self._organizations():
                if excess > 0:
                    excess -= await self._strip(stored.id, now - age, excess, may_go_on)

    async def _organizations(self) -> Sequence[Stored[Organization]]:
        return await self._store.list(Organization, organization_id=None)

    async def _strip(
        self, organization_id: Key, before: datetime, most: int | None, may_go_on: Callable[[], bool]
    ) -> int:
        """Empty the payloads of what came before then. most: stop after so many bytes. Returns bytes freed."""
        freed = 0
        is_end = False
        while not is_end and may_go_on() and (most is None or freed < most):
            begun = self._clock.elapsed()
            step = await self._store.strip(
                organization_id,
                after=self._places.get(organization_id, b""),
                before=before,
                limit=_EVENTS_AT_ONCE,
            )
            self._places[organization_id] = step.after
            is_end = step.is_end
            freed += step.freed
            await asyncio.sleep(self._clock.elapsed() - begun)
        self.bytes_stripped += freed
        return freed

    async def _prune_oldest(self, now: datetime, may_go_on: Callable[[], bool]) -> None:
        """Delete what has ended, the oldest first, until what is stored is below the bound."""
        age = timedelta(days=self._kept.days)
        while age > _YOUNGEST and may_go_on() and await self._store.stored_bytes() > self._most_bytes:
            age *= _AGE_STEP
            deleted = -1
            while deleted and may_go_on():
                begun = self._clock.elapsed()
                deleted = await self._store.prune(before=now - age, limit=_EVENTS_AT_ONCE)
                self.rows_pruned += deleted
                await asyncio.sleep(self._clock.elapsed() - begun)
