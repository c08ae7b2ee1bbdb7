"""Keep the folder of one render and run its commands: the process between a node and FFmpeg.

Run as a program, with the limits as arguments; it imports nothing of Hookline, and is what dies last. It reads one
command a line (a JSON array) from its standard input, runs it in its working directory, and then writes a NUL, the
exit status and a line feed to standard output, and a NUL to standard error. When its input ends, because the node
closed it or died, it kills what runs and empties and removes the folder: nothing of a render outlives its node.

What it starts has no network where the kernel allows that, no input, and dies with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import sys
from contextlib import suppress

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38

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


def leave_network(libc: ctypes.CDLL) -> bool:
    """Go where there is no network; say whether that is allowed here."""
    return any(libc.unshare(flags) == 0 for flags in (CLONE_NEWNET, CLONE_NEWUSER | CLONE_NEWNET))


def start(command: list[str], libc: ctypes.CDLL) -> int:
    """Start a command; return its process id."""
    keeper = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != keeper:
            os._exit(NOT_RUN)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
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
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    leave_network(libc)
    limit(int(memory_bytes), int(file_bytes))
    while commands := lines():
        for command in commands:
            status = wait(start(json.loads(command), libc))
            if status is None:
                break
            os.write(1, b"\0%d\n" % status)
            os.write(2, b"\0")
    clean(folder)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
