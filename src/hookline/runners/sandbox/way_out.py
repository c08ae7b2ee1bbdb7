"""The node's end of a program's way to the network: its connections arrive here, and a relay serves them.

``doors.py`` is the other end. The program cannot choose what is dialled but by asking the relay, which judges each
address; closing ends what is under way.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

_AT_ONCE: Final = 8
"""Connections taken in one go; the rest waits in the pair."""


class Relay(Protocol):
    """A forward proxy for one program, such as ``senders.relay.PageRelay``."""

    async def adopt(self, near: socket.socket) -> None:
        """Serve a connection of the program's. Raises OSError."""

    async def close(self) -> None:
        """End what is under way."""


class WayOut:
    """Of one program. taking: where its first process gives connections over; closed in the end."""

    def __init__(self, relay: Relay, loop: asyncio.AbstractEventLoop, taking: socket.socket) -> None:
        self._relay, self._loop, self._taking = relay, loop, taking
        self._taking.setblocking(False)
        self._tasks: set[asyncio.Task[None]] = set()
        loop.add_reader(self._taking, self._take)

    def __repr__(self) -> str:
        return f"<WayOut {self._relay!r}>"

    def close(self) -> None:
        """Take no more, and end what is under way."""
        self._loop.remove_reader(self._taking)
        self._taking.close()
        self._do(self._relay.close())

    def _take(self) -> None:
        try:
            told, numbers, _, _ = socket.recv_fds(self._taking, 1, _AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            told, numbers = b"", []
        if not told:
            self._loop.remove_reader(self._taking)
        for number in numbers:
            self._do(self._adopt(socket.socket(fileno=number)))

    async def _adopt(self, near: socket.socket) -> None:
        near.setblocking(False)
        try:
            await self._relay.adopt(near)
        except OSError:
            near.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
