"""Agents that a model answers for, as scenarios need them. The server's settings say where the model is."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from hookline import AgentContext, App

app = App()

OWN_KEY = "sk-own-6f1c0b7a9d"
FAULTS = ("quota", "busy", "garbage", "other-shape", "early", "hang", "endless", "line", "html", "stuck-in-tools",
          "redirect", "empty", "zipped", "error-in-stream", "cut-off", "echoes-key")  # fmt: skip


def look_up(
    ctx: AgentContext, order: Annotated[int, msgspec.Meta(description="The order's number.")]
) -> dict[str, Any]:
    """Say where an order is.

    Told to nobody.
    """
    with Path(os.environ["HOOKLINE_APP_FOLDER"], "calls").open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()} {ctx.user_id} {order}\n")
    if order == 13:
        raise LookupError("there is no order 13")
    return {"order": order, "state": "shipped"}


async def refund(reason: Literal["late", "broken"], cents: int = 100) -> str:
    """Give money back."""
    return f"{cents} for {reason}"


async def dawdle() -> str:
    """Take too long."""
    await asyncio.sleep(600)
    return "done"


def greet(ctx: AgentContext) -> str:
    return f"You help {ctx.user_id}."


app.openai_agent(
    "support",
    system=greet,
    tools=[look_up, refund],
    temperature=0.5,
    parameters={"seed": 7},
    can_resolve=True,
    history_turns=2,
    max_rounds=4,
    max_retries=2,
    input_credits=100.0,
    output_credits=1000.0,
)
app.openai_agent("hurried", model="hurried", tools=[dawdle], tool_seconds=0.2)
app.openai_agent("lone", model="lone", shared=False, parameters={"stream_options": None, "top_p": 0.5})
app.openai_agent("private", model="private", base_url="http://10.1.2.3/v1", api_key=OWN_KEY)
app.openai_agent("private-tls", model="private-tls", base_url="https://10.1.2.3/v1", max_retries=0)
app.openai_agent(
    "secure",
    model="secure",
    base_url=os.environ.get("HOOKLINE_APP_SECURE_URL"),
    api_key=OWN_KEY,
    max_retries=0,
)
app.openai_agent("own", model="own", base_url=os.environ.get("HOOKLINE_APP_MODEL_URL"), api_key=OWN_KEY)
app.openai_agent("own-url", model="own-url", base_url=os.environ.get("HOOKLINE_APP_MODEL_URL"))
for name in FAULTS:
    app.openai_agent(
        name, model=name, max_retries=1, answer_seconds=2 if name == "hang" else 60, max_rounds=2
    )


@app.agent("plain", shared=True)
async def plain(ctx: AgentContext) -> str:
    """No model answers for this one."""
    ctx.progress(percent=50)
    return ctx.message.upper()
