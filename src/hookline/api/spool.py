"""Take in a body of any size: what fits is held in memory, what does not goes to a blob while it comes in (PR-10).

A multipart form is told apart on the way: its large parts become blobs of their own, its small ones stay what they
are. So a gigabyte costs a few megabytes of memory. Any other large body is its bytes, unparsed.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.api.inbound import too_large
from hookline.core.bodies import Body, PartReader, gathered, part_of
from hookline.core.octets import Kept, wrapped

if TYPE_CHECKING:
    from hookline.api.inbound import Inbound
    from hookline.ports.blobs import Blobs, BlobSink

HELD_BYTES: Final = 8 << 20
"""Of a body, in memory: more than the usual cap, so only triggers that ask for it ever write a blob."""

_HELD_OF_A_PART: Final = 1 << 20
_ALWAYS_HELD: Final = 4_096
"""Of a part, however much the others hold: fields stay what they are."""


class Spooled(msgspec.Struct, frozen=True):
    """A body that was taken in. held: its bytes; empty when a blob has them.  kept: the reference to that blob.
    body: what a kept one says, told apart on its way; None when it is still to be read from what is held.
    digest: SHA-256 of a kept one, hashed on its way; None for one that is held.
    blob_ids: all that were written for it.
    """

    held: bytes
    kept: Kept | None = None
    body: Body | None = None
    digest: bytes | None = None
    blob_ids: tuple[str, ...] = ()

    async def forget(self, blobs: Blobs | None, *, but: str | None = None) -> None:
        """Delete what was written for a body that nothing refers to. but: a blob that something does refer to."""
        if blobs is not None:
            for id_ in self.blob_ids:
                if id_ != but:
                    await blobs.delete(id_)


async def take_in(request: Inbound, cap: int, blobs: Blobs | None, content_type: str | None) -> Spooled:
    """Read the whole body, at most ``cap`` bytes. blobs: None keeps everything in memory.

    Raises TooLargeError, InputError for a malformed form, StorageError, UnavailableError; then no blob is left.
    """
    request.check_declared_size(cap)
    if blobs is None or cap <= HELD_BYTES or _is_small(request):
        return Spooled(await request.body(cap))
    spool = _Spool(request, blobs, content_type, cap)
    try:
        async for chunk in request.chunks():
            await spool.feed(chunk)
        return await spool.finish()
    except BaseException:
        await spool.abort()
        raise


def _is_small(request: Inbound) -> bool:
    declared = request.headers.get(b"content-length", b"")
    return declared.isdigit() and int(declared[:20]) <= HELD_BYTES


class _Spool:
    def __init__(self, request: Inbound, blobs: Blobs, content_type: str | None, cap: int) -> None:
        self._request = request
        self._blobs = blobs
        self._cap = cap
        self._content_type = content_type
        self._held: list[bytes] = []
        self._size = 0
        self._digest = hashlib.sha256()
        self._whole: BlobSink | None = None
        self._form: _Form | None = None

    async def feed(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._cap:
            raise too_large(self._cap)
        if self._whole is None:
            self._request.hold(len(chunk))
            self._held.append(chunk)
            if self._size <= HELD_BYTES:
                return
            self._whole = await self._blobs.sink()
            reader = PartReader.of(self._content_type)
            self._form = None if reader is None else _Form(reader, self._blobs, self._request)
            held, self._held = self._held, []
            for one in held:
                await self._pass_on(one)
            self._request.release(self._size)
        else:
            await self._pass_on(chunk)

    async def _pass_on(self, chunk: bytes) -> None:
        assert self._whole is not None
        await self._whole.write(chunk)
        self._digest.update(chunk)
        if self._form is not None:
            await self._form.feed(chunk)

    async def finish(self) -> Spooled:
        if self._whole is None:
            return Spooled(b"".join(self._held))
        body = Body(None, None, is_raw=True) if self._form is None else await self._form.finish()
        blob = await self._whole.finish()
        parts = () if self._form is None else self._form.blob_ids
        return Spooled(b"", Kept(blob.id, blob.size), body, self._digest.digest(), (blob.id, *parts))

    async def abort(self) -> None:
        if self._whole is not None:
            await self._whole.abort()
        if self._form is not None:
            await self._form.abort()


class _Form:
    """The parts of a form, as far as they have come."""

    def __init__(self, reader: PartReader, blobs: Blobs, request: Inbound) -> None:
        self._reader = reader
        self._request = request
        self._held_before = 0
        self.blob_ids: tuple[str, ...] = ()
        self._blobs = blobs
        self._parts: list[tuple[str, dict[str, Any]]] = []
        self._held = bytearray()
        self._sink: BlobSink | None = None

    async def feed(self, chunk: bytes) -> None:
        for event in self._reader.feed(chunk):
            if isinstance(event, bytes):
                await self._add(event)
            else:
                await self._end(event)

    async def _add(self, data: bytes) -> None:
        if self._sink is not None:
            await self._sink.write(data)
            return
        self._request.hold(len(data))
        self._held += data
        size = len(self._held)
        if size > _HELD_OF_A_PART or (size > _ALWAYS_HELD and self._held_before + size > HELD_BYTES):
            self._sink = await self._blobs.sink()
            await self._sink.write(bytes(self._held))
            self._held.clear()
            self._request.release(size)

    async def _end(self, segment: Any) -> None:
        if self._sink is not None:
            blob = await self._sink.finish()
            self._sink = None
            self.blob_ids += (blob.id,)
            self._parts.append((segment.name or "", part_of(segment, Kept(blob.id, blob.size))))
        else:
            self._parts.append((segment.name or "", part_of(segment, bytes(self._held))))
            self._held_before += len(self._held)
            self._held.clear()

    async def finish(self) -> Body:
        self._reader.close()
        parts = gathered(self._parts)
        return Body(parts, json.dumps(wrapped(parts), ensure_ascii=False, separators=(",", ":")).encode())

    async def abort(self) -> None:
        if self._sink is not None:
            await self._sink.abort()
        for id_ in self.blob_ids:
            await self._blobs.delete(id_)
