"""``/payloads/…``: the body of a delivery that was too large to push, for whoever holds the link that was."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from hookline.api.reply import AtSite, missing
from hookline.engine.payloads import LINKS
from hookline.errors import ForbiddenError

router = APIRouter(tags=["deliveries"])


@router.get(
    LINKS + "{organization_id}/{delivery_id}",
    response_class=Response,
    summary="Read a payload that was too large to push, by the signed link that was pushed in its place",
)
async def by_link(
    site: AtSite,
    request: Request,
    expires: Annotated[str, Query(max_length=20)] = "",
    token: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    opened = site.services.payloads.opened(request.url.path, expires=expires, token=token)
    if opened is None:
        raise ForbiddenError("This link is not valid, or it has expired.", code="LINK_INVALID")
    whole = await site.services.explainer.whole_body(*opened)
    if whole is None:
        raise missing("payload")
    body, content_type = whole
    return Response(
        body,
        headers={
            "content-type": content_type,
            "cache-control": "private, no-store",
            "content-security-policy": "sandbox; default-src 'none'",
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "content-disposition": "attachment",
        },
    )
