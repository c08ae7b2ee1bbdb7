"""When each exchange must be over: one timer for all that are under way.

A timer of its own for each would cost as much as writing the request, and nearly all of them would be cancelled.
This one is set for whatever is due first, and set anew when it was reached or something is due sooner.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.senders.connection import Connection


class Deadlines:
    """The connections whose exchange is under way, and the ``time.monotonic`` at which each is to end."""

    def __init__(self) -> None:
        self._due: dict[Connection, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = math.inf

    def __repr__(self) -> str:
        return f"Deadlines({len(self._due)})"

    def __len__(self) -> int:
        return len(self._due)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._due)

    def add(self, connection: Connection, due: float) -> None:
        """An exchange begins. due: past or future; it is ended in a later turn of the loop, never here."""
        self._due[connection] = due
        if due < self._looks_at:
            self._look_at(due)

    def discard(self, connection: Connection) -> None:
        """An exchange is over."""
        self._due.pop(connection, None)

    def close(self) -> None:
        """End nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_at(self, due: float) -> None:
        self.close()
        self._looks_at = due
        seconds = max(due - time.monotonic(), 0.0)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer, self._looks_at = None, math.inf
        now = time.monotonic()
        late = [connection for connection, due in self._due.items() if due <= now]
        for connection in late:
            del self._due[connection]
            connection.expire()
        if self._due:
            self._look_at(min(self._due.values()))
