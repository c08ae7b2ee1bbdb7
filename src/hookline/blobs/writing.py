"""What blobs that begin as a local file share: appending to it."""

from __future__ import annotations

import asyncio
from typing import IO

from hookline.errors import StorageError


class Writing:
    """One blob being written to a file. id_: its name to be."""

    def __init__(self, id_: str, file: IO[bytes]) -> None:
        self._id = id_
        self._file = file
        self._size = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._id}, size={self._size})"

    async def write(self, data: bytes) -> None:
        # Into the kernel's memory: microseconds, where a hop to a thread could wait for its turn for milliseconds.
        try:
            self._file.write(data)
        except OSError as exc:
            raise StorageError("A large file cannot be stored now.") from exc
        self._size += len(data)
        await asyncio.sleep(0)
