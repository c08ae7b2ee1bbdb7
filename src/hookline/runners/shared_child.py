"""Run many async executions side by side in one process.

They share its memory, its event loop and its fate. Answers are written once per turn of the loop, so a busy
child makes few system calls. What runs print goes to the execution whose task printed it.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
import threading
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, NoReturn

import uvloop

from hookline.model.states import Kind
from hookline.runners import values
from hookline.runners.async_session import AsyncSession
from hookline.runners.ending import answer, missing
from hookline.runners.output import OutputLines
from hookline.runners.protocol import Ack, Broken, Cancel, Journal, Ready, Start, frame
from hookline.sdk import context_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.model.executions import JournalEntry
    from hookline.runners.link import Link
    from hookline.runners.protocol import ToNode
    from hookline.sdk import App

_current: ContextVar[SharedRun | None] = ContextVar("hookline_current_run", default=None)
"""The run that this task or thread belongs to."""


class SharedRun:
    """One execution in this process."""

    __slots__ = ("output", "session")

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.output: OutputLines | None = None

    def printed(self, stream: str, text: str) -> None:
        """Log what the run printed."""
        if self.output is None:
            self.output = OutputLines()
        self._log(self.output.feed(stream, text.encode("utf-8", "backslashreplace")))

    def close_output(self) -> None:
        if self.output is not None:
            self._log(self.output.close())

    def _log(self, drafts: list[Any]) -> None:
        if drafts:
            self.session.output(drafts)


class RunStream(io.TextIOBase):
    """Stands for ``sys.stdout`` or ``sys.stderr``; text of no run goes to the real one."""

    def __init__(self, stream: str, real: Any) -> None:
        self._stream, self._real = stream, real

    def write(self, text: str, /) -> int:
        run = _current.get()
        if run is None:
            self._real.write(text)
        else:
            run.printed(self._stream, text)
        return len(text)

    def flush(self) -> None:
        self._real.flush()

    def fileno(self) -> int:
        return int(self._real.fileno())

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"


class SharedChild:
    """The runs of this process, and its line to the node."""

    def __init__(self, link: Link, app: App, loop: asyncio.AbstractEventLoop) -> None:
        self._link, self._app, self._loop = link, app, loop
        self._thread = threading.get_ident()
        self._outgoing: list[bytes] = []
        self._journals: dict[int, list[JournalEntry]] = {}
        self._runs: dict[int, AsyncSession] = {}
        # A coroutine that is dropped is closed by Python, which runs its ``finally`` blocks. A suspended run
        # must not notice anything, so it is kept; the node replaces this process after a while.
        self._suspended: list[AsyncSession] = []

    def receive(self) -> None:
        """Act on what the node has sent."""
        for message in self._link.receive_waiting():
            match message:
                case Start():
                    self._start(message)
                case Ack():
                    if message.run in self._runs:
                        self._runs[message.run].acknowledge(message.sequence)
                case Journal():
                    self._journals.setdefault(message.run, []).extend(message.entries)
                case Cancel():
                    session = self._runs.get(message.run)
                    if session is not None and session.task is not None:
                        session.task.cancel()

    def send(self, message: ToNode) -> None:
        """Send at the end of this turn of the loop. Raises FrameTooLargeError."""
        data = frame(message)
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self._queue, data)
        else:
            self._queue(data)

    def _queue(self, data: bytes) -> None:
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(data)

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        self._link.send_frames(b"".join(outgoing))

    def _start(self, start: Start) -> None:
        journal = self._journals.pop(start.run, ())
        function = self._app.function(Kind(start.kind), start.automation_id)
        if function is None:
            self.send(Broken(start.run, missing(start)))
            return
        try:
            session = AsyncSession(start, journal, self.send, loop=self._loop, on_suspended=self._keep)
        except Exception as exc:  # noqa: BLE001 -- a trigger or input nobody can read is the run's failure
            self.send(Broken(start.run, values.failure_of(exc)))
            return
        self._runs[start.run] = session
        context = copy_context()
        run = SharedRun(session)
        context.run(_current.set, run)
        session.task = self._loop.create_task(self._run(run, Kind(start.kind), function), context=context)

    async def _run(self, run: SharedRun, kind: Kind, function: Callable[..., Any]) -> None:
        session = run.session
        try:
            result = await function(context_for(session, kind, asynchronous=True))
        except BaseException as exc:  # noqa: BLE001 -- whatever ended it is the answer; others live on
            run.close_output()
            self.send(Broken(session.run, values.failure_of(exc)))
        else:
            run.close_output()
            answer(session, kind, result, self.send)
        session.is_over = True
        del self._runs[session.run]

    def _keep(self, session: AsyncSession) -> None:
        del self._runs[session.run]
        self._suspended.append(session)


def serve(link: Link, app: App) -> NoReturn:
    """Run what the node sends until it closes the line, which ends the process."""
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    sys.stdout, sys.stderr = RunStream("stdout", sys.stdout), RunStream("stderr", sys.stderr)
    child = SharedChild(link, app, loop)
    loop.add_reader(link.socket, child.receive)
    link.send(Ready(os.getpid(), list(app.automations)))
    while True:
        # A SystemExit or KeyboardInterrupt in some task of a user stops the loop: the other runs go on.
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            continue
