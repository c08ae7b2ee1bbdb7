"""Scripts in Python and JavaScript: what they are given and tell, and every way in which they end (PB-5 to PB-7)."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import pytest_asyncio
from script_bed import launch, no_way_out, processes_with, until_gone, until_there

from hookline.model.executions import ScriptFacts
from hookline.ports.runner import Failed, Killed, Lost, Succeeded, TimedOut
from hookline.runners.script.runner import ScriptRunner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

PYTHON_TALKS = """
from hookline_agent import get_argument, get_time_left, progress_hint, set_result_object
import sys
print("given", get_argument())
print("to the other stream", file=sys.stderr)
assert 5 < get_time_left() <= 20, get_time_left()
progress_hint(0.25, "a quarter")
set_result_object({"first": 1})
set_result_object({"last": [1, "zw\\u00f6lf", None]})
"""
NODE_TALKS = """
const { getArgument, getTimeLeft, progressHint, setResultObject } = require('hookline_agent')
console.log('given', JSON.stringify(getArgument()))
console.error('to the other stream')
const left = getTimeLeft()
if (!(left > 5 && left <= 20)) throw new Error(`${left} s left`)
progressHint(0.25, 'a quarter')
setResultObject({ first: 1 })
setResultObject({ last: [1, 'zw\\u00f6lf', null] })
"""


@pytest_asyncio.fixture
async def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptRunner]:
    """One that must leave no file behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    runner = ScriptRunner(no_way_out)
    yield runner
    await runner.close(0)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 -- pathlib's would have to leave the loop


def facts(code: int | None, slug: str = "script.py") -> ScriptFacts:
    return ScriptFacts(script=slug, script_org="acme", branch="main", exit_code=code)


@pytest.mark.parametrize(
    ("slug", "source", "shown"),
    [
        ("talks.py", PYTHON_TALKS, "given {'city': 'Zürich'}"),
        ("talks.js", NODE_TALKS, 'given {"city":"Zürich"}'),
    ],
)
async def test_a_script_talks_with_its_agent(
    runner: ScriptRunner, slug: str, source: str, shown: str
) -> None:
    """PB-15: argument in; output, progress and result out, in both languages; the last result counts."""
    run = launch(runner, source, slug=slug, argument={"city": "Zürich"})
    outcome = await run.ended()

    assert isinstance(outcome, Succeeded), outcome
    assert msgspec.json.decode(outcome.output) == {"last": [1, "zwölf", None]}
    assert outcome.facts == facts(0, slug)
    assert run.listener.texts() == [shown]
    assert run.listener.texts("stderr") == ["to the other stream"]
    assert run.listener.progress == [{"percent": 25.0, "label": "a quarter"}]


async def test_without_an_argument_and_without_a_result_both_are_null(runner: ScriptRunner) -> None:
    """PB-X1: null when unset."""
    outcome = await launch(runner, "import hookline_agent as a; assert a.get_argument() is None").ended()

    assert outcome == Succeeded(output=b"null", facts=facts(0))


async def test_output_comes_while_the_script_runs(runner: ScriptRunner) -> None:
    run = launch(runner, "import time\nprint('now')\ntime.sleep(60)")
    await run.listener.said("now")

    assert not run.task.done()
    assert runner.cancel(run.id)
    assert isinstance(await run.ended(), Killed)


# --- the six exit messages ---


@pytest.mark.parametrize("code", [1, 3, 255])
async def test_any_exit_code_of_its_own_is_finished(runner: ScriptRunner, code: int) -> None:
    """PB-6: "finished" with an exit code is a failure without a result."""
    source = f"import hookline_agent as a, sys\na.set_result_object(1)\nsys.exit({code})"
    outcome = await launch(runner, source).ended()

    assert isinstance(outcome, Failed)
    assert (outcome.failure.code, outcome.facts) == ("FAILED", facts(code))


async def test_an_error_is_shown_as_the_script_wrote_it(runner: ScriptRunner) -> None:
    outcome = await launch(runner, "def work():\n    return 1 / 0\nwork()").ended()

    assert isinstance(outcome, Failed)
    assert outcome.failure.stack is not None
    assert outcome.failure.stack.startswith("Traceback")
    assert 'script.py", line 2, in work' in outcome.failure.stack
    assert outcome.failure.stack.count("File ") == 2  # nothing of ours is in between


