"""Agents and a workflow as AgenticFlow's page on webhooks tells of them: called from outside, and told of outside.

A model answers for ``assistant``: the one of the server's ``openai_base_url``, ``openai_model`` and ``openai_api_key``.

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


def order_status(ctx: AgentContext) -> dict[str, str]:
    """Say where the customer's order is."""
    return {"order": str(ctx.context.get("order_id", "unknown")), "state": "on its way"}


app.openai_agent(
    "assistant",
    system="You help the customers of a shop. Say when a matter is settled.",
    tools=[order_status],
    can_resolve=True,
    input_credits=1.0,
    output_credits=4.0,
)


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
