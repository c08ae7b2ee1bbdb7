"""A SQLite file system that loses, when its process is killed, all that was not synced: a power cut without a plug.

A kill -9 alone proves little about fsync, because what the process has written stays in the kernel's memory. Here
writes stay in the process and reach the real file at xSync, and only then. With ``is_honest=False`` a sync does
nothing, as an engine that never calls fsync would have it, and a timer stands for the kernel that writes back
sooner or later.
"""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path
from typing import Final

import apsw

NAME: Final = "hookline-powerloss"
_WRITE_BACK_SECONDS: Final = 0.25
_KEPT: Final = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL


class _Image:
    """A file as this process sees it, and what of that is not in the real file yet."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.lock = threading.RLock()
        self.content = bytearray(Path(path).read_bytes()) if Path(path).exists() else bytearray()
        self._unsynced: list[tuple[int, bytes | None]] = []

    def write(self, data: bytes, offset: int) -> None:
        with self.lock:
            if offset > len(self.content):
                self.content.extend(bytes(offset - len(self.content)))
            self.content[offset : offset + len(data)] = data
            self._unsynced.append((offset, bytes(data)))

    def truncate(self, size: int) -> None:
        with self.lock:
            del self.content[size:]
            self._unsynced.append((size, None))

    def flush(self) -> None:
        """Bring the real file up to this one, in the order of the writes, and sync it."""
        with self.lock:
            if not self._unsynced:
                return
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                for offset, data in self._unsynced:
                    if data is None:
                        os.ftruncate(file, offset)
                    else:
                        os.pwrite(file, data, offset)
                os.fsync(file)
            finally:
                os.close(file)
            self._unsynced.clear()


class _File(apsw.VFSFile):
    """One open handle. Locks and shared memory are the real file's."""

    def __init__(
        self, name: str | apsw.URIFilename, flags: list[int], image: _Image, *, is_honest: bool
    ) -> None:
        super().__init__("unix", name, flags)
        self._image = image
        self._is_honest = is_honest

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 -- SQLite's name
        with self._image.lock:
            return bytes(self._image.content[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 -- SQLite's name
        self._image.write(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 -- SQLite's name
        self._image.truncate(newsize)

    def xFileSize(self) -> int:  # noqa: N802 -- SQLite's name
        return len(self._image.content)

    def xSync(self, flags: int) -> None:  # noqa: ARG002, N802 -- SQLite's name and signature
        if self._is_honest:
            self._image.flush()


class PowerLossVfs(apsw.VFS):
    """Registers itself as the default of this process."""

    def __init__(self, *, is_honest: bool) -> None:
        super().__init__(NAME, "unix", makedefault=True)
        self._is_honest = is_honest
        self._images: dict[str, _Image] = {}
        if not is_honest:
            # An orderly shutdown writes everything back; a kill does not come here.
            atexit.register(self._flush)
            threading.Thread(target=self._write_back, name="write-back", daemon=True).start()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        if name is None or not flags[0] & _KEPT:
            return apsw.VFSFile("unix", name, flags)
        path = name if isinstance(name, str) else name.filename()
        image = self._images.get(path)
        if image is None:
            image = self._images[path] = _Image(path)
        return _File(name, flags, image, is_honest=self._is_honest)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: FBT001, N802 -- SQLite's name and signature
        self._images.pop(filename, None)
        super().xDelete(filename, syncdir)

    def _write_back(self) -> None:
        pause = threading.Event()
        while not pause.wait(_WRITE_BACK_SECONDS):
            self._flush()

    def _flush(self) -> None:
        for image in tuple(self._images.values()):
            image.flush()
