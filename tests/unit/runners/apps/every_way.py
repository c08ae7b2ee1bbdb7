"""What the runner tests run: each workflow misbehaves, or behaves, in one way."""

# ruff: noqa: T201, ASYNC251 -- printing and blocking are what is tested

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from hookline import App, RetryPolicy, StepError

app = App()


@app.workflow("echo")
def echo(ctx: Any) -> Any:
    return ctx.input


@app.workflow("echo_async")
async def echo_async(ctx: Any) -> Any:
    return ctx.input


@app.workflow("echo_shared", shared=True)
async def echo_shared(ctx: Any) -> Any:
    return ctx.input


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def results() -> dict[str, Any]:
    endless: list[Any] = []
    endless.append(endless)
    return {
        "nan": float("nan"),
        "date": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "set": {1},
        "bytes": b"x",
        "typed bytes": {"data": b"x", "content_type": "image/png"},
        "inner bytes": {"picture": b"x"},
        "endless": endless,
        "surrogate": "\ud800",
        "big": "x" * (65 * 1024 * 1024),
    }


def misbehave(how: str) -> Any:  # noqa: C901 -- a list of cases
    match how:
        case "raise":
            raise KeyError("no such order")
        case "chain":
            try:
                misbehave("raise")
            except KeyError as exc:
                raise ValueError("bad order") from exc
        case "unprintable":
            raise UnprintableError
        case "exit":
            sys.exit(3)
        case "_exit":
            os._exit(7)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "recurse":
            return misbehave("recurse")
        case "hang":
            while True:
                pass
        case "sleep":
            time.sleep(60)
    return results()[how]


@app.workflow("bad")
def bad(ctx: Any) -> Any:
    return misbehave(ctx.input)


@app.workflow("bad_async")
async def bad_async(ctx: Any) -> Any:
    return misbehave(ctx.input)


@app.workflow("bad_shared", shared=True)
async def bad_shared(ctx: Any) -> Any:
    await asyncio.sleep(0.01)
    return misbehave(ctx.input)


@app.workflow("late_exit_shared", shared=True)
async def late_exit_shared(ctx: Any) -> Any:
    """Ends the loop from a task that is not the run's own."""

    async def leave() -> None:
        sys.exit(4)

    task = asyncio.create_task(leave())
    try:
        await task
    except SystemExit:
        return "went on"


# Steps, and what is remembered.


def note(path: str, line: str) -> str:
    with Path(path).open("a") as file:
        file.write(line + "\n")
    return line


@app.workflow("steps")
def steps(ctx: Any) -> Any:
    path, crash = ctx.input["path"], ctx.input.get("crash")
    ctx.log("begin", number=1)
    first = ctx.step("one", note, path, "one")
    ctx.add_credits(1.5)
    ctx.emit("seen", {"n": 1})
    ctx.emit("seen", {"n": 2})
    again = ctx.step("one", note, path, "one again")
    ctx.log("middle")
    if crash and ctx.attempt == 1:
        os._exit(9)
    third = ctx.step("two", note, path, "two")
    ctx.add_credits(2)
    ctx.log("end")
    return [first, again, third]


@app.workflow("steps_async")
async def steps_async(ctx: Any) -> Any:
    path, crash = ctx.input["path"], ctx.input.get("crash")
    ctx.log("begin", number=1)
    first = await ctx.step("one", note, path, "one")
    ctx.add_credits(1.5)
    ctx.emit("seen", {"n": 1})
    ctx.emit("seen", {"n": 2})
    again = await ctx.step("one", asyncio.to_thread, note, path, "one again")
    ctx.log("middle")
    if crash and ctx.attempt == 1:
        os._exit(9)
    third = await ctx.step("two", note, path, "two")
    ctx.add_credits(2)
    ctx.log("end")
    return [first, again, third]


@app.workflow("step_results")
def step_results(ctx: Any) -> Any:
    shaped = ctx.step("tuple", lambda: (1, {"a": (2,)}))
    problems = []
    for name, value in [("nan", float("nan")), ("set", {1})]:
        try:
            ctx.step(name, lambda value=value: value)
        except (TypeError, ValueError) as exc:
            problems.append(f"{type(exc).__name__}: {exc}")
    try:
        ctx.step("async", asyncio.sleep, 0)
    except TypeError as exc:
        problems.append(str(exc))
    return {"shaped": shaped, "problems": problems}


