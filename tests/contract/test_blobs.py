"""Blobs: one suite for files, rows of PostgreSQL and objects of a bucket (ports/blobs.py)."""

from __future__ import annotations

import asyncio
import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from bucket import bucket

from hookline.blobs.files import FileBlobs
from hookline.blobs.objects import ObjectBlobs
from hookline.engine.clock import SystemClock
from hookline.errors import MissingError, SettingError, StorageError
from hookline.stores.postgres.store import PostgresStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from hookline.ports.blobs import Blobs
    from hookline.testing.postgres import PostgresServer

MB = 1 << 20
_HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def bucket_url() -> Iterator[str]:
    with bucket() as url:
        yield url


@pytest_asyncio.fixture(params=["files", "postgres", "bucket"])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Blobs]:
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        store = PostgresStore(server.fresh_database(), clock=SystemClock())
        await store.open()
        yield store.blobs
        await store.close()
        return
    made: Blobs
    if request.param == "files":
        made = FileBlobs(tmp_path / "blobs")
    else:
        url: str = request.getfixturevalue("bucket_url")
        made = ObjectBlobs(url.replace("/large/", f"/{uuid.uuid4().hex}/"))
    await made.open()
    yield made


async def keep(blobs: Blobs, *parts: bytes) -> str:
    sink = await blobs.sink()
    for part in parts:
        await sink.write(part)
    kept = await sink.finish()
    assert kept.size == sum(map(len, parts))
    return kept.id


async def read(blobs: Blobs, id_: str) -> bytes:
    async with blobs.local(id_) as path:
        return path.read_bytes()


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [0, 1, 3 * MB + 7])
async def test_what_was_written_in_parts_is_read_as_one(blobs: Blobs, size: int) -> None:
    content = os.urandom(size)

    id_ = await keep(blobs, content[: size // 3], content[size // 3 :])

    assert await read(blobs, id_) == content


@pytest.mark.asyncio
async def test_a_blob_of_several_requests_comes_back_whole(blobs: Blobs) -> None:
    """Larger than what S3 takes in one part."""
    part = os.urandom(MB)

    id_ = await keep(blobs, *[part] * 12)

    assert await read(blobs, id_) == part * 12


@pytest.mark.asyncio
async def test_an_aborted_blob_is_nothing(blobs: Blobs) -> None:
    sink = await blobs.sink()
    await sink.write(b"half of it")
    await sink.abort()

    assert await blobs.sweep(before=datetime.now(UTC) + _HOUR) == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("id_", ["0" * 32, "", "../../etc/passwd", "A" * 32])
async def test_a_missing_blob_is_said_to_be_missing(blobs: Blobs, id_: str) -> None:
    with pytest.raises(MissingError):
        await read(blobs, id_)
    await blobs.delete(id_)


@pytest.mark.asyncio
async def test_a_deleted_blob_is_gone_and_others_stay(blobs: Blobs) -> None:
    gone, kept = await keep(blobs, b"one"), await keep(blobs, b"two")

    await blobs.delete(gone)
    await blobs.delete(gone)

    assert await read(blobs, kept) == b"two"
    with pytest.raises(MissingError):
        await read(blobs, gone)


@pytest.mark.asyncio
async def test_a_sweep_takes_what_is_old_and_nothing_else(blobs: Blobs) -> None:
    ids = [await keep(blobs, b"%d" % number) for number in range(3)]

    assert await blobs.sweep(before=datetime.now(UTC) - _HOUR) == 0
    assert await read(blobs, ids[0]) == b"0"
    assert await blobs.sweep(before=datetime.now(UTC) + _HOUR) == 3
    with pytest.raises(MissingError):
        await read(blobs, ids[0])


@pytest.mark.asyncio
async def test_many_blobs_are_written_at_once(blobs: Blobs) -> None:
    ids = await asyncio.gather(*(keep(blobs, b"%d" % number) for number in range(20)))

    assert [await read(blobs, id_) for id_ in ids] == [b"%d" % number for number in range(20)]


# --- a bucket that is not there ---


@pytest.mark.asyncio
async def test_a_bucket_that_is_not_there_stops_the_start(bucket_url: str) -> None:
    elsewhere = bucket_url.replace("s3://hookline/", "s3://another/")

    with pytest.raises(SettingError, match="HOOKLINE_BLOBS cannot be written to") as caught:
        await ObjectBlobs(elsewhere).open()

    assert "\n" not in caught.value.message


@pytest.mark.asyncio
async def test_a_bucket_that_refuses_a_blob_is_our_storage_failing(bucket_url: str) -> None:
    away = ObjectBlobs(bucket_url.replace("s3://hookline/", "s3://another/"))
    sink = await away.sink()
    await sink.write(b"content")

    with pytest.raises(StorageError):
        await sink.finish()
    with pytest.raises(StorageError):
        await away.sweep(before=datetime.now(UTC))
