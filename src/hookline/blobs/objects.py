"""Blobs as objects of a bucket: S3 and whatever speaks its protocol, through obstore (extra ``s3``).

What this does worse than files: a blob is written to a local file first and sent when it is whole, because an object
has no name before it has all its parts, and it is fetched into a local file to be read. It costs requests, and the
bucket may be away. Credentials come from where S3 clients look for them (``AWS_ACCESS_KEY_ID``,
``AWS_SECRET_ACCESS_KEY``, the machine's role); they are no part of the URL.

obstore's blocking calls run in threads of our own: its asynchronous ones may abort the process when it exits, and
the loop's default threads are few and shared by everybody.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import parse_qs, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from hookline.blobs.writing import Writing
from hookline.errors import MissingError, SettingError, StorageError
from hookline.ports.blobs import Blob

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime
    from typing import IO

_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)

_THREADS: Final = 8
"""Transfers at once; further ones wait. A bucket answers in tens of milliseconds."""

_REQUEST_SECONDS: Final = 300
"""Longest single request: a part of 5 MB, or a whole download, over a slow line."""

_GIVE_UP: Final = timedelta(seconds=30)
"""How long a request is repeated while the bucket is away."""

T = TypeVar("T")


class ObjectBlobs:
    """``ports.blobs.Blobs``. url: ``s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME]``."""

    def __init__(self, url: str) -> None:
        self._store = _store(url)
        self._url = url
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="blobs")

    def __repr__(self) -> str:
        return f"ObjectBlobs({self._url!r})"

    async def open(self) -> None:
        """Write and delete a small object: a bucket that may only be read is found at the start."""
        name = uuid.uuid4().hex
        try:
            await self._do(lambda: obstore.put(self._store, name, b"hookline"))
            await self._do(lambda: obstore.delete(self._store, name))
        except (BaseError, OSError, ValueError) as exc:
            raise SettingError(
                f"HOOKLINE_BLOBS cannot be written to: {_first_line(exc)}", field="blobs"
            ) from exc

    async def sink(self) -> ObjectSink:
        try:
            file = tempfile.TemporaryFile(prefix="hookline-blob-")  # noqa: SIM115 -- the sink closes it
        except OSError as exc:
            raise StorageError("A large file cannot be stored now.") from exc
        return ObjectSink(file, self._put)

    @asynccontextmanager
    async def local(self, id: str) -> AsyncIterator[Path]:
        if not _ID.fullmatch(id):
            raise MissingError("That file is no longer kept.")
        with tempfile.NamedTemporaryFile(prefix="hookline-blob-") as file:
            try:
                await self._do(lambda: self._fetch(id, file))
            except FileNotFoundError as exc:
                raise MissingError("That file is no longer kept.") from exc
            except (BaseError, OSError) as exc:
                raise StorageError("A large file cannot be read now.") from exc
            yield Path(file.name)

    async def delete(self, id: str) -> None:
        if _ID.fullmatch(id):
            with suppress(BaseError, OSError):
                await self._do(lambda: obstore.delete(self._store, id))

    async def sweep(self, *, before: datetime) -> int:
        """Unfinished blobs are no objects, but for parts of uploads that a crash cut off: those the bucket's own rule
        for incomplete uploads removes.
        """
        try:
            return await self._do(lambda: self._sweep(before))
        except (BaseError, OSError) as exc:
            raise StorageError("Old files cannot be deleted now.") from exc

    def _sweep(self, before: datetime) -> int:
        swept = 0
        for page in obstore.list(self._store, chunk_size=500):
            old = [
                each["path"]
                for each in page
                if _ID.fullmatch(each["path"]) and each["last_modified"] < before
            ]
            if old:
                obstore.delete(self._store, old)
            swept += len(old)
        return swept

    def _fetch(self, id_: str, file: IO[bytes]) -> None:
        file.writelines(obstore.get(self._store, id_).stream())
        file.flush()

    async def _put(self, id_: str, file: IO[bytes]) -> None:
        await self._do(lambda: obstore.put(self._store, id_, file))

    async def _do(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


class ObjectSink(Writing):
    """``ports.blobs.BlobSink``."""

    def __init__(self, file: IO[bytes], put: Callable[[str, IO[bytes]], Awaitable[None]]) -> None:
        super().__init__(uuid.uuid4().hex, file)
        self._put = put

    async def finish(self) -> Blob:
        try:
            self._file.seek(0)
            await self._put(self._id, self._file)
        except (BaseError, OSError) as exc:
            raise StorageError("A large file cannot be stored now.") from exc
        finally:
            await self.abort()
        return Blob(self._id, self._size)

    async def abort(self) -> None:
        with suppress(OSError):
            self._file.close()


def _store(url: str) -> S3Store:
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    endpoint = options.get("endpoint")
    try:
        return S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            config={} if endpoint is None else {"endpoint": endpoint, "virtual_hosted_style_request": False},
            region=options.get("region", "us-east-1"),
            client_options={
                "allow_http": (endpoint or "").startswith("http://"),
                "timeout": timedelta(seconds=_REQUEST_SECONDS),
                "connect_timeout": timedelta(seconds=5),
            },
            retry_config={"max_retries": 4, "retry_timeout": _GIVE_UP},
        )
    except (BaseError, ValueError) as exc:
        raise SettingError(f"HOOKLINE_BLOBS cannot be used: {_first_line(exc)}", field="blobs") from exc


def _first_line(exc: Exception) -> str:
    """Return the library's sentence without its debug output and the server's page."""
    return str(exc).partition("\n")[0][:300]
