"""The app of the ``trigger`` scenario: the least a workflow can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookline import App

if TYPE_CHECKING:
    from hookline.sdk import Context

app = App()


@app.workflow("bench", shared=True)
async def bench(ctx: Context) -> Any:
    """Return what came in."""
    return ctx.input
