"""Keep the folder of one render and run its commands: the process between a node and FFmpeg.

Run as a program, with the limits as arguments; it imports nothing of Hookline, and is what dies last. It reads one
command a line (a JSON array) from its standard input, runs it in its working directory, and then writes a NUL, the
exit status and a line feed to standard output, and a NUL to standard error. When its input ends, because the node
closed it or died, it kills what runs and empties and removes the folder: nothing of a render outlives its node.

What it starts has no input, no capabilities, and dies with it. Where the kernel allows that, it has no network, sees no
files but the system's programs and the folder, and cannot make the system calls that attacks on the kernel begin with.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
from contextlib import suppress

SANDBOX = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "sandbox")  # noqa: PTH100, PTH118, PTH120
sys.path.insert(0, SANDBOX)

import landlock  # type: ignore[import-not-found, unused-ignore]  # noqa: E402 -- in the folder named above
import seccomp  # type: ignore[import-not-found, unused-ignore]  # noqa: E402
from kernel import (  # type: ignore[import-not-found, unused-ignore]  # noqa: E402
    NEW_NET,
    NEW_USER,
    SET_NO_NEW_PRIVS,
    SET_PARENT_DEATH_SIGNAL,
    drop_capabilities,
    prctl,
    unshare,
)

PROGRAMS = [
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/nix/store",
    "/dev/null",
    "/dev/urandom",
]
"""What a program of the system may need to start; nothing in it is anybody's secret."""

NOT_RUN = 127
"""Exit status of a command that could not be started, as in a shell."""


def limit(memory_bytes: int, file_bytes: int) -> None:
    """Bound what every command may take."""
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))


def leave_network() -> None:
    """Go where there is no network, if the kernel allows it."""
    with suppress(OSError):
        unshare(NEW_NET)
        return
    uid, gid = os.getuid(), os.getgid()
    with suppress(OSError):
        unshare(NEW_NET | NEW_USER)
        # Files are written as this user all the same: it is the same one, known under the same number.
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
                file.write(text)


def parts_of(program: str) -> list[str]:
    """What a program outside of the system's folders needs: itself, and the libraries that came with it."""
    place = os.path.realpath(program)
    return [place, os.path.join(os.path.dirname(os.path.dirname(place)), "lib")]  # noqa: PTH118, PTH120


def start(command: list[str], folder: str) -> int:
    """Start a command behind what walls there are; return its process id."""
    keeper = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        prctl(SET_NO_NEW_PRIVS, 1)
        with suppress(OSError):
            drop_capabilities()
        # After the rights are gone: a change of them would take this away again.
        prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(NOT_RUN)
        with suppress(OSError):
            landlock.restrict(look=[*PROGRAMS, *parts_of(command[0])], use=[folder], tcp=False)
        with suppress(OSError):
            seccomp.restrict()
        os.execv(command[0], command)  # noqa: S606 -- the node's own arguments, no shell
    finally:
        os._exit(NOT_RUN)


def wait(child: int) -> int | None:
    """Wait until it has ended; return its status (negative: a signal), or None when the node is gone."""
    watched = os.pidfd_open(child)
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    poll.register(0, 0)  # its end alone: the next command comes after this one has ended
    try:
        while True:
            ready = dict(poll.poll())
            if watched in ready:
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if ready.get(0, 0) & (select.POLLHUP | select.POLLERR):
                return None
    finally:
        os.close(watched)


def lines() -> list[bytes]:
    """Wait for commands; an empty list at the end of the input."""
    held = b""
    while not held.endswith(b"\n"):
        chunk = os.read(0, 1 << 16)
        if not chunk:
            return []
        held += chunk
    return held.splitlines()


def clean(folder: str) -> None:
    """Remove the folder, which holds plain files only."""
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 -- pathlib takes longer to import than a command to run
            with suppress(OSError):
                os.unlink(os.path.join(folder, name))  # noqa: PTH108, PTH118
        os.rmdir(folder)  # noqa: PTH106


def main(memory_bytes: str, file_bytes: str) -> None:
    folder = os.getcwd()  # noqa: PTH109
    leave_network()
    limit(int(memory_bytes), int(file_bytes))
    while commands := lines():
        for command in commands:
            status = wait(start(json.loads(command), folder))
            if status is None:
                break
            os.write(1, b"\0%d\n" % status)
            os.write(2, b"\0")
    clean(folder)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
