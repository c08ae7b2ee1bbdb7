"""Three lines of one webhook's deliveries: first tries, retries and replays, none of which starves another.

They take turns by weight, so a replay of ten thousand costs a fresh event a turn or two, and a flood of fresh events
leaves every seventh turn to the replay. A line that was empty comes back at the place where the others are: it has
saved nothing up.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from hookline.model.states import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

WEIGHTS: Final = {Lane.FIRST: 4, Lane.RETRY: 2, Lane.REPLAY: 1}
"""Turns that each line gets of seven while all of them wait."""

_STRIDES: Final = tuple([4 // WEIGHTS[line] for line in Lane])
"""How far one turn takes a line: the one that has come least far is next."""


class Lines(Generic[T]):
    """What waits in memory for one webhook, by line."""

    __slots__ = ("_passed", "_queues", "size")

    def __init__(self) -> None:
        self._queues: tuple[deque[T], ...] = tuple([deque() for _ in Lane])
        self._passed = [0] * len(Lane)
        self.size = 0
        """How many wait in all lines."""

    def __repr__(self) -> str:
        return f"Lines({', '.join([f'{line.name.lower()}={self.count(line)}' for line in Lane])})"

    def count(self, line: Lane) -> int:
        return len(self._queues[line])

    def append(self, line: Lane, item: T, *, is_urgent: bool = False) -> None:
        """Put an item at the end of its line. is_urgent: at its beginning."""
        queue = self._queues[line]
        if not queue:
            self._passed[line] = self._place_of(line) if self.size else 0
        self.size += 1
        if is_urgent:
            queue.appendleft(item)
        else:
            queue.append(item)

    def _place_of(self, line: Lane) -> int:
        """Where a line comes back that was empty while others waited."""
        others = [self._passed[one] for one in Lane if self._queues[one]]
        return max(self._passed[line], min(others))

    def pop(self) -> tuple[Lane, T]:
        """Take the item whose turn it is. Raises IndexError when nothing waits."""
        first, retries, replays = self._queues
        if not retries and not replays:  # the common case
            item = first.popleft()
            self.size -= 1
            return Lane.FIRST, item
        self.size -= 1
        line = min([one for one in Lane if self._queues[one]], key=self._passed.__getitem__)
        self._passed[line] += _STRIDES[line]
        return line, self._queues[line].popleft()

    def empty(self) -> Iterator[tuple[Lane, T]]:
        """Take everything out."""
        for line in Lane:
            while self._queues[line]:
                self.size -= 1
                yield line, self._queues[line].popleft()
