"""Wards: the health of each webhook in trouble, between what is stored, what this node counts and what others store.

One that is not in trouble has no ward. Nodes share a health by compare-and-set, so a ward may be behind; who
changes one has it to itself until the change is stored.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core import alerting
from hookline.model.health import Health

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.core.alerting import Change
    from hookline.model.health import Alert
    from hookline.model.ids import Key
    from hookline.ports import AlertRecords

_READ_AT_ONCE: Final = 500


@dataclass(slots=True)
class Ward:
    """A webhook that is or was in trouble.

    health: None until it is read.  base: as it was last read or stored.  is_behind: another node stored it since.
    idle: cleared while it is being read or changed.
    """

    health: Health | None = None
    base: Health | None = None
    is_behind: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.idle.set()

    @property
    def is_dirty(self) -> bool:
        """It counts more than is stored."""
        return self.health != self.base

    def put(self, health: Health | None) -> None:
        """It is as stored; None when that is not known any more."""
        self.health = self.base = health
        self.is_behind = False

    def take_in(self, stored: Health) -> None:
        """Another node stored this meanwhile."""
        if self.health is None or self.base is None or not self.is_dirty:
            self.put(stored)
            return
        self.health, self.base = alerting.merged(stored, self.base, self.health), stored
        self.is_behind = False

    def is_open_here(self) -> bool:
        """It is in trouble as far as this node knows, and all that it knows is stored."""
        is_watched = self.health is not None and self.health.is_watched
        return is_watched and not self.is_dirty and self.idle.is_set()


class Wards:
    """The health of webhooks that are or were in trouble, as this node knows it. One per node."""

    def __init__(self, records: AlertRecords) -> None:
        self._records = records
        self._wards: dict[Key, Ward] = {}

    def __repr__(self) -> str:
        return f"Wards({len(self._wards)})"

    def __contains__(self, webhook_id: Key) -> bool:
        return webhook_id in self._wards

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._wards))

    def get(self, webhook_id: Key) -> Ward | None:
        """None for one that was never in trouble as far as this node knows."""
        return self._wards.get(webhook_id)

    def forget(self, webhook_id: Key) -> None:
        self._wards.pop(webhook_id, None)

    async def ready(self, webhook_id: Key, organization_id: Key) -> Ward:
        """A ward whose health is known and which nobody changes. Raises StorageError."""
        while True:
            ward = self._wards.setdefault(webhook_id, Ward())
            if not ward.idle.is_set():
                await ward.idle.wait()
            elif ward.health is None or ward.is_behind:
                await self._read(ward, webhook_id, organization_id)
            else:
                return ward

    async def _read(self, ward: Ward, webhook_id: Key, organization_id: Key) -> None:
        ward.idle.clear()
        try:
            found = await self._records.health([webhook_id])
            blank = Health(webhook_id=webhook_id, organization_id=organization_id)
            ward.take_in(found.get(webhook_id, blank))
        finally:
            ward.idle.set()

    async def take_in(self) -> None:
        """Read the health of webhooks that other nodes changed."""
        versions = await self._records.watched()
        changed = [id_ for id_, version in versions.items() if self._is_behind(id_, version)]
        ended = [id_ for id_, ward in self._wards.items() if id_ not in versions and ward.is_open_here()]
        for begin in range(0, len(changed) + len(ended), _READ_AT_ONCE):
            found = await self._records.health([*changed, *ended][begin : begin + _READ_AT_ONCE])
            for id_, health in found.items():
                ward = self._wards.setdefault(id_, Ward())
                if ward.idle.is_set() and self._is_behind(id_, health.version):
                    ward.take_in(health)
            await asyncio.sleep(0)

    def _is_behind(self, webhook_id: Key, version: int) -> bool:
        ward = self._wards.get(webhook_id)
        return ward is None or ward.health is None or ward.health.version < version

    def count(self, webhook_id: Key, ward: Ward, change: Change) -> None:
        """Keep what is only counted in memory until the next look."""
        ward.health = change.health
        if not change.health.is_watched and not ward.is_dirty:
            self._wards.pop(webhook_id, None)


# --- what is stored of a change ----------------------------------------------------------------------------


def next_of(health: Health) -> Health:
    """It as it is stored after this one."""
    return msgspec.structs.replace(health, version=health.version + 1)


def counted(change: Change) -> Change:
    """The same, stored although it only counts."""
    return msgspec.structs.replace(change, is_urgent=True)


def touched_by(change: Change) -> tuple[Alert, ...]:
    """The alerts that a change touched, and the open ones, whose counts may have risen since they were stored."""
    touched = {alert.id: alert for alert in (*change.alerts, *change.health.alerts)}
    return tuple(touched.values())
