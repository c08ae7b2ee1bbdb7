"""Organizations: one for each customer of a platform. An admin key acts for any of them, one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from hookline.model.ids import new_key, parse, public
from hookline.model.states import Scope
from hookline.web.desk import Refusal, path_of
from hookline.web.pages.base import Page, listed
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from hookline.web.visit import Visit

_LIST: Final = "/api/v1/organizations"


async def organizations(visit: Visit) -> View:
    return await _shown(visit, {"name": "", "external_id": ""})


async def _shown(visit: Visit, given: dict[str, str], refusal: Refusal | None = None) -> View:
    visit.need(Scope.ADMIN)
    found = await listed(visit, _LIST, "organizations")
    context = {
        "present": public("organization", visit.session.organization_id),
        "given": given,
        "refusal": refusal,
    }
    return View(template="organizations.html", context=found | context, status=400 if refusal else 200)


async def create(visit: Visit) -> View | Away:
    visit.need(Scope.ADMIN)
    given = {name: visit.fields.get(name, "").strip() for name in ("name", "external_id")}
    try:
        await visit.desk.post(_LIST, {name: text for name, text in given.items() if text})
    except Refusal as refusal:
        return await _shown(visit, given, refusal)
    return Away(to="/ui/organizations", word="saved")


async def act_for(visit: Visit) -> Away:
    """Go on as the same person, for another organization.

    Only an administrator's session may: one that a sign-in link began is a viewer's or an operator's, whatever the key
    is that it stands on. The API says whether there is such an organization.
    """
    visit.need(Scope.ADMIN)
    shown = await visit.desk.get(path_of("organizations", visit.part("id")))
    organization_id = parse("organization", shown["id"])
    assert organization_id is not None
    session = msgspec.structs.replace(visit.session, id=new_key(), organization_id=organization_id)
    return Away(to="/", word="switched", session=session)


PAGES: Final = (
    Page("/ui/organizations", organizations),
    Page("/ui/organizations", create, ("POST",)),
    Page("/ui/organizations/{id}/act", act_for, ("POST",)),
)
