"""Group commit: everything this node writes goes through here, and shares a transaction with its neighbours.

Writes that arrive while a commit runs wait for the next one, so under load a commit carries hundreds of rows and
an fsync costs each of them microseconds; idle, a write commits at once. A write's future resolves only after the
transaction that holds it is durable.

If a transaction fails because of what is in it, it is run again by halves until only the offender fails. If the
store itself is away, all fail at once: nothing is retried here, because only the caller knows what to answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Final

import structlog

from hookline import failpoints
from hookline.engine.meter import Meter
from hookline.engine.tracing import Tracing
from hookline.errors import RowError, StorageError

if TYPE_CHECKING:
    from hookline.ports import Ledger, Result, Write

Done = Callable[["Result | StorageError"], None]
"""Called on the loop with the write's result, or with why nothing of it is stored."""

_MOST_WRITES: Final = 512
"""Writes in one transaction: past this a commit only gets longer, not cheaper (measured: 256 is the knee)."""

_REST: Final = 3.0
"""A commit is followed by a pause of this many times its own length while more writes gather, so that committing
never takes more than about a quarter of the loop's time."""

_LONGEST_REST_SECONDS: Final = 0.002
"""… but no write waits longer than this for its neighbours."""

_log = structlog.get_logger("hookline.commit")


class Committer:
    """One per node. Owns the order of commits; holds no more than the writes that wait."""

    _loop: asyncio.AbstractEventLoop
    """Kept, because asking for it costs a system call, and every write would."""

    def __init__(self, ledger: Ledger, meter: Meter | None = None, tracing: Tracing | None = None) -> None:
        self._ledger = ledger
        self._tracing = tracing if tracing is not None else Tracing()
        self._meter = meter if meter is not None else Meter()
        self._waiting: list[tuple[Write, Done]] = []
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False
        self.commits = 0
        self.writes = 0
        self.doubts = 0
        """Commits that failed because the store was away: some of them may be stored all the same."""

    def __repr__(self) -> str:
        return f"Committer(waiting={len(self._waiting)}, commits={self.commits}, writes={self.writes})"

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run(), name="committer")

    async def close(self) -> None:
        """Commit what waits, then stop."""
        self._is_closing = True
        self._arrived.set()
        if self._task is not None:
            await self._task

    def post(self, write: Write, done: Done) -> None:
        """Write without a future: for hot paths that go on in a callback."""
        self._waiting.append((write, done))
        if not self._arrived.is_set():
            self._arrived.set()

    async def commit(self, write: Write, *, after: Done | None = None) -> Result:
        """Write and wait until it is durable. Raises StorageError: it is not, or may not be.

        after: called with the outcome even when the waiting caller has left meanwhile: what must follow a commit
        goes there, because the commit happens all the same.
        """
        future: asyncio.Future[Result] = self._loop.create_future()

        def done(result: Result | StorageError) -> None:
            if not future.done():
                if isinstance(result, StorageError):
                    future.set_exception(result)
                else:
                    future.set_result(result)
            if (
                after is not None
            ):  # the caller goes on no sooner: its future wakes it in a later turn of the loop
                after(result)

        self.post(write, done)
        span = self._tracing.waiting()
        if span is None:
            return await future
        try:
            return await future
        finally:
            span.end()

    async def _run(self) -> None:
        while not (self._is_closing and not self._waiting):
            await self._arrived.wait()
            batch = self._take()
            if not self._waiting and not self._is_closing:
                self._arrived.clear()
            if not batch:
                continue
            began = perf_counter()
            await self._apply(batch)
            if len(self._waiting) < _MOST_WRITES and not self._is_closing:
                await asyncio.sleep(min((perf_counter() - began) * _REST, _LONGEST_REST_SECONDS))

    def _take(self) -> list[tuple[Write, Done]]:
        """The writes of the next transaction."""
        batch, self._waiting = self._waiting[:_MOST_WRITES], self._waiting[_MOST_WRITES:]
        return batch

    async def _apply(self, batch: list[tuple[Write, Done]]) -> None:
        failpoints.hit("before_commit")
        began = perf_counter()
        try:
            results = await self._ledger.commit([write for write, _ in batch])
        except RowError as exc:
            await self._bisect(batch, exc)
            return
        except StorageError as exc:
            self.doubts += 1
            _answer(batch, exc)
            return
        except Exception as exc:  # noqa: BLE001 -- a defect in an adapter must fail its callers, not stop all commits
            _log.exception("commit_failed", writes=len(batch))
            failure = RowError("The write could not be stored.")
            failure.__cause__ = exc
            await self._bisect(batch, failure)
            return
        failpoints.hit("after_commit")
        self.commits += 1
        self.writes += len(batch)
        self._meter.committed(len(batch), perf_counter() - began)
        for (write, done), result in zip(batch, results, strict=True):
            _tell(write, done, result)

    async def _bisect(self, batch: list[tuple[Write, Done]], failure: StorageError) -> None:
        """Run a refused batch again by halves; a batch of one gets the failure."""
        if len(batch) == 1:
            _answer(batch, failure)
            return
        middle = len(batch) // 2
        await self._apply(batch[:middle])
        await self._apply(batch[middle:])


def _answer(batch: list[tuple[Write, Done]], failure: StorageError) -> None:
    for write, done in batch:
        _tell(write, done, failure)


def _tell(write: Write, done: Done, result: Result | StorageError) -> None:
    """Tell a writer the outcome. What it does with it may fail; the other writers must hear theirs all the same."""
    try:
        done(result)
    except Exception:  # noqa: BLE001 -- a defect in one writer must not stop all commits
        _log.exception("commit_follow_up_failed", write=type(write).__name__)
