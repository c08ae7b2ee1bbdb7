"""Automations that the scenarios run: sound ones, and one for each way to misbehave."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from hookline import App, ConfigVariable
from hookline.triggered import Part

app = App()


def note(path: str, line: str) -> str:
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    return line


@app.workflow("orders", name="Orders")
async def orders(ctx: Any) -> Any:
    order = ctx.input or {}
    total = await ctx.step("price", lambda: order.get("amount", 0))
    ctx.log("priced", total=total)
    ctx.add_credits(4.5)
    return {"order_id": order.get("order_id"), "pid": os.getpid(), "echo": order}


@app.agent("support", name="Support")
def support(ctx: Any) -> str:
    ctx.resolve(type="solved", category="billing", tags=["refund"], satisfaction_score=4.5)
    return f"You said {ctx.message}"


@app.workflow("naps")
async def naps(ctx: Any) -> Any:
    path = ctx.input["path"]
    await ctx.step("one", note, path, "one")
    await ctx.sleep(ctx.input.get("seconds", 1))
    await ctx.step("two", note, path, "two")
    return "rested"


@app.workflow("approval")
def approval(ctx: Any) -> Any:
    path = ctx.input["path"]
    ctx.step("ask", note, path, "asked")
    answer = ctx.wait_for_event("approval", timeout_seconds=ctx.input.get("timeout_seconds"))
    ctx.step("act", note, path, "acted")
    return {"answer": answer}


@app.workflow("long", resumable=True)
def long(ctx: Any) -> Any:
    """Steps that take their time; each is noted when it is done."""
    for number in range(ctx.input["steps"]):
        ctx.step(f"step{number}", lambda number=number: note(ctx.input["path"], f"{number}"))
        time.sleep(ctx.input["seconds"])
    return {"attempt": ctx.attempt}


@app.workflow("slow")
def slow(ctx: Any) -> Any:
    time.sleep(ctx.input or 0.3)
    return "done"


@app.workflow("raises")
def raises(ctx: Any) -> Any:
    raise ValueError("no such order")


@app.workflow("hangs", timeout_seconds=0.5)
def hangs(ctx: Any) -> Any:
    while True:
        pass


@app.workflow("exits")
def exits(ctx: Any) -> Any:
    sys.exit(3)


@app.workflow("dies")
def dies(ctx: Any) -> Any:
    os._exit(7)


@app.workflow("chatters", timeout_seconds=60)
def chatters(ctx: Any) -> Any:
    """Prints a gigabyte."""
    block = (b"x" * 1023 + b"\n") * 1024
    for _ in range(1024):
        os.write(1, block)
    return "done"


@app.workflow("nul")
def nul(ctx: Any) -> Any:  # noqa: C901 -- a list of cases
    """Puts a NUL wherever code may put text."""
    where = ctx.input
    if where == "step":
        ctx.step("a\0b", lambda: "c\0d")
    elif where == "log":
        ctx.log("a\0b", field="c\0d")
        print("e\0f")  # noqa: T201 -- printing is what is tested
    elif where == "emit":
        ctx.emit("nul.emitted", {"a\0b": "\0"})
    elif where == "emit type":
        ctx.emit("a\0b", 1)
    elif where == "wait":
        ctx.wait_for_event("a\0b", timeout_seconds=0.2)
    elif where == "error":
        raise ValueError("a\0b")
    elif where == "surrogate error":
        raise ValueError("a\ud800b")
    elif where == "surrogate log":
        ctx.log("a\ud800b", field="\ud800")
    elif where == "surrogate step":
        ctx.step("a\ud800b", lambda: 1)
    elif where == "surrogate emit":
        ctx.emit("a\ud800b", "\ud800")
    return "a\0b"


@app.agent("nul-agent")
def nul_agent(ctx: Any) -> str:
    ctx.resolve(type="a\0b", category="c\0d", tags=["\0"])
    return "a\0b"


@app.workflow("unspeakable")
def unspeakable(ctx: Any) -> Any:
    return {"nan": float("nan"), "set": {1, 2}}


@app.workflow("surrogate")
def surrogate(ctx: Any) -> Any:
    return "\ud800"


acme = app.integration(
    "acme", config={"limit": ConfigVariable(type="number"), "token": ConfigVariable(secret=True)}
)


@acme.flow("orders")
async def acme_orders(ctx: Any) -> Any:
    return {"config": ctx.config, "customer": ctx.trigger.customer.external_id}


shared = app.integration(
    "shared",
    endpoint="shared",
    flow_name_field="headers.x-flow",
    external_customer_id_field="body.data.tenant",
)


@shared.flow("orders")
async def shared_orders(ctx: Any) -> Any:
    return ctx.trigger.customer.external_id


def _deploy(ctx: Any) -> Any:
    path = ctx.config["path"]
    note(path, f"deploying {ctx.flow.name}")
    if ctx.flow.name == "second" and len(Path(path).read_text().splitlines()) == 2:
        time.sleep(60)
    return {"n": len(Path(path).read_text().splitlines())}


def _remove(ctx: Any) -> None:
    note(ctx.config["path"], f"removing {ctx.flow.name} {ctx.instance_state['n']}")


halting = app.integration("halting", config={"path": ConfigVariable(required=True)})


@halting.flow("first", on_deploy=_deploy, on_remove=_remove)
def first_of_halting(ctx: Any) -> Any:
    return ctx.config


@halting.flow("second", on_deploy=_deploy, on_remove=_remove)
def second_of_halting(ctx: Any) -> Any:
    return ctx.config


def _described(value: Any) -> Any:
    """A value as JSON, with bytes told from text and parts from objects."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, Part):
        return {"part": {name: _described(item) for name, item in value.as_dict().items()}}
    if isinstance(value, dict):
        return {name: _described(item) for name, item in value.items()}
    return [_described(item) for item in value] if isinstance(value, list) else value


@app.workflow("mirror")
def mirror(ctx: Any) -> Any:
    """Returns what it sees of the request."""
    seen = ctx.trigger
    return {
        "headers": dict(seen.headers),
        "query_parameters": seen.query_parameters,
        "path_fragment": seen.path_fragment,
        "raw_body": _described(seen.raw_body.data),
        "body": _described(seen.body.data),
        "input": _described(ctx.input),
        "execution_id": seen.execution_id,
        "invoke_url": seen.invoke_url,
        "started_at": seen.started_at.isoformat(),
    }


@app.workflow("photos")
def photos(ctx: Any) -> Any:
    """Where each part is and what it holds, large ones told by their size and their ends."""
    parts = ctx.trigger.body.data
    shown: dict[str, Any] = {"raw": _told(ctx.trigger.raw_body.data)}
    if isinstance(parts, dict):
        shown |= {
            name: [_told(part.data), part.filename] if hasattr(part, "filename") else [part]
            for name, part in parts.items()
        }
    else:
        shown["body"] = _told(parts)
    return shown


def _told(data: Any) -> Any:
    if isinstance(data, bytes):
        return {"bytes": len(data), "first": data[:4].decode("latin-1"), "last": data[-4:].decode("latin-1")}
    if isinstance(data, str) and data.startswith("/"):
        content = Path(data)
        with content.open("rb") as file:
            first = file.read(4)
            file.seek(-4, os.SEEK_END)
            return {
                "file": content.stat().st_size,
                "first": first.decode("latin-1"),
                "last": file.read().decode("latin-1"),
            }
    return data


@app.workflow("length")
def length(ctx: Any) -> Any:
    return {"raw": len(ctx.trigger.raw_body.data), "input": len(ctx.input)}
