"""What a node and the process of one robot say to each other: JSON, one message a line, over a socket.

node → robot   Setup                       which browser, which networks, where its files go
robot → node   Ready | Unready             a browser runs, or why not
node → robot   Begin                       the recording, and what the run was started with
robot → node   Told, Shot, …               as it goes
robot → node   Done | Broken               how it ended; then the process ends
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final, TypeVar

import msgspec

from hookline.model.executions import Failure

MOST_BYTES: Final = 16 << 20
"""Of one message: what a run may capture, and then some."""


class Setup(msgspec.Struct, frozen=True, tag=True):
    """chromium: its program, None for Playwright's own.  folder: the run's own; all it writes goes there.

    user: number of an unprivileged user that the browser becomes, None to stay who we are.
    networks: CIDRs that may be visited though private.  egress: URL of the operator's proxy, or None.
    memory_bytes: of the browser's own memory, all its processes together.
    """

    chromium: str | None
    folder: str
    user: int | None
    networks: tuple[str, ...]
    egress: str | None
    memory_bytes: int


class Begin(msgspec.Struct, frozen=True, tag=True):
    """recording: as stored.  parameters: what takes the place of its ``$param``.

    matching: ``order`` or ``where``.  pause_ms: after each action.  max_repeats: of a pair that failed.
    """

    recording: msgspec.Raw
    parameters: dict[str, Any]
    matching: str
    pause_ms: int
    max_repeats: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """sessions: those that the browser and its helpers made for themselves.  browser_id: a UUID for people.

    is_sandboxed: the browser's own sandbox holds.
    """

    sessions: list[int]
    browser_id: str
    version: str
    is_sandboxed: bool


class Unready(msgspec.Struct, frozen=True, tag=True):
    message: str


class Told(msgspec.Struct, frozen=True, tag=True):
    """A line for the log."""

    level: str
    text: str


class Moved(msgspec.Struct, frozen=True, tag=True):
    """How far it is. label: what it does now."""

    percent: int
    label: str


class Shot(msgspec.Struct, frozen=True, tag=True):
    """A screenshot. file: in the run's folder.  name: as the recording calls it."""

    file: str
    name: str


class Done(msgspec.Struct, frozen=True, tag=True):
    output: msgspec.Raw


class Broken(msgspec.Struct, frozen=True, tag=True):
    """is_partial: something had been captured before it failed."""

    failure: Failure
    is_partial: bool


ToRobot = Setup | Begin
ToNode = Ready | Unready | Told | Moved | Shot | Done | Broken

TO_ROBOT: Final = msgspec.json.Decoder(ToRobot)
TO_NODE: Final = msgspec.json.Decoder(ToNode)
_encoder: Final = msgspec.json.Encoder()

Message = TypeVar("Message")


def line(message: ToRobot | ToNode) -> bytes:
    """Return a message as one line. A line feed in JSON is white space, as in a recording that people laid out."""
    return _encoder.encode(message).replace(b"\n", b" ") + b"\n"


async def open_line(number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Speak over the socket of that number, which the node left to this process."""
    return await asyncio.open_connection(sock=socket.socket(fileno=number), limit=MOST_BYTES)


async def receive(reader: asyncio.StreamReader, decoder: msgspec.json.Decoder[Message]) -> Message | None:
    """Return the next message; None when the other end is gone. Raises ValueError for what is none."""
    data = await reader.readline()
    if not data.endswith(b"\n"):
        return None
    return decoder.decode(data)
