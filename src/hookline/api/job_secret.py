"""``/api/v1/jobs/secret``: what signs the webhooks that render jobs name themselves (``webhook_uri``, SEEDS PF-1).

One for all jobs of an organization. It is shown by the rotation that makes it and never again.
"""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from hookline.api.reply import AtSite, Body, Reader, Writer, reply, when
from hookline.engine.manage.job_webhooks import find_target, finish_target, rotate_target
from hookline.errors import InputError
from hookline.model.configuration import Stored, Webhook

router = APIRouter(tags=["render jobs"])


class JobSecretRotation(Body):
    """secret: an own one, instead of one that we make.  finish: end the time of two secrets now."""

    finish: bool = False
    secret: str | None = None


@router.get("/api/v1/jobs/secret", summary="Say how long the secret before still signs jobs' own webhooks")
async def show(site: AtSite, caller: Reader) -> Response:
    return reply(_view(await find_target(caller.organization_id, registry=site.services.store)))


@router.post(
    "/api/v1/jobs/secret/rotate",
    summary="Give jobs' own webhooks a new secret, or end the time of two secrets; it is in this answer only",
)
async def rotate(site: AtSite, caller: Writer, body: JobSecretRotation | None = None) -> Response:
    wanted = body if body is not None else JobSecretRotation()
    services, now = site.services, site.services.clock.now()
    registry, cache = services.store, services.directory
    if not wanted.finish:
        stored, secret = await rotate_target(
            caller.organization_id,
            registry=registry,
            cache=cache,
            vault=services.vault,
            own=wanted.secret,
            now=now,
        )
        return reply({"secret": secret} | _view(stored))
    if wanted.secret is not None:
        raise InputError(
            "A rotation either begins or ends.", field="secret", expected="left out", received="string"
        )
    return reply(_view(await finish_target(caller.organization_id, registry=registry, cache=cache, now=now)))


def _view(target: Stored[Webhook] | None) -> dict[str, Any]:
    return {"previous_secret_until": None if target is None else when(target.document.previous_secret_until)}
