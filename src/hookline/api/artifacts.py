"""The files that an execution made: listed and read with a key, or read by a signed link without one.

Both ways know ranges and entity tags, so a player can seek and a download can go on where it broke off. What a run
made up must not act as a page of ours, whatever type it claims: only pictures, sound and video are shown in place.
"""

# ruff: noqa: FAST003 -- the id in the path is read by the dependency that finds the execution

import asyncio
from collections.abc import AsyncIterator
from email.utils import format_datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from hookline.api.executions import Found
from hookline.api.reply import AtSite, found_or_missing, missing, reply, when
from hookline.api.results import unsatisfiable
from hookline.api.services import Site
from hookline.core.ranges import Part, part_asked
from hookline.engine.artifacts import LINKS
from hookline.errors import ForbiddenError
from hookline.model.executions import Artifact
from hookline.model.ids import parse
from hookline.ports.blobs import Blobs

router = APIRouter(tags=["executions"])

PARTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes, in their own type", "content": {"*/*": {}}},
    206: {"description": "The range asked for"},
    304: {"description": "It is what the caller has"},
}
"""What routes of files answer besides, for their description."""
_CHUNK_BYTES = 1 << 18
_SHOWN_IN_PLACE = ("image/", "video/", "audio/")


@router.get("/api/v1/executions/{execution_id}/artifacts", summary="List the files that it made")
async def list_all(site: AtSite, execution: Found) -> Response:
    found = await site.services.store.artifacts(execution.id)
    return reply({"artifacts": [artifact_view(site, artifact) for artifact in found]})


@router.head("/api/v1/executions/{execution_id}/artifacts/{name}", include_in_schema=False)
@router.get(
    "/api/v1/executions/{execution_id}/artifacts/{name}",
    response_class=Response,
    responses=PARTS,
    summary="Read a file that it made; knows ranges and entity tags",
)
async def download(site: AtSite, request: Request, execution: Found, name: str) -> Response:
    artifact = await site.services.store.artifact(execution.id, name)
    return file_answer(site, request, found_or_missing(artifact, "file"))


@router.head(LINKS + "{execution_id}/{name}", include_in_schema=False)
@router.get(
    LINKS + "{execution_id}/{name}",
    response_class=Response,
    responses=PARTS,
    summary="Read a file by a signed link; knows ranges and entity tags",
)
async def by_link(
    site: AtSite,
    request: Request,
    execution_id: str,
    name: str,
    expires: Annotated[str, Query(max_length=20)] = "",
    token: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    id = parse("execution", execution_id)
    if id is None or not site.services.artifacts.opens(request.url.path, expires=expires, token=token):
        raise ForbiddenError("This link is not valid, or it has expired.", code="LINK_INVALID")
    artifact = await site.services.store.artifact(id, name)
    answer = file_answer(site, request, found_or_missing(artifact, "file"))
    answer.headers["access-control-allow-origin"] = "*"
    return answer


def artifact_view(site: Site, artifact: Artifact) -> dict[str, Any]:
    return {
        "name": artifact.name,
        "content_type": artifact.content_type,
        "size": artifact.size,
        "sha256": artifact.digest,
        "created_at": when(artifact.created_at),
        "url": site.services.artifacts.link(artifact),
    }


def file_answer(site: Site, request: Request, artifact: Artifact) -> Response:
    """Return what a request gets of a file. Raises MissingError when it is no longer kept."""
    blobs = site.services.blobs
    if blobs is None:
        raise missing("file")
    tag, date = f'"{artifact.digest[:32]}"', format_datetime(artifact.created_at, usegmt=True)
    asked = {name.encode("latin-1"): value.encode("latin-1") for name, value in request.headers.items()}
    part = part_asked(asked, tag=tag.encode(), date=date.encode(), size=artifact.size)
    is_shown = artifact.content_type.startswith(_SHOWN_IN_PLACE) and "svg" not in artifact.content_type
    headers = {
        "etag": tag,
        "last-modified": date,
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "content-security-policy": "sandbox; default-src 'none'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "content-disposition": f'{"inline" if is_shown else "attachment"}; filename="{artifact.name}"',
    }
    if part.content_range is not None:
        headers["content-range"] = part.content_range.decode()
    if part.status == 304:
        return Response(status_code=304, headers=headers)
    if part.status == 416:
        return Response(unsatisfiable(artifact.size), 416, headers, "application/json")
    headers |= {"content-type": artifact.content_type, "content-length": str(len(part.positions))}
    if request.method == "HEAD":
        return Response(status_code=part.status, headers=headers)
    return _FileAnswer(blobs, artifact, part, headers)


class _FileAnswer(StreamingResponse):
    """A part of a file. It is at hand for as long as the answer goes out, and no longer."""

    def __init__(self, blobs: Blobs, artifact: Artifact, part: Part, headers: dict[str, str]) -> None:
        super().__init__(iter(()), status_code=part.status, headers=headers)
        self._blobs, self._artifact, self._positions = blobs, artifact, part.positions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._blobs.local(self._artifact.blob_id) as path:
            self.body_iterator = _pieces(path, self._positions)
            await super().__call__(scope, receive, send)


async def _pieces(path: Path, positions: range) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(positions.start)
        left = len(positions)
        while left and (piece := await asyncio.to_thread(file.read, min(left, _CHUNK_BYTES))):
            left -= len(piece)
            yield piece
