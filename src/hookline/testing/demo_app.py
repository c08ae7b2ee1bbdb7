"""The app that ``hookline demo`` runs: an order that is charged, packed and shipped, and a support agent.

Copy it as the start of your own ``app.py``; ``hookline serve app.py`` runs it.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

from hookline import App

if TYPE_CHECKING:
    from hookline.context import AgentContext, Context

app = App()

_STEP_SECONDS = 0.25
"""Long enough that a kill lands in the middle of a run."""


async def charge(order: dict[str, Any]) -> dict[str, Any]:
    """Stand in for a payment service: a second call would give another receipt."""
    await asyncio.sleep(_STEP_SECONDS)
    return {"receipt": uuid.uuid4().hex[:8], "amount": order.get("amount", 0)}


async def pack(order: dict[str, Any]) -> str:
    await asyncio.sleep(_STEP_SECONDS)
    return f"parcel-{order.get('order_id')}"


async def ship(parcel: str) -> str:
    await asyncio.sleep(_STEP_SECONDS)
    return f"track-{parcel}"


@app.workflow("orders", name="Order fulfilment", resumable=True)
async def orders(ctx: Context) -> dict[str, Any]:
    """Charge, pack and ship an order; finished steps are not done again when the run resumes."""
    order = ctx.input
    payment = await ctx.step("charge", charge, order)
    ctx.log("charged", amount=payment["amount"], receipt=payment["receipt"])
    parcel = await ctx.step("pack", pack, order)
    tracking = await ctx.step("ship", ship, parcel)
    ctx.add_credits(1.5)
    return {"order_id": order["order_id"], "receipt": payment["receipt"], "tracking": tracking}


@app.agent("support", name="Support")
async def support(ctx: AgentContext) -> str:
    """Answer one question."""
    ctx.add_credits(0.5)
    ctx.resolve(type="answered", category="shipping", tags=["demo"], satisfaction_score=5)
    return f"You asked: {ctx.message} Your parcel is on its way."
