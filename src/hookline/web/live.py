"""Live pages: while one is open, its ``live`` block is made again every second and sent when it reads differently.

One way for every page, over server-sent events. Looking costs what the page costs, so a page's queries are short; what
did not change is not sent.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.responses import StreamingResponse

from hookline.errors import HooklineError
from hookline.web.desk import Refusal
from hookline.web.visit import View

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from hookline.web.pages.base import Page
    from hookline.web.visit import Visit

_SECONDS: Final = 1.0
_BEAT: Final = 15
"""Looks without a change after which a comment is sent, so that a connection that is gone is noticed."""


def live_answer(
    request: Request,
    page: Page,
    visit: Visit,
    block: Callable[[Visit, View], Awaitable[str]],
    is_alive: Callable[[], Awaitable[bool]],
) -> Response:
    """An endless answer, until the browser leaves or the session ends."""

    async def looks() -> AsyncIterator[str]:
        shown = None
        quiet = 0
        while not await request.is_disconnected():
            try:
                if not await is_alive():
                    break
                told = await page.answer(visit)
                text = await block(visit, told) if isinstance(told, View) else shown
            except (Refusal, HooklineError):
                text = shown  # gone meanwhile, or the database is away: what is shown stays
            if text is not None and text != shown:
                shown, quiet = text, 0
                yield _message(text)
            else:
                quiet += 1
                if quiet % _BEAT == 0:
                    yield ":\n\n"
            await asyncio.sleep(_SECONDS)

    headers = {"cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff"}
    return StreamingResponse(looks(), headers=headers, media_type="text/event-stream")


def _message(text: str) -> str:
    return "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"
