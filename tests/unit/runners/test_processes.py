"""What user code's process may see, print and leave behind, and how it is ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from hookline.ports.runner import Killed, Lost, Succeeded, TimedOut
from hookline.runners import run as run_module
from hookline.runners.protocol import Start, frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_user_code_sees_nothing_of_the_node(new_runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """P21: no secret, no descriptor, no database driver."""
    for name in ("HOOKLINE_SECRET_KEY", "HOOKLINE_ADMIN_KEY", "HOOKLINE_DATABASE", "AWS_KEY", "OTHER"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("HOOKLINE_APP_COLOUR", "red")
    leaky = os.open("/dev/zero", os.O_RDONLY)
    os.set_inheritable(leaky, True)
    runs = await new_runs(env_passthrough=("AWS_*",))
    outcome, _ = await runs.run("surroundings")
    os.close(leaky)
    seen = json.loads(outcome.output)

    environment = seen["environment"]
    assert environment["HOOKLINE_APP_COLOUR"] == "red"
    assert environment["AWS_KEY"] == "secret"
    assert "OTHER" not in environment
    assert [name for name in environment if name.startswith("HOOKLINE_")] == ["HOOKLINE_APP_COLOUR"]
    assert "PATH" in environment
    assert seen["session"] == seen["pid"] != os.getsid(0)
    assert seen["stdin"] == ""
    assert not {"fastapi", "aiohttp", "apsw", "asyncpg", "pydantic", "structlog"} & set(seen["modules"])
    assert not [name for name in seen["descriptors"] if "zero" in name]
    # Input and output, the line and the lifeline, and what an event loop needs: no more.
    assert len(seen["descriptors"]) <= 8


async def test_what_is_printed_becomes_log_lines(runs: Any) -> None:
    outcome, kept = await runs.run("chatter")

    assert isinstance(outcome, Succeeded)
    assert kept.texts("stdout") == ["to stdout", "from a program", "no end"]
    assert kept.texts("stderr") == ["to stderr"]


async def test_what_shared_runs_print_goes_to_the_run_that_printed_it(runs: Any) -> None:
    results = await asyncio.gather(*(runs.run("chatter_shared", name) for name in "ab"))

    for name, (_, kept) in zip("ab", results, strict=True):
        assert kept.texts("stdout") == [
            f"{name} 0",
            f"{name} 1",
            f"{name} 2",
            f"{name} from a thread",
            f"{name} no end",
        ]


async def test_a_gigabyte_of_output_is_cut_and_neither_hangs_nor_fills_memory(runs: Any) -> None:
    outcome, kept = await runs.run("gigabyte")

    assert isinstance(outcome, Succeeded)
    assert sum(len(line) for line in kept.texts("stdout")) <= 1024 * 1024
    assert kept.texts("stderr") == ["too much was printed: the rest is dropped"]


async def test_a_killed_run_takes_its_programs_along(runs: Any, kept: Any, gone: Any) -> None:
    run = asyncio.create_task(runs.host.run(runs.job("family"), kept))
    await asyncio.wait_for(kept.told.wait(), 5)
    pids = [int(pid) for pid in kept.texts()[0].split()]
    os.kill(pids[0], signal.SIGKILL)

    assert isinstance(await run, Lost)
    await gone(*pids)


async def test_a_run_that_ended_leaves_no_programs_behind(runs: Any, gone: Any) -> None:
    outcome, _ = await runs.run("family_left")

    await gone(int(outcome.output))


@pytest.mark.parametrize("tidy", ["tidy", "tidy_async", "tidy_shared"])
async def test_a_cancelled_run_may_tidy_up(runs: Any, kept: Any, tidy: str) -> None:
    job = runs.job(tidy)
    run = asyncio.create_task(runs.host.run(job, kept))
    await kept.said("waiting")

    assert runs.host.cancel(job.execution_id)
    outcome = await asyncio.wait_for(run, 2)
    assert isinstance(outcome, Killed)
    assert outcome.failure.code == "KILLED"
    assert kept.texts() == ["waiting", "tidied up"]
    assert not runs.host.cancel(job.execution_id)


async def test_a_run_that_will_not_end_is_killed_after_the_grace(
    runs: Any, kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "CANCEL_GRACE", 0.2)
    job = runs.job("stubborn")
    run = asyncio.create_task(runs.host.run(job, kept))
    await kept.said("waiting")
    runs.host.cancel(job.execution_id)

    assert isinstance(await asyncio.wait_for(run, 2), Killed)


async def test_a_shared_process_that_hangs_is_killed_with_all_its_runs(
    new_runs: Any, kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "CANCEL_GRACE", 0.2)
    runs = await new_runs()
    other = asyncio.create_task(runs.run("tidy_shared"))
    outcome = await runs.host.run(runs.job("block_shared", timeout_ms=200), kept)

    assert isinstance(outcome, TimedOut)
    assert isinstance((await other)[0], Lost)
    assert isinstance((await runs.run("echo_shared"))[0], Succeeded)


async def test_a_run_whose_caller_goes_away_is_ended(runs: Any, kept: Any, gone: Any) -> None:
    run = asyncio.create_task(runs.host.run(runs.job("family"), kept))
    await asyncio.wait_for(kept.told.wait(), 5)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    await gone(*map(int, kept.texts()[0].split()))


async def test_runs_wait_when_all_processes_are_busy(new_runs: Any, kept: Any) -> None:
    runs = await new_runs(warm=1, max_processes=1)
    first = runs.job("tidy_async")
    waits = runs.job("echo", 1)
    busy = asyncio.create_task(runs.host.run(first, kept))
    await kept.said("waiting")
    waiting = asyncio.create_task(runs.host.run(waits, kept))
    cancelled = runs.job("echo", 2)
    dropped = asyncio.create_task(runs.host.run(cancelled, kept))
    await asyncio.sleep(0.05)
    assert runs.host.cancel(cancelled.execution_id)

    assert isinstance(await dropped, Killed)
    assert not waiting.done()
    runs.host.cancel(first.execution_id)
    await busy
    assert isinstance(await asyncio.wait_for(waiting, 5), Succeeded)


async def test_a_shared_process_waits_while_the_node_is_behind(runs: Any) -> None:
    """Its loop has made the line to the node one that refuses what does not fit: a large result is not its end."""
    large = {"text": "x" * (8 << 20)}
    outcome, _ = await runs.run("echo_shared", large)

    assert isinstance(outcome, Succeeded), outcome
    assert len(outcome.output) > len(large["text"])


async def test_a_shared_process_is_replaced_after_many_runs(new_runs: Any) -> None:
    runs = await new_runs(recycle_after=20)
    pids = []
    for _ in range(200):
        outcome, _ = await runs.run("pid_shared")
        assert isinstance(outcome, Succeeded)
        pids.append(outcome.output)
        await asyncio.sleep(0.003)

    assert len(set(pids)) > 1


async def test_closing_gives_runs_time_and_leaves_no_process(
    new_runs: Any, kept: Any, children: Callable[[], set[int]]
) -> None:
    others = children()
    runs = await new_runs(warm=1, max_processes=1)
    mine = children() - others
    groups = (runs.host._pool, runs.host._shared)
    short = asyncio.create_task(runs.run("nap_shared", {"seconds": 0.09, "path": "/dev/null"}))
    endless = asyncio.create_task(runs.host.run(runs.job("family"), kept))
    await asyncio.wait_for(kept.told.wait(), 5)
    waiting = asyncio.create_task(runs.run("echo"))
    await asyncio.sleep(0.01)
    await runs.host.close(0.3)
    late, _ = await runs.run("echo")

    assert isinstance((await short)[0], Succeeded)
    lost = await endless
    assert isinstance(lost, Lost)
    assert "the node was stopped" in lost.failure.message
    assert not (await waiting)[0].has_started
    assert not late.has_started
    assert mine
    assert not mine & children()
    assert not any(group._children for group in groups)


async def test_closing_ends_with_a_process_whose_end_nobody_hears(
    new_runs: Any, children: Callable[[], set[int]]
) -> None:
    """P17: a line that is not read, because what came by it is not stored yet, says nothing of a death."""
    others = children()
    runs = await new_runs(warm=1, max_processes=1)
    for group in (runs.host._pool, runs.host._shared):
        for child in group._children:
            child._line.read_on(wanted=False)
    async with asyncio.timeout(20):
        await runs.host.close(0)

    assert children() <= others


NODE = """
import asyncio, sys
from hookline.model.ids import new_key
from hookline.model.states import Kind
from hookline.ports.runner import RunJob
from hookline.runners.host import RunnerHost, RunnerSettings

