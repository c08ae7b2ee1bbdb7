"""The node's end of the line to one child: frames over a socket, in the node's event loop.

Writes of one turn of the loop go out with one call. Reading can pause, so a child cannot send faster than the
engine stores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from hookline.runners.protocol import TO_NODE, FrameReader, ProtocolError

if TYPE_CHECKING:
    import asyncio
    import socket

    from hookline.runners.protocol import ToNode

READ_SIZE: Final = 256 * 1024
"""Bytes read at once: many small frames, or a good piece of a large one."""


class LineOwner(Protocol):
    """The child that a line leads to."""

    def took(self, message: ToNode) -> None:
        """Act on a message."""

    def was_read(self, size: int) -> None:
        """The messages in so many bytes are taken."""

    def ended(self, broken: ProtocolError | None) -> None:
        """No message will come any more. broken: what the other end did wrong, None when it just closed."""


class Line:
    """A socket that speaks frames. Closed by its owner only."""

    def __init__(self, end: socket.socket, owner: LineOwner, loop: asyncio.AbstractEventLoop) -> None:
        end.setblocking(False)
        self._socket, self._owner, self._loop = end, owner, loop
        self._reader = FrameReader(TO_NODE)
        self._outgoing: list[bytes] = []
        self._unsent = b""
        self._is_open = self._is_reading = True
        loop.add_reader(end, self._readable)

    def write(self, data: bytes) -> None:
        """Send frames soon. Does nothing on a closed line: that its owner knows already."""
        if self._is_open:
            if not self._outgoing and not self._unsent:
                self._loop.call_soon(self._flush)
            self._outgoing.append(data)

    def read_on(self, *, wanted: bool) -> None:
        """Pause or go on reading."""
        if self._is_open and wanted != self._is_reading:
            self._is_reading = wanted
            if wanted:
                self._loop.add_reader(self._socket, self._readable)
            else:
                self._loop.remove_reader(self._socket)

    def close(self) -> None:
        """Close the socket, which ends the child if it still lives."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()

    def _flush(self) -> None:
        if not self._is_open:
            return
        was_stuck = bool(self._unsent)
        data = self._unsent + b"".join(self._outgoing)
        self._outgoing = []
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = len(data)  # the child is dying, which the reader sees
        self._unsent = data[sent:]
        if bool(self._unsent) == was_stuck:
            return
        if self._unsent:
            self._loop.add_writer(self._socket, self._flush)
        else:
            self._loop.remove_writer(self._socket)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(None)
            return
        try:
            messages = self._reader.feed(data)
        except ProtocolError as exc:
            self._end(exc)
            return
        for message in messages:
            self._owner.took(message)
        self._owner.was_read(len(data))

    def _end(self, broken: ProtocolError | None) -> None:
        self._loop.remove_reader(self._socket)
        self._owner.ended(broken)