@app.workflow("flaky_step")
async def flaky_step(ctx: Any) -> Any:
    def fail() -> None:
        raise OSError("try again")

    try:
        return await ctx.step("flaky", fail if ctx.attempt == 1 else lambda: "worked")
    except OSError:
        await ctx.sleep(0.15)
        return "unreachable"


@app.workflow("many_logs")
async def many_logs(ctx: Any) -> Any:
    for number in range(ctx.input):
        ctx.log(f"line {number}", number=number)


@app.workflow("loud_log")
def loud_log(ctx: Any) -> Any:
    for _ in range(400):
        ctx.log("x" * 100_000)


# Sleeping and waiting.


@app.workflow("nap")
def nap(ctx: Any) -> Any:
    try:
        ctx.sleep(ctx.input["seconds"])
    finally:
        note(ctx.input["path"], f"awake in {ctx.attempt}")
    return ctx.attempt


@app.workflow("nap_async")
async def nap_async(ctx: Any) -> Any:
    try:
        await ctx.sleep(ctx.input["seconds"])
    finally:
        note(ctx.input["path"], f"awake in {ctx.attempt}")
    return ctx.attempt


@app.workflow("nap_shared", shared=True)
async def nap_shared(ctx: Any) -> Any:
    return await nap_async(ctx)


@app.workflow("wait")
def wait(ctx: Any) -> Any:
    return ctx.wait_for_event("approved", timeout_seconds=ctx.input)


@app.workflow("wait_async")
async def wait_async(ctx: Any) -> Any:
    return await ctx.wait_for_event("approved", timeout_seconds=ctx.input)


@app.workflow("wait_twice")
async def wait_twice(ctx: Any) -> Any:
    return [await ctx.wait_for_event("a"), await ctx.wait_for_event("a")]


@app.workflow("beside")
async def beside(ctx: Any) -> Any:
    """A wait, a sleep and two steps at once."""

    async def two_steps() -> Any:
        await asyncio.sleep(0.05)
        await ctx.step("slow", asyncio.sleep, 0.3)
        return await ctx.step("after", note, ctx.input, "after")

    return await asyncio.gather(ctx.wait_for_event("go"), ctx.sleep(60), two_steps())


@app.workflow("beside_threads")
def beside_threads(ctx: Any) -> Any:
    def slow() -> None:
        ctx.step("slow", time.sleep, 0.3)

    thread = threading.Thread(target=slow)
    thread.start()
    time.sleep(0.05)
    ctx.sleep(60)
    thread.join()
    return "rested"


@app.workflow("pause_in_step")
async def pause_in_step(ctx: Any) -> Any:
    problems = []
    for pause in (lambda: ctx.sleep(1), lambda: ctx.wait_for_event("x")):
        try:
            await ctx.step("pause", pause)
        except RuntimeError as exc:
            problems.append(str(exc))
    return problems


# The process itself.


def descriptors() -> list[str]:
    return sorted(str(link.readlink()) for link in list(Path("/proc/self/fd").iterdir()) if link.is_symlink())


@app.workflow("surroundings")
def surroundings(ctx: Any) -> Any:
    return {
        "environment": dict(os.environ),
        "descriptors": descriptors(),
        "pid": os.getpid(),
        "session": os.getsid(0),
        "modules": sorted(sys.modules),
        "stdin": sys.stdin.read(),
    }


@app.workflow("chatter")
def chatter(ctx: Any) -> Any:
    print("to stdout")
    print("to stderr", file=sys.stderr)
    subprocess.run(["echo", "from a program"], check=True)
    print("no end", end="")


@app.workflow("chatter_shared", shared=True)
async def chatter_shared(ctx: Any) -> Any:
    for number in range(3):
        print(f"{ctx.input} {number}")
        await asyncio.sleep(0.01)
    await asyncio.to_thread(print, f"{ctx.input} from a thread")
    print(f"{ctx.input} no end", end="")