class Listener:
    async def started(self, *, at): pass
    async def recorded(self, entries, logs, credits, emits):
        for line in logs:
            print(line.text, flush=True)

async def main():
    host = RunnerHost(RunnerSettings(app=sys.argv[1]))
    await host.start()
    await host.run(RunJob(execution_id=new_key(), kind=Kind.WORKFLOW, automation_id=sys.argv[2]), Listener())

asyncio.run(main())
"""


async def node_with(app: Path, automation_id: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", NODE, str(app), automation_id, stdout=asyncio.subprocess.PIPE
    )


async def test_a_node_that_is_killed_leaves_no_process(apps: Path, gone: Any, is_alive: Any) -> None:
    """K12: user code that blocks in one call, and what it started, end with the node."""
    node = await node_with(apps / "every_way.py", "family")
    assert node.stdout is not None
    pids = [int(pid) for pid in (await node.stdout.readline()).split()]
    with open(f"/proc/{node.pid}/task/{node.pid}/children") as file:  # noqa: ASYNC230, PTH123
        pids += map(int, file.read().split())
    assert all(is_alive(pid) for pid in pids)
    node.kill()
    await node.wait()

    await gone(*pids)


async def test_logging_set_up_by_the_app_reaches_the_run_that_logs(runs: Any) -> None:
    _, kept = await runs.run("logging_shared")

    assert kept.texts("stderr") == ["through logging"]


@pytest.mark.parametrize("nap", ["print_and_nap", "print_and_nap_shared"])
async def test_what_was_printed_before_a_sleep_is_not_lost(runs: Any, nap: str) -> None:
    _, kept = await runs.run(nap)

    assert kept.texts("stdout") == ["resting"]


@pytest.mark.parametrize("how", ["size", "garbage"])
async def test_user_code_that_meddles_with_the_line_is_lost(runs: Any, how: str) -> None:
    outcome, _ = await asyncio.wait_for(runs.run("forge", how), 5)

    assert isinstance(outcome, Lost)
    assert "broke the protocol" in outcome.failure.message


async def test_many_runs_leave_no_descriptor_behind(runs: Any) -> None:
    await runs.run("echo")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- only counted
    await asyncio.gather(*(runs.run("echo") for _ in range(20)))
    await asyncio.sleep(0.2)

    assert len(os.listdir("/proc/self/fd")) <= before + 4  # noqa: PTH208 -- one more warm process


async def test_a_process_ends_with_its_line_where_the_kernel_does_not_see_to_it(apps: Path) -> None:
    """Without the lifeline, the thread that watches the line ends it, also in a loop that never pauses."""
    ours, theirs = socket.socketpair()
    with theirs:
        child = subprocess.Popen(  # noqa: ASYNC220 -- nothing else waits meanwhile
            [
                *[sys.executable, "-m", "hookline.runners.child", str(apps / "every_way.py")],
                *["--fd", str(theirs.fileno())],
            ],
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    ours.settimeout(10)
    assert ours.recv(1 << 20)  # ready
    ours.sendall(frame(Start(1, b"k" * 16, "workflow", "bad", b'"hang"', None, 1)))
    await asyncio.sleep(0.1)
    assert child.poll() is None
    ours.close()

    assert child.wait(1) == -signal.SIGKILL
