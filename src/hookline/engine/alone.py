"""Alone: rounds of work that one node at a time does for all."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from hookline.ports import Once

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hookline.engine.lease import Lease
    from hookline.ports import Clock, Epoch, Onces

_NOBODY: Final = bytes(16)
"""The scope of a reservation that is of no organization."""

_LONGEST: Final = timedelta(days=1)


@asynccontextmanager
async def alone(name: str, *, onces: Onces, lease: Lease, clock: Clock) -> AsyncIterator[Epoch | None]:
    """Keep other nodes from the same round while the block runs. Yields this node's epoch, or None when another node
    is at it. A reservation whose node dies is free again. Raises StorageError.
    """
    epoch = lease.epoch
    lock = Once(scope=_NOBODY, name=name, digest=b"", answer=b"", expires_at=clock.now() + _LONGEST)
    if not lease.is_held() or await onces.reserve(lock, epoch) is not True:
        yield None
        return
    try:
        yield epoch
    finally:
        await onces.forget(lock, epoch)
