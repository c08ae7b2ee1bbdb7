"""A sandbox without a program: a process that has left the machine's namespaces and waits to be told what to run.

Most of what a short script costs is this: an interpreter that starts, and walls that are made. It may be done before it
is needed, since no husk has run anything of anybody's, and none runs more than one program.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    import asyncio

    from hookline.runners.sandbox.cell import Spec

ENTER: Final = Path(__file__).with_name("enter.py")

_FIRST_UID: Final = 0x7000_0000
_UIDS: Final = 0x0FFF_0000
"""Numbers of users that nobody has: systemd, container engines and directories stay below them. One for each run, so
that limits per user and signals are a run's own; at random, because other nodes of this machine take some, too."""

_NOBODY: Final = 65_534

_REFILL_SECONDS: Final = 0.1
"""After one was taken, and between two that are made: what has just begun to run goes first."""


class Husk:
    """One sandbox, not yet in use. Raises OSError when it cannot be started.

    status: where it tells what becomes of it.  pipes: by descriptor, what they carry.  taking: the node's end of what
    the program's connections are given over on.  left: the same for the files that it leaves.
    """

    def __init__(self, *, namespaces: bool = True) -> None:
        self.namespaces = namespaces
        self.root = tempfile.mkdtemp(prefix="hookline-cell-")
        try:
            self._launch()
        except BaseException:
            shutil.rmtree(self.root, ignore_errors=True)
            raise

    def __repr__(self) -> str:
        return f"<Husk {self.process.pid}>"

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def begin(self, spec: Spec, channel: str) -> None:
        """Let it run this. channel: the variable that tells the program which descriptor is its channel."""
        whole = msgspec.structs.replace(
            spec, environment=spec.environment | {channel: str(self._channel_number)}
        )
        with os.fdopen(self._given, "wb") as file:
            file.write(msgspec.json.encode(whole))
            file.flush()
            os.lseek(self._given, 0, os.SEEK_SET)
        with contextlib.suppress(BrokenPipeError):  # it died: its end is seen as that of any program
            os.write(self._go, b"g")
        os.close(self._go)

    def discard(self) -> None:
        """End it unused."""
        self.process.kill()
        self.process.wait()
        self.taking.close()
        self.left.close()
        for fd in (self._given, self._go, self.lifeline, self.status, *self.pipes):
            os.close(fd)
        shutil.rmtree(self.root, ignore_errors=True)

    def _launch(self) -> None:
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            lifeline, self.lifeline = _pipe(theirs, ours)
            go, self._go = _pipe(theirs, ours)
            self.status, tells = _pipe(ours, theirs)
            output, stdout = _pipe(ours, theirs)
            errors, stderr = _pipe(ours, theirs)
            reading, self._channel_number = _pipe(ours, theirs)
            self.taking, handing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.callback(self.taking.close)
            theirs.callback(handing.close)
            self.left, leaving = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.callback(self.left.close)
            theirs.callback(leaving.close)
            self._given = os.memfd_create("hookline-spec")
            ours.callback(os.close, self._given)
            given = (self._given, go, tells, lifeline, handing.fileno(), leaving.fileno())
            own = (self.root, str(free_uid() or 0), str(int(self.namespaces)))
            self.process = subprocess.Popen(  # noqa: S603 -- our own program
                [_python(), "-I", "-S", str(ENTER), *map(str, given), *own],
                env={},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(*given, self._channel_number),
                start_new_session=True,
            )
            ours.pop_all()
        self.pipes = {output: "stdout", errors: "stderr", reading: "channel"}


class Husks:
    """Some that stand ready. kept: how many, from the first that was asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, kept: int) -> None:
        self._loop = loop
        self._kept = kept
        self._ready: list[Husk] = []
        self._refilling: asyncio.TimerHandle | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Husks: {len(self._ready)} ready>"

    def take(self, *, namespaces: bool = True) -> Husk:
        """Return one, the oldest that is ready or a new one. Raises OSError."""
        while self._ready:
            husk = self._ready.pop(0)
            if husk.is_alive and husk.namespaces == namespaces:
                self._expect(namespaces=namespaces)
                return husk
            husk.discard()
        self._expect(namespaces=namespaces)
        return Husk(namespaces=namespaces)

    def close(self) -> None:
        """End those that are ready."""
        self._is_closed = True
        if self._refilling is not None:
            self._refilling.cancel()
        for husk in self._ready:
            husk.discard()
        self._ready.clear()

    def _expect(self, *, namespaces: bool) -> None:
        if self._refilling is None and not self._is_closed:
            self._refilling = self._loop.call_later(_REFILL_SECONDS, self._refill, namespaces)

    def _refill(self, namespaces: bool) -> None:  # noqa: FBT001 -- a timer's callback
        self._refilling = None
        if len(self._ready) >= self._kept:
            return
        with contextlib.suppress(OSError):  # whoever needs one next is told why there is none
            self._ready.append(Husk(namespaces=namespaces))
            self._expect(namespaces=namespaces)


def _python() -> str:
    """The interpreter without a virtual environment, which starts sooner."""
    return os.path.realpath(sys.executable)


def free_uid() -> int | None:
    """A user for one run, or None when this node may not become another."""
    if os.getuid() != 0:
        return None
    wanted = _FIRST_UID + secrets.randbelow(_UIDS)
    with contextlib.suppress(OSError, ValueError):
        ranges = [
            tuple(map(int, line.split()))
            for line in Path("/proc/self/uid_map").read_text("ascii").splitlines()
        ]
        for uid in (wanted, _NOBODY):
            if any(first <= uid < first + count for first, _, count in ranges):
                return uid
    return None


def _pipe(reads: contextlib.ExitStack, writes: contextlib.ExitStack) -> tuple[int, int]:
    """Return the two ends of a new pipe, each to be closed by its stack."""
    reading, writing = os.pipe()
    reads.callback(os.close, reading)
    writes.callback(os.close, writing)
    return reading, writing
