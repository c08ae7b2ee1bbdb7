"""The escape suite (P21): what a script must not reach, tried as a script would, behind the walls of this machine.

It fails where the walls do not hold, as on a machine without namespaces and Landlock: it is never skipped there,
because a server that many organizations share must not run on one.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import pytest_asyncio
from script_bed import Ran, launch, no_way_out
from walls_bed import changed_sandbox, forbid_namespaces

from hookline.ports.runner import Failed, Succeeded
from hookline.runners.sandbox import husk
from hookline.runners.script.checks import check_walls
from hookline.runners.script.runner import ScriptRunner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# ruff: noqa: PTH101, PTH208 -- pathlib's own would have to leave the loop
pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

SECRET = "whsec_that_no_script_may_read"


@pytest_asyncio.fixture
async def runner() -> AsyncIterator[ScriptRunner]:
    runner = ScriptRunner(no_way_out)
    yield runner
    await runner.close(0)


TRACE = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=x y"}


async def told(run: Ran) -> object:
    """What the script set as its result."""
    outcome = await run.ended()
    assert isinstance(outcome, Succeeded), (outcome, run.listener.logs)
    return msgspec.json.decode(outcome.output)


TRIES = """
from hookline_agent import get_argument, set_result_object
import os, sys

def attempt(work):
    try:
        return repr(work())
    except BaseException as exc:
        return type(exc).__name__
"""


async def test_this_machine_has_walls() -> None:
    """Run as root, as CI does, every wall holds; what is missing elsewhere, `hookline doctor` says."""
    check = await check_walls()

    assert check.is_met, check
    held = set(check.told.replace(" ", ",").split(","))
    assert {"mount", "pid", "ipc", "net", "seccomp"} <= held
    assert {"user", "namespace"} & held


async def test_the_database_and_other_files_of_the_server_are_out_of_reach(
    runner: ScriptRunner, walls: str, tmp_path: Path
) -> None:
    """Read, listed, through a link, through /proc: the database, the key beside it, the environment."""
    place = tmp_path / "hookline.db"
    place.write_text(SECRET)
    place.chmod(0o644)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to(tempfile.gettempdir()) and folder != Path(tempfile.gettempdir()):
            folder.chmod(0o755)  # no right of the file system stands in the way
    source = (
        TRIES
        + """
place, node = get_argument()
os.symlink(place, "/tmp/link" if os.path.isdir("/hookline") else "link")
def linked():
    return open("/tmp/link" if os.path.isdir("/hookline") else "link").read()
set_result_object([attempt(work) for work in (
    lambda: open(place).read(),
    lambda: os.listdir(os.path.dirname(place)),
    linked,
    lambda: open(f"/proc/{node}/environ").read(),
    lambda: open(f"/proc/{node}/root{place}").read(),
    lambda: os.listdir(f"/proc/{node}/fd"),
    lambda: open(f"/proc/1/environ").read(),
    lambda: os.listdir("/proc/1/root"),
    lambda: open("/etc/shadow").read(),
    lambda: open("/etc/hostname").read(),
)])
"""
    )
    found = await told(launch(runner, source, argument=[str(place), os.getpid()]))

    assert set(found) <= {"PermissionError", "FileNotFoundError"}, found  # type: ignore[call-overload]


async def test_its_environment_holds_nothing_of_the_server(
    runner: ScriptRunner, walls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKLINE_SECRET_KEY", SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    source = TRIES + "set_result_object(dict(os.environ))"
    found = await told(launch(runner, source, trace=TRACE))

    assert isinstance(found, dict)
    assert SECRET not in found.values()
    assert set(found) <= {
        "PATH", "HOME", "TMPDIR", "LANG", "PYTHONPATH", "LC_CTYPE",
        "HOOKLINE_CHANNEL", "HOOKLINE_ARGUMENT", "HOOKLINE_ARTIFACTS", "HOOKLINE_DEADLINE", "TRACEPARENT", "TRACESTATE",
    }  # fmt: skip
    assert (found["TRACEPARENT"], found["TRACESTATE"]) == (TRACE["traceparent"], TRACE["tracestate"])


async def test_it_inherits_no_descriptor_but_its_own(runner: ScriptRunner, walls: str) -> None:
    """stdin is empty, stdout and stderr are pipes, one more is its channel."""
    source = (
        TRIES
        + """
