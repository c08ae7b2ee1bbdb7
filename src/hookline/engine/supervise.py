"""Supervise: keep this node's lease, take over from nodes that died, follow what other nodes do.

When the lease is lost (the machine slept, the database was away for long), everything claimed under the old epoch
is forgotten and a new epoch is opened: late results of the old one are refused by the store.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog

from hookline.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hookline.engine.batch import Batcher
    from hookline.engine.deliver import Deliverer
    from hookline.engine.deploy import Deployer
    from hookline.engine.endings import Endings
    from hookline.engine.execute import Executor
    from hookline.engine.parts.ground import Ground
    from hookline.engine.publish import Outbox
    from hookline.engine.reconcile import Reconciler
    from hookline.engine.uploads import Uploads

_log = structlog.get_logger("hookline.supervise")

_FOLLOW_SECONDS: Final = 1.0
"""A lost wake-up may hide a change for this long: a revoked key is refused within a second on every node."""

_RECOVER_SECONDS: Final = 2.0
_RECONCILE_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 1.0
_COLLECT_SECONDS: Final = 2.0
_SWEEP_SECONDS: Final = 3_600.0


class Supervisor:
    """One per node.  rounds: more work to do again and again: every so many seconds, what."""

    def __init__(
        self,
        *,
        ground: Ground,
        deliverer: Deliverer,
        executor: Executor,
        outbox: Outbox,
        batcher: Batcher | None,
        uploads: Uploads,
        endings: Endings,
        deployer: Deployer,
        reconciler: Reconciler,
        rounds: Sequence[tuple[float, Callable[[], Awaitable[None]]]],
    ) -> None:
        self._store = ground.store
        self._lease = ground.lease
        self._reservations = ground.reservations
        self._directory = ground.directory
        self._meter = ground.meter
        self._deliverer = deliverer
        self._executor = executor
        self._outbox = outbox
        self._batcher = batcher
        self._uploads = uploads
        self._endings = endings
        self._deployer = deployer
        self._reconciler = reconciler
        self._rounds = rounds
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._every(self._lease.renew_seconds, self._renew), name="renew"),
            asyncio.create_task(self._every(_RECOVER_SECONDS, self._recover), name="recover"),
            asyncio.create_task(self._every(_FOLLOW_SECONDS, self._directory.refresh), name="follow"),
            asyncio.create_task(self._every(_RECONCILE_SECONDS, self._reconcile), name="reconcile"),
            asyncio.create_task(self._every(_LOOK_SECONDS, self._endings.look), name="endings-look"),
            asyncio.create_task(self._every(_SWEEP_SECONDS, self._uploads.sweep), name="sweep"),
            *(asyncio.create_task(self._every(*one), name="round") for one in self._rounds),
            asyncio.create_task(self._listen(), name="listen"),
        ]
        if self._batcher is not None:
            looking = self._every(_COLLECT_SECONDS, self._batcher.look)
            self._tasks.append(asyncio.create_task(looking, name="collect"))

    async def close(self) -> None:
        self._closing = True
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        # The flag, because a driver may answer a cancellation with an error of its own.
        while not self._closing:
            try:
                await work()
            except StorageError as exc:
                _log.warning("supervision_failed", work=work.__name__, reason=exc.message)
            except Exception:  # noqa: BLE001 -- one failed round must not end the lease's renewal for ever
                _log.exception("supervision_crashed", work=work.__name__)
            if not self._closing:
                await asyncio.sleep(seconds)

    async def _renew(self) -> None:
        if await self._lease.renew():
            return
        self._meter.lease_losses += 1
        _log.warning("lease_lost", epoch=self._lease.epoch)
        self._deliverer.forget()
        self._executor.forget()
        await self._lease.open()

    async def _recover(self) -> None:
        """Give back to the table what dead nodes held, and go on with it."""
        recovered = 0
        while released := await self._store.recover(self._lease.epoch):
            recovered += released
        if recovered:
            self._meter.deliveries_recovered += recovered
            _log.info("deliveries_recovered", count=recovered)
            self._deliverer.rescan()
        await self._reservations.settle()
        await self._executor.adopter.adopt()
        await self._executor.cancel_requested_elsewhere()  # a signal may have been lost
        await self._outbox.resume_fan_outs()
        await self._deployer.look()

    async def _reconcile(self) -> None:
        await self._reconciler.look()

    async def _listen(self) -> None:
        async for wake in self._store.wakes():
            match wake.topic:
                case "configuration":
                    with suppress(StorageError):
                        await self._directory.refresh()
                case "deliveries":
                    self._deliverer.rescan()
                case "executions":
                    self._executor.expect()
                case "cancel":
                    with suppress(StorageError):
                        await self._executor.cancel_requested_elsewhere()
                case "finished":
                    self._endings.heard(wake.detail)
                case _:
                    pass
