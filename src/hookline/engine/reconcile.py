"""Reconcile: give back what the table says this node holds and its memory does not.

A connection that breaks during COMMIT leaves the outcome unknown: the caller is told 503, but events may be stored,
and deliveries claimed, with nobody who knows. The lease stays alive, so no other node would ever take them over.
So after every such doubt the two sides are compared until they agree.

A stray is given back only when two looks, seconds apart, found it: between commit and conclusion a row is
in the table first and in memory a moment later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from hookline.engine.commit import Committer
    from hookline.engine.deliver import Deliverer
    from hookline.engine.execute import Executor
    from hookline.engine.lease import Lease
    from hookline.model.ids import Key
    from hookline.ports import Pending

_log = structlog.get_logger("hookline.reconcile")


class Reconciler:
    """One per node."""

    def __init__(
        self,
        *,
        archive: Pending,
        committer: Committer,
        deliverer: Deliverer,
        executor: Executor,
        lease: Lease,
    ) -> None:
        self._archive = archive
        self._committer = committer
        self._deliverer = deliverer
        self._executor = executor
        self._lease = lease
        self._doubts_settled = 0
        self._suspects: set[Key] = set()

    def __repr__(self) -> str:
        return f"Reconciler(suspects={len(self._suspects)})"

    async def look(self) -> int:
        """Compare once, if there is a doubt. Returns how many strays were given back. Raises StorageError."""
        doubts = self._committer.doubts
        if doubts == self._doubts_settled:
            return 0
        epoch = self._lease.epoch
        deliveries = {
            id_: organization_id
            for id_, organization_id in await self._archive.claimed_deliveries(epoch)
            if not self._deliverer.holds(id_)
        }
        executions = {
            id_ for id_ in await self._archive.claimed_executions(epoch) if not self._executor.holds(id_)
        }
        found = executions | deliveries.keys()
        strays = found & self._suspects
        for id_ in strays & deliveries.keys():
            await self._deliverer.release(id_, deliveries[id_], epoch)
        for id_ in strays & executions:
            await self._executor.adopter.release(id_, epoch)
        self._suspects = found - strays
        if not found:
            self._doubts_settled = doubts
        if strays:
            _log.info("strays_given_back", count=len(strays))
        return len(strays)
