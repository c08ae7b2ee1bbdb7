"""Judge: would a webhook, as it is or as it might be, get a past event, and by which rule not?

Decides nothing itself: ``Directory.mismatch`` does, which is ``matches`` for one webhook. What this adds is what a live
event has at hand and a past one has not: the automation of its execution.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from hookline.model.ids import earliest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from hookline.core.matching import Mismatch
    from hookline.engine.directory import Directory
    from hookline.engine.target import Target
    from hookline.model.events import Event
    from hookline.model.ids import Key
    from hookline.model.states import Kind
    from hookline.ports import Archive

_PAGE: Final = 100

_CLOCKS_APART: Final = timedelta(minutes=1)
"""Lists are in the order of keys, which nodes make by clocks of their own: so much further back one is looked for."""


class Judge:
    """One per node."""

    def __init__(self, archive: Archive, directory: Directory) -> None:
        self._archive = archive
        self._directory = directory

    def __repr__(self) -> str:
        return "Judge()"

    async def mismatch(self, target: Target, event: Event) -> Mismatch | None:
        """The rule that keeps an event from a webhook, None when it is owed. target: of any revision."""
        return self._directory.mismatch(target, event, await self._automation_of(target, event))

    async def past_events(
        self, organization_id: Key, *, since: datetime | None
    ) -> AsyncIterator[list[Event]]:
        """Events received since then, newest first, in pages between which others are served; a page may be empty."""
        before = None
        while page := await self._archive.recent_events(organization_id, before=before, limit=_PAGE):
            yield [event for event in page if since is None or event.received_at >= since]
            if since is not None and page[-1].received_at < since - _CLOCKS_APART:
                return
            before = page[-1].key
            await asyncio.sleep(0)

    async def never_owed(
        self,
        organization_id: Key,
        target: Target,
        *,
        since: datetime,
        until: datetime,
        after: Key | None = None,
    ) -> AsyncIterator[list[Event]]:
        """Events received in [since, until) that a webhook would get now and that were never owed to it, oldest first,
        in such pages. after: only those with greater keys.
        """
        after = after or earliest(since - _CLOCKS_APART)
        while page := await self._archive.recent_events(organization_id, after=after, limit=_PAGE):
            past = [event for event in page if since <= event.received_at < until]
            fitting = [event for event in past if await self.mismatch(target, event) is None]
            owed = await self._archive.owed(target.id, [event.key for event in fitting]) if fitting else set()
            yield [event for event in fitting if event.key not in owed and not event.is_stripped]
            if page[-1].received_at >= until + _CLOCKS_APART:
                return
            after = page[-1].key
            await asyncio.sleep(0)

    async def _automation_of(self, target: Target, event: Event) -> tuple[Kind, str] | None:
        """Whose event it is; looked up only for a webhook that asks."""
        if target.webhook.automation_kind is None or event.execution_id is None or event.sequence == 0:
            return None
        execution = await self._archive.execution(event.execution_id, organization_id=event.organization_id)
        return None if execution is None else (execution.kind, execution.automation_id)
