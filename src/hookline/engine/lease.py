"""This node's right to hold claims: its epoch, and whether the lease on it is known to be alive right now.

Every dial asks ``is_held`` first. The clock behind it runs while the machine sleeps, so a node that was stopped
past its lease finds out by itself, before it asks the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import timedelta

    from hookline.ports import Clock, Epoch, Leases

_RENEWALS: Final = 5
"""Renewals within one lease: four may fail before others take over (DESIGN section 2)."""

_MARGIN_SECONDS: Final = 1.0
"""We stop dialling this long before others may take over: clocks of two machines never run exactly alike."""


class Lease:
    """epoch changes only when the lease was lost and taken anew; a claim remembers the epoch it was made under.

    length: a node that has not renewed for this long is dead.
    """

    def __init__(self, leases: Leases, clock: Clock, *, node_name: str, length: timedelta) -> None:
        self._leases = leases
        self._clock = clock
        self._node_name = node_name
        self._length = length
        self._renewed_at = float("-inf")
        self.epoch: Epoch = 0

    def __repr__(self) -> str:
        return f"Lease(epoch={self.epoch}, is_held={self.is_held()})"

    @property
    def renew_seconds(self) -> float:
        """How often to renew."""
        return self._length.total_seconds() / _RENEWALS

    async def open(self) -> None:
        began = self._clock.elapsed()
        self.epoch = await self._leases.open_node(self._node_name, lease=self._length)
        self._renewed_at = began

    async def renew(self) -> bool:
        """Prolong it. False: it is lost, and everything claimed under this epoch may belong to others."""
        began = self._clock.elapsed()
        if not await self._leases.renew(self.epoch):
            self._renewed_at = float("-inf")
            return False
        self._renewed_at = began
        return True

    async def close(self) -> None:
        self._renewed_at = float("-inf")
        await self._leases.close_node(self.epoch)

    def is_held(self) -> bool:
        """True while no other node can have declared us dead."""
        return self._clock.elapsed() - self._renewed_at < self._length.total_seconds() - _MARGIN_SECONDS
