"""Explain: which webhooks an event is for, and by which rule not the others; before the fact and after it.

What is owed is told from its rows, alone or in a batch; what is not is derived from the webhook's revision at the time
when the event was received.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.matching import Mismatch
from hookline.core.templates import TemplateFailedError
from hookline.core.times import rfc3339
from hookline.errors import PayloadGoneError
from hookline.model.configuration import Webhook
from hookline.model.events import Delivery, Event
from hookline.model.ids import Key, public
from hookline.model.states import DeliveryState, Origin, WebhookStatus
from hookline.ports import DeliveryFilter, Owed

if TYPE_CHECKING:
    from datetime import datetime

    from hookline.engine.directory import Directory
    from hookline.engine.judge import Judge
    from hookline.engine.word import Wording
    from hookline.model.configuration import Stored
    from hookline.ports import Store

_MOST_DELIVERIES: Final = 500

_STATES: Final = {DeliveryState.SUCCEEDED: "sent"}
"""A delivery's state as an explanation words it, where the two differ."""

_DELETED: Final = "(deleted)"

_RULES: Final = {
    Mismatch.TARGET: "the event is for one other webhook alone",
    Mismatch.PATTERN: "none of its event patterns fits the event's type",
    Mismatch.DIALECT: "its dialect tells only how runs ended",
    Mismatch.SUBJECT: "the event tells how this very webhook fares",
    Mismatch.AUTOMATION: "it is for another automation",
    Mismatch.CONDITION: "the event's data does not meet its conditions",
}


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """An event and the rule that keeps it from a webhook, None when it is owed."""

    event: Event
    mismatch: Mismatch | None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event for one webhook.

    state: a delivery's or that of the batch it is in, with ``sent`` for succeeded; ``batched`` for one that waits for
    others, ``held`` when its webhook rests; ``filtered`` or ``no_match`` for one that is not owed.
    rule: the word of the rule that kept it away, None when it is owed.
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

    def __init__(self, *, store: Store, directory: Directory, judge: Judge, wording: Wording) -> None:
        self._store = store
        self._judge = judge
        self._directory = directory
        self._wording = wording

    def __repr__(self) -> str:
        return "Explainer()"

    async def sent_body(self, delivery: Delivery) -> bytes | None:
        """The bytes that were sent, or would be: kept while attempts may follow, else worded again from what they were
        worded from. None when the webhook, the event or its payload is gone, for a batch that was sent, and where a
        template cannot word the event.
        """
        if delivery.body is not None or delivery.event_key is None:
            return delivery.body
        event = await self._wording.event_of(delivery.organization_id, delivery.event_key)
        target = await self._directory.target(delivery.webhook_id)
        if event is None or target is None:
            return None
        try:
            worded = await self._wording.revision_of(target, delivery)
            return await self._wording.body(worded, Owed(delivery=delivery, event=event))
        except (TemplateFailedError, PayloadGoneError):
            return None

    async def rounded_numbers(self, delivery: Delivery) -> list[tuple[Event, str]]:
        """Each number of a delivery that its body cannot tell exactly: its event, and its path in the event's data."""
        return await self._wording.rounded_numbers(delivery)

    async def whole_body(self, organization_id: Key, delivery_id: Key) -> tuple[bytes, str] | None:
        """What a delivery is about, however large, and its content type; None when it, its webhook or its payload is
        gone, or a template cannot word it.
        """
        try:
            return await self._wording.whole_of(organization_id, delivery_id)
        except (TemplateFailedError, PayloadGoneError):
            return None

    async def dry_run(
        self, stored: Stored[Webhook], *, last: int, since: datetime | None = None
    ) -> list[Judged]:
        """Judge past events for a definition of a webhook, newest first. last: at most so many events."""
        target = self._directory.target_of(stored)
        judged: list[Judged] = []
        async for page in self._judge.past_events(stored.organization_id, since=since):
            judged += [
                Judged(event=event, mismatch=await self._judge.mismatch(target, event))
                for event in page[: last - len(judged)]
            ]
            if len(judged) == last:
                break
        return judged

    def content_type(self, stored: Stored[Webhook]) -> str:
        """Of such a body."""
        target = self._directory.target_of(stored)
        return (target.template or target.dialect).content_type

    async def body(self, stored: Stored[Webhook], event: Event) -> bytes:
        """What a definition of a webhook would send for an event, sent alone. Raises TemplateFailedError."""
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
        # One that was set aside from its batch has a row of its own, which says more than the batch's.
        batched = {
            one.webhook_id: one.delivery
            for one in await self._store.batched(organization_id, event.key)
            if one.webhook_id not in owed
        }
        known = {
            stored.id: stored for stored in await self._store.list(Webhook, organization_id=organization_id)
        }
        told = [
            await self._derived(stored, event)
            for stored in known.values()
            if stored.document.origin is Origin.REGISTERED and stored.id not in owed | batched
        ]
        names = {id: stored.document.name for id, stored in known.items()}
        return [
            *[_of_row(id, names.get(id, _DELETED), delivery) for id, delivery in owed.items()],
            *[_of_batch(id, known.get(id), delivery) for id, delivery in batched.items()],
            *told,
        ]

    async def _derived(self, stored: Stored[Webhook], event: Event) -> Verdict:
        name = stored.document.name
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
        mismatch = await self._judge.mismatch(target, event)
        if mismatch is None:
            return Verdict(
                webhook_id=stored.id,
                name=name,
                state="pending",
                reason="its delivery is being made",
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


def reason_of(mismatch: Mismatch) -> str:
    """A rule in one plain clause about the webhook."""
    return _RULES[mismatch]


def _of_batch(webhook_id: Key, stored: Stored[Webhook] | None, delivery: Delivery | None) -> Verdict:
    """stored: None when the webhook is deleted."""
    name = _DELETED if stored is None else stored.document.name
    if delivery is None:
        is_held = stored is not None and stored.document.status is not WebhookStatus.ACTIVE
        waits = "it waits to be sent in a batch"
        return Verdict(
            webhook_id=webhook_id,
            name=name,
            state="held" if is_held else "batched",
            reason=f"webhook_{stored.document.status}, {waits}" if stored is not None and is_held else waits,
        )
    assert delivery.batch_id is not None
    verdict = _of_row(webhook_id, name, delivery)
    in_batch = f"in batch {public('batch', delivery.batch_id)}, {verdict.reason}"
    return msgspec.structs.replace(verdict, reason=in_batch)


def _of_row(webhook_id: Key, name: str, delivery: Delivery) -> Verdict:
    state = _STATES.get(delivery.state, delivery.state.value)
    tries = f"{delivery.attempts_made} attempt{'' if delivery.attempts_made == 1 else 's'}"
    if delivery.state is DeliveryState.PENDING and delivery.next_attempt_at is not None:
        tries += f", next at {rfc3339(delivery.next_attempt_at)}"
    return Verdict(
        webhook_id=webhook_id,
        name=name,
        state=state,
        reason=f"{delivery.state_reason}, {tries}" if delivery.state_reason else tries,
        revision=delivery.webhook_revision or None,
        delivery=delivery,
    )
