"""Start one child process, seat runs in it, read what it prints, and see it end.

Everything happens in the node's event loop: no thread, because handing work to one from a busy loop takes
tens of milliseconds. The end of a child is seen as the end of its socket, which nothing it starts inherits;
then its whole process group is killed and the process reaped. A child is exec'ed, never forked from the node's
memory, leads a session of its own, and gets four descriptors: the socket, the lifeline, stdout and stderr.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from hookline.model.executions import Failure
from hookline.ports.runner import CallJob
from hookline.runners.line import Line
from hookline.runners.output import OutputLines
from hookline.runners.protocol import (
    Ack,
    Began,
    Call,
    Cancel,
    Ready,
    Recorded,
    Start,
    Unready,
    frame,
    journal_frames,
)

if TYPE_CHECKING:
    import asyncio

    from hookline.runners.protocol import ProtocolError, ToNode
    from hookline.runners.run import Run

PIPE_SIZE: Final = 64 * 1024
"""Bytes read from a pipe at once: what one holds."""

LAST_READS: Final = 16
"""Reads of what a dead process left in a pipe: something that escaped it may be writing without end."""

MAX_UNSETTLED: Final = 16 * 1024 * 1024
"""Bytes that may wait for the engine before reading stops, so that a run cannot fill the node's memory."""

