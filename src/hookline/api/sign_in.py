"""``POST /api/v1/sign-in-links``: a link that signs whoever opens it into the dashboard of one organization.

A platform makes one for its customer and sends the customer's browser there. The link holds no key; it ends with the
key that made it, and so do the sessions that it began.
"""

from datetime import timedelta
from typing import Final, Literal
from urllib.parse import quote

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from hookline.api.identity import unauthorized
from hookline.api.reply import Admin, AtSite, Body, reply, when
from hookline.api.sessions import Sessions
from hookline.model.states import Scope

router = APIRouter(prefix="/api/v1", tags=["organizations"])

_SCOPES: Final = {"viewer": Scope.READ, "operator": Scope.WRITE}


class SignInLink(Body):
    """role: a viewer looks, an operator also changes; an administrator signs in with a key.

    expires_in_seconds: how long the link may be opened; a session that it begins lasts 12 hours.
    """

    role: Literal["viewer", "operator"] = "viewer"
    expires_in_seconds: int = Field(default=900, ge=10, le=86_400)


@router.post("/sign-in-links", status_code=201, summary="A link into the dashboard of one organization")
async def create(site: AtSite, caller: Admin, body: SignInLink | None = None) -> Response:
    wanted = body if body is not None else SignInLink()
    sessions = Sessions(site.services)
    session = await sessions.begin(
        caller.key_id,
        organization_id=caller.organization_id,
        scope=_SCOPES[wanted.role],
        lifetime=timedelta(seconds=wanted.expires_in_seconds),
    )
    if session is None:
        raise unauthorized()
    url = f"{site.settings.public_url}/sign-in?link={quote(sessions.text(session))}"
    return reply({"url": url, "role": wanted.role, "expires_at": when(session.expires_at)}, 201)
