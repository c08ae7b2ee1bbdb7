"""Uploads: what a run is told of large bodies and files is where on this machine they are, for as long as it runs."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.canonical import decode
from hookline.core.octets import BLOB, blob_ids, located

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from hookline.ports import Clock
    from hookline.ports.blobs import Blobs

KEPT_FOR: Final = timedelta(days=30)
"""How long a blob is kept at least: what a run's own result objects have (PR-13b)."""

_LONGEST_RUN: Final = timedelta(days=2)
"""A file that a run made is older than its execution's end by at most this."""

_MARK: Final = BLOB.encode()


class Uploads:
    """One per node. blobs: None where nothing large is ever taken in.  keep: how long executions are kept."""

    def __init__(self, blobs: Blobs | None, clock: Clock, *, keep: timedelta = KEPT_FOR) -> None:
        self._blobs = blobs
        self._clock = clock
        self._keep = max(KEPT_FOR, keep + _LONGEST_RUN)

    def local(self, trigger: bytes | None) -> AbstractAsyncContextManager[bytes | None]:
        """What ``ctx.trigger`` shows, with a path in place of each blob while the context is open.

        Raises MissingError when one is no longer kept, StorageError.
        """
        if trigger is None or self._blobs is None or _MARK not in trigger:
            return nullcontext(trigger)
        return self._located(trigger, self._blobs)

    @asynccontextmanager
    async def _located(self, trigger: bytes, blobs: Blobs) -> AsyncIterator[bytes | None]:
        value = decode(trigger)
        async with AsyncExitStack() as stack:
            paths = {
                id_: str(await stack.enter_async_context(blobs.local(id_))) for id_ in sorted(blob_ids(value))
            }
            yield msgspec.json.encode(located(value, paths)) if paths else trigger

    async def sweep(self) -> None:
        """Delete what is no longer kept."""
        if self._blobs is not None:
            await self._blobs.sweep(before=self._clock.now() - self._keep)
