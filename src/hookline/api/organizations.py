"""``/api/v1/organizations``: one for each customer of a platform. Admin keys only."""

from typing import Any, Final

import msgspec
from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from hookline.api.documents import Documents
from hookline.api.reply import Admin, AtPage, AtSite, Body, key_in_path, reply, when
from hookline.engine.manage.organizations import create_organization, update_organization
from hookline.model.configuration import Organization, Stored
from hookline.model.ids import public

router = APIRouter(prefix="/api/v1/organizations", tags=["organizations"])

_ORGANIZATIONS: Final = Documents(Organization, "organization", "organizations")


class NewOrganization(Body):
    name: str
    external_id: str | None = None


class RunQuotaBody(Body):
    """At most so many seconds of run time, of all its executions together, within any window of so many seconds."""

    seconds: int = Field(ge=1, le=1 << 40)
    window_seconds: int = Field(30 * 86_400, ge=60, le=366 * 86_400)


class OrganizationChange(Body):
    name: str | None = None
    external_id: str | None = None
    run_quota: RunQuotaBody | None = None


@router.post("", status_code=201, summary="Create an organization")
async def create(site: AtSite, _: Admin, body: NewOrganization) -> Response:
    stored = await create_organization(
        site.services.store, name=body.name, external_id=body.external_id, now=site.services.clock.now()
    )
    await site.services.directory.refresh()
    return reply(view(stored), 201)


@router.get("", summary="List organizations")
async def list_all(site: AtSite, _: Admin, page: AtPage) -> Response:
    return await _ORGANIZATIONS.list(site, None, page, view)


@router.get("/{organization_id}", summary="Show an organization")
async def show(site: AtSite, _: Admin, organization_id: str) -> Response:
    id = key_in_path("organization", organization_id)
    return reply(view(await _ORGANIZATIONS.find(site, id, organization_id)))


@router.patch("/{organization_id}", summary="Change an organization")
async def update(site: AtSite, _: Admin, organization_id: str, body: OrganizationChange) -> Response:
    stored = await update_organization(
        site.services.store,
        key_in_path("organization", organization_id),
        {
            name: value
            for name, value in body.model_dump(exclude_unset=True).items()
            if name != "name" or value
        },
        now=site.services.clock.now(),
    )
    await site.services.directory.refresh()
    return reply(view(stored))


def view(stored: Stored[Organization]) -> dict[str, Any]:
    quota = stored.document.run_quota
    return {
        "id": public("organization", stored.id),
        "name": stored.document.name,
        "external_id": stored.document.external_id,
        "run_quota": None if quota is None else msgspec.structs.asdict(quota),
        "created_at": when(stored.created_at),
    }
