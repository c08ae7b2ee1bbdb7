"""The child's end of the line to its node, and what ends the child when the node is gone.

Two guards, because either may fail to act. The kernel kills the whole process group as soon as the node's
end of the lifeline closes, whatever user code does and whatever it has started (Linux). A thread that sleeps
in ``poll`` does the same when the socket's other end closes (everywhere; needs the interpreter to be free).
PR_SET_PDEATHSIG is not used: it would kill only this process, and leave those it has started.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import threading
from _thread import start_new_thread
from typing import TYPE_CHECKING, NoReturn

from hookline.runners.protocol import TO_CHILD, FrameReader, frame

if TYPE_CHECKING:
    from hookline.runners.protocol import ToChild, ToNode

READ_SIZE = 256 * 1024
"""Bytes read at once: many small frames, or a good piece of a large one."""


class Link:
    """A blocking line to the node. Sending is safe from any thread, receiving is for one at a time."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        self.socket = socket.socket(fileno=fd)
        self._reader = FrameReader(TO_CHILD)
        self._received: list[ToChild] = []
        self._lock = threading.Lock()

    def send(self, message: ToNode) -> None:
        """Send at once; blocks while the node is behind. Ends the process when the node is gone."""
        self.send_frames(frame(message))

    def send_frames(self, data: bytes) -> None:
        """Send frames made before, as ``send`` does."""
        left = memoryview(data)
        try:
            with self._lock:
                while left:
                    try:
                        left = left[self.socket.send(left) :]
                    except BlockingIOError:
                        # A loop that reads from the socket has made it so, for writing too.
                        self._wait_writable()
        except OSError:
            end_group()

    def _wait_writable(self) -> None:
        poll = select.poll()
        poll.register(self.socket, select.POLLOUT)
        poll.poll()

    def receive(self) -> ToChild:
        """Block for the next message. Ends the process when the node is gone."""
        while not self._received:
            self._received = self._take(0)[::-1]
        return self._received.pop()

    def receive_waiting(self) -> list[ToChild]:
        """Return what has arrived, without blocking."""
        taken = self._received[::-1] + self._take(socket.MSG_DONTWAIT)
        self._received = []
        return taken

    def _take(self, flags: int) -> list[ToChild]:
        try:
            data = self.socket.recv(READ_SIZE, flags)
        except BlockingIOError:
            return []
        except OSError:
            end_group()
        if not data:
            end_group()
        return self._reader.feed(data)


def end_group() -> NoReturn:
    """End this process and all it has started, at once."""
    # Only a group of our own: started by hand in a shell, the group may be the shell's.
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(70)


def guard(link: Link, lifeline: int | None) -> None:
    """End the process group when the node is gone. lifeline: read end of a pipe only the node can write."""
    if lifeline is not None:
        os.set_inheritable(lifeline, False)
        # Not on every kernel and sandbox; the thread below remains.
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
            fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)  # type: ignore[attr-defined, unused-ignore]
            fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    start_new_thread(_watch, (link.socket.fileno(),))


def _watch(fd: int) -> None:
    """Sleep until the other end of the socket is closed; data that waits to be read does not wake it."""
    closing = select.poll()
    closing.register(fd, getattr(select, "POLLRDHUP", select.POLLHUP))
    while not closing.poll():
        pass
    end_group()
