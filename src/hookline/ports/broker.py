"""What the engine asks of a message broker that events come in by. It carries them here and owns none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class BrokerError(Exception):
    """The broker cannot be asked now. Its text is one plain sentence without secrets."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A message that waits to be taken.

    name: what people find it by in the broker, such as ``ORDERS 17``.  id: the same each time it is brought, and no
    other message's.  headers: by lower-case name.  handle: the adapter's own.
    """

    name: str
    id: str
    subject: str
    headers: dict[str, str]
    data: bytes
    handle: object


class Broker(Protocol):
    """Brings each message until it is taken or refused.

    Guarantees: a message that was neither taken nor refused is brought again, to this node or another.
    Does not guarantee: that it is brought once, or in order after it was put back.
    """

    async def fetch(self, most: int) -> Sequence[Arrival]:
        """Wait some seconds for messages; return what is there, oldest first, possibly nothing. Raises BrokerError."""
        ...

    async def taken(self, arrivals: Sequence[Arrival]) -> None:
        """They are stored: never bring them again. Never raises: one that comes again is known by its id."""
        ...

    async def refuse(self, arrival: Arrival) -> None:
        """It can never be taken: do not bring it again. Never raises."""
        ...

    async def put_back(self, arrivals: Sequence[Arrival], *, seconds: float) -> None:
        """Bring them again after a while. Never raises."""
        ...

    async def check(self) -> str:
        """Reach the broker and what is read there; return what it is, for people. Raises BrokerError."""
        ...

    async def close(self) -> None:
        """What was brought and not taken is brought to others."""
        ...
