"""Run many async executions side by side in one process.

They share its memory, its event loop and its fate. Answers are written once per turn of the loop, so a busy
child makes few system calls. What runs print goes to the execution whose task printed it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NoReturn

import uvloop

from hookline.context import context_for
from hookline.model.states import Kind
from hookline.runners import values
from hookline.runners.async_session import AsyncSession
from hookline.runners.ending import answer, missing
from hookline.runners.protocol import Ack, Broken, Cancel, Journal, Ready, Start, frame
from hookline.runners.streams import SharedOutput, current_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.model.executions import JournalEntry
    from hookline.runners.link import Link
    from hookline.runners.protocol import ToNode
    from hookline.sdk import App


class SharedChild:
    """The runs of this process, and its line to the node."""

    def __init__(self, link: Link, app: App, loop: asyncio.AbstractEventLoop) -> None:
        self._link, self._app, self._loop = link, app, loop
        self._workflows = app.workflows
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
        session.workflows = self._workflows
        self._runs[start.run] = session
        output = SharedOutput(session.output)
        session.flush = output.close
        context = copy_context()
        context.run(current_output.set, output)
        session.task = self._loop.create_task(self._run(session, Kind(start.kind), function), context=context)

    async def _run(self, session: AsyncSession, kind: Kind, function: Callable[..., Any]) -> None:
        try:
            result = await function(context_for(session, kind, asynchronous=True))
        except BaseException as exc:  # noqa: BLE001 -- whatever ended it is the answer; others live on
            session.flush()
            self.send(Broken(session.run, values.failure_of(exc)))
        else:
            session.flush()
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
    child = SharedChild(link, app, loop)
    loop.add_reader(link.socket, child.receive)
    if any(each.uses_model for each in app.automations):
        from hookline.model_agent.turn import preload

        preload()
    link.send(Ready(os.getpid(), list(app.automations), list(app.integrations)))
    while True:
        # A SystemExit or KeyboardInterrupt in some task of a user stops the loop: the other runs go on.
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            continue
