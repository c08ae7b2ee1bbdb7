"""What a robot may not do, and what is left when it, its browser or its node dies: nothing, and one clear outcome."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
import pytest
from robot_bed import Heard, family, goto, job
from robot_site import robot_site

from hookline.ports.runner import Failed, Killed, Lost, Succeeded, TimedOut
from hookline.runners.robot.host import RobotRunner, RobotSettings
from hookline.runners.robot.processes import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from robot_site import Site

    from hookline.ports.runner import Outcome, RunJob

# ruff: noqa: ASYNC110, ASYNC240 -- what is waited for tells nobody, and files are looked at in between

pytestmark = pytest.mark.asyncio

HANGS = {"action": "wait", "args": [60_000]}


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """After every test: no process and no folder of a run.

    Temporary files of a test have a folder of their own, which browsers can enter too: pytest's are closed to others.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield folder
        monkeypatch.undo()
        assert not [pid for pid in family() if "chrom" in command(pid) or "hookline.robot" in command(pid)]
        assert list(folder.iterdir()) == []


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").replace("\0", " ")
    except OSError:
        return ""


def browsers() -> list[int]:
    """The main processes of browsers that runs of this test started."""
    return [pid for pid in family() if "--user-data-dir=" in command(pid) and "--type=" not in command(pid)]


def renderers() -> list[int]:
    """What shows the pages."""
    return [pid for pid in family() if "--type=renderer" in command(pid)]


def robots() -> list[int]:
    return [pid for pid in family() if "hookline.robot" in command(pid) and "enter.py" not in command(pid)]


def kill_all(pids: list[int]) -> None:
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


async def during(runner: RobotRunner, what: RunJob, act: Callable[[], object]) -> tuple[Outcome, Heard]:
    """Run a job, and do something as soon as its page is open."""
    heard = Heard()

    def look() -> None:
        if heard.progress[-1]["label"].endswith(" wait"):
            heard.on_progress = None
            act()

    heard.on_progress = look
    async with asyncio.timeout(60):
        return await runner.run(what, heard), heard


# --- where it may not go ---


async def test_private_addresses_are_refused_unless_allowed(site: Site) -> None:
    """P11, for what a browser opens."""
    runner = RobotRunner(RobotSettings())
    await runner.start()
    asked = len(site.visited)

    outcome = await runner.run(job(goto(f"{site.url}/")), Heard())

    assert isinstance(outcome, Failed)
    assert "The address 127.0.0.1 is not allowed: loopback" in outcome.failure.message
    assert site.visited[asked:] == []
    await runner.close(0)


async def test_neither_redirects_nor_pages_lead_to_what_is_not_allowed(
    runner: RobotRunner, site: Site
) -> None:
    """Redirects, requests of scripts, sockets, and names that resolve to this machine."""
    with robot_site("127.0.0.2") as inside:
        redirected = await runner.run(job(goto(f"{site.url}/away?to={inside.url}/")), Heard())
        urls = f"{inside.url}/list ws://{inside.host}:{inside.port}/ http://localhost:{inside.port}/"
        probe = {"listSelector": ".probe", "fields": {"url": "b", "was": "i"}, "limit": 10}
        probed = await runner.run(
            job(
                [goto(f"{site.url}/probe?urls={quote(f'{urls} {site.url}/list')}")],
                [
                    {"action": "waitForSelector", "args": ["text=done"]},
                    {"action": "scrapeList", "args": [probe]},
                ],
            ),
            Heard(),
        )

        assert inside.visited == []

    assert isinstance(redirected, Failed)
    assert isinstance(probed, Succeeded)
    rows = msgspec.json.decode(probed.output)["captured_lists"]["list_0"]
    reached = {row["url"] for row in rows if row["was"] == "reached"}
    refused = {row["url"] for row in rows if row["was"] == "refused"}
    assert reached == {f"{site.url}/list"}
    assert len(refused) == 3