async def test_a_script_that_a_signal_ends_is_finished_too(runner: ScriptRunner) -> None:
    outcome = await launch(runner, "import os; os.kill(os.getpid(), 11)").ended()

    assert isinstance(outcome, Failed)
    assert outcome.facts == facts(128 + signal.SIGSEGV)


async def test_a_stop_asks_before_it_ends(runner: ScriptRunner) -> None:
    """PB-7: killed by the API; SIGTERM first, so a script can clean up."""
    source = """
import signal, sys, time
def bye(*_):
    print("cleaned up")
    sys.exit(7)
signal.signal(signal.SIGTERM, bye)
print("ready")
time.sleep(60)
"""
    run = launch(runner, source)
    await run.listener.said("ready")
    runner.cancel(run.id)
    outcome = await run.ended()

    assert isinstance(outcome, Killed)
    assert outcome.facts == facts(7)  # its own: it was not ended by force
    assert run.listener.texts() == ["ready", "cleaned up"]


async def test_one_that_ignores_the_signal_is_ended_with_all_it_started(runner: ScriptRunner) -> None:
    """SIGKILL of all of it: also what left its group and session."""
    source = """
import os, signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(["sleep", "4711.25"], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "4711.25"])
os.write(1, b"ready\\n")
time.sleep(60)
"""
    run = launch(runner, source)
    await run.listener.said("ready")
    await until_there("4711.25")
    runner.cancel(run.id)
    outcome = await run.ended()

    assert isinstance(outcome, Killed)
    assert outcome.facts == facts(137)
    await until_gone("4711.25")


@pytest.mark.parametrize("limit", ["agent", "org", "global"])
async def test_a_limit_of_time_says_whose_it_is(runner: ScriptRunner, limit: str) -> None:
    """PB-7: agent timeout, org timeout, global timeout; exit code 137."""
    outcome = await launch(runner, "while True: pass", seconds=0.6, limit=limit).ended()

    assert isinstance(outcome, TimedOut)
    assert (outcome.failure.code, outcome.failure.limit) == ("TIMED_OUT", limit)
    assert outcome.facts == facts(137)


async def test_a_process_that_is_lost_is_unknown(runner: ScriptRunner) -> None:
    """PB-7: kill -9 of the runner's child; nobody saw how the script ended."""
    run = launch(runner, "import time\nprint('ready')\ntime.sleep(60)", slug="lost_4712.py")
    await run.listener.said("ready")
    for pid in [pid for pid in processes_with("enter.py") if os.getpgid(pid) == pid]:
        if _parent(pid) == os.getpid():
            os.kill(pid, signal.SIGKILL)
    outcome = await run.ended()

    assert isinstance(outcome, Lost)
    assert outcome.facts == facts(None, "lost_4712.py")
    await until_gone("lost_4712.py")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()[1])


async def test_a_stop_of_the_node_ends_what_runs(runner: ScriptRunner) -> None:
    run = launch(runner, "import time\nprint('ready')\ntime.sleep(60)")
    await run.listener.said("ready")
    await runner.close(0.05)
    outcome = await run.ended()
    late = await launch(runner, "print(1)").ended()

    assert isinstance(outcome, Lost)
    assert isinstance(late, Lost)
    assert not late.has_started


async def test_one_that_waits_for_room_can_be_ended(runner: ScriptRunner) -> None:
    narrow = ScriptRunner(no_way_out, most_at_once=1)
    first = launch(narrow, "import time\nprint('ready')\ntime.sleep(60)")
    await first.listener.said("ready")
    second = launch(narrow, "print('never')")
    await asyncio.sleep(0)
    assert narrow.cancel(second.id)
    assert isinstance(await second.ended(), Killed)
    assert not second.listener.began.is_set()
    narrow.cancel(first.id)
    assert isinstance(await first.ended(), Killed)
    third = launch(narrow, "print('room again')")
    assert isinstance(await third.ended(), Succeeded)
    await narrow.close(0)


# --- faults ---


async def test_output_without_end_is_cut_and_said_to_be(runner: ScriptRunner) -> None:
    """The node keeps a megabyte; the script goes on, slowly, to its limit."""
    run = launch(runner, "while True: print('y' * 5000)")
    await run.listener.said("too much was printed: the rest is dropped", "stderr")
    await asyncio.sleep(0.3)  # time to print what must not be kept
    assert runner.cancel(run.id)
    outcome = await run.ended()

    assert isinstance(outcome, Killed)
    assert run.listener.logs[-1].text == "too much was printed: the rest is dropped"
    assert sum(len(line.text) for line in run.listener.logs) < 1_200_000


