"""Workflows with steps that fail, children, and processes that die: what test_durable_workflows.py runs."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hookline import App, RetryPolicy, WorkflowError

app = App()


def note(path: str, line: str) -> int:
    """Write a line; return how many there are."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    return len(Path(path).read_text(encoding="utf-8").splitlines())


def reach(path: str, fails: int) -> str:
    if note(path, f"pid {os.getpid()}") <= fails:
        raise ConnectionError("nobody there")
    return "there"


@app.workflow("reaches")
def reaches(ctx: Any) -> Any:
    """Its waits are so long that none of them holds a process."""
    policy = RetryPolicy(retries=3, delay_seconds=2.5, backoff=1)
    return ctx.step("reach", reach, ctx.input["path"], ctx.input["fails"], retries=policy)


@app.workflow("dies_between", resumable=True)
async def dies_between(ctx: Any) -> Any:
    policy = RetryPolicy(retries=3, delay_seconds=1.8, backoff=1)  # short enough to wait in the process
    return await ctx.step("reach", reach, ctx.input["path"], ctx.input["fails"], retries=policy)


@app.workflow("double")
def double(ctx: Any) -> Any:
    if ctx.input is None:
        raise ValueError("there is nothing to double")
    return {"twice": ctx.input * 2, "by": ctx.trigger.called_by["execution_id"]}


@app.workflow("asks")
async def asks(ctx: Any) -> Any:
    return await asyncio.gather(*[ctx.run_workflow("double", n) for n in (1, 2, 3)])


@app.workflow("asks_shared", shared=True)
async def asks_shared(ctx: Any) -> Any:
    return (await ctx.run_workflow("double", 21))["twice"]


@app.workflow("asks_badly")
def asks_badly(ctx: Any) -> Any:
    found = []
    for id, given in (("double", None), ("nobody", None), ("rests", {"seconds": 9})):
        try:
            ctx.run_workflow(id, given, timeout_seconds=None if id == "double" else 0.3)
        except (WorkflowError, LookupError) as error:
            found.append([getattr(error, "code", None), str(error), getattr(error, "execution_id", None)])
    return found


@app.workflow("rests")
async def rests(ctx: Any) -> Any:
    if path := (ctx.input or {}).get("path"):
        await ctx.step("note", note, path, "rests")
    await ctx.sleep((ctx.input or {}).get("seconds", 60))
    return "rested"


@app.workflow("passes_on")
def passes_on(ctx: Any) -> Any:
    return ctx.run_workflow("rests", ctx.input)


@app.workflow("runs_long")
async def runs_long(ctx: Any) -> Any:
    return await ctx.run_workflow("passes_on", ctx.input)


@app.agent("delegates")
async def delegates(ctx: Any) -> Any:
    return await ctx.run_workflow("rests")


@app.workflow("fails_beside")
async def fails_beside(ctx: Any) -> Any:
    """One of two fails, which ends this workflow, and so the other."""
    await asyncio.gather(ctx.run_workflow("rests"), ctx.run_workflow("double"))


@app.workflow("lets_go")
async def lets_go(ctx: Any) -> Any:
    await ctx.start_workflow("rests", {"seconds": 0.5, "path": ctx.input["path"]})
    return "gone"


@app.workflow("circle")
async def circle(ctx: Any) -> Any:
    try:
        return await ctx.run_workflow("circle")
    except WorkflowError as error:
        return error.code


@app.workflow("hangs_in_step")
async def hangs_in_step(ctx: Any) -> Any:
    async def hang() -> None:
        note(ctx.input["path"], str(os.getpid()))
        await asyncio.sleep(60)

    await ctx.step("first", str, "done")
    await ctx.step("hang", hang)


@app.workflow("threads")
def threads(ctx: Any) -> Any:
    """Steps of a plain function side by side: each thread has a name of its own."""

    def slow(number: int) -> int:
        time.sleep(0.2)
        return number

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda number: ctx.step(f"part {number}", slow, number), range(4)))


@app.workflow("one_at_a_time", concurrency=1)
def one_at_a_time(ctx: Any) -> Any:
    note(ctx.input["path"], "in")
    time.sleep(0.1)
    note(ctx.input["path"], "out")


@app.workflow("sleeps", shared=True)
async def sleeps(ctx: Any) -> Any:
    await ctx.sleep(3600)


@app.workflow("awaits")
def awaits(ctx: Any) -> Any:
    time.sleep(ctx.input)
    return ctx.wait_for_event("go")
