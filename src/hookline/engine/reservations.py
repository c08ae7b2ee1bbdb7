"""Reservations of this node, given back also when the store was away just then.

A reservation lives as long as its node's lease. One that could not be given back, or of which nobody knows whether it
was stored, would lock out everyone, this node too, for as long as the node lives: a replay would never go on, a mail
never be sent. So what could not be done is kept here and done when the store is back.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookline.model.ids import Key
    from hookline.ports import Epoch, Once, Onces, Repeat


class Reservations:
    """``ports.Onces`` over another. One per node."""

    def __init__(self, onces: Onces) -> None:
        self._onces = onces
        self._held: set[tuple[Key, str]] = set()
        self._owed: dict[tuple[Key, str], Callable[[], Awaitable[None]]] = {}
        self._settling = asyncio.Lock()

    def __repr__(self) -> str:
        return f"Reservations(held={len(self._held)}, owed={len(self._owed)})"

    async def reserve(self, once: Once, epoch: Epoch) -> Repeat | bool:
        place = (once.scope, once.name)
        await self._settle_one(place)
        try:
            result = await self._onces.reserve(once, epoch)
        except BaseException:
            if place not in self._held:  # else another call of this node has it, and we can only have failed
                self._owed[place] = partial(self._onces.forget, once, epoch)
            raise
        if result is True:
            self._held.add(place)
            self._owed.pop(place, None)
        return result

    async def finish(self, once: Once, epoch: Epoch) -> None:
        await self._end(once, partial(self._onces.finish, once, epoch))

    async def forget(self, once: Once, epoch: Epoch) -> None:
        await self._end(once, partial(self._onces.forget, once, epoch))

    async def settle(self) -> None:
        """Do what could not be done so far. Raises StorageError."""
        for place in list(self._owed):
            await self._settle_one(place)

    async def _end(self, once: Once, work: Callable[[], Awaitable[None]]) -> None:
        place = (once.scope, once.name)
        self._held.discard(place)
        try:
            await work()
        except BaseException:
            self._owed[place] = work
            raise

    async def _settle_one(self, place: tuple[Key, str]) -> None:
        if place not in self._owed:
            return
        async with self._settling:
            work = self._owed.get(place)
            if work is not None:
                await work()
                del self._owed[place]
