"""Start the program, watch it, and end all that it started: what the first process behind the walls does.

It takes care of children that nobody waits for, counts the memory of all of them together, and when the program is
gone ends what it left behind, also what has left its process group.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from contextlib import suppress
from typing import Any

import landlock  # type: ignore[import-not-found, unused-ignore]  # beside this file, run on its own
import leavings  # type: ignore[import-not-found, unused-ignore]
import seccomp  # type: ignore[import-not-found, unused-ignore]
import view  # type: ignore[import-not-found, unused-ignore]
from kernel import (  # type: ignore[import-not-found, unused-ignore]
    SET_CHILD_SUBREAPER,
    SET_NO_NEW_PRIVS,
    SET_PARENT_DEATH_SIGNAL,
    drop_capabilities,
    prctl,
)

_LOOK_SECONDS = 0.2
"""Between two looks at the memory: a program can take a gigabyte in as long, which the machine must have."""

_PAGE = os.sysconf("SC_PAGE_SIZE")

_LIMITS = {
    "cpu": resource.RLIMIT_CPU,
    "address_space": resource.RLIMIT_AS,
    "data": resource.RLIMIT_DATA,
    "files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
    "file_size": resource.RLIMIT_FSIZE,
    "core": resource.RLIMIT_CORE,
}


def is_isolated(walls: list[str]) -> bool:
    """Say whether these walls keep a program from files, processes and networks that are not its own."""
    landlock_abi = max([int(wall.split()[1]) for wall in walls if wall.startswith("landlock ")], default=0)
    files = "mount" in walls or landlock_abi > 0
    # Root's number of processes has no limit, so for root only another user will do.
    processes = "user" in walls or (os.getuid() != 0 and ("pid" in walls or landlock_abi >= 6))
    network = "net" in walls or landlock_abi >= 4
    return files and processes and network


def tell(status: int, **what: object) -> None:
    """Write one line to the node. It may be gone."""
    with suppress(OSError):
        os.write(status, json.dumps(what).encode() + b"\n")


def watch(spec: dict[str, Any], walls: list[str], status: int, lifeline: int, door: Any) -> None:
    """Run the program and end with it. Never returns. door: its way out (``doors.Door``), or None."""
    prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if "pid" not in walls:
        prctl(SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    program = os.fork()
    if program == 0:
        os.close(woken)
        os.close(wakes)
        _become(spec, walls, status, lifeline)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    reason = None
    waiting = select.poll()
    waiting.register(woken, select.POLLIN)
    waiting.register(lifeline, 0)  # hang-ups are always told
    if door is not None:
        waiting.register(door.fileno(), select.POLLIN)
    while True:
        ended = _reap(program)
        if ended is not None:
            break
        for fd, _ in waiting.poll(_LOOK_SECONDS * 1000):
            if fd == woken:
                os.read(woken, 4096)
            elif door is not None and fd == door.fileno():
                door.hand_over()
            else:  # the node is gone, or wants an end
                os.kill(program, signal.SIGKILL)
        if reason is None and _memory(program, walls) > spec["memory_bytes"]:
            reason = "memory"
            os.kill(program, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(ended)
    tell(status, exit=code if code >= 0 else 128 - code, signal=-code if code < 0 else None, reason=reason)
    _end_others()
    leavings.hand_over(spec["artifacts"], spec["leaving"], most=spec["most_artifacts"])
    os._exit(0)


def _reap(program: int) -> int | None:
    """Take note of every child that has ended; return the program's status once it has."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == program:
            found = status


def _end_others() -> None:
    """End what the program started: nothing of it may write on while its files are handed over."""
    if os.getpid() == 1:  # all others of its namespace are the program's
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        return
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        children = _children(os.getpid())
        if not children:
            return
        for pid in children:
            _kill_tree(pid)
        _reap(0)
        time.sleep(0.005)


def _kill_tree(pid: int) -> None:
    for child in _children(pid):
        _kill_tree(child)
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:  # noqa: PTH123
            return [int(text) for text in file.read().split()]
    except OSError:
        return []


def _memory(program: int, walls: list[str]) -> int:
    """Return the bytes of memory that the program and all it started have for themselves."""
    if "pid" in walls and "mount" not in walls:
        return 0  # what is mounted at /proc numbers processes as the machine does
    if "pid" in walls:
        try:
            pids = [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]  # noqa: PTH208
        except OSError:
            return 0
    else:
        pids, seen = [program], 0
        while seen < len(pids):
            pids += _children(pids[seen])
            seen += 1
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123
                _, resident, shared, *_ = file.read().split()
        except (OSError, ValueError):
            continue
        total += (int(resident) - int(shared)) * _PAGE
    return total


# --- the program itself ---


def _become(spec: dict[str, Any], walls: list[str], status: int, lifeline: int) -> None:
    """Take on the limits and walls that are for it alone, and become the program. Never returns."""
    try:
        os.close(lifeline)
        _narrow(spec, walls)
        if spec["must_isolate"] and not is_isolated(walls):
            held = ", ".join(walls) or "none"
            tell(status, error=f"this machine cannot isolate it well enough (walls: {held})", refused=True)
            os._exit(1)
        tell(status, walls=walls)
        os.set_inheritable(status, False)
        os.chdir(spec["folder"])
        os.execve(spec["argv"][0], spec["argv"], spec["environment"])  # noqa: S606 -- the point of it all
    except BaseException as exc:  # noqa: BLE001 -- a fork of ours must not go on in the parent's code
        tell(status, error=f"the program cannot be started: {exc}")
    os._exit(127)


def _narrow(spec: dict[str, Any], walls: list[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if spec["uid"] is not None:
        os.setgroups([])
        os.setresgid(spec["uid"], spec["uid"], spec["uid"])
        os.setresuid(spec["uid"], spec["uid"], spec["uid"])
        walls.append("user")
    for name, value in spec["limits"].items():
        _, hard = resource.getrlimit(_LIMITS[name])
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(_LIMITS[name], (most, most))
    os.umask(0o077)
    # After the change of user, which forgets it.
    prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    prctl(SET_NO_NEW_PRIVS, 1)
    drop_capabilities()
    _wall_in(spec, walls)


def _wall_in(spec: dict[str, Any], walls: list[str]) -> None:
    if "mount" in walls:
        look, use = ["/"], ["/tmp", "/dev"]  # noqa: S108 -- of the view
    else:
        look = [*view.SYSTEM, *spec["binds"], spec["code"]]
        use = [spec["folder"], *(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom"))]
    version = landlock.restrict(look=look, use=use, tcp="net" in walls)
    if version:
        walls.append(f"landlock {version}")
    try:
        if seccomp.restrict():
            walls.append("seccomp")
    except OSError:
        pass
