"""A small shop: a workflow that handles an order, and an agent that answers questions about it. See README.md."""

from __future__ import annotations

from typing import Any

from hookline import AgentContext, App, Context

app = App()

PRICES_FREE_OF_SHIPPING = 20.0
"""Euros from which an order ships for nothing."""


@app.workflow("orders", name="Order handling", timeout_seconds=60, shared=True, resumable=True)
async def orders(ctx: Context) -> dict[str, Any]:
    """Price an order, charge the customer and tell whoever listens."""
    order = ctx.input or {}
    order_id = order.get("order_id", "A-0000")
    ctx.log("order received", order_id=order_id, items=len(order.get("items", [])))

    total = await ctx.step("price", price, order.get("items", []))
    charge = await ctx.step("charge", charge_card, order_id, total)
    ctx.add_credits(1.5)

    if order.get("needs_approval"):
        # Holds no process: the run goes on when someone answers, or when the day is over.
        approval = await ctx.wait_for_event("approved", timeout_seconds=24 * 3600)
        if not approval:
            return {"order_id": order_id, "status": "expired"}

    ctx.emit("order.paid", {"order_id": order_id, "total": total})
    return {"order_id": order_id, "status": "paid", "total": total, "charge_id": charge["id"]}


def price(items: list[dict[str, Any]]) -> float:
    """Return the sum of the items, with shipping."""
    goods = sum(float(item["price"]) * int(item.get("count", 1)) for item in items)
    return goods if goods >= PRICES_FREE_OF_SHIPPING else goods + 3.0


async def charge_card(order_id: str, total: float) -> dict[str, Any]:
    """Stand for a call to a payment service."""
    return {"id": f"ch_{order_id}", "amount": total}


@app.agent("support", name="Support", shared=True)
async def support(ctx: AgentContext) -> str:
    """Answer a customer; settle the conversation when they say thanks."""
    ctx.log("message received", user=ctx.user_id)
    ctx.add_credits(0.5)
    if "thank" in ctx.message.lower():
        ctx.resolve(type="solved", category="orders", tags=["happy"], satisfaction_score=5)
        return "You are welcome!"
    return f"I looked into it: {ctx.message!r} is being taken care of."
