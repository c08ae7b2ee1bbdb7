"""Explain: which webhooks an event is for, and by which rule not the others; before the fact and after it.

Decides nothing itself: ``Directory.mismatch`` does, which is ``matches`` for one webhook. What is owed is told from its
rows; what is not is derived from the webhook's revision at the time when the event was received.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.matching import Mismatch
from hookline.model.configuration import Webhook
from hookline.model.events import Delivery, Event
from hookline.model.ids import Key
from hookline.model.states import DeliveryState, Origin
from hookline.ports import DeliveryFilter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from hookline.engine.directory import Directory
    from hookline.engine.target import Target
    from hookline.engine.word import Wording
    from hookline.model.configuration import Stored
    from hookline.model.states import Kind
    from hookline.ports import Store

_PAGE: Final = 100
_MOST_DELIVERIES: Final = 500

_STATES: Final = {DeliveryState.SUCCEEDED: "sent"}
"""A delivery's state as an explanation words it, where the two differ."""

_RULES: Final = {
    Mismatch.TARGET: "the event is for one other webhook alone",
    Mismatch.PATTERN: "none of its event patterns fits the event's type",
    Mismatch.DIALECT: "its dialect tells only how runs ended",
    Mismatch.AUTOMATION: "it is for another automation",
    Mismatch.CONDITION: "the event's data does not meet its conditions",
}


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """An event and the rule that keeps it from a webhook, None when it is owed."""

    event: Event
    mismatch: Mismatch | None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event for one webhook.

    state: a delivery's, with ``sent`` for succeeded; ``batched`` for one that is sent with others; ``filtered`` or
    ``no_match`` for one that is not owed.  rule: the word of the rule that kept it away, None when it is owed.
    revision: of the webhook, by which it was decided; None for one that was created later.
    """

    webhook_id: Key
    name: str
    state: str
    reason: str
    rule: str | None = None
    revision: int | None = None
    delivery: Delivery | None = None


class Explainer:
    """One per node."""

    def __init__(self, *, store: Store, directory: Directory, wording: Wording) -> None:
        self._store = store
        self._directory = directory
        self._wording = wording

    def __repr__(self) -> str:
        return "Explainer()"

    async def dry_run(
        self, stored: Stored[Webhook], *, last: int, since: datetime | None = None
    ) -> list[Judged]:
        """Judge past events for a definition of a webhook, newest first. last: at most so many events."""
        target = self._directory.target_of(stored)
        judged: list[Judged] = []
        async for event in self._events(stored.organization_id, since):
            if len(judged) == last:
                break
            mismatch = self._directory.mismatch(target, event, await self._automation_of(target, event))
            judged.append(Judged(event=event, mismatch=mismatch))
        return judged

    async def body(self, stored: Stored[Webhook], event: Event) -> bytes:
        """What a definition of a webhook would send for an event, sent alone."""
        return await self._wording.event(self._directory.target_of(stored), event)

    async def explain(self, event: Event) -> list[Verdict]:
        """Say for each webhook of the organization what became of an event."""
        organization_id = event.organization_id
        owed = {
            one.webhook_id: one
            for one in await self._store.deliveries(
                organization_id, DeliveryFilter(event_key=event.key), before=None, limit=_MOST_DELIVERIES
            )
        }
        webhooks = await self._store.list(Webhook, organization_id=organization_id)
        told = [
            await self._verdict(stored, event, owed.pop(stored.id, None))
            for stored in webhooks
            if stored.document.origin is Origin.REGISTERED or stored.id in owed
        ]
        return told + [_of_row(id, "(deleted)", delivery) for id, delivery in owed.items()]

    async def _verdict(self, stored: Stored[Webhook], event: Event, delivery: Delivery | None) -> Verdict:
        name = stored.document.name
        if delivery is not None:
            return _of_row(stored.id, name, delivery)
        revision = await self._store.revision_at(Webhook, stored.id, event.received_at)
        if revision is None:
            return Verdict(
                webhook_id=stored.id,
                name=name,
                state="no_match",
                reason="it was created after the event",
                rule="created_later",
            )
        target = await self._directory.target_at(self._directory.target_of(stored), revision)
        mismatch = self._directory.mismatch(target, event, await self._automation_of(target, event))
        if mismatch is None:
            is_batched = target.webhook.batch is not None
            return Verdict(
                webhook_id=stored.id,
                name=name,
                state="batched" if is_batched else "pending",
                reason="it is sent in a batch with others" if is_batched else "its delivery is being made",
                revision=revision,
            )
        return Verdict(
            webhook_id=stored.id,
            name=name,
            state="filtered" if mismatch in {Mismatch.CONDITION, Mismatch.AUTOMATION} else "no_match",
            reason=reason_of(mismatch),
            rule=mismatch,
            revision=revision,
        )

    async def _events(self, organization_id: Key, since: datetime | None) -> AsyncIterator[Event]:
        """Newest first, in pages between which others are served."""
        before: Key | None = None
        while page := await self._store.recent_events(organization_id, before=before, limit=_PAGE):
            for event in page:
                if since is not None and event.received_at < since:
                    return
                yield event
            before = page[-1].key
            await asyncio.sleep(0)

    async def _automation_of(self, target: Target, event: Event) -> tuple[Kind, str] | None:
        """Whose event it is; looked up only for a webhook that asks."""
        if target.webhook.automation_kind is None or event.execution_id is None or event.sequence == 0:
            return None
        execution = await self._store.execution(event.execution_id, organization_id=event.organization_id)
        return None if execution is None else (execution.kind, execution.automation_id)


def reason_of(mismatch: Mismatch) -> str:
    """A rule in one plain clause about the webhook."""
    return _RULES[mismatch]


def _of_row(webhook_id: Key, name: str, delivery: Delivery) -> Verdict:
    state = _STATES.get(delivery.state, delivery.state.value)
    tries = f"{delivery.attempts_made} attempt{'' if delivery.attempts_made == 1 else 's'}"
    return Verdict(
        webhook_id=webhook_id,
        name=name,
        state=state,
        reason=f"{delivery.state_reason}, {tries}" if delivery.state_reason else tries,
        revision=delivery.webhook_revision or None,
        delivery=delivery,
    )
