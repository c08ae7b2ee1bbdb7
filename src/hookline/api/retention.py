"""``/api/v1/settings/retention``: how long an organization's things are kept, within what the server keeps."""

from typing import Any

import msgspec
from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from hookline.api.reply import AtSite, Body, Reader, Writer, missing, reply
from hookline.api.services import Site, Upkeep
from hookline.core.retention import Kept, kept
from hookline.engine.manage.retention import set_retention
from hookline.model.configuration import Organization, Retention, Stored

router = APIRouter(prefix="/api/v1/settings/retention", tags=["settings"])


class RetentionChange(Body):
    """In days; null for as long as the server keeps things. What is left out stays as it is."""

    days: float | None = Field(None, allow_inf_nan=False)
    payload_days: float | None = Field(None, allow_inf_nan=False)
    held_days: float | None = Field(None, allow_inf_nan=False)


@router.get("", summary="How long this organization's things are kept")
async def show(site: AtSite, caller: Reader) -> Response:
    stored = await site.services.store.get(
        Organization, caller.organization_id, organization_id=caller.organization_id
    )
    if stored is None:
        raise missing("organization")
    return reply(view(site, stored))


@router.patch("", summary="Keep this organization's things for a shorter time than the server does")
async def change(site: AtSite, caller: Writer, body: RetentionChange) -> Response:
    stored = await set_retention(
        site.services.store,
        caller.organization_id,
        body.model_dump(exclude_unset=True),
        server=server_keeps(site.settings.upkeep),
        now=site.services.clock.now(),
    )
    await site.services.directory.refresh()
    return reply(view(site, stored))


def server_keeps(upkeep: Upkeep) -> Kept:
    return Kept(
        days=upkeep.retention_days,
        payload_days=min(upkeep.retention_days, upkeep.payload_retention_days),
        held_days=upkeep.held_retention_days,
    )


def view(site: Site, stored: Stored[Organization]) -> dict[str, Any]:
    """The organization's wishes, what the server allows, and what holds."""
    server = server_keeps(site.settings.upkeep)
    wishes = stored.document.retention
    return {
        **msgspec.structs.asdict(wishes or Retention()),
        "server": msgspec.structs.asdict(server),
        "in_force": msgspec.structs.asdict(kept(server, wishes)),
    }
