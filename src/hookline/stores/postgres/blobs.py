"""Blobs as rows of chunks, so that every node reads what another has taken in, without a shared folder.

Chunks go in as they come, each in its own transaction, and are no blob until the row that says so is there: a crash
leaves chunks that a sweep takes away. To be read by a program a blob is copied to a file for as long as it runs.
"""

from __future__ import annotations

import re
import tempfile
import uuid
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hookline.errors import MissingError, StorageError
from hookline.ports.blobs import Blob
from hookline.stores.rows import to_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from hookline.ports import Clock
    from hookline.stores.postgres.connection import Link, Readers

_CHUNK_BYTES: Final = 1 << 19
_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)

_ADD: Final = "INSERT INTO blob_chunks (blob_id, position, added_at, data) VALUES ($1, $2, $3, $4)"
_FINISH: Final = "INSERT INTO blobs (id, size, added_at) VALUES ($1, $2, $3)"
_ABORT: Final = "DELETE FROM blob_chunks WHERE blob_id = $1"
_DELETE: Final = """
WITH gone AS (DELETE FROM blobs WHERE id = $1)
DELETE FROM blob_chunks WHERE blob_id = $1
"""
_IS_WHOLE: Final = "SELECT size FROM blobs WHERE id = $1"
_READ: Final = "SELECT data FROM blob_chunks WHERE blob_id = $1 AND position = $2"
_SWEEP: Final = """
WITH gone AS (
    DELETE FROM blobs WHERE added_at < $1 RETURNING 1
), dropped AS (
    DELETE FROM blob_chunks WHERE added_at < $1
)
SELECT count(*) FROM gone
"""


class PostgresBlobs:
    """``ports.blobs.Blobs``."""

    def __init__(self, link: Link, readers: Readers, clock: Clock) -> None:
        self._link = link
        self._readers = readers
        self._clock = clock

    def __repr__(self) -> str:
        return "PostgresBlobs()"

    async def open(self) -> None:
        """The tables are there: the store has migrated."""

    async def sink(self) -> PostgresSink:
        return PostgresSink(self._link, to_ms(self._clock.now()))

    @asynccontextmanager
    async def local(self, id: str) -> AsyncIterator[Path]:
        key = bytes.fromhex(id) if _ID.fullmatch(id) else b""
        async with self._readers.use() as connection:
            size: Any = await connection.fetchval(_IS_WHOLE, key)
        if size is None:
            raise MissingError("That file is no longer kept.")
        with tempfile.NamedTemporaryFile(prefix="hookline-blob-") as file:
            for position in range(-(-size // _CHUNK_BYTES)):
                async with self._readers.use() as connection:
                    file.write(await connection.fetchval(_READ, key, position))
            file.flush()
            yield Path(file.name)

    async def delete(self, id: str) -> None:
        if not _ID.fullmatch(id):
            return
        with suppress(StorageError):
            async with self._link.use() as connection:
                await connection.execute(_DELETE, bytes.fromhex(id))

    async def sweep(self, *, before: datetime) -> int:
        async with self._link.use() as connection:
            return int(await connection.fetchval(_SWEEP, to_ms(before)) or 0)


class PostgresSink:
    """``ports.blobs.BlobSink``."""

    def __init__(self, link: Link, at_ms: int) -> None:
        self._link = link
        self._at_ms = at_ms
        self._id = uuid.uuid4()
        self._held = bytearray()
        self._position = 0
        self._size = 0

    def __repr__(self) -> str:
        return f"PostgresSink({self._id.hex}, size={self._size})"

    async def write(self, data: bytes) -> None:
        self._held += data
        self._size += len(data)
        while len(self._held) >= _CHUNK_BYTES:
            await self._add(bytes(self._held[:_CHUNK_BYTES]))
            del self._held[:_CHUNK_BYTES]

    async def finish(self) -> Blob:
        if self._held:
            await self._add(bytes(self._held))
        async with self._link.use() as connection:
            await connection.execute(_FINISH, self._id.bytes, self._size, self._at_ms)
        return Blob(self._id.hex, self._size)

    async def abort(self) -> None:
        try:
            async with self._link.use() as connection:
                await connection.execute(_ABORT, self._id.bytes)
        except StorageError:
            return  # a sweep finds them

    async def _add(self, chunk: bytes) -> None:
        async with self._link.use() as connection:
            await connection.execute(_ADD, self._id.bytes, self._position, self._at_ms, chunk)
        self._position += 1