@app.workflow("gigabyte")
def gigabyte(ctx: Any) -> Any:
    line = b"x" * 1023 + b"\n"
    block = line * 1024
    for _ in range(1024):
        os.write(1, block)
    return "done"


@app.workflow("family")
def family(ctx: Any) -> Any:
    """Has a grandchild and blocks in one call."""
    child = subprocess.Popen(["sleep", "60"])
    ctx.log(f"{os.getpid()} {child.pid}")
    time.sleep(60)


@app.workflow("family_left")
def family_left(ctx: Any) -> Any:
    return subprocess.Popen(["sleep", "60"]).pid


@app.workflow("tidy")
def tidy(ctx: Any) -> Any:
    try:
        ctx.log("waiting")
        time.sleep(60)
    finally:
        ctx.log("tidied up")


@app.workflow("tidy_async")
async def tidy_async(ctx: Any) -> Any:
    try:
        ctx.log("waiting")
        await asyncio.sleep(60)
    finally:
        ctx.log("tidied up")


@app.workflow("tidy_shared", shared=True)
async def tidy_shared(ctx: Any) -> Any:
    await tidy_async(ctx)


@app.workflow("stubborn")
def stubborn(ctx: Any) -> Any:
    while True:
        try:
            ctx.log("waiting")
            time.sleep(60)
        except BaseException:  # noqa: BLE001
            continue


@app.workflow("block_shared", shared=True)
async def block_shared(ctx: Any) -> Any:
    ctx.log("waiting")
    await asyncio.sleep(0.05)
    time.sleep(60)


@app.workflow("pid_shared", shared=True)
async def pid_shared(ctx: Any) -> Any:
    return os.getpid()


@app.agent("answer")
async def answer(ctx: Any) -> Any:
    ctx.resolve(type="solved", category="orders", tags=("a", "b"), satisfaction_score=4.5)
    return f"{ctx.user_id} said {ctx.message} in {ctx.context['room']} {ctx.metadata}"


@app.agent("number")
def number(ctx: Any) -> Any:
    return 5


@app.workflow("trigger")
def trigger(ctx: Any) -> Any:
    t = ctx.trigger
    return {
        "header": t.headers["CONTENT-type"],
        "raw": list(t.raw_body.data),
        "customer": t.customer.id,
        "missing": t.customer.name,
        "started": t.started_at.isoformat(),
        "part": t.body.data["file"].filename,
    }


shared_logger = logging.getLogger("shop")
shared_logger.addHandler(logging.StreamHandler())


@app.workflow("logging_shared", shared=True)
async def logging_shared(ctx: Any) -> Any:
    shared_logger.warning("through logging")


@app.workflow("print_and_nap")
async def print_and_nap(ctx: Any) -> Any:
    print("resting", end="")
    await ctx.sleep(60)


@app.workflow("print_and_nap_shared", shared=True)
async def print_and_nap_shared(ctx: Any) -> Any:
    await print_and_nap(ctx)


@app.workflow("background")
async def background(ctx: Any) -> Any:
    """Waits while a task of its own is still on its way to a step."""

    async def later() -> None:
        await asyncio.sleep(0.05)
        await ctx.step("late", asyncio.sleep, 0)

    task = asyncio.create_task(later())
    await ctx.wait_for_event("go")
    await task


@app.workflow("forge")
def forge(ctx: Any) -> Any:
    """Speaks the protocol itself, badly."""
    for place in list(Path("/proc/self/fd").iterdir()):
        try:
            line = socket.socket(fileno=os.dup(int(place.name)))
            line.send(b"\xff\xff\xff\xff" if ctx.input == "size" else b"\x00\x00\x00\x01\xc1")
        except OSError:
            continue
    time.sleep(60)


@app.workflow("clock")
def clock(ctx: Any) -> Any:
    return time.time()


# --- steps that are tried again ---------------------------------------------------------------------------------


def fails_first(path: str, times: int) -> str:
    """Fail so many times, counted in a file, which outlives the process."""
    if len(note(path, "tried") and Path(path).read_text().splitlines()) <= times:
        raise ConnectionError("nobody there")
    return "there"