async def test_calls_of_a_page_send_nothing_past_the_relay(runner: RobotRunner, site: Site) -> None:
    """WebRTC opens sockets of its own, to addresses of the page's choice."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stun:
        stun.bind(("127.0.0.1", 0))
        stun.setblocking(False)
        page = goto(f"{site.url}/webrtc?port={stun.getsockname()[1]}")
        gathered = {"action": "waitForSelector", "args": ["text=gathered", {"timeout": 20_000}]}

        outcome = await runner.run(job([page, gathered]), Heard())

        assert isinstance(outcome, Succeeded), outcome
        with pytest.raises(BlockingIOError):
            stun.recv(100)


async def test_a_page_that_opens_windows_without_end_ends_its_run(runner: RobotRunner, site: Site) -> None:
    heard = Heard()
    outcome = await runner.run(job([goto(f"{site.url}/windows"), HANGS]), heard)

    assert isinstance(outcome, Failed)
    assert outcome.failure.message == "The page opens windows without end."
    assert len(heard.texts("info")) < 60


async def test_downloads_are_off(runner: RobotRunner, site: Site) -> None:
    outcome = await runner.run(job(goto(f"{site.url}/download")), Heard())

    assert isinstance(outcome, Failed)
    assert "Download is starting" in outcome.failure.message


async def test_a_hostile_page_gives_text_and_nothing_else(runner: RobotRunner, site: Site) -> None:
    """It has replaced what the reader calls: only the shape that was asked for is taken from it."""
    rule = {"listSelector": ".item", "fields": {"Name": "b"}}
    outcome = await runner.run(
        job([goto(f"{site.url}/hostile"), {"action": "scrapeList", "args": [rule]}]), Heard()
    )

    assert isinstance(outcome, Succeeded)
    rows = msgspec.json.decode(outcome.output)["captured_lists"]["list_0"]
    assert rows == [{"Name": None}]


async def test_halves_of_characters_are_text_that_can_be_kept(runner: RobotRunner, site: Site) -> None:
    schema = {"action": "scrapeSchema", "args": [{"Half": "li"}]}
    outcome = await runner.run(job([goto(f"{site.url}/broken-text"), schema]), Heard())

    assert isinstance(outcome, Succeeded)
    assert msgspec.json.decode(outcome.output)["captured_texts"] == {"Texts": [{"Half": "?half"}]}


async def test_no_setting_of_the_node_reaches_a_robot_and_its_browser_is_nobody(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P13; as root the browser is a user of its own, and keeps its sandbox."""
    monkeypatch.setenv("HOOKLINE_SECRET_KEY", "not-for-robots-0123456789")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nor-this")
    runner = RobotRunner(RobotSettings(networks=("127.0.0.1/32",)))
    await runner.start()
    seen: list[bytes] = []
    users: set[int] = set()

    def look() -> None:
        for pid in family():
            with suppress(OSError):  # it has ended meanwhile
                seen.append(Path(f"/proc/{pid}/environ").read_bytes())
        for pid in browsers():
            with suppress(OSError):
                users.add(Path(f"/proc/{pid}").stat().st_uid)

    outcome, heard = await during(runner, job(goto(f"{site.url}/"), {"action": "wait", "args": [1]}), look)

    assert isinstance(outcome, Succeeded)
    assert len(seen) > 3
    assert not any(b"not-for-robots" in each or b"nor-this" in each for each in seen)
    if os.geteuid() == 0:
        assert users
        assert 0 not in users
    assert heard.texts("warning") == []
    await runner.close(0)


# --- how it ends ---


async def test_a_run_that_takes_too_long_is_ended(runner: RobotRunner, site: Site) -> None:
    """A page that never loads, under the run's own limit."""
    outcome = await runner.run(job(goto(f"{site.url}/hangs"), timeout_ms=1_500), Heard())

    assert isinstance(outcome, TimedOut)
    assert (outcome.failure.code, outcome.failure.type, outcome.failure.limit) == (
        "TIMED_OUT",
        "TimeoutError",
        "agent",
    )


async def test_a_page_that_never_loads_is_a_timeout_error(runner: RobotRunner, site: Site) -> None:
    slow = {"action": "goto", "args": [f"{site.url}/hangs", {"timeout": 500}]}
    outcome = await runner.run(job(slow), Heard())

    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "TimeoutError"
    assert outcome.failure.message.startswith("Timeout 500ms exceeded")


async def test_a_run_is_cancelled(runner: RobotRunner, site: Site) -> None:
    what = job(goto(f"{site.url}/"), HANGS)

    outcome, _ = await during(runner, what, lambda: runner.cancel(what.execution_id))

    assert isinstance(outcome, Killed)
    assert outcome.facts is not None
    assert not runner.cancel(what.execution_id)


async def test_a_run_that_waits_for_its_turn_is_cancelled_at_once(site: Site) -> None:
    runner = RobotRunner(RobotSettings(networks=("127.0.0.1/32",), max_running=1))
    await runner.start()
    first, second = job(goto(f"{site.url}/"), HANGS), job(goto(f"{site.url}/"))
    waits = asyncio.create_task(runner.run(first, Heard()))
    waiting = asyncio.create_task(runner.run(second, Heard()))
    await asyncio.sleep(0)

    assert runner.cancel(second.execution_id)
    async with asyncio.timeout(20):
        assert isinstance(await waiting, Killed)
        runner.cancel(first.execution_id)
        assert isinstance(await waits, Killed)
    await runner.close(0)


