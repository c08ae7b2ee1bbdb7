"""The node's hold on the process of one robot: start it, talk to it, and see that nothing of it is left."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from hookline.runners.robot.folders import RunFolder
from hookline.runners.robot.messages import MOST_BYTES, TO_NODE, line, receive
from hookline.runners.robot.processes import end_sessions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookline.runners.robot.messages import ToNode, ToRobot

_TAIL_BYTES: Final = 2000


class RobotProcess:
    """One process with its folder. Raises OSError when it cannot be started."""

    def __init__(self, environment: Mapping[str, str], user: int | None) -> None:
        self.folder = RunFolder()
        self.sessions: set[int] = set()
        try:
            self.folder.home(user)
            self._process, self._socket, self._lifeline = _launch(self.folder, environment)
        except BaseException:
            self.folder.remove()
            raise
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    def __repr__(self) -> str:
        return f"<RobotProcess {self._process.pid} in {self.folder!r}>"

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(sock=self._socket, limit=MOST_BYTES)

    def send(self, message: ToRobot) -> None:
        assert self._writer is not None
        self._writer.write(line(message))

    async def receive(self) -> ToNode | None:
        """The next message; None when it is dead, or no longer speaks our language."""
        assert self._reader is not None
        try:
            return await receive(self._reader, TO_NODE)
        except (ValueError, OSError):
            return None

    def kill(self) -> None:
        """End all its processes. What it said before can still be read."""
        end_sessions({self._process.pid} | self.sessions)

    async def close(self) -> None:
        """End it, wait for that, and take its folder away. Looking at every process takes a while: not on the loop."""
        await asyncio.to_thread(self.kill)
        pause = 0.001
        while self._process.poll() is None:
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.2)
        await asyncio.to_thread(self.kill)
        if self._writer is None:
            self._socket.close()
        else:
            self._writer.close()
        os.close(self._lifeline)
        await asyncio.to_thread(self.folder.remove)

    def last_words(self) -> str | None:
        """What it wrote to stderr at last, for people."""
        try:
            text = (self.folder.path / "stderr").read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace")
        except OSError:
            return None
        return text.strip() or None


def _launch(
    folder: RunFolder, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], socket.socket, int]:
    """Start it; return it, our end of its socket, and the pipe that it lives by."""
    with ExitStack() as ours, ExitStack() as theirs:
        end, child_end = socket.socketpair()
        ours.callback(end.close)
        theirs.callback(child_end.close)
        lifeline, held = os.pipe()
        theirs.callback(os.close, lifeline)
        ours.callback(os.close, held)
        errors = theirs.enter_context((folder.path / "stderr").open("wb"))
        process = subprocess.Popen(  # noqa: S603 -- our own module
            [
                *(sys.executable, "-P", "-m", "hookline.robot"),
                *("--fd", str(child_end.fileno()), "--lifeline", str(lifeline)),
            ],
            env={**environment, "TMPDIR": str(folder.path)},
            cwd=folder.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            pass_fds=(child_end.fileno(), lifeline, folder.lock),
            start_new_session=True,
        )
        ours.pop_all()
    end.setblocking(False)
    return process, end, held
