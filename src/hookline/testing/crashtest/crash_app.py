"""The app that a crash test's triggers run: it takes its time, so that kills land in the middle of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hookline import App

if TYPE_CHECKING:
    from hookline.context import Context

app = App()


async def _work() -> str:
    await asyncio.sleep(0.01)
    return "done"


@app.workflow("crash", shared=True, resumable=True)
async def crash(ctx: Context) -> Any:
    """Take two steps and return what came in."""
    await ctx.step("first", _work)
    ctx.log("half way")
    await ctx.step("second", _work)
    return ctx.input