async def test_a_closed_stdout_ends_nothing(runner: ScriptRunner) -> None:
    source = """
import os
from hookline_agent import set_result_object
os.close(1)
os.close(2)
set_result_object("told")
os._exit(0)
"""
    outcome = await launch(runner, source).ended()

    assert outcome == Succeeded(output=b'"told"', facts=facts(0))


async def test_children_that_nobody_waits_for_are_taken_care_of(runner: ScriptRunner) -> None:
    """A thousand zombies would reach any limit of processes."""
    source = """
import os
for _ in range(300):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.wait()
print("all gone")
"""
    run = launch(runner, source, processes=16)
    outcome = await run.ended()

    assert isinstance(outcome, Succeeded), outcome
    assert run.listener.texts() == ["all gone"]


async def test_a_fork_bomb_stays_in_its_own_room(runner: ScriptRunner) -> None:
    """It reaches its limit of processes; another script beside it does not notice."""
    source = """
import os, time
made = 0
while True:
    try:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
    except OSError:
        print("refused" if made < 20 else f"made {made}")
        time.sleep(60)
"""
    bomb = launch(runner, source, processes=16)
    await bomb.listener.said("refused")
    other = await launch(runner, "import threading; t = threading.Thread(); t.start(); t.join()").ended()
    runner.cancel(bomb.id)
    outcome = await bomb.ended()

    assert isinstance(other, Succeeded)
    assert isinstance(outcome, Killed)


async def test_too_much_memory_is_refused_to_python(runner: ScriptRunner) -> None:
    outcome = await launch(runner, "x = bytearray(1 << 30)", memory_mb=64).ended()

    assert isinstance(outcome, Failed)
    assert "MemoryError" in (outcome.failure.stack or "")


FORKS = "import os, time\nfor _ in range(4): os.fork()\n"


@pytest.mark.parametrize(
    ("slug", "source"),
    [
        ("hog.js", "const all = []; while (true) all.push(Buffer.alloc(1 << 20, 1))"),
        ("hogs.py", FORKS + "x = bytearray(b'x' * (40 << 20))\ntime.sleep(60)"),
    ],
)
async def test_memory_is_counted_over_all_it_started(runner: ScriptRunner, slug: str, source: str) -> None:
    """Many processes below the limit are together above it."""
    outcome = await launch(runner, source, slug=slug, memory_mb=128, processes=300).ended()

    assert isinstance(outcome, Failed)
    assert outcome.failure.message == "The script used more than its 128 MiB of memory."
    assert outcome.facts == facts(137, slug)


async def test_files_have_a_bound(runner: ScriptRunner) -> None:
    source = """
import errno
try:
    for n in range(100):
        with open(f"/tmp/{n}", "wb") as file:
            file.write(bytes(1 << 20))
except OSError as exc:
    print(n, errno.errorcode[exc.errno])
"""
    run = launch(runner, source, disk_mb=5)
    await run.ended()

    assert run.listener.texts() == ["5 ENOSPC"]


async def test_a_sandbox_stands_ready_for_the_next_script_and_goes_with_the_runner() -> None:
    """A husk has run nothing, runs one program, and leaves neither process nor folder."""
    runner = ScriptRunner(no_way_out)
    await launch(runner, "print(1)").ended()
    husks = runner._husks
    assert husks is not None
    async with asyncio.timeout(20):
        while len(husks._ready) < 2:  # noqa: ASYNC110 -- a timer makes them
            await asyncio.sleep(0.02)
    first, second = husks._ready
    outcome = await launch(runner, "import os; print(os.listdir('/tmp'))").ended()
    second.process.kill()
    second.process.wait()
    after_a_death = await launch(runner, "print(2)").ended()
    others = [husk.process.pid for husk in husks._ready]
    await runner.close(0)

    assert isinstance(outcome, Succeeded)
    assert isinstance(after_a_death, Succeeded)
    assert not any(os.path.exists(husk.root) for husk in (first, second))  # noqa: PTH110, ASYNC240
    assert not any(os.path.exists(f"/proc/{pid}") for pid in others)  # noqa: PTH110, ASYNC240
