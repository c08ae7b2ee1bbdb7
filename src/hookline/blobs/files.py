"""Blobs as files of one folder: beside a SQLite database, or one that several nodes share.

A blob is written under another name and renamed when it is whole and on disk, so a crash leaves no half of one under
its id. Names are made here; what a caller names a file never touches the file system.
"""

from __future__ import annotations

import asyncio
import os
import re
import uuid
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from hookline.blobs.writing import Writing
from hookline.errors import MissingError, SettingError, StorageError
from hookline.ports.blobs import Blob

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_UNFINISHED: Final = ".part"


class FileBlobs:
    """``ports.blobs.Blobs``. folder: made when it is not there, readable by this user alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __repr__(self) -> str:
        return f"FileBlobs({str(self._folder)!r})"

    async def open(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise SettingError(f"The folder for large files cannot be made: {exc}", field="blobs") from exc

    async def sink(self) -> FileSink:
        id_ = uuid.uuid4().hex
        try:
            await self.open()
            file = os.open(self._place(id_, _UNFINISHED), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except (OSError, SettingError) as exc:
            raise StorageError("A large file cannot be stored now.") from exc
        return FileSink(self._folder, id_, os.fdopen(file, "wb", buffering=1 << 18))

    @asynccontextmanager
    async def local(self, id: str) -> AsyncIterator[Path]:
        place = self._place(id, "") if _ID.fullmatch(id) else None
        if place is None or not place.is_file():
            raise MissingError("That file is no longer kept.")
        yield place

    async def delete(self, id: str) -> None:
        if _ID.fullmatch(id):
            with suppress(OSError):
                self._place(id, "").unlink()

    async def sweep(self, *, before: datetime) -> int:
        return await asyncio.to_thread(self._sweep, before.timestamp())

    def _sweep(self, before: float) -> int:
        swept = 0
        for entry in os.scandir(self._folder) if self._folder.is_dir() else ():
            name = entry.name.removesuffix(_UNFINISHED)
            with suppress(FileNotFoundError):
                if _ID.fullmatch(name) and entry.stat(follow_symlinks=False).st_mtime < before:
                    Path(entry.path).unlink()
                    swept += 1
        return swept

    def _place(self, id_: str, suffix: str) -> Path:
        return self._folder / f"{id_}{suffix}"


class FileSink(Writing):
    """``ports.blobs.BlobSink``."""

    def __init__(self, folder: Path, id_: str, file: IO[bytes]) -> None:
        super().__init__(id_, file)
        self._folder = folder

    async def finish(self) -> Blob:
        try:
            await asyncio.to_thread(self._finish)
        except OSError as exc:
            await self.abort()
            raise StorageError("A large file cannot be stored now.") from exc
        return Blob(self._id, self._size)

    async def abort(self) -> None:
        with suppress(OSError):
            self._file.close()
        (self._folder / f"{self._id}{_UNFINISHED}").unlink(missing_ok=True)

    def _finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        place = self._folder / self._id
        place.with_suffix(_UNFINISHED).rename(place)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
