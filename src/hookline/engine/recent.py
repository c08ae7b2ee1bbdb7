"""Recent: events that this node wrote a moment ago and that wait for a batch, so that wording it reads nothing.

A memory, never the truth: it is bounded in bytes, what is oldest goes first, and a batch of which it lacks an event is
read from the table.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hookline.model.events import Event
    from hookline.model.ids import Key

MOST_BYTES: Final = 16 * 1024 * 1024
"""Of all events kept: some hundred times what a node words at a time, small beside the memory of a node."""

_EVENT_BYTES: Final = 1024
"""What an event takes besides its data, about."""

_MOST_BATCHES: Final = 1_000
"""Of which the members are known. One that is not sent soon (its webhook has a rate, or rests) is read when it is."""


class Recent:
    """One per node."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        # Not plain dicts: the first of one is found by looking past all that went before it.
        self._events: OrderedDict[Key, Event] = OrderedDict()
        self._batches: OrderedDict[Key, Sequence[Key]] = OrderedDict()

    def __repr__(self) -> str:
        return f"Recent({len(self._events)} events, {self._bytes} bytes)"

    def keep(self, events: Iterable[Event]) -> None:
        """Events were stored and wait for a batch."""
        kept = self._events
        for event in events:
            if event.key not in kept:
                kept[event.key] = event
                self._bytes += len(event.data) + _EVENT_BYTES
        while self._bytes > self._most_bytes:
            _, oldest = kept.popitem(last=False)
            self._bytes -= len(oldest.data) + _EVENT_BYTES

    def formed(self, batch_id: Key, members: Sequence[Key]) -> None:
        """A batch was stored. members: its events, in the order in which it words them."""
        self._batches[batch_id] = members
        if len(self._batches) > _MOST_BATCHES:
            self._batches.popitem(last=False)

    def take(self, batch_id: Key) -> list[Event] | None:
        """The events of a batch, once; None when they must be read."""
        found = [self._events.get(key) for key in self._batches.pop(batch_id, ())]
        events = [event for event in found if event is not None]
        return events if events and len(events) == len(found) else None
