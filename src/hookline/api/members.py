"""``/api/v1/members``: the people of an organization, who get its alert mails."""

from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from hookline.api.documents import Documents
from hookline.api.reply import (
    AtPage,
    AtSite,
    Body,
    Reader,
    Writer,
    key_in_path,
    missing,
    no_content,
    reply,
    when,
)
from hookline.engine.manage.organizations import add_member, update_member
from hookline.model.configuration import Member, Stored
from hookline.model.ids import public

router = APIRouter(prefix="/api/v1/members", tags=["members"])

_MEMBERS: Final = Documents(Member, "member", "members")


class NewMember(Body):
    name: str
    email: str


class MemberChange(Body):
    name: str | None = None
    email: str | None = None


@router.post("", status_code=201, summary="Add a member")
async def create(site: AtSite, caller: Writer, body: NewMember) -> Response:
    stored = await add_member(
        site.services.store,
        caller.organization_id,
        name=body.name,
        email=body.email,
        now=site.services.clock.now(),
    )
    return reply(view(stored), 201)


@router.get("", summary="List members")
async def list_all(site: AtSite, caller: Reader, page: AtPage) -> Response:
    return await _MEMBERS.list(site, caller.organization_id, page, view)


@router.get("/{member_id}", summary="Show a member")
async def show(site: AtSite, caller: Reader, member_id: str) -> Response:
    return reply(view(await _MEMBERS.find(site, caller.organization_id, member_id)))


@router.patch("/{member_id}", summary="Change a member")
async def update(site: AtSite, caller: Writer, member_id: str, body: MemberChange) -> Response:
    stored = await update_member(
        site.services.store,
        caller.organization_id,
        key_in_path("member", member_id),
        body.model_dump(exclude_none=True),
        now=site.services.clock.now(),
    )
    return reply(view(stored))


@router.delete("/{member_id}", status_code=204, summary="Remove a member")
async def delete(site: AtSite, caller: Writer, member_id: str) -> Response:
    id = key_in_path("member", member_id)
    now = site.services.clock.now()
    if not await site.services.store.delete(Member, id, organization_id=caller.organization_id, at=now):
        raise missing("member")
    return no_content()


def view(stored: Stored[Member]) -> dict[str, Any]:
    return {
        "id": public("member", stored.id),
        "name": stored.document.name,
        "email": stored.document.email,
        "created_at": when(stored.created_at),
    }
