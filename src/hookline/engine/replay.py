"""Replay: do many things again, paced, on one node at a time, each once however often that node dies.

A job is a document: what to take, how fast, and how far it is. Deliveries are sent again (``redeliver``), requests are
run again (``rerun``). A reservation under the node's epoch keeps other nodes away, and every step is a compare-and-set
on the job, so a node that lost its lease changes nothing more.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from hookline.errors import ConflictError, StorageError
from hookline.model.configuration import Replay, Stored
from hookline.model.ids import earliest
from hookline.model.states import DeliveryState, ReplayStatus
from hookline.ports import Once

if TYPE_CHECKING:
    from hookline.engine.lease import Lease
    from hookline.model.ids import Key
    from hookline.ports import Clock, Epoch, Onces, Store

_log = structlog.get_logger("hookline.replay")

REPLAYABLE: Final = (
    DeliveryState.SUCCEEDED,
    DeliveryState.EXHAUSTED,
    DeliveryState.HELD,
    DeliveryState.CANCELLED,
)
"""What is pending or in flight is being sent anyway."""

_CLOCK_STEPS: Final = timedelta(days=1)
"""An id is made when its thing comes and holds the time by a node's clock, which may have been set since."""

_LATE_SECONDS: Final = 0.5
"""Time lost to a slow store is made up for this much, and no more."""


class Batches(Protocol):
    """One kind of job, a batch at a time."""

    async def count(self, organization_id: Key, job: Replay) -> tuple[int, bool]:
        """How many a job would take, and whether that is all of them. Raises StorageError."""

    async def resume(self, stored: Stored[Replay], pace: Pace) -> None:
        """Finish what was begun of the last batch before a node died. Raises StorageError."""

    async def next(self, stored: Stored[Replay], pace: Pace, epoch: Epoch) -> bool:
        """Do the next batch, or write down that there is none left. Returns whether there may be more to do. Raises
        StorageError, and ConflictError when somebody paused or cancelled the job meanwhile.

        epoch: under which the job is worked on.
        """


class Replayer:
    """One per node."""

    def __init__(
        self,
        *,
        store: Store,
        onces: Onces,
        lease: Lease,
        clock: Clock,
        deliveries: Batches,
        requests: Batches,
    ) -> None:
        self._store = store
        self._onces = onces
        self._lease = lease
        self._clock = clock
        self._deliveries = deliveries
        self._requests = requests
        self._running: dict[Key, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"Replayer(running={len(self._running)})"

    @property
    def is_busy(self) -> bool:
        """Whether this node works on a job."""
        return bool(self._running)

    async def close(self) -> None:
        """Stop where it is: the next start of any node goes on from there."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def count(self, organization_id: Key, job: Replay) -> tuple[int, bool]:
        """How many a job would take, and whether that is all of them. Raises StorageError."""
        return await self._batches(job).count(organization_id, job)

    async def look(self) -> None:
        """Take up jobs that are to run and that no living node works on."""
        for stored in await self._store.list(Replay, organization_id=None):
            if stored.document.status is ReplayStatus.RUNNING:
                self.begin(stored)

    def begin(self, stored: Stored[Replay]) -> None:
        """Work on a job, unless this node does already or another has it."""
        if stored.id not in self._running and self._lease.is_held():
            task = asyncio.create_task(self._work(stored, self._lease.epoch), name="replay")
            self._running[stored.id] = task
            task.add_done_callback(lambda _: self._running.pop(stored.id, None))

    def _batches(self, job: Replay) -> Batches:
        return self._deliveries if job.trigger_id is None else self._requests

    # --- one job ---

    async def _work(self, stored: Stored[Replay], epoch: Epoch) -> None:
        lock = Once(
            scope=stored.organization_id,
            name=f"replay:{stored.id.hex()}",
            digest=b"",
            answer=b"",
            expires_at=stored.created_at + timedelta(days=3_650),
        )
        try:
            if await self._onces.reserve(lock, epoch) is not True:
                return
            try:
                await self._run(stored.id, epoch)
            finally:
                await self._onces.forget(lock, epoch)
        except StorageError as exc:
            _log.warning("replay_interrupted", reason=exc.message)  # looked for again in two seconds

    async def _run(self, id: Key, epoch: Epoch) -> None:
        """Batch after batch until the end, a pause, or the loss of the lease."""
        pace = Pace(self._clock)
        is_first = True
        while self._lease.is_held() and self._lease.epoch == epoch:
            stored = await self._store.get(Replay, id, organization_id=None)
            if stored is None or stored.document.status is not ReplayStatus.RUNNING:
                return
            batches = self._batches(stored.document)
            if is_first:
                await batches.resume(stored, pace)
            is_first = False
            try:
                if not await batches.next(stored, pace, epoch):
                    return
            except ConflictError:
                continue  # somebody paused or cancelled it


def first_key(job: Replay) -> Key:
    """An id before those of all that a job may take."""
    return earliest(job.since - _CLOCK_STEPS)


class Pace:
    """Spaces what is done: each piece has its time, and time lost to a slow store is not made up in a burst."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._free_at = clock.elapsed()

    def __repr__(self) -> str:
        return f"Pace(free_at={self._free_at:.3f})"

    @property
    def behind(self) -> float:
        """Seconds by which what was done is behind the pace, 0.0 for none."""
        return max(0.0, min(self._clock.elapsed() - self._free_at, _LATE_SECONDS))

    async def wait(self, seconds: float) -> None:
        """Wait for the turn of a piece that takes ``seconds`` of the pace."""
        now = self._clock.elapsed()
        begin = max(self._free_at, now - _LATE_SECONDS)
        self._free_at = begin + seconds
        if begin > now:
            await asyncio.sleep(begin - now)
