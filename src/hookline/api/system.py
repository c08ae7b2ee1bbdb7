"""About the server itself: what it is, whether it is ready, its metrics, its description, and a backup of it."""

import asyncio
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from hookline.api.call import RATE_PER_SECOND
from hookline.api.description import docs_page
from hookline.api.metrics import metrics_text
from hookline.api.publish import MOST_EVENTS
from hookline.api.reply import Admin, AtSite, Body, Reader, reply
from hookline.api.services import Site
from hookline.core.event_types import MEANINGS
from hookline.dialects import NAMES
from hookline.engine.reseal import reseal
from hookline.errors import HooklineError, InputError, StorageError

router = APIRouter(tags=["system"])

_PING_SECONDS = 2.0
# Of one call: well within what clients and proxies wait.
_RESEAL_SECONDS = 5.0


class BackupBody(Body):
    """target: an absolute path on the server's machine, of a file that does not exist."""

    target: str


class ResealBody(Body):
    """since: ``next`` of the answer before; the beginning when it is left out."""

    since: str | None = None


@router.get("/healthz", summary="The process answers")
async def health() -> Response:
    return reply({"status": "ok"})


@router.get(
    "/readyz",
    summary="The node takes work: 200, else 503",
    responses={503: {"description": "It does not; the body says why", "content": {"application/json": {}}}},
)
async def ready(site: AtSite) -> Response:
    state = await readiness(site)
    return reply(state, 200 if state["ready"] else 503, None if state["ready"] else {"retry-after": "1"})


@router.get("/metrics", summary="Prometheus metrics; whole-node figures only")
async def metrics(site: AtSite) -> Response:
    text = await metrics_text(site)
    return Response(text, media_type="text/plain; version=1.0.0; charset=utf-8")


@router.get("/api/v1/meta", summary="Source addresses, limits, versions")
async def meta(site: AtSite, _: Reader) -> Response:
    settings, upkeep = site.settings, site.settings.upkeep
    return reply(
        {
            "version": settings.version,
            "api_version": "v1",
            "public_url": settings.public_url,
            "source_ips": settings.source_ips,
            "dialects": NAMES,
            "event_types": tuple(MEANINGS),
            "limits": {
                "body_bytes": settings.max_body_bytes,
                "events_per_request": MOST_EVENTS,
                "requests_per_second_and_url": RATE_PER_SECOND,
                "page": 500,
            },
            "retention": {
                "days": upkeep.retention_days,
                "payload_days": upkeep.payload_retention_days,
                "held_days": upkeep.held_retention_days,
                "max_bytes": upkeep.retention_max_bytes,
            },
            "alerts": {"mail": upkeep.mail, "disable_after_days": upkeep.disable_after_days},
            "retry_time_scale": settings.retry_time_scale,
        }
    )


@router.post("/api/v1/backup", status_code=201, summary="Copy the database to a file while it runs")
async def backup(site: AtSite, _: Admin, body: BackupBody) -> Response:
    target = Path(body.target)
    if not target.is_absolute() or "\0" in body.target:
        raise InputError(
            "The target must be an absolute path.",
            field="target",
            expected="absolute path",
            received="string",
        )
    if await asyncio.to_thread(target.exists):
        raise InputError(
            "The target exists already.", field="target", expected="path of a new file", received="string"
        )
    if not await asyncio.to_thread(target.parent.is_dir):
        raise InputError(
            f"There is no folder {target.parent} on the server's machine.",
            field="target",
            expected="path in a folder that exists",
            received="string",
        )
    try:
        await site.services.store.backup(target)
    except StorageError:
        raise
    except HooklineError as exc:
        # The store cannot, and its message says what can.
        raise InputError(exc.message, code="NOT_SUPPORTED_HERE", field="target") from exc
    size = (await asyncio.to_thread(target.stat)).st_size
    return reply({"target": str(target), "bytes": size}, 201)


@router.post("/api/v1/secret-key/reseal", summary="Go on putting every secret under the newest secret key")
async def reseal_all(site: AtSite, _: Admin, body: ResealBody | None = None) -> Response:
    """Takes a few seconds; ``next`` of the answer goes into the next call's ``since`` until it is null."""
    services = site.services
    progress = await reseal(
        services.store, services.vault, since=None if body is None else body.since, seconds=_RESEAL_SECONDS
    )
    return reply(
        {
            "rows_seen": progress.seen,
            "rows_resealed": progress.resealed,
            "unreadable": progress.unreadable,
            "next": progress.next,
        }
    )


@router.get("/openapi.json", summary="This description, OpenAPI 3.1", include_in_schema=False)
async def openapi(request: Request) -> Response:
    return reply(request.app.state.openapi)


@router.get("/docs", summary="This description for people", include_in_schema=False)
async def docs(request: Request) -> Response:
    return docs_page(request.app.state.openapi)


async def readiness(site: Site) -> dict[str, Any]:
    """Return whether this node takes work, and why not."""
    services, settings = site.services, site.settings
    state: dict[str, Any] = {"ready": services.is_ready, "version": settings.version}
    if not services.is_ready:
        state["reason"] = "the node is starting or stopping"
    else:
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await services.store.ping()
        except (StorageError, TimeoutError):
            state |= {"ready": False, "reason": "the database cannot store anything now"}
    if settings.retry_time_scale != 1:
        state["retry_time_scale"] = settings.retry_time_scale
    return state
