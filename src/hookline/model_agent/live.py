"""Show an answer while it comes: its text, gathered for a moment, as lines of the execution's progress."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_GATHER_SECONDS: Final = 0.2
"""A reader sees five lines a second, and the store holds as many; the first is shown at once."""


class Live:
    """One answer. send: takes the fields of a line."""

    def __init__(self, send: Callable[[dict[str, Any]], None], **fields: Any) -> None:
        self._send, self._fields = send, fields
        self._texts: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"Live({self._fields})"

    def add(self, text: str) -> None:
        if not text:
            return
        self._texts.append(text)
        if self._timer is None:
            self._flush()
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._due)

    def close(self) -> None:
        """Show what is left."""
        if self._timer is not None:
            self._timer.cancel()
        self._flush()

    def _due(self) -> None:
        self._timer = None
        if self._texts:
            self._flush()
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._due)

    def _flush(self) -> None:
        if self._texts:
            text, self._texts = "".join(self._texts), []
            self._send({"delta": text, **self._fields})
