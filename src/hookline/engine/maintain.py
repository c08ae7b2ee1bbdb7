"""Maintain: delete what is old and ended, end what was held for too long, send what is held without a reason.

One node at a time does it: a reservation under its epoch keeps the others away, and is theirs when it dies. Work comes
in small transactions, so that nobody who publishes waits for more than one of them, and in rounds, after each of which
the node rests. A round must be large beside what it costs to look for old things of every kind, and the rest short,
else a node that is written to as fast as it can would delete less than comes in, and its database would grow for ever.
What waits is never deleted, however old it is (P16).
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from hookline.core.retention import kept
from hookline.engine.alone import alone
from hookline.model.configuration import Organization, Webhook
from hookline.model.states import DeliveryState, Origin
from hookline.ports import Shift

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from hookline.core.retention import Kept
    from hookline.engine.alert import Alerts
    from hookline.engine.commit import Committer
    from hookline.engine.directory import Directory
    from hookline.engine.lease import Lease
    from hookline.engine.shrink import Shrinker
    from hookline.engine.target import Target
    from hookline.model.ids import Key
    from hookline.ports import Clock, Epoch, Onces, Store

_log = structlog.get_logger("hookline.maintain")

_EVENTS_AT_ONCE: Final = 5_000
"""In one round. Measured against 64 callers who publish without a pause: with 500 and a rest as long as the round, 0.4
to 0.75 events go for each that comes; with this, 1.2 on SQLite and 3 on PostgreSQL, and they wait no longer."""

_REST: Final = 0.25
"""Of the time that a round took."""

_HELD_AT_ONCE: Final = 500


class Maintenance:
    """One per node. kept: how long the server keeps things; organizations may want theirs kept shorter.
    settle_in: sends what waits for a webhook that is active.  settle_left: holds or cancels what a node that died left
    waiting for one that is not.
    """

    def __init__(
        self,
        *,
        store: Store,
        onces: Onces,
        committer: Committer,
        directory: Directory,
        lease: Lease,
        clock: Clock,
        kept: Kept,
        alerts: Alerts,
        settle_in: Callable[[Key, Key], Awaitable[None]],
        settle_left: Callable[[], Awaitable[None]],
        shrinker: Shrinker,
    ) -> None:
        self._store = store
        self._onces = onces
        self._committer = committer
        self._directory = directory
        self._lease = lease
        self._clock = clock
        self._kept = kept
        self._alerts = alerts
        self._settle_in = settle_in
        self._settle_left = settle_left
        self._teller = alerts.teller
        self._shrinker = shrinker
        self._sweeping = asyncio.Lock()
        self.rows_pruned = 0
        self.held_expired = 0

    def __repr__(self) -> str:
        return f"Maintenance(rows_pruned={self.rows_pruned}, held_expired={self.held_expired})"

    async def sweep(self) -> None:
        """Do all there is to do, unless another node is at it. Raises StorageError."""
        async with self._sweeping:
            await self._sweep()

    async def _sweep(self) -> None:
        async with alone("maintenance", onces=self._onces, lease=self._lease, clock=self._clock) as epoch:
            if epoch is not None:
                await self._settle_left()
                await self._expire_held(epoch)
                await self._prune(epoch)
                await self._shrinker.shrink(lambda: self._is_ours(epoch))

    async def _prune(self, epoch: Epoch) -> None:
        """What is old to the server, of whatever organization; then what is old only to the organization itself."""
        total = await self._prune_of(None, self._kept.days, epoch)
        for stored in await self._store.list(Organization, organization_id=None):
            own = kept(self._kept, stored.document.retention).days
            if own < self._kept.days:
                total += await self._prune_of(stored.id, own, epoch)
        if total:
            _log.info("pruned", rows=total)

    async def _prune_of(self, organization_id: Key | None, days: float, epoch: Epoch) -> int:
        """organization_id: None for all. Returns rows deleted."""
        total = 0
        while self._is_ours(epoch):
            begun = self._clock.elapsed()
            before = self._clock.now() - timedelta(days=days)
            deleted = await self._store.prune(
                before=before, limit=_EVENTS_AT_ONCE, organization_id=organization_id
            )
            if deleted == 0:
                break
            total += deleted
            self.rows_pruned += deleted
            await self._rest(begun)
        return total

    async def _expire_held(self, epoch: Epoch) -> None:
        for stored in await self._store.list(Webhook, organization_id=None):
            held = await self._store.held_back(stored.id)
            if held.oldest_at is None:
                continue
            # After the look: what was held before then waits for nothing else.
            await self._directory.refresh()
            target = await self._directory.target(stored.id)
            if target is not None and target.is_active:
                _log.info("held_sent", webhook=target.public_id, deliveries=held.count)
                await self._settle_in(stored.organization_id, stored.id)
                continue
            age = self._clock.now() - held.oldest_at
            keep = await self._keep_held(stored.organization_id)
            if target is not None and age >= keep / 2:
                await self._warn(target, held.count, held.oldest_at + keep)
            moved = _HELD_AT_ONCE if age >= keep else 0
            while moved == _HELD_AT_ONCE and self._is_ours(epoch):
                begun = self._clock.elapsed()
                moved = await self._expire(stored.id, target, keep, epoch)
                self.held_expired += moved
                await self._rest(begun)

    async def _keep_held(self, organization_id: Key) -> timedelta:
        stored = await self._directory.get(Organization, organization_id)
        own = None if stored is None else stored.document.retention
        return timedelta(days=kept(self._kept, own).held_days)

    async def _warn(self, target: Target, count: int, expires_at: datetime) -> None:
        """Tell its owners, once, that what is held will expire."""
        if target.webhook.origin is Origin.REGISTERED:
            await self._alerts.held_for_long(target, count=count, expires_at=expires_at)

    async def _expire(self, webhook_id: Key, target: Target | None, keep: timedelta, epoch: Epoch) -> int:
        """Give up some of what was held for too long, and tell of it in the same transaction."""
        now = self._clock.now()
        line = now - keep
        events = () if target is None else (self._teller.expired(target, line, now),)
        moved = await self._committer.commit(
            Shift(
                webhook_id=webhook_id,
                sources=(DeliveryState.HELD,),
                to=DeliveryState.EXHAUSTED,
                reason="held_expired",
                next_attempt_at=None,
                at=now,
                limit=_HELD_AT_ONCE,
                created_before=line,
                epoch=epoch,
                events=events,
            ),
            after=lambda moved: self._teller.conclude(events, epoch, isinstance(moved, int) and moved > 0),
        )
        assert isinstance(moved, int)
        return moved

    def _is_ours(self, epoch: Epoch) -> bool:
        return self._lease.is_held() and self._lease.epoch == epoch

    async def _rest(self, begun: float) -> None:
        """Leave the database to others for a while."""
        await asyncio.sleep((self._clock.elapsed() - begun) * _REST)
