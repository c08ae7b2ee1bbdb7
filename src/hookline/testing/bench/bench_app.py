"""The app of the scenarios that run something: the least a workflow can do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from hookline import App

if TYPE_CHECKING:
    from hookline.context import AgentContext, Context

app = App()


@app.workflow("bench", shared=True)
async def bench(ctx: Context) -> Any:
    """Return what came in."""
    return ctx.input


@app.workflow("one-step", shared=True)
async def one_step(ctx: Context) -> Any:
    """Return what came in, by way of a step."""
    return await ctx.step("take", lambda: ctx.input)


@app.workflow("began")
def began(ctx: Context) -> Any:  # noqa: ARG001 -- nothing is done with what came in
    """Say when it began."""
    return {"began_ns": time.monotonic_ns()}


@app.agent("began")
def agent_began(ctx: AgentContext) -> Any:  # noqa: ARG001 -- nothing is done with what came in
    """Say when it began."""
    return {"began_ns": time.monotonic_ns()}


@app.workflow("brief", shared=True)
async def brief(ctx: Context) -> Any:  # noqa: ARG001 -- nothing is done with what came in
    """Take five milliseconds."""
    await asyncio.sleep(0.005)
    return {"done": True}


@app.workflow("stay", shared=True, concurrency=1, timeout_seconds=86_400)
async def stay(ctx: Context) -> None:  # noqa: ARG001 -- nothing is done with what came in
    """Stay, so that all who come after the first are queued."""
    await asyncio.sleep(86_400)