def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
set_result_object([[fd for fd in range(1024) if is_open(fd)], int(os.environ["HOOKLINE_CHANNEL"]), sys.stdin.read()])
"""
    )
    found = await told(launch(runner, source))

    assert isinstance(found, list)
    assert found[0] == sorted([0, 1, 2, found[1]])
    assert found[2] == ""


async def test_it_writes_nowhere_but_in_its_own_folder(
    runner: ScriptRunner, walls: str, tmp_path: Path
) -> None:
    os.chmod(tmp_path, 0o777)
    source = (
        TRIES
        + """
targets = ["/usr/x", "/etc/x", "/x", "/dev/x", "/hookline/x", "/proc/sys/kernel/core_pattern",
           sys.prefix + "/x", os.path.dirname(os.__file__) + "/x", get_argument() + "/x", "/var/tmp/x", "/dev/shm/x"]
outside = [path for path in targets if attempt(lambda: open(path, "w").write("x")) == "1"]
home = os.environ["TMPDIR"]
set_result_object([outside, attempt(lambda: open(home + "/x", "w").write("x"))])
"""
    )
    found = await told(launch(runner, source, argument=str(tmp_path)))

    # Shared memory of its own is part of the view; without one there is none.
    assert found == [["/dev/shm/x"] if walls == "namespaces" else [], "1"]
    assert os.listdir(tmp_path) == []
    assert "x" not in os.listdir("/dev/shm")


async def test_one_run_finds_nothing_of_another(runner: ScriptRunner, walls: str) -> None:
    """Neither files of another run, nor its processes, nor its source; not even while both go on."""
    other = launch(
        runner,
        "import os, time\nopen(os.environ['TMPDIR'] + '/secret', 'w').write('x')\nprint(os.getpid())\ntime.sleep(60)",
        argument={"secret": SECRET},
        slug="other_tenant.py",
    )
    async with asyncio.timeout(20):
        while not other.listener.texts():
            await other.listener.told.wait()
            other.listener.told.clear()
    source = (
        TRIES
        + """
home = os.environ["TMPDIR"]
files = [attempt(lambda: os.listdir(folder)) for folder in (home + "/..", home + "/../..", "/var/tmp", "/run")]
listed = os.listdir("/proc") if attempt(lambda: os.listdir("/proc")) != "PermissionError" else []
seen = [open(f"/proc/{name}/cmdline").read() for name in listed if name.isdigit()]
killed = [pid for pid in range(2, 70000) if pid != os.getpid() and attempt(lambda: os.kill(pid, 0)) == "None"]
set_result_object(["secret" in str(files), "other_tenant" in str(seen), killed])
"""
    )
    found = await told(launch(runner, source, seconds=60))
    runner.cancel(other.id)
    await other.ended()

    assert found == [False, False, []]


async def test_it_cannot_end_or_stop_the_node(runner: ScriptRunner, walls: str) -> None:
    source = (
        TRIES
        + """
import signal
node = get_argument()
set_result_object([attempt(lambda: os.kill(node, signal.SIGKILL)),
                   attempt(lambda: os.setpriority(os.PRIO_PROCESS, 0, -20))])