TAIL: Final = 4096
"""Bytes kept of what a process prints outside of a run, to say why it did not start."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """How a child is started. place: the app's file, ``path.py`` or ``path.py:name``.

    mode: ``alone`` (one run, then it ends), ``shared`` (many runs at once) or ``calls`` (one call after the other).
    """

    place: str
    environment: Mapping[str, str]
    mode: str


class ChildOwner(Protocol):
    """Whoever keeps children: told that one is ready, or not, and at last that it is gone."""

    def ready(self, child: Child, manifest: Ready) -> None: ...
    def gone(self, child: Child, why: Failure) -> None:
        """It is dead and reaped, and its runs know."""


class Child:
    """One child process. Raises OSError when it cannot be started."""

    def __init__(self, command: Command, owner: ChildOwner, loop: asyncio.AbstractEventLoop) -> None:
        self.is_shared = command.mode == "shared"
        self.lives_on = command.mode != "alone"
        self.is_ready = self.is_gone = False
        self.runs: dict[int, Run] = {}
        self.runs_started = 0
        self._owner, self._loop = owner, loop
        self._unsettled_runs = self._unsettled_bytes = 0
        self._why: Failure | None = None
        self._lines = OutputLines()
        self._tail = b""
        self._process, end, self._lifeline, self._outputs = _launch(command)
        self._line = Line(end, self, loop)
        for fd in self._outputs:
            os.set_blocking(fd, False)
            loop.add_reader(fd, self._printed, fd)

    def __repr__(self) -> str:
        state = "gone" if self.is_gone else "ready" if self.is_ready else "starting"
        return f"<Child {self.pid} {state}, {len(self.runs)} runs>"

    @property
    def pid(self) -> int:
        return self._process.pid

    def seat(self, run: Run) -> None:
        """Let a run use this process; user code does not run before ``start``."""
        self.runs[run.number] = run
        run.seat = self

    def start(self, run: Run) -> None:
        """Begin user code. Raises FrameTooLargeError, and has sent nothing then."""
        for data in _opening(run):
            self._line.write(data)
        self._lines = OutputLines()
        self.runs_started += 1
        run.begin()

    def release(self, run: Run) -> None:
        """Take back the seat of a run: what of it still goes on is ended."""
        run.abandon()
        run.seat = None
        del self.runs[run.number]
        if not run.has_started or (self.lives_on and run.has_ended):
            return
        if self.is_shared:
            self._line.write(frame(Cancel(run.number)))
        else:
            self.kill()

    def stop(self, run: Run) -> None:
        if self.is_shared:
            self._line.write(frame(Cancel(run.number)))
        else:
            self._signal(signal.SIGTERM)

    def acknowledge(self, run: Run, sequence: int) -> None:
        self._line.write(frame(Ack(run.number, sequence)))

    def unsettled(self, change: int) -> None:
        self._unsettled_runs += change
        if self._unsettled_runs == 0:
            self._unsettled_bytes = 0
            self._line.read_on(wanted=True)

    def kill(self) -> None:
        """End the process and all it has started. What it sent before is still read; then it is gone."""
        self._signal(signal.SIGKILL)

    def due(self) -> None:
        """Act on an import without end."""
        self._why = Failure(code="LOST", message="importing it took too long", stack=self._last_words())
        self.kill()

    def _signal(self, number: int) -> None:
        # Until it is reaped, its id and that of its group belong to nobody else.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def took(self, message: ToNode) -> None:
        match message:
            case Began() | Recorded():
                if message.run in self.runs:
                    self.runs[message.run].recorded(message)
            case Ready():
                if self.is_ready:  # forged by user code
                    self.kill()
                    return
                self.is_ready = True
                self._owner.ready(self, message)
            case Unready():
                self._why = message.failure
            case _:
                run = self.runs.get(message.run)
                if not self.lives_on:
                    self.kill()
                if not self.is_shared:
                    self._drain(run)
                if run is not None:
                    run.answered(message)

    def was_read(self, size: int) -> None:
        if self._unsettled_runs:
            self._unsettled_bytes += size
            self._line.read_on(wanted=self._unsettled_bytes < MAX_UNSETTLED)

    def ended(self, broken: ProtocolError | None) -> None:
        if broken is not None:
            self._why = Failure(code="LOST", message=f"its process broke the protocol: {broken.message}")
        self.kill()
        self.reap()

    def reap(self, pause: float = 0.001) -> None:
        """Take note of the exit; a killed process is gone within a moment, unless the kernel holds it."""
        if self.is_gone:
            return
        if self._process.poll() is None:
            self._loop.call_later(pause, self.reap, min(pause * 2, 0.5))
            return
        self.is_gone = True
        self._line.close()
        os.close(self._lifeline)
        runs = list(self.runs.values())
        self._drain(runs[0] if runs and not self.is_shared else None)
        for fd in self._outputs:
            self._loop.remove_reader(fd)
            os.close(fd)
        self._outputs = {}
        why = self._why or Failure(
            code="LOST", message=_death(self._process.returncode), stack=self._last_words()
        )
        for run in runs:
            run.lost(why.message)
        self._owner.gone(self, why)

    def _last_words(self) -> str | None:
        return self._tail.decode("utf-8", "replace") or None

    def _printed(self, fd: int) -> None:
        run = None if self.is_shared else next(iter(self.runs.values()), None)
        if self._read_output(fd, run) == 0:
            self._loop.remove_reader(fd)

    def _read_output(self, fd: int, run: Run | None) -> int | None:
        """Read once; return how many bytes: 0 at the end, None when there is nothing now."""
        try:
            data = os.read(fd, PIPE_SIZE)
        except BlockingIOError:
            return None
        if run is not None and run.has_started:
            if not self._lines.is_full:
                run.printed(self._lines.feed(self._outputs[fd], data))
        else:
            self._tail = (self._tail + data)[-TAIL:]
        return len(data)

    def _drain(self, run: Run | None) -> None:
        """Read what is left in the pipes."""
        for fd in self._outputs:
            for _ in range(LAST_READS):
                if not self._read_output(fd, run):
                    break
        if run is not None:
            run.printed(self._lines.close())


def _launch(command: Command) -> tuple[subprocess.Popen[bytes], socket.socket, int, dict[int, str]]:
    """Start the process; return it, our end of its socket, the pipe it lives by, and its output pipes."""
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        end, child_end = socket.socketpair()
        ours.callback(end.close)
        theirs.callback(child_end.close)
        lifeline, held = _pipe(theirs, ours)
        output, stdout = _pipe(ours, theirs)
        errors, stderr = _pipe(ours, theirs)
        given = ["--fd", str(child_end.fileno()), "--lifeline", str(lifeline)]
        process = subprocess.Popen(  # noqa: S603 -- our own module; the place is the operator's setting
            [sys.executable, "-P", "-m", "hookline.runners.child", command.place, *given]
            + ([] if command.mode == "alone" else [f"--{command.mode}"]),
            env=dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            pass_fds=(child_end.fileno(), lifeline),
            start_new_session=True,
        )
        ours.pop_all()
    return process, end, held, {output: "stdout", errors: "stderr"}


def _opening(run: Run) -> list[bytes]:
    """Return the frames that begin a run. Raises FrameTooLargeError."""
    job = run.job
    if isinstance(job, CallJob):
        call = Call(run.number, job.integration_id, job.flow, job.handler, job.context, job.payload)
        return [frame(call)]
    start = Start(
        run.number,
        job.execution_id,
        job.kind,
        job.automation_id,
        job.input,
        job.trigger,
        job.attempt,
        job.private,
        job.trace,
        job.model,
    )
    return [*journal_frames(run.number, job.journal), frame(start)]


def _pipe(reads: contextlib.ExitStack, writes: contextlib.ExitStack) -> tuple[int, int]:
    """Return the two ends of a new pipe, each to be closed by its stack."""
    reading, writing = os.pipe()
    reads.callback(os.close, reading)
    writes.callback(os.close, writing)
    return reading, writing


def _death(status: int) -> str:
    if status >= 0:
        return f"its process exited with status {status} and no answer"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    hint = " (out of memory?)" if -status == signal.SIGKILL else ""
    return f"its process was killed by {name}{hint}"
