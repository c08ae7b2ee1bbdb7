"""``/api/v1/settings/smtp-test``: send a mail now, to know that alerts would arrive."""

import time

from fastapi import APIRouter
from starlette.responses import Response

from hookline.api.reply import Admin, AtSite, Body, reply
from hookline.engine.manage.organizations import check_address
from hookline.ports import MailError

router = APIRouter(prefix="/api/v1/settings", tags=["settings"])


class MailTest(Body):
    """to: whom to send it to."""

    to: str


@router.post("/smtp-test", summary="Send a test mail now and tell how it went")
async def smtp_test(site: AtSite, _: Admin, body: MailTest) -> Response:
    to = check_address(body.to, "to")
    began = time.monotonic()
    answer, error = None, None
    try:
        answer = await site.services.mails.test(to)
    except MailError as exc:
        error = exc.message
    return reply(
        {
            "success": error is None,
            "to": to,
            "answer": answer,
            "error": error,
            "duration_ms": round((time.monotonic() - began) * 1000),
        }
    )
