"""Who waits for the end of an execution, and how they are told.

A waiter is registered before the run can start, so no end is missed. It is told in this process when this node ends
the run, by a signal when another node does, and from the record when no signal came: a lost one costs latency only.
Nothing here changes an execution: who leaves cancels nothing, and what is told is what is stored.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog

from hookline.errors import StorageError
from hookline.model.executions import Ending
from hookline.ports import Await

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hookline.engine.commit import Committer
    from hookline.engine.lease import Lease
    from hookline.model.executions import Execution
    from hookline.model.ids import Key
    from hookline.ports import Clock, ExecutionArchive

_log = structlog.get_logger("hookline.endings")

MOST_WAITING: Final = 2_048
"""Callers that one node lets wait at once: each holds a connection. Who comes later is given the id to ask with."""

_FIRST_LOOK_SECONDS: Final = 1.0
"""After so long without a signal the record is asked; each further look waits twice as long …"""
_LONGEST_LOOK_SECONDS: Final = 8.0
"""… up to this."""
_ASKED_AT_ONCE: Final = 500


def ending_of(execution: Execution) -> Ending:
    """Return how an execution ended that has."""
    assert execution.completed_at is not None
    return Ending(
        execution_id=execution.id,
        organization_id=execution.organization_id,
        status=execution.status,
        completed_at=execution.completed_at,
        output=execution.output,
        error=execution.error,
    )


class Waiter:
    """One caller who waits. Made by ``Endings.expect``."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: asyncio.Future[Ending | None] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"Waiter(is_told={self._told.done()})"

    async def ended(self, seconds: float, *, left: asyncio.Future[None] | None = None) -> Ending | None:
        """Wait at most so long, or until ``left`` is done. None: it still runs, or this node stops before its end."""
        if self._told.done():
            return self._told.result()
        timer = asyncio.get_running_loop().call_later(seconds, self.tell, None)
        if left is not None:
            left.add_done_callback(self._give_up)
        try:
            return await self._told
        finally:
            timer.cancel()

    def _give_up(self, _: asyncio.Future[None]) -> None:
        self.tell(None)

    def tell(self, ending: Ending | None) -> None:
        if not self._told.done():
            self._told.set_result(ending)


class _Expected:
    """An execution that somebody waits for."""

    __slots__ = ("look_at", "pause", "waiters")

    def __init__(self, now: float) -> None:
        self.waiters: list[Waiter] = []
        self.pause = _FIRST_LOOK_SECONDS
        self.look_at = now + self.pause


class Endings:
    """One per node."""

    def __init__(
        self, *, archive: ExecutionArchive, committer: Committer, lease: Lease, clock: Clock
    ) -> None:
        self._archive = archive
        self._committer = committer
        self._lease = lease
        self._clock = clock
        self._expected: dict[Key, _Expected] = {}
        self._to_ask: set[Key] = set()
        self._asking: asyncio.Task[None] | None = None
        self._is_open = True
        self.waiting = 0

    def __repr__(self) -> str:
        return f"Endings(waiting={self.waiting})"

    @property
    def has_room(self) -> bool:
        """Whether one more caller may wait here."""
        return self._is_open and self.waiting < MOST_WAITING

    # --- waiting ---

    @contextmanager
    def expect(self, execution_id: Key) -> Iterator[Waiter]:
        """Be told of an end from now on, until the ``with`` is left. For one that is about to be stored."""
        waiter = Waiter()
        expected = self._expected.get(execution_id)
        if expected is None:
            expected = self._expected[execution_id] = _Expected(self._clock.elapsed())
        expected.waiters.append(waiter)
        self.waiting += 1
        if not self._is_open:
            waiter.tell(None)
        try:
            yield waiter
        finally:
            self.waiting -= 1
            expected.waiters.remove(waiter)
            if not expected.waiters and self._expected.get(execution_id) is expected:
                del self._expected[execution_id]

    async def join(
        self, execution_id: Key, seconds: float, *, left: asyncio.Future[None] | None = None
    ) -> Ending | None:
        """Wait for one that is stored already and may have ended. None: it still runs. Raises StorageError."""
        with self.expect(execution_id) as waiter:
            await self._committer.commit(Await(epoch=self._lease.epoch, execution_id=execution_id))
            self._ask((execution_id,))
            return await waiter.ended(seconds, left=left)

    # --- telling ---

    def ended(self, execution: Execution) -> None:
        """This node has stored an end."""
        if execution.id not in self._expected:
            return
        self._tell(ending_of(execution))

    def heard(self, detail: str) -> None:
        """Another node signals an end. detail: the execution's id in hex, or empty when any may have ended."""
        self._ask((bytes.fromhex(detail),) if detail else tuple(self._expected))

    async def look(self) -> None:
        """Ask the record for those of whom nothing was heard for a while. Raises StorageError."""
        now = self._clock.elapsed()
        due = [id_ for id_, expected in self._expected.items() if expected.look_at <= now]
        for id_ in due:
            expected = self._expected[id_]
            expected.pause = min(expected.pause * 2, _LONGEST_LOOK_SECONDS)
            expected.look_at = now + expected.pause
        await self._read(due)

    def _ask(self, ids: Iterable[Key]) -> None:
        self._to_ask.update(id_ for id_ in ids if id_ in self._expected)
        if self._to_ask and self._asking is None:
            self._asking = asyncio.create_task(self._answer_asked(), name="endings")

    async def _answer_asked(self) -> None:
        """One read answers all that was asked since the last."""
        try:
            while self._to_ask:
                ids, self._to_ask = list(self._to_ask), set()
                await self._read(ids)
        except StorageError as exc:
            _log.warning("ending_not_read", reason=exc.message)  # looked at again before long
        finally:
            self._asking = None

    async def _read(self, ids: list[Key]) -> None:
        for start in range(0, len(ids), _ASKED_AT_ONCE):
            for ending in await self._archive.endings(ids[start : start + _ASKED_AT_ONCE]):
                self._tell(ending)

    def _tell(self, ending: Ending) -> None:
        expected = self._expected.pop(ending.execution_id, None)
        for waiter in expected.waiters if expected is not None else ():
            waiter.tell(ending)

    # --- stopping ---

    def close(self) -> None:
        """Let nobody wait any longer: the runs go on, and their ids are good on every node."""
        self._is_open = False
        for expected in self._expected.values():
            for waiter in expected.waiters:
                waiter.tell(None)
