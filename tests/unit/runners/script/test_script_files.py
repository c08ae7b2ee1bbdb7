"""The files that a script leaves behind: kept however it ends, and never one that it could not have written itself."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from script_bed import launch, no_way_out

from hookline.ports.runner import Failed, Killed, Succeeded, TimedOut
from hookline.runners.script.runner import ScriptRunner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# ruff: noqa: PTH208 -- pathlib's own would have to leave the loop
pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

SECRET = "whsec_that_no_script_may_read"


@pytest_asyncio.fixture
async def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptRunner]:
    """One that must leave no file and no descriptor behind."""
    cells = tmp_path / "cells"
    cells.mkdir(mode=0o711)
    monkeypatch.setattr(tempfile, "tempdir", str(cells))
    runner = ScriptRunner(no_way_out)
    yield runner
    await runner.close(0)
    assert os.listdir(cells) == []


async def test_files_are_kept_by_name_with_their_type(runner: ScriptRunner, walls: str) -> None:
    source = """
import os
from hookline_agent import artifacts_dir
(artifacts_dir() / "report.csv").write_text("a,b\\n")
(artifacts_dir() / "data.unknown-type").write_bytes(bytes(range(256)))
(artifacts_dir() / "logs.tar.gz").write_bytes(b"")
os.chmod(artifacts_dir() / "report.csv", 0o000)
"""
    ran = launch(runner, source)

    assert isinstance(await ran.ended(), Succeeded)
    assert ran.listener.files == {
        "report.csv": ("text/csv", b"a,b\n"),
        "data.unknown-type": ("application/octet-stream", bytes(range(256))),
        "logs.tar.gz": ("application/octet-stream", b""),
    }
    assert ran.listener.texts("log") == []


async def test_javascript_has_the_same_folder(runner: ScriptRunner) -> None:
    source = """
const { artifactsDir, artifacts_dir } = require('hookline_agent')
require('node:fs').writeFileSync(`${artifactsDir()}/shot.png`, 'PNG')
process.exit(artifacts_dir() === process.env.HOOKLINE_ARTIFACTS ? 0 : 1)
"""
    ran = launch(runner, source, slug="script.js")

    assert isinstance(await ran.ended(), Succeeded)
    assert ran.listener.files == {"shot.png": ("image/png", b"PNG")}


LEAVES = "from hookline_agent import artifacts_dir\n(artifacts_dir() / 'why.txt').write_text('so')\nprint('left')\n"


async def test_files_are_kept_however_the_run_ends(runner: ScriptRunner, walls: str) -> None:
    failing = launch(runner, LEAVES + "raise SystemExit(3)")
    slow = launch(runner, LEAVES + "import time; time.sleep(60)", seconds=1.5)
    stopped = launch(runner, LEAVES + "import time; time.sleep(60)")
    await stopped.listener.said("left")
    runner.cancel(stopped.id)

    assert isinstance(await failing.ended(), Failed)
    assert isinstance(await slow.ended(), TimedOut)
    assert isinstance(await stopped.ended(), Killed)
    for ran in (failing, slow, stopped):
        assert ran.listener.files == {"why.txt": ("text/plain", b"so")}


async def test_nothing_is_kept_that_it_did_not_write_itself(
    runner: ScriptRunner, walls: str, tmp_path: Path
) -> None:
    """P21: links out of the box, hard links, pipes and folders; the folder itself may be a link, too."""
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    source = """
import os, sys
from hookline_agent import artifacts_dir, get_argument
folder = artifacts_dir()
os.symlink(get_argument(), folder / "link.txt")
os.symlink("/etc/passwd", folder / "passwd")
os.symlink("/proc/self/environ", folder / "environ")
os.mkfifo(folder / "pipe")
os.mkdir(folder / "deeper")
(folder / "deeper" / "inside.txt").write_text("x")
(folder / "one-name").write_text("x")
os.link(folder / "one-name", folder / "other-name")
try:
    os.link(get_argument(), folder / "hard.txt")
except OSError:
    pass
(folder / ".hidden").write_text("x")
(folder / "mine.txt").write_text("mine")
"""
    ran = launch(runner, source, argument=str(secret))

    assert isinstance(await ran.ended(), Succeeded)
    assert ran.listener.files == {"mine.txt": ("text/plain", b"mine")}
    assert sorted(ran.listener.texts("log")) == [
        "The file '.hidden' was not kept: No such name.",
        "The file 'deeper' was not kept: it is no plain file with one name.",
        "The file 'environ' was not kept: it is a link, or cannot be read.",
        "The file 'link.txt' was not kept: it is a link, or cannot be read.",
        "The file 'one-name' was not kept: it is no plain file with one name.",
        "The file 'other-name' was not kept: it is no plain file with one name.",
        "The file 'passwd' was not kept: it is a link, or cannot be read.",
        "The file 'pipe' was not kept: it is no plain file with one name.",
    ]


async def test_the_folder_itself_may_not_lead_elsewhere(runner: ScriptRunner, walls: str) -> None:
    source = """
import os
from hookline_agent import artifacts_dir
os.rmdir(artifacts_dir())
os.symlink("/etc", artifacts_dir())
"""
    ran = launch(runner, source)

    assert isinstance(await ran.ended(), Succeeded)
    assert ran.listener.files == {}


async def test_there_is_a_bound_to_files_and_to_bytes(runner: ScriptRunner) -> None:
    """A file of holes counts as long as it is: copying it would write them all."""
    source = """
from hookline_agent import artifacts_dir
for number in range(70):
    (artifacts_dir() / f"{number:02}.txt").write_text("x")
with open(artifacts_dir() / "00.txt", "wb") as file:
    file.truncate(7 << 20)
with open(artifacts_dir() / "01.txt", "wb") as file:
    file.truncate(2 << 20)
"""
    ran = launch(runner, source, disk_mb=8)

    assert isinstance(await ran.ended(), Succeeded)
    assert len(ran.listener.files) <= 64
    assert "Some files were not kept: there are more than 64." in ran.listener.texts("log")
    assert sum(len(content) for _, content in ran.listener.files.values()) <= 8 << 20


async def test_a_child_that_writes_on_is_ended_first(runner: ScriptRunner, walls: str) -> None:
    """What is kept does not change while it is copied, and the descriptors of a run are let go."""
    source = """
import os, signal, time
from hookline_agent import artifacts_dir
place = artifacts_dir() / "log.txt"
place.write_text("begun\\n")
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
"""
    before = len(os.listdir("/proc/self/fd"))
    ran = launch(runner, source)
    await ran.ended()

    assert ran.listener.files == {"log.txt": ("text/plain", b"begun\n")}
    # Sandboxes that stand ready hold some of their own, each as many.
    await runner.close(0)
    assert len(os.listdir("/proc/self/fd")) <= before
