"""Say which of the executions in this node's hands may run now, and how many more it would take.

They wait in one line for each automation, so that one whose limit is reached does not hold up another; nor does an
organization whose limit is reached. Nothing here runs, claims or stores.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.engine.catalogue import Catalogue, Place
    from hookline.model.executions import Execution
    from hookline.model.ids import Key
    from hookline.model.states import Kind
    from hookline.ports import Epoch

_MOST_WAITING: Final = 1_024
"""Claimed executions in memory that wait for their turn; the rest stays in the table."""

Held = tuple["Execution", "Epoch"]
"""An execution, and the epoch it was claimed with."""


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """How many executions run at once on a node. of_organization: of one of them, None for as many as there is room."""

    most: int
    of_organization: int | None = None


class RunQueue:
    """One per node. What ``take`` returned runs, until ``ended`` is told of it."""

    def __init__(self, catalogue: Catalogue, room: Room) -> None:
        self._catalogue = catalogue
        self._most = room.most
        self._most_of_organization = room.most if room.of_organization is None else room.of_organization
        self._lines: dict[Place, deque[Held]] = {}
        self._running = 0
        self._running_of: Counter[Place | Key] = Counter()
        self._waiting = 0

    def __repr__(self) -> str:
        return f"RunQueue(running={self._running}, waiting={self._waiting})"

    @property
    def room(self) -> int:
        """How many more it would take."""
        return _MOST_WAITING - self._waiting

    @property
    def has_drained(self) -> bool:
        """Whether so few wait that more may be claimed."""
        return self._waiting < _MOST_WAITING // 2

    def reserve(self) -> bool:
        """Promise room for one that is about to come; False when there is none. To be followed by ``free``."""
        if self.room <= 0:
            return False
        self._waiting += 1
        return True

    def free(self) -> None:
        """Give up a promised room; the one it was promised to takes its own by ``put``."""
        self._waiting -= 1

    def put(self, execution: Execution, epoch: Epoch) -> Place:
        """Let it wait. Returns where."""
        place = self._catalogue.place(execution)
        self._lines.setdefault(place, deque()).append((execution, epoch))
        self._waiting += 1
        return place

    def take(self, place: Place) -> Held | None:
        """Return what may run now, within the limits of node, automation and organization; it counts as running."""
        line = self._lines.get(place)
        if not line or self._running >= self._most:
            return None
        automation = self._catalogue.known(line[0][0])
        limit = automation.concurrency if automation is not None else None
        if limit is not None and self._running_of[place] >= limit:
            return None
        held = self._first_with_room(line)
        if held is not None:
            self._drop_empty(place)
            self._running += 1
            self._running_of.update((place, held[0].organization_id))
        return held

    def ended(self, execution: Execution, place: Place) -> list[Place]:
        """Free its room. Returns where something may run now because of it, its own place first."""
        organization_id = execution.organization_id
        was_full = self._running == self._most or (
            self._running_of[organization_id] == self._most_of_organization
        )
        self._running -= 1
        for whose in (place, organization_id):
            self._running_of[whose] -= 1
            if not self._running_of[whose]:
                del self._running_of[whose]
        return [place, *self._lines] if was_full else [place]

    def remove(self, execution_id: Key) -> bool:
        """Take one out of its line; False when it does not wait here."""
        for place, line in self._lines.items():
            for held in line:
                if held[0].id == execution_id:
                    line.remove(held)
                    self._waiting -= 1
                    self._drop_empty(place)
                    return True
        return False

    def clear(self) -> list[Held]:
        """Take all out that wait."""
        waiting = [held for line in self._lines.values() for held in line]
        self._waiting -= len(waiting)
        self._lines.clear()
        return waiting

    def holds(self, execution_id: Key) -> bool:
        """Say whether an execution waits here."""
        return any(execution.id == execution_id for execution, _ in self._all())

    def census(self) -> Counter[tuple[Kind, str]]:
        """How many executions this node has in its hands, by kind and ``running`` or ``waiting``."""
        found: Counter[tuple[Kind, str]] = Counter(
            (execution.kind, "waiting") for execution, _ in self._all()
        )
        for whose, count in self._running_of.items():
            if isinstance(whose, tuple):  # else an organization's sum
                found[whose[1], "running"] += count
        return found

    def _all(self) -> Iterator[Held]:
        for line in self._lines.values():
            yield from line

    def _first_with_room(self, line: deque[Held]) -> Held | None:
        """Take the first whose organization has room: one that has none must not hold up the others."""
        for place, held in enumerate(line):
            if self._running_of[held[0].organization_id] < self._most_of_organization:
                del line[place]
                self._waiting -= 1
                return held
        return None

    def _drop_empty(self, place: Place) -> None:
        if not self._lines[place]:
            del self._lines[place]
