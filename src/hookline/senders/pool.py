"""Idle connections to receivers, waiting for their next request.

A connection is only ever used again for the origin and TLS options it was opened for, never for another name
at the same address. The latest one used is taken first: it is the least likely to have been closed meanwhile.
This module never opens a connection and never sends.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from hookline.senders.connection import Connection

# Idle longer than this, a connection is closed by us: common servers close after 5 to 75 seconds.
_IDLE_SECONDS = 15.0
# A connection older than this is not used again, so that a name that moved is followed within minutes.
_AGE_SECONDS = 300.0
# How many may be idle in all; a webhook has at most 32 requests under way, so this serves some dozens.
_IDLE_CONNECTIONS = 1024


class Pool:
    """Idle connections by key."""

    def __init__(self) -> None:
        self._idle: dict[Hashable, list[Connection]] = {}
        self._count = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    def __len__(self) -> int:
        return self._count

    def take(self, key: Hashable) -> Connection | None:
        """A connection that can be used now, or None. The caller owns it until it is given back."""
        idle = self._idle.get(key)
        while idle:
            connection = idle.pop()
            self._count -= 1
            if connection.is_reusable and time.monotonic() - connection.used_at < _IDLE_SECONDS:
                return connection
            connection.abort()
        return None

    def give(self, key: Hashable, connection: Connection) -> None:
        """Keep a connection whose exchange is over, or drop it when it is of no more use."""
        now = time.monotonic()
        is_old = now - connection.opened_at > _AGE_SECONDS
        if is_old or self._is_closed or self._count >= _IDLE_CONNECTIONS or not connection.is_reusable:
            connection.abort()
            return
        connection.forget()
        connection.used_at = now
        self._idle.setdefault(key, []).append(connection)
        self._count += 1
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_IDLE_SECONDS / 2, self._sweep)

    def close(self) -> None:
        """Drop all, and everything that is given back from now on."""
        self._is_closed = True
        self.drop_all()

    def drop_all(self) -> None:
        """Drop every idle connection: what they were opened under no longer holds."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()
        self._count = 0

    def _sweep(self) -> None:
        self._sweeper = None
        limit = time.monotonic() - _IDLE_SECONDS
        for key, idle in tuple(self._idle.items()):
            kept = []
            for connection in idle:
                if connection.used_at > limit and connection.is_reusable:
                    kept.append(connection)
                else:
                    connection.abort()
            self._count -= len(idle) - len(kept)
            if kept:
                self._idle[key] = kept
            else:
                del self._idle[key]
        if self._idle:
            self._sweeper = asyncio.get_running_loop().call_later(_IDLE_SECONDS / 2, self._sweep)
