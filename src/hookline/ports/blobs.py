"""What the engine and the API ask of whatever keeps large data: bodies and files that do not belong into a row.

A blob is written once, read by its id and forgotten when it is old. An id is made here, never taken from a caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from pathlib import Path


class Blob(msgspec.Struct, frozen=True):
    """id: 32 lower-case hex digits.  size: bytes."""

    id: str
    size: int


class BlobSink(Protocol):
    """One blob being written."""

    async def write(self, data: bytes) -> None:
        """Append. Raises StorageError; then only ``abort`` may follow."""
        ...

    async def finish(self) -> Blob:
        """Make it durable (fsynced, or committed) and readable. Raises StorageError: there is no such blob."""
        ...

    async def abort(self) -> None:
        """Leave nothing of it. Never raises."""
        ...


class Blobs(Protocol):
    """Guarantees: a finished blob survives a crash; an unfinished one is never readable and is swept away.
    Does not guarantee: that a blob is still there when it is older than what ``sweep`` was told to keep.
    """

    async def open(self) -> None:
        """Make ready. Raises SettingError."""
        ...

    async def sink(self) -> BlobSink:
        """Begin a blob. Raises StorageError."""
        ...

    def local(self, id: str) -> AbstractAsyncContextManager[Path]:
        """A file of this machine with its content, for reading only, while the context is open.
        Raises MissingError, StorageError.
        """
        ...

    async def delete(self, id: str) -> None:
        """Forget a blob that nothing refers to. Never raises: what is left a sweep takes away."""
        ...

    async def sweep(self, *, before: datetime) -> int:
        """Delete what is older, and what was begun and not finished before then. Returns how many."""
        ...
