"""What other nodes signal, through LISTEN on a connection of its own.

A signal may be lost while that connection is away: when it is back, one ``Wake`` of each topic says so, because
anything may have happened meanwhile. Signals of this node's own connections are left out.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from hookline.errors import StorageError
from hookline.ports import Wake
from hookline.stores.postgres.batch import CHANNEL, read_notices

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from hookline.stores.postgres.connection import Connection, Link

TOPICS: Final = ("deliveries", "executions", "configuration", "cancel", "finished")

_MOST_WAITING: Final = 1_000
"""Signals that a slow reader may be behind; past that it gets one of each topic instead."""

_BEAT_SECONDS: Final = 10.0
"""A network that went away tells a listener nothing; asking does."""


class Signals:
    """is_own: whether a server process belongs to this node."""

    def __init__(self, *, is_own: Callable[[int], bool]) -> None:
        self._is_own = is_own
        self._readers: set[asyncio.Queue[Wake | None]] = set()
        self._has_listened = False
        self._is_closed = False
        self._beating: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"Signals(readers={len(self._readers)})"

    async def listen(self, connection: Connection) -> None:
        """Begin to listen on a fresh connection."""
        await connection.add_listener(CHANNEL, self._heard)
        if self._has_listened:
            self._miss()
        self._has_listened = True

    def start(self, link: Link) -> None:
        self._is_closed = False
        self._beating = asyncio.create_task(_beat(link), name="postgres-beat")

    async def close(self) -> None:
        """Ends every ``wakes``."""
        self._is_closed = True
        if self._beating is not None:
            self._beating.cancel()
            with suppress(asyncio.CancelledError):
                await self._beating
        for reader in self._readers:
            _put(reader, None)

    async def wakes(self) -> AsyncIterator[Wake]:
        if self._is_closed:
            return
        reader: asyncio.Queue[Wake | None] = asyncio.Queue(_MOST_WAITING)
        self._readers.add(reader)
        try:
            while (wake := await reader.get()) is not None:
                yield wake
        finally:
            self._readers.discard(reader)

    def _heard(self, connection: Any, pid: int, channel: str, payload: Any) -> None:  # noqa: ARG002 -- asyncpg's call
        if self._is_own(pid):
            return
        for topic, detail in read_notices(str(payload)):
            for reader in self._readers:
                _put(reader, Wake(topic, detail))

    def _miss(self) -> None:
        for reader in self._readers:
            for topic in TOPICS:
                _put(reader, Wake(topic))


def _put(reader: asyncio.Queue[Wake | None], wake: Wake | None) -> None:
    if reader.full():
        while not reader.empty():
            reader.get_nowait()
        for topic in TOPICS:
            reader.put_nowait(Wake(topic))
    reader.put_nowait(wake)


async def _beat(link: Link) -> None:
    while True:
        await asyncio.sleep(_BEAT_SECONDS)
        with suppress(StorageError):
            async with link.use() as connection:
                await connection.execute("SELECT")
