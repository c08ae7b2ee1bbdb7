"""Say what the node and its child processes tell each other, and how it is framed.

Over one socket pair, never over stdin or stdout: a user's ``print`` cannot corrupt it. A frame is four bytes
of length, big-endian, and that many bytes of MessagePack: one tagged message. Both ends refuse a longer frame
than MAX_FRAME. ``run`` numbers a run within one node; a child that runs one execution still gets it.

    node to child   for each run: Journal* Start, then Ack*, Cancel; or one Call
    child to node   Ready | Unready, once; then for each run: (Began | Recorded)*, at last Suspend | Finished | Broken

Everything of one run arrives in order. The child waits for the Ack of a step before it goes on; log lines,
credits and events are sent without waiting, and what ends the run comes after them.
"""

from __future__ import annotations

from datetime import datetime
from struct import Struct as Packing
from typing import Final, Generic, TypeVar

import msgspec

from hookline.errors import RemoteError
from hookline.model.executions import Automation, Failure, JournalEntry
from hookline.model.integrations import Handler, Integration
from hookline.ports.runner import EmitDraft, LogDraft, OpenWait

MAX_FRAME: Final = 64 * 1024 * 1024
"""Bytes. One input, one step's result or one output may come near this; a journal is sent in parts."""

JOURNAL_PART: Final = 8 * 1024 * 1024
"""Bytes of journal values after which a new frame is begun."""

_LENGTH: Final = Packing(">I")


class ProtocolError(RemoteError):
    """The other end sent what the protocol does not allow."""

    code = "RUNNER_PROTOCOL"


class FrameTooLargeError(RemoteError):
    """A message does not fit into one frame."""

    code = "RUNNER_FRAME_TOO_LARGE"


class Start(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Run this. The journal came before, in Journal frames of the same run.

    input, trigger, private: JSON text, or None.  trace: headers.  model: what an agent that a model answers
    for needs to reach it (``model_access``), JSON text, None for others.
    """

    run: int
    execution_id: bytes
    kind: str
    automation_id: str
    input: bytes | None
    trigger: bytes | None
    attempt: int
    private: bytes | None = None
    trace: dict[str, str] = {}
    model: bytes | None = None

    def __repr__(self) -> str:
        # Not the fields: secrets are among them (P13).
        return f"Start(run={self.run}, {self.kind} {self.automation_id!r})"


class Journal(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A part of what earlier processes recorded for the run whose Start follows."""

    run: int
    entries: list[JournalEntry]


class Ack(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Everything up to this sequence number of the run is committed."""

    run: int
    sequence: int


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """End this run (shared children; others get a signal)."""

    run: int


class Call(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Call this handler (children that serve calls). context, payload: JSON text, or None."""

    run: int
    integration_id: str
    flow: str | None
    handler: Handler
    context: bytes
    payload: bytes | None

    def __repr__(self) -> str:
        return f"Call(run={self.run}, {self.handler} of {self.integration_id!r})"


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """The app is imported and this is what it declares."""

    pid: int
    automations: list[Automation]
    integrations: list[Integration] = []


class Unready(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """The app cannot be imported."""

    failure: Failure


class Recorded(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """What the run did since its last frame. sequence rises by one per frame of a run, from 1."""

    run: int
    sequence: int
    entries: list[JournalEntry] = []
    logs: list[LogDraft] = []
    credits: float = 0.0
    emits: list[EmitDraft] = []


class Suspend(msgspec.Struct, frozen=True, array_like=True, tag=14):
    """The run rests; its process or coroutine is gone."""

    run: int
    wake_at: datetime | None
    waits: list[OpenWait]


class Finished(msgspec.Struct, frozen=True, array_like=True, tag=15):
    """The function returned. output, resolution: JSON text."""

    run: int
    output: bytes
    resolution: bytes | None


class Broken(msgspec.Struct, frozen=True, array_like=True, tag=16):
    """The function raised, returned what is not JSON, or was cancelled."""

    run: int
    failure: Failure


class Began(msgspec.Struct, frozen=True, array_like=True, tag=17):
    """A try of a step has begun; nothing is stored for it. Its end comes in a Recorded, if it gets there.

    step, number, round: as in ``core.tries.FailedTry``.
    """

    run: int
    name: str
    step: int
    number: int
    round: int
    started_at: datetime


ToChild = Start | Journal | Ack | Cancel | Call
ToNode = Ready | Unready | Began | Recorded | Suspend | Finished | Broken

_encoder: Final = msgspec.msgpack.Encoder()
TO_CHILD: Final = msgspec.msgpack.Decoder(ToChild)
TO_NODE: Final = msgspec.msgpack.Decoder(ToNode)


def frame(message: ToChild | ToNode) -> bytes:
    """Return the message as one frame. Raises FrameTooLargeError."""
    body = _encoder.encode(message)
    if len(body) > MAX_FRAME:
        raise FrameTooLargeError(
            f"{type(message).__name__} has {len(body)} bytes; at most {MAX_FRAME} cross to or from user code",
        )
    return _LENGTH.pack(len(body)) + body


def journal_frames(run: int, entries: tuple[JournalEntry, ...]) -> list[bytes]:
    """Return the journal as as many frames as it needs; none for an empty one."""
    frames: list[bytes] = []
    part: list[JournalEntry] = []
    size = 0
    for entry in entries:
        part.append(entry)
        size += len(entry.value or b"") + 64
        if size > JOURNAL_PART:
            frames.append(frame(Journal(run, part)))
            part, size = [], 0
    if part:
        frames.append(frame(Journal(run, part)))
    return frames


Message = TypeVar("Message")


class FrameReader(Generic[Message]):
    """Cuts a stream of bytes into messages, whatever the pieces it arrives in."""

    __slots__ = ("_buffer", "_decoder")

    def __init__(self, decoder: msgspec.msgpack.Decoder[Message]) -> None:
        self._buffer = bytearray()
        self._decoder: msgspec.msgpack.Decoder[Message] = decoder

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that are complete now. Raises ProtocolError; nothing can follow it."""
        self._buffer += data
        messages: list[Message] = []
        position = 0
        with memoryview(self._buffer) as view:
            while len(view) - position >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(view, position)
                if length > MAX_FRAME:
                    raise ProtocolError(
                        f"a frame of {length} bytes was announced; at most {MAX_FRAME} may come"
                    )
                end = position + _LENGTH.size + length
                if end > len(view):
                    break
                messages.append(self._decode(view[position + _LENGTH.size : end]))
                position = end
        del self._buffer[:position]
        return messages

    def _decode(self, body: memoryview) -> Message:
        try:
            return self._decoder.decode(body)
        except msgspec.MsgspecError as exc:
            raise ProtocolError(f"a frame is not a message: {exc}") from exc
