"""Keep the files that executions make, for as long as the executions are kept.

A file is copied to the blob store first and named in a row after, so a row never names what is not there. Rows go with
their execution, in the same transaction; the blobs they named are then in a list, and are deleted from here.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

from hookline.errors import InputError, StorageError
from hookline.model.executions import Artifact
from hookline.model.ids import public
from hookline.ports import KeepArtifact

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hookline.engine.commit import Committer
    from hookline.engine.vault import Vault
    from hookline.model.ids import Key
    from hookline.ports import Artifacts as Kept
    from hookline.ports import Clock, Epoch
    from hookline.ports.blobs import Blobs, BlobSink

MOST_BYTES: Final = 4 << 30
"""Of one file: an hour of video. What runs has limits of its own below this."""

LINK_LIFETIME: Final = timedelta(days=30)
"""At least, as of results (PR-13b); the file may go earlier, with its execution."""

_LINK_STEP: Final = timedelta(days=1)
"""Links made within a step are the same: what shows a file again and again, such as a page, shows the same one."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

LINKS: Final = "/artifacts/"

_CHUNK_BYTES: Final = 1 << 20
_DELETED_AT_ONCE: Final = 100
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}", re.ASCII)
_CONTENT_TYPE: Final = re.compile(r"[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+(; ?charset=[A-Za-z0-9-]+)?", re.ASCII)


def link_path(artifact: Artifact) -> str:
    """Where the link to a file leads: what its token is made for."""
    return f"{LINKS}{public('execution', artifact.execution_id)}/{artifact.name}"


class ArtifactKeeper:
    """One per node. blobs: None where no files can be kept.  url: where this server is reached, for links."""

    def __init__(
        self,
        *,
        blobs: Blobs | None,
        store: Kept,
        committer: Committer,
        vault: Vault,
        clock: Clock,
        url: str,
    ) -> None:
        self._blobs = blobs
        self._store = store
        self._committer = committer
        self._vault = vault
        self._clock = clock
        self._url = url

    def __repr__(self) -> str:
        return f"ArtifactKeeper({self._blobs!r})"

    async def keep(
        self, execution_id: Key, epoch: Epoch, file: Path | int, name: str, content_type: str
    ) -> Artifact | None:
        """Copy a file and name it. None when the execution is not ours any more: then nothing is kept.

        file: a path, or a descriptor, which is closed. Raises InputError for a name, a type or a file that cannot be
        kept, StorageError.
        """
        number = file if isinstance(file, int) else _opened(file)
        try:
            _check(number, name, content_type)
        except InputError:
            os.close(number)
            raise
        with os.fdopen(number, "rb", buffering=0) as content:
            return await self._keep(execution_id, epoch, content, name, content_type)

    async def _keep(
        self, execution_id: Key, epoch: Epoch, content: BinaryIO, name: str, content_type: str
    ) -> Artifact | None:
        if self._blobs is None:
            raise StorageError("This server keeps no files.")
        size, digest, blob_id = await self._copied(self._blobs, content)
        artifact = Artifact(
            execution_id=execution_id,
            name=name,
            content_type=content_type,
            size=size,
            digest=digest,
            blob_id=blob_id,
            created_at=self._clock.now(),
        )
        # A commit of unknown outcome may have named it: then the blob stays, and the sweep by age finds it.
        if await self._committer.commit(KeepArtifact(epoch=epoch, artifact=artifact)) is True:
            return msgspec.structs.replace(artifact, url=self.link(artifact))
        await self._blobs.delete(blob_id)
        return None

    async def _copied(self, blobs: Blobs, file: BinaryIO) -> tuple[int, str, str]:
        """Return size, digest and blob of a copy."""
        sink = await blobs.sink()
        try:
            digest = await _pour(file, sink)
        except BaseException:
            await sink.abort()
            raise
        blob = await sink.finish()
        return blob.size, digest, blob.id

    async def of(self, execution_id: Key) -> list[Artifact]:
        """Return the files of an execution by name, each with its link. Raises StorageError."""
        found = await self._store.artifacts(execution_id)
        return [msgspec.structs.replace(artifact, url=self.link(artifact)) for artifact in found]

    def link(self, artifact: Artifact) -> str:
        """A link by which whoever holds it can read the file, for LINK_LIFETIME or up to a day more."""
        path = link_path(artifact)
        until = self._clock.now() + LINK_LIFETIME + _LINK_STEP
        until -= (until - _EPOCH) % _LINK_STEP
        expires, token = self._vault.sign_link(path, until).split(".", 1)
        return f"{self._url}{path}?expires={expires}&token={token}"

    def opens(self, artifact_path: str, *, expires: str, token: str) -> bool:
        """Say whether a link is ours and has not expired."""
        return self._vault.verify_link(artifact_path, f"{expires}.{token}", self._clock.now())

    async def sweep(self) -> None:
        """Delete the blobs of what was replaced or went with its execution. Raises StorageError."""
        if self._blobs is None:
            return
        while dropped := await self._store.dropped_blobs(limit=_DELETED_AT_ONCE):
            for id_ in dropped:
                await self._blobs.delete(id_)
            await self._store.blobs_deleted(dropped)


def _opened(path: Path) -> int:
    """Open a file that user code may have made. Raises InputError for a link."""
    try:
        # Not blocking, because opening a pipe that nobody writes to would.
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise InputError("There is no such file, or it is a link.", field="file") from exc


def _check(number: int, name: str, content_type: str) -> None:
    """Raise InputError for a name or a type that cannot be kept, and for a device or a file that is too large."""
    if _NAME.fullmatch(name) is None:
        raise InputError("A file's name may hold letters, digits and . _ - only.", field="name")
    if _CONTENT_TYPE.fullmatch(content_type) is None:
        raise InputError("A file's type must be a media type.", field="content_type")
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
        raise InputError(f"Only a plain file of at most {MOST_BYTES} bytes can be kept.", field="file")


async def _pour(file: BinaryIO, sink: BlobSink) -> str:
    """Copy all of it; return its SHA-256. A file that grows while it is copied is cut at what may be kept."""
    digest = hashlib.sha256()
    left = MOST_BYTES
    read: Callable[[int], bytes] = file.read
    while left and (chunk := await asyncio.to_thread(read, min(left, _CHUNK_BYTES))):
        left -= len(chunk)
        digest.update(chunk)
        await sink.write(chunk)
    return digest.hexdigest()