def tried(ctx: Any) -> tuple[str, int]:
    return str(ctx.input["path"]), int(ctx.input.get("fails", 0))


def policy(ctx: Any) -> RetryPolicy:
    return RetryPolicy(**{"retries": 2, "delay_seconds": 0.01} | ctx.input.get("policy", {}))


def retried(ctx: Any) -> Any:
    return ctx.step("reach", fails_first, *tried(ctx), retries=policy(ctx))


def told(error: StepError) -> dict[str, Any]:
    cause = type(error.__cause__).__name__
    return {"said": str(error), "code": error.code, "type": error.type, "tries": error.tries, "cause": cause}


@app.workflow("retried")
def retried_plainly(ctx: Any) -> Any:
    try:
        return retried(ctx)
    except StepError as error:
        return told(error)


@app.workflow("retried_async")
async def retried_async(ctx: Any) -> Any:
    try:
        return await retried(ctx)
    except StepError as error:
        return told(error)


@app.workflow("retried_shared", shared=True)
async def retried_shared(ctx: Any) -> Any:
    try:
        return await retried(ctx)
    except StepError as error:
        return told(error)


@app.workflow("fails_then_sleeps")
async def fails_then_sleeps(ctx: Any) -> Any:
    """A step that failed for good must fail again when the run goes on, though it would work by then."""
    try:
        reached = await ctx.step("reach", fails_first, ctx.input["path"], 1, retries=0)
    except StepError as error:
        reached = str(error)
    await ctx.sleep(0.3)
    return reached


@app.workflow("gives_up")
async def gives_up(ctx: Any) -> Any:
    rule = RetryPolicy(retries=5, delay_seconds=0, give_up_on=(ConnectionError,))
    await ctx.step("reach", fails_first, ctx.input["path"], 9, retries=rule)


@app.workflow("slow_step")
def slow_step(ctx: Any) -> Any:
    try:
        ctx.step("slow", time.sleep, 30, timeout_seconds=0.1, retries=RetryPolicy(retries=1, delay_seconds=0))
    except StepError as error:
        return told(error)


@app.workflow("slow_step_async")
async def slow_step_async(ctx: Any) -> Any:
    found = []
    for wait in (asyncio.sleep, time.sleep):
        try:
            await ctx.step(wait.__module__, wait, 30, timeout_seconds=0.1)
        except StepError as error:
            found.append(told(error))
    return found


@app.workflow("slow_step_shared", shared=True)
async def slow_step_shared(ctx: Any) -> Any:
    return await slow_step_async(ctx)


@app.workflow("policies")
async def policies(ctx: Any) -> Any:
    found = []
    for options in (
        {"retries": -1},
        {"retries": True},
        {"retries": "3"},
        {"timeout_seconds": 0},
        {"retries": 101},
    ):
        try:
            await ctx.step("never", print, "never", **options)
        except (TypeError, ValueError) as error:
            found.append(str(error))
    return found


@app.workflow("long_step")
async def long_step(ctx: Any) -> Any:
    async def long() -> None:
        ctx.log("in it")
        await asyncio.sleep(60)

    await ctx.step("quick", str, "done")
    await ctx.step("long", long)


@app.workflow("stubborn_step")
def stubborn_step(ctx: Any) -> Any:
    def ignore() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ctx.log("deaf")
        time.sleep(60)

    ctx.step("deaf", ignore)


@app.workflow("dying_step", resumable=True)
def dying_step(ctx: Any) -> Any:
    def die() -> str:
        if ctx.attempt == 1:
            os._exit(9)
        return "lived"

    return ctx.step("die", die, retries=0)


@app.workflow("side_by_side")
async def side_by_side(ctx: Any) -> Any:
    """Steps that end in another order than they began in, twice: the names are the same."""
    path = ctx.input["path"]

    async def after(seconds: float, word: str) -> str:
        await asyncio.sleep(seconds)
        return note(path, word)

    found = await asyncio.gather(*[ctx.step("part", after, 0.2 - n / 20, f"part {n}") for n in range(4)])
    await ctx.sleep(0.3)
    return found + await asyncio.gather(*[ctx.step("part", after, 0, f"part {n}") for n in range(4, 6)])
