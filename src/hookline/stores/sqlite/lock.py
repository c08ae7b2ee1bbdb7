"""Hold a database file alone: one process, on a disk that can promise what WAL needs.

The lock is the kernel's (``flock`` on ``<file>.lock``), so it ends with the process however that ends; what the lock
file says is only a hint for people. The lock file is never deleted: that would let two processes hold two of them.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

import structlog

from hookline.errors import SettingError

_REMOTE: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "fuse.sshfs", "fuse.glusterfs", "ceph"}
)
"""File systems over a network: shared memory and locks are not kept there (SQLite's manual on WAL)."""

_DOUBTFUL: Final = frozenset({"9p", "virtiofs", "fuse.osxfs", "fuse.grpcfuse", "vboxsf"})
"""File systems shared with a virtual machine's host: fsync is only as good as the host's."""

_log = structlog.get_logger("hookline.sqlite")


class FileLock:
    """A lock on one database file, held from ``acquire`` to ``release`` or the process's end."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(database.name + ".lock")
        self._file: int | None = None

    def __repr__(self) -> str:
        return f"FileLock({str(self._path)!r}, is_held={self._file is not None})"

    def acquire(self) -> None:
        """Raises SettingError when another process holds it, or it cannot be made."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise unusable(self._database, exc.strerror or str(exc)) from exc
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = os.pread(file, 100, 0).decode("ascii", errors="replace").strip() or "another process"
            os.close(file)
            raise SettingError(
                f"HOOKLINE_DATABASE must name a file that no other process uses: {self._database} is held by "
                f"{holder}. Stop it first; more than one node needs PostgreSQL.",
                field="database",
                expected="a file of our own",
                received=f"held by {holder}",
            ) from exc
        os.ftruncate(file, 0)
        os.pwrite(file, f"process {os.getpid()}\n".encode("ascii"), 0)
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None


def prepare_folder(database: Path) -> None:
    """Make the folder and an empty file that only we may read. Raises SettingError where SQLite cannot be safe."""
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        raise unusable(database, exc.strerror or str(exc)) from exc
    kind = file_system_of(database)
    if kind in _REMOTE:
        raise SettingError(
            f"HOOKLINE_DATABASE must lie on a local disk: {database} is on {kind}, where SQLite loses data. "
            "Use a local disk, or PostgreSQL.",
            field="database",
            expected="a local disk",
            received=kind,
        )
    if kind in _DOUBTFUL:
        _log.warning("database_on_shared_folder", path=str(database), file_system=kind)


def unusable(database: Path, reason: str) -> SettingError:
    return SettingError(
        f"HOOKLINE_DATABASE must name a file that can be read and written, got {database}: {reason}.",
        field="database",
        expected="a file that can be read and written",
        received=reason,
    )


def file_system_of(path: Path, *, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system that holds the path, such as ``ext4``; empty where the kernel does not say."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    target = path.resolve()
    best, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, details = before.split(" "), after.split(" ")
        if len(fields) < 5 or not details[0]:
            continue
        place = Path(fields[4].encode().decode("unicode_escape"))  # spaces are written \040
        if target.is_relative_to(place) and len(place.parts) >= best:
            best, kind = len(place.parts), details[0]
    return kind