"""
    )
    found = await told(launch(runner, source, argument=os.getpid()))

    assert isinstance(found, list)
    assert found[0] in {"ProcessLookupError", "PermissionError"}
    assert found[1] == "PermissionError"


async def test_it_reaches_no_network(runner: ScriptRunner, walls: str) -> None:
    """The database's port, the node's own API, the metadata service, names: none of them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = (
            TRIES
            + """
import socket
def connect(host, port):
    with socket.create_connection((host, port), 2):
        return "connected"
set_result_object([attempt(lambda: connect(*where)) for where in (
    ("127.0.0.1", get_argument()), ("169.254.169.254", 80), ("10.0.0.1", 5432), ("::1", get_argument()),
)])
"""
        )
        found = await told(launch(runner, source, argument=server.getsockname()[1]))

    assert isinstance(found, list)
    assert "'connected'" not in found
    assert set(found) <= {"PermissionError", "OSError", "ConnectionRefusedError"}


async def test_it_gets_no_more_rights_than_it_has(runner: ScriptRunner, walls: str) -> None:
    """No namespaces of its own, no mounts, no other user, no tracing, no raw or packet sockets, no BPF, no set-uid."""
    source = (
        TRIES
        + """
import ctypes, socket, subprocess
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)
    return "done"
status = {}
attempt(lambda: status.update(line.split(":", 1) for line in open("/proc/self/status")))
set_result_object([attempt(work) for work in (
    lambda: call("unshare", 0x10000000),
    lambda: call("unshare", 0x20000),
    lambda: call("mount", b"x", b"/tmp", b"tmpfs", 0, None),
    lambda: call("ptrace", 16, os.getppid(), 0, 0),
    lambda: call("setuid", 0 if os.getuid() else 1),
    lambda: call("chroot", b"/tmp"),
    lambda: call("syscall", 321 if os.uname().machine == "x86_64" else 280, 0, 0, 0),
    lambda: call("personality", 0x0040000),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM),
)] + [status.get("CapEff", "0").strip(), status.get("NoNewPrivs", "1").strip()])
"""
    )
    found = await told(launch(runner, source))

    assert isinstance(found, list)
    assert set(found[:-2]) <= {"PermissionError", "OSError"}, found
    assert (int(found[-2], 16), found[-1]) == (0, "1")


async def test_javascript_stands_behind_the_same_walls(runner: ScriptRunner, tmp_path: Path) -> None:
    place = tmp_path / "hookline.db"
    place.write_text(SECRET)
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = """
const { getArgument, setResultObject } = require('hookline_agent')
const fs = require('fs'), net = require('net')
const [place, port, node] = getArgument()
const tried = (work) => { try { return String(work()) } catch (error) { return error.code ?? error.name } }
const found = [
  tried(() => fs.readFileSync(place, 'utf8')),
  tried(() => fs.writeFileSync('/usr/x', 'x')),
  tried(() => process.kill(node, 'SIGKILL')),
  tried(() => fs.readFileSync(`/proc/${node}/environ`))
]
net.connect(port, '127.0.0.1')
  .on('connect', () => { setResultObject([...found, 'connected']); process.exit() })
  .on('error', (error) => { setResultObject([...found, error.code]); process.exit() })
"""
        argument = [str(place), server.getsockname()[1], os.getpid()]
        found = await told(launch(runner, source, slug="escape.js", argument=argument))

    assert found == ["ENOENT", "EROFS", "ESRCH", "ENOENT", "ECONNREFUSED"]


async def test_without_walls_scripts_of_many_organizations_are_refused(
    runner: ScriptRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And run for one that has the machine to itself, or whose operator says so."""
    forbid_namespaces(monkeypatch)
    without = {"landlock.py": ("    version = abi()\n", "    version = 0\n")}
    monkeypatch.setattr(husk, "ENTER", changed_sandbox(tmp_path, without))
    refused = await launch(runner, "print(1)").ended()
    alone = await launch(runner, "print(1)", must_isolate=False).ended()

    assert isinstance(refused, Failed)
    assert refused.failure.code == "RUNNER_UNAVAILABLE"
    assert "HOOKLINE_UNSAFE_SCRIPTS" in refused.failure.message
    assert isinstance(alone, Succeeded)
