"""One program behind walls, as the node sees it: started, read from, ended, and nothing of it left.

Everything happens in the node's event loop. The end is seen by a descriptor of the process, so no child watcher is
needed; what the program wrote before it ended is read to the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from hookline.runners.sandbox.husk import Husk
from hookline.runners.sandbox.left import LeftFiles
from hookline.runners.sandbox.way_out import WayOut

if TYPE_CHECKING:
    import asyncio

    from hookline.runners.sandbox.way_out import Relay

_PIPE_BYTES: Final = 64 * 1024
_LAST_READS: Final = 64
"""Reads of what a dead program left in a pipe: it holds no more than that."""

_TRICKLE_SECONDS: Final = 0.1
"""Between two reads of what is not wanted any more: the program goes on, slowly, and costs the node nothing."""


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What runs, and behind which walls; JSON for ``enter.py``.

    argv, environment, folder: paths as the view has them.  files: their text by name, in ``/hookline``.  binds: what is
    shown of the machine beside the system's programs, at the same paths, for reading.  limits: names as in ``init.py``.
    network: a proxy as its way out, named by the usual variables, instead of no network.  artifacts: the folder whose
    files are handed over in the end, at most ``most_artifacts``.
    """

    argv: tuple[str, ...]
    environment: dict[str, str]
    files: dict[str, str] = {}
    binds: tuple[str, ...] = ()
    limits: dict[str, int] = {}
    memory_bytes: int = 1 << 28
    disk_bytes: int = 1 << 26
    network: bool = False
    namespaces: bool = True
    must_isolate: bool = True
    folder: str = "/tmp"  # noqa: S108 -- of the view
    artifacts: str = "/tmp/artifacts"  # noqa: S108
    most_artifacts: int


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended.

    code: its exit code, 128 and the signal's number for one that a signal ended; None when nobody saw its end.
    is_out_of_memory: it was ended for that.  error: why it was not started, or None.  is_refused: for want of walls.
    walls: those it ran behind.
    """

    code: int | None = None
    is_out_of_memory: bool = False
    error: str | None = None
    is_refused: bool = False
    walls: tuple[str, ...] = ()


class _Told(msgspec.Struct):
    """A line of ``enter.py``."""

    walls: tuple[str, ...] | None = None
    exit: int | None = None
    reason: str | None = None
    error: str | None = None
    refused: bool = False


class CellOwner(Protocol):
    """Whoever follows a cell. Calls come from the event loop."""

    def printed(self, stream: str, data: bytes) -> bool:
        """Take output of ``stdout`` or ``stderr``. False: nothing more is wanted of it."""

    def told(self, data: bytes) -> bool:
        """Take what the program wrote to its channel. False: nothing more is wanted of it."""

    def gone(self, end: End) -> None:
        """It has ended, with all that it started."""


class Cell:
    """A program under way. Raises OSError when it cannot be started.

    left: the files that it left behind, to be taken once it is gone, and to be closed.
    """

    def __init__(
        self,
        spec: Spec,
        owner: CellOwner,
        loop: asyncio.AbstractEventLoop,
        *,
        channel: str,
        relay: Relay | None = None,
        husk: Husk | None = None,
    ) -> None:
        """channel: the variable that tells the program which descriptor is its channel to the node.

        relay: what serves its connections where ``spec.network`` is set, None elsewhere. It ends with the program.
        husk: the sandbox that it runs in, made as ``spec.namespaces`` says; None for a new one.
        """
        husk = husk or Husk(namespaces=spec.namespaces)
        self._owner, self._loop = owner, loop
        self._root, self._process, self._status_fd = husk.root, husk.process, husk.status
        self._lifeline: int | None = husk.lifeline
        self._is_ended = False
        self._readers: dict[int, str] = {}
        self.left = LeftFiles(husk.left)
        self._way_out = None if relay is None else WayOut(relay, loop, husk.taking)
        if relay is None:
            husk.taking.close()
        husk.begin(spec, channel)
        self._ended = os.pidfd_open(self._process.pid)
        for fd, name in husk.pipes.items():
            os.set_blocking(fd, False)
            self._readers[fd] = name
            loop.add_reader(fd, self._readable, fd)
        loop.add_reader(self._ended, self._end)

    def __repr__(self) -> str:
        return f"<Cell {self._process.pid}{' ended' if self._is_ended else ''}>"

    def terminate(self) -> None:
        """Ask it to end: SIGTERM to all that it has started and that stayed in its group."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it with all that it has started, wherever that has gone."""
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
            # It takes itself down when the line is cut; the signal is for one that cannot.
            self._loop.call_later(5.0, self._signal, signal.SIGKILL)

    def _signal(self, number: int) -> None:
        # Until it is reaped, its id and that of its group belong to nobody else.
        if not self._is_ended:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _readable(self, fd: int) -> None:
        if self._read(fd) == 0:
            self._loop.remove_reader(fd)

    def _read(self, fd: int) -> int | None:
        """Read once; return how many bytes: 0 at the end, None when there is nothing now."""
        try:
            data = os.read(fd, _PIPE_BYTES)
        except BlockingIOError:
            return None
        name = self._readers[fd]
        if data and not (self._owner.told(data) if name == "channel" else self._owner.printed(name, data)):
            self._loop.remove_reader(fd)
            self._loop.call_later(_TRICKLE_SECONDS, self._read_on, fd)
        return len(data)

    def _read_on(self, fd: int) -> None:
        if fd in self._readers:
            self._loop.add_reader(fd, self._readable, fd)

    def _end(self) -> None:
        """Take note of the end: read what is left, and leave nothing."""
        self._loop.remove_reader(self._ended)
        # What left the group and cannot be walled in would otherwise hold the pipes, not us.
        self._signal(signal.SIGKILL)
        self._is_ended = True
        self._process.wait()
        os.close(self._ended)
        for fd in list(self._readers):
            for _ in range(_LAST_READS):
                if not self._read(fd):
                    break
            self._loop.remove_reader(fd)
            del self._readers[fd]
            os.close(fd)
        end = _end_of(_drained(self._status_fd))
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        self._leave_nothing()
        self._owner.gone(end)

    def _leave_nothing(self) -> None:
        if self._way_out is not None:
            self._way_out.close()
        shutil.rmtree(self._root, ignore_errors=True)


def _end_of(status: bytes) -> End:
    walls: tuple[str, ...] = ()
    end = End()
    for line in status.splitlines():
        told = msgspec.json.decode(line, type=_Told)
        walls = told.walls if told.walls is not None else walls
        if told.error is not None:
            end = End(error=told.error, is_refused=told.refused)
        elif told.exit is not None and end.error is None:
            end = End(code=told.exit, is_out_of_memory=told.reason == "memory")
    return msgspec.structs.replace(end, walls=walls)


def _drained(fd: int) -> bytes:
    os.set_blocking(fd, False)
    data = b""
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(fd, _PIPE_BYTES):
            data += piece
    os.close(fd)
    return data
