"""An agent and a workflow as AgenticFlow's page on webhooks tells of them: called from outside, and told of outside.

python examples/agenticflow/receiver.py 9901 the-secret-of-this-example &
hookline serve examples/agenticflow/app.py --allow-network 127.0.0.0/8
"""

from __future__ import annotations

from typing import Any

from hookline import AgentContext, App, Context

app = App()


@app.agent("support", shared=True)
async def support(ctx: AgentContext) -> str:
    """Answer a customer, and settle the conversation."""
    ctx.add_credits(12.0)
    order = ctx.context.get("order_id", "unknown")
    is_urgent = ctx.metadata.get("priority") == "high"
    ctx.resolve(
        type="solved",
        category="technical_support",
        tags=["password_reset", "account_access"],
        satisfaction_score=2 if is_urgent else 4.5,
    )
    return f"Order {order} is on its way."


@app.workflow("contact", name="Contact form", shared=True)
async def contact(ctx: Context) -> dict[str, Any]:
    """Answer a contact form by mail."""
    if "@" not in ctx.input["email"]:
        raise ValueError(f"{ctx.input['email']!r} is no address")
    sent = await ctx.step("send email", send_email, ctx.input["email"])
    ctx.add_credits(4.5)
    return {"result": "Email sent successfully", "email_id": sent["id"], "order_id": "order_7"}


async def send_email(address: str) -> dict[str, str]:
    """Stand for a mail service."""
    return {"id": f"email_{address.partition('@')[0]}"}
