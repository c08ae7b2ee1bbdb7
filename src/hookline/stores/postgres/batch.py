"""One call of ``commit`` while it is carried out: its writes by type, their results, and what to tell other nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from hookline.model.states import DeliveryState
from hookline.ports import Accept, Publish, Published

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hookline.model.events import Delivery
    from hookline.model.ids import Key
    from hookline.ports import Epoch, NewEvent, Once, Result, Write
    from hookline.stores import rows

W = TypeVar("W")

CHANNEL: Final = "hookline"

_MOST_DETAILS: Final = 100
"""Keys named in one signal: a payload holds 8,000 bytes and a key takes 33. More are signalled without names."""


class Notices:
    """What one transaction tells other nodes, as one short text."""

    def __init__(self) -> None:
        self._topics: dict[str, list[str]] = {}

    def __repr__(self) -> str:
        return f"Notices({self.text()!r})"

    def __bool__(self) -> bool:
        return bool(self._topics)

    def add(self, topic: str, detail: str = "") -> None:
        details = self._topics.setdefault(topic, [])
        if detail:
            details.append(detail)

    def text(self) -> str:
        """Topics parted by blanks, each with its details: ``deliveries finished:0190…,0191…``."""
        return " ".join(
            f"{topic}:{','.join(details)}" if 0 < len(details) <= _MOST_DETAILS else topic
            for topic, details in self._topics.items()
        )


def read_notices(payload: str) -> Iterable[tuple[str, str]]:
    """(topic, detail) pairs of a signal's text."""
    for part in payload.split():
        topic, _, details = part.partition(":")
        for detail in details.split(","):
            yield topic, detail


class Batch:
    """writes: in the caller's order, which is the order of ``results``.

    events: what accepted writes add to the log, in the order in which they shall stand there.  ordered: those of their
    deliveries that stand in a line.  items: what of them waits for a batch, known once they are stored (see
    ``rows.batch_item_row``).
    """

    def __init__(self, writes: Sequence[Write]) -> None:
        self.results: list[Result] = [None] * len(writes)
        self.notices = Notices()
        self.events: list[tuple[Epoch, NewEvent]] = []
        self.ordered: list[Delivery] = []
        self.has_batched = False
        self.items: list[rows.Row] = []
        self._groups: dict[type, list[tuple[int, Write]]] = {}
        for place, write in enumerate(writes):
            self._groups.setdefault(type(write), []).append((place, write))

    def __repr__(self) -> str:
        return f"Batch({ {kind.__name__: len(group) for kind, group in self._groups.items()} })"

    @property
    def types(self) -> set[type]:
        return set(self._groups)

    @property
    def onces(self) -> list[tuple[int, Accept | Publish, Once]]:
        """Writes without a result yet that must happen once, with their places."""
        writes: list[tuple[int, Accept | Publish]] = [*self.of(Accept), *self.of(Publish)]
        return [
            (place, write, write.once)
            for place, write in writes
            if write.once is not None and self.results[place] is None
        ]

    def of(self, kind: type[W]) -> list[tuple[int, W]]:
        """The writes of one type with their places."""
        return self._groups.get(kind, [])  # type: ignore[return-value]  # keyed by the type itself

    def add_events(self, epoch: Epoch, events: Iterable[NewEvent]) -> None:
        """Owe these events to the log; nodes with room are told of deliveries that nobody holds."""
        for new in events:
            self.events.append((epoch, new))
            if new.fanout_after is not None or any(d.state is DeliveryState.PENDING for d in new.deliveries):
                self.notices.add("deliveries")
            self.ordered += [d for d in new.deliveries if d.ordering_key is not None]
            self.has_batched = self.has_batched or bool(new.batched)

    def answer_publishes(self, refused: frozenset[Key]) -> None:
        """Results of the publishes that have none yet. refused: keys of events whose own id existed."""
        for place, publish in self.of(Publish):
            if self.results[place] is None:
                flags = tuple([new.event.key not in refused for new in publish.events])
                self.results[place] = Published(flags)
