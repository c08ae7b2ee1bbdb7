"""Webhooks: hold, drain or cancel what waits for one, send again, try it out.

Whose word it is, the owner's over the API or the receiver's (410), makes no difference here: what waits moves in
bounded steps, each a transaction, and nothing is dropped.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.lifecycle import WEBHOOK_DELETED
from hookline.engine.publish import EventDraft
from hookline.errors import ConflictError
from hookline.model.configuration import Webhook
from hookline.model.ids import Key
from hookline.model.states import AttemptOutcome, DeliveryState, Lane
from hookline.ports import DeliveryFilter, Reopen, Shift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookline.engine.commit import Committer
    from hookline.engine.deliver import Deliverer
    from hookline.engine.directory import Directory
    from hookline.engine.publish import Publisher
    from hookline.engine.target import Target
    from hookline.model.configuration import Stored
    from hookline.model.events import Attempt, Delivery
    from hookline.ports import Clock, Store

_TEST_SECONDS: Final = 35.0
"""Longer than any dialect's time-out, so a test tells how its attempt ended."""


class TestResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a test delivery went. response_code: None without an answer."""

    __test__ = False

    status: str
    response_code: int | None
    response_time_ms: int | None
    error: str | None
    delivery_id: Key


class Webhooks:
    """One per node."""

    def __init__(
        self,
        *,
        store: Store,
        committer: Committer,
        directory: Directory,
        deliverer: Deliverer,
        publisher: Publisher,
        clock: Clock,
    ) -> None:
        self._store = store
        self._committer = committer
        self._directory = directory
        self._deliverer = deliverer
        self._publisher = publisher
        self._clock = clock

    def __repr__(self) -> str:
        return "Webhooks()"

    async def reopen(self, organization_id: Key, delivery_id: Key) -> Delivery | None:
        """Make one delivery due now. None when there is none in that organization.

        For a webhook that takes nothing now it is held until that one is resumed. Raises ConflictError when its webhook
        is deleted: nobody would ever send it.
        """
        known = await self._store.delivery(delivery_id, organization_id=organization_id)
        if known is None:
            return None
        target = await self._directory.target(known.webhook_id)
        if target is None:
            raise ConflictError("Its webhook is deleted; publish the event again.", code="WEBHOOK_DELETED")
        now = self._clock.now()
        result = await self._committer.commit(
            Reopen(organization_id=organization_id, delivery_id=delivery_id, lane=Lane.RETRY, at=now)
        )
        if result is None:
            return None
        delivery: Delivery = result  # type: ignore[assignment]
        if delivery.state is DeliveryState.PENDING and not target.is_active:
            await self.hold(target)
            return await self._store.delivery(delivery_id, organization_id=organization_id)
        if delivery.state is DeliveryState.PENDING:
            self._deliverer.expect(delivery.webhook_id, delivery.lane, now)
        return delivery

    async def settle_in(self, organization_id: Key, webhook_id: Key) -> None:
        """Hold or send what waits for a webhook, as it now says; nothing for one that is deleted."""
        await self._directory.load(organization_id)
        await self._directory.refresh()
        target = self._directory.known_target(organization_id, webhook_id)
        if target is not None:
            await (
                self.shift(target.stored, DeliveryState.PENDING) if target.is_active else self.hold(target)
            )

    async def settle_left(self) -> None:
        """Hold or cancel what waits for a webhook that takes nothing: a node that died between the change of a webhook
        and that of its deliveries left them as they were.
        """
        left = {waiting.webhook_id for waiting in await self._store.waiting()}
        await self._directory.refresh()
        for webhook_id in left:
            stored = await self._store.get(Webhook, webhook_id, organization_id=None)
            if stored is None:
                sources = (DeliveryState.PENDING, DeliveryState.HELD)
                await self._move(webhook_id, sources, DeliveryState.CANCELLED, WEBHOOK_DELETED)
                continue
            target = await self._directory.target(webhook_id)
            if target is not None and not target.is_active:
                await self.settle_in(stored.organization_id, webhook_id)

    async def shift(self, webhook: Stored[Webhook], to: DeliveryState, *, held_for: str | None = None) -> int:
        """Hold, drain or cancel what waits for a webhook, in bounded steps. Returns how many moved.

        held_for: why it is held; its status when None.
        """
        sources = {
            DeliveryState.HELD: (DeliveryState.PENDING,),
            DeliveryState.PENDING: (DeliveryState.HELD,),
            DeliveryState.CANCELLED: (DeliveryState.PENDING, DeliveryState.HELD),
        }[to]
        reason = {
            DeliveryState.HELD: held_for or f"webhook_{webhook.document.status}",
            DeliveryState.CANCELLED: WEBHOOK_DELETED,
        }.get(to)
        return await self._move(webhook.id, sources, to, reason)

    async def _move(
        self, webhook_id: Key, sources: tuple[DeliveryState, ...], to: DeliveryState, reason: str | None
    ) -> int:
        total = 0
        while True:
            now = self._clock.now()
            moved = await self._committer.commit(
                Shift(
                    webhook_id=webhook_id,
                    sources=sources,
                    to=to,
                    reason=reason,
                    next_attempt_at=now if to is DeliveryState.PENDING else None,
                    at=now,
                )
            )
            assert isinstance(moved, int)
            total += moved
            if moved == 0:
                break
            await asyncio.sleep(0)
        if to is DeliveryState.PENDING:
            self._deliverer.rescan()
        return total

    async def hold(self, target: Target) -> None:
        """Set aside what waits for it: it takes nothing now."""
        await self.shift(target.stored, DeliveryState.HELD, held_for=target.rests_for)

    async def test(
        self, organization_id: Key, webhook_id: Key, event_type: str, data: bytes
    ) -> TestResult | None:
        """Send one event to one webhook through the live path and wait for its first attempt.

        Returns None when there is no such webhook.
        """
        published = await self._publisher.publish(
            organization_id, [EventDraft(type=event_type, data=data)], target_id=webhook_id
        )
        assert isinstance(published, list)
        event = await self._store.event(organization_id, published[0].public_id)
        assert event is not None
        deadline = self._clock.elapsed() + _TEST_SECONDS
        while True:
            found = await self._store.deliveries(
                organization_id, DeliveryFilter(event_key=event.key), before=None, limit=1
            )
            if not found:
                return None
            attempts = await self._store.attempts(found[0].id)
            result = _test_result(found[0], attempts)
            if result.status != "pending" or self._clock.elapsed() > deadline:
                return result
            await asyncio.sleep(0.02)


def _test_result(delivery: Delivery, attempts: Sequence[Attempt]) -> TestResult:
    if not attempts:
        is_held = delivery.state is DeliveryState.HELD
        return TestResult(
            status="held" if is_held else "pending",
            response_code=None,
            response_time_ms=None,
            error=delivery.state_reason if is_held else "no attempt has ended yet",
            delivery_id=delivery.id,
        )
    return TestResult(
        # Not by the delivery's state: it was read before the attempt, which may have ended in between.
        status="success" if attempts[-1].outcome is AttemptOutcome.DELIVERED else "failed",
        response_code=attempts[-1].status,
        response_time_ms=attempts[-1].duration_ms,
        error=attempts[-1].error,
        delivery_id=delivery.id,
    )
