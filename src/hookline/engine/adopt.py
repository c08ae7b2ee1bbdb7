"""Adopt: settle executions that this node holds and does not run, those of dead nodes above all.

What may begin again is given back to the queue; what was to be cancelled ends as killed, anything else as lost. A node
that lost its lease changes nothing: every write carries its epoch.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from hookline.engine.record import KILLED
from hookline.engine.run import NODE_STOPPED, cut_off_line
from hookline.errors import StorageError
from hookline.model.executions import Failure
from hookline.model.states import ExecutionStatus
from hookline.ports import AdoptExecutions, Record
from hookline.ports.runner import Lost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookline.engine.catalogue import Catalogue
    from hookline.engine.commit import Committer
    from hookline.engine.lease import Lease
    from hookline.model.executions import Automation, Execution
    from hookline.model.ids import Key
    from hookline.ports import Archive, Clock, Epoch
    from hookline.ports.runner import Outcome

_log = structlog.get_logger("hookline.adopt")

_AT_ONCE: Final = 256
"""Executions taken over in one write; others are served between two."""


class Adopter:
    """One per node.

    finish: ends an execution.  give_back: lets it run again, here or elsewhere.
    """

    def __init__(
        self,
        *,
        committer: Committer,
        archive: Archive,
        catalogue: Catalogue,
        lease: Lease,
        clock: Clock,
        finish: Callable[[Execution, Epoch, Outcome], Awaitable[None]],
        give_back: Callable[[Execution, Epoch], Awaitable[None]],
    ) -> None:
        self._committer = committer
        self._archive = archive
        self._catalogue = catalogue
        self._lease = lease
        self._clock = clock
        self._finish = finish
        self._give_back = give_back
        self._is_open = False

    def __repr__(self) -> str:
        return f"Adopter(is_open={self._is_open})"

    def open(self) -> None:
        """This node takes work."""
        self._is_open = True

    def close(self) -> None:
        """Take over nothing new."""
        self._is_open = False

    async def adopt(self) -> None:
        """Take over what dead nodes were running. Raises StorageError."""
        epoch = self._lease.epoch
        while self._is_open:
            adopted = await self._committer.commit(AdoptExecutions(epoch=epoch, limit=_AT_ONCE))
            assert isinstance(adopted, tuple)
            await asyncio.gather(*[self._note(execution, epoch) for execution in adopted])  # in one commit
            for execution in adopted:
                await self._settle(execution, epoch)
            if len(adopted) < _AT_ONCE:
                return

    async def _note(self, execution: Execution, epoch: Epoch) -> None:
        """Say in its log that a process of it was cut off: its steps are told when they end, and one did not."""
        if execution.status is not ExecutionStatus.RUNNING:
            return
        line = cut_off_line(execution, self._clock.now(), NODE_STOPPED)
        try:
            await self._committer.commit(Record(epoch=epoch, execution_id=execution.id, logs=(line,)))
        except StorageError as exc:
            _log.warning("cut_off_not_noted", execution=execution.id.hex(), reason=exc.message)

    async def release(self, execution_id: Key, epoch: Epoch) -> None:
        """Settle an execution that the table says we hold and we do not. Raises StorageError."""
        execution = await self._archive.execution(execution_id, organization_id=None)
        if execution is not None and not execution.status.is_terminal:
            await self._settle(execution, epoch)

    async def _settle(self, execution: Execution, epoch: Epoch) -> None:
        await self._catalogue.learn(execution)
        if execution.is_cancel_requested:
            await self._finish(execution, epoch, KILLED)
        elif execution.status is ExecutionStatus.QUEUED or _may_restart(
            self._catalogue.known(execution), execution
        ):
            await self._give_back(execution, epoch)
        else:
            failure = Failure(code="LOST", message="The node that ran this execution stopped.")
            await self._finish(execution, epoch, Lost(failure=failure))


def _may_restart(automation: Automation | None, execution: Execution) -> bool:
    """Say whether a run whose node died may begin again: it can resume, or failing is retried anyway."""
    if automation is None:
        return False
    retry = automation.retry if execution.trigger_id is not None else None
    return (automation.is_resumable and execution.attempt < automation.max_attempts) or (
        retry is not None and execution.attempt <= retry.max_retries
    )
