"""``/api/v1/keys``: API keys of an organization. Admin keys only."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from hookline.api.documents import Documents
from hookline.api.reply import (
    Admin,
    AtPage,
    AtSite,
    Body,
    instant,
    key_in_path,
    reply,
    when,
)
from hookline.engine.manage.keys import create_key, revoke_key
from hookline.engine.manage.organizations import check_name
from hookline.model.configuration import ApiKey, Stored
from hookline.model.ids import public

router = APIRouter(prefix="/api/v1/keys", tags=["keys"])

_KEYS: Final = Documents(ApiKey, "api_key", "keys")


class NewKey(Body):
    name: str
    scopes: list[Literal["admin", "write", "read", "trigger"]]
    expires_at: str | None = None


@router.post("", status_code=201, summary="Create a key; its text is in this answer only")
async def create(site: AtSite, caller: Admin, body: NewKey) -> Response:
    stored, text = await create_key(
        site.services.store,
        caller.organization_id,
        name=check_name(body.name),
        scopes=body.scopes,
        expires_at=instant(body.expires_at, "expires_at"),
        now=site.services.clock.now(),
    )
    await site.services.directory.refresh()
    return reply(view(stored) | {"key": text}, 201)


@router.get("", summary="List keys, revoked ones too")
async def list_all(site: AtSite, caller: Admin, page: AtPage) -> Response:
    return await _KEYS.list(site, caller.organization_id, page, view)


@router.get("/{key_id}", summary="Show a key")
async def show(site: AtSite, caller: Admin, key_id: str) -> Response:
    return reply(view(await _KEYS.find(site, caller.organization_id, key_id)))


@router.delete("/{key_id}", summary="Revoke a key; it is refused on every node within a second")
async def revoke(
    site: AtSite,
    caller: Admin,
    key_id: str,
    force: Annotated[bool, Query(description="Even the last admin key.")] = False,  # noqa: FBT002 -- a query
) -> Response:
    stored = await revoke_key(
        site.services.store,
        caller.organization_id,
        key_in_path("api_key", key_id),
        now=site.services.clock.now(),
        is_forced=force,
    )
    await site.services.directory.refresh()
    return reply(view(stored))


def view(stored: Stored[ApiKey]) -> dict[str, Any]:
    key = stored.document
    return {
        "id": public("api_key", stored.id),
        "name": key.name,
        "hint": key.hint,
        "scopes": list(key.scopes),
        "created_at": when(stored.created_at),
        "expires_at": when(key.expires_at),
        "revoked_at": when(key.revoked_at),
    }
