"""What the producer and the receiver write down, each in its own process, and how it is read again.

One JSON object a line. A last line that was cut off is no line: its writer died in the middle of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

Manner = Literal["own_id", "keyed", "bare", "run"]
"""How something was sent: an event with its publisher's id; one with an Idempotency-Key; one with neither, which
is therefore never sent twice; a trigger request that starts an execution."""

Verdict = Literal["acked", "refused", "unknown"]


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What the producer knows of one thing it sent, once it is done with it.

    sha256: of the data's bytes, hex.  id: what the 2xx named: the event's or the execution's id; None without one.
    answer: acked (2xx), refused (4xx) or unknown (5xx, time-out, reset; it may or may not have arrived).
    tries: requests that were written, those before an answer was known included.
    troubles: what came instead of an answer to keep, oldest first: a status, or the name of what the client raised.
    A connection that was refused carried nothing and is none.
    began_at, ended_at: before the first try and after the answer, CLOCK_MONOTONIC seconds.
    """

    seq: int
    manner: Manner
    type: str
    sha256: str
    answer: Verdict
    status: int
    tries: int
    id: str | None = None
    key: str | None = None
    began_at: float = 0.0
    ended_at: float = 0.0
    troubles: tuple[str, ...] = ()


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """One event that reached the receiver, alone or in a batch.

    at: CLOCK_MONOTONIC seconds.  id: the ``webhook-id`` header, or what a batch says of the event.
    seq: -1 when the body could not be read.
    number: how often this seq came to this endpoint so far, 1 for the first.
    sha256: of the data's bytes in the body.  is_signed: every signature it carries is right.  answer: HTTP status.
    """

    at: float
    endpoint: str
    id: str
    seq: int
    number: int
    sha256: str
    is_signed: bool
    answer: int


T = TypeVar("T", Sent, Receipt)
encode = msgspec.json.Encoder().encode


def read(path: Path, kind: type[T]) -> list[T]:
    """All whole lines of a ledger; none when there is no such file."""
    if not path.exists():
        return []
    decode = msgspec.json.Decoder(kind).decode
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [decode(line) for line in whole.split(b"\n") if line]