async def test_a_robot_that_is_killed_is_lost(runner: RobotRunner, site: Site) -> None:
    outcome, _ = await during(runner, job(goto(f"{site.url}/"), HANGS), lambda: kill_all(robots()))

    assert isinstance(outcome, Lost)
    assert outcome.has_started


@pytest.mark.parametrize(
    ("victims", "message"), [("browsers", "The browser ended."), ("renderers", "The page crashed.")]
)
async def test_a_browser_that_dies_fails_the_run_at_once(
    runner: RobotRunner, site: Site, victims: str, message: str
) -> None:
    """Whatever the robot waits for, and however often it would try again."""
    find = {"browsers": browsers, "renderers": renderers}[victims]

    outcome, _ = await during(
        runner, job(goto(f"{site.url}/"), HANGS, max_repeats=5), lambda: kill_all(find())
    )

    assert isinstance(outcome, Failed)
    assert outcome.failure.message == message


async def test_a_page_that_takes_all_memory_ends_its_own_run(site: Site) -> None:
    runner = RobotRunner(RobotSettings(networks=("127.0.0.1/32",), memory_bytes=600 << 20))
    await runner.start()

    outcome = await runner.run(job(goto(f"{site.url}/memory"), HANGS), Heard())

    assert isinstance(outcome, Failed)
    assert outcome.failure.message in {"The browser used more than 600 MB.", "The page crashed."}
    await runner.close(0)


async def test_a_stopping_node_loses_its_robots_and_takes_no_more(site: Site) -> None:
    runner = RobotRunner(RobotSettings(networks=("127.0.0.1/32",)))
    await runner.start()
    closing: list[asyncio.Task[None]] = []

    outcome, _ = await during(
        runner,
        job(goto(f"{site.url}/"), HANGS),
        lambda: closing.append(asyncio.ensure_future(runner.close(0.1))),
    )
    await closing[0]

    assert isinstance(outcome, Lost)
    refused = await runner.run(job(goto(f"{site.url}/")), Heard())
    assert isinstance(refused, Lost)
    assert not refused.has_started


NODE = """
import asyncio, sys
from robot_bed import Heard, goto, job
from hookline.runners.robot.host import RobotRunner, RobotSettings

async def main():
    runner = RobotRunner(RobotSettings(networks=("127.0.0.1/32",)))
    await runner.start()
    heard = Heard()
    heard.on_progress = lambda: print(heard.progress[-1]["label"], flush=True)
    await runner.run(job(goto(sys.argv[1]), {"action": "wait", "args": [60000]}), heard)

asyncio.run(main())
"""


async def test_a_node_that_is_killed_leaves_no_browser_and_no_profile(site: Site, temporary: Path) -> None:
    support = str(Path(__file__).resolve().parents[3] / "support")
    environment = {**os.environ, "PYTHONPATH": support, "TMPDIR": str(temporary)}
    node = await asyncio.create_subprocess_exec(
        sys.executable, "-c", NODE, f"{site.url}/", stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert node.stdout is not None
    async with asyncio.timeout(60):
        while not (await node.stdout.readline()).strip().endswith(b"wait"):
            assert node.returncode is None
    started = family(node.pid)
    assert len(started) > 5
    assert list(temporary.glob("hookline-robot-*"))

    node.kill()

    await node.wait()
    async with asyncio.timeout(30):
        while started & {each.pid for each in processes() if each.state != "Z"} or any(temporary.iterdir()):
            await asyncio.sleep(0.05)


async def test_folders_that_nobody_holds_are_swept_when_robots_start() -> None:
    left = Path(tempfile.mkdtemp(prefix="hookline-robot-"))
    (left / "lock").write_bytes(b"")
    (left / "home").mkdir()

    runner = RobotRunner(RobotSettings())
    await runner.start()
    await runner.close(0)

    assert not left.exists()


async def test_what_is_missing_is_said_with_the_command_that_gets_it() -> None:
    runner = RobotRunner(RobotSettings(chromium="/nowhere/chromium"))

    checks = {check.name: check for check in await runner.check()}

    assert checks["playwright"].is_met
    assert "apt-get install chromium" in (checks["chromium"].remedy or "")
