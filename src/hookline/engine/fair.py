"""Whose turn is it? Round the organizations, and within one round its lanes.

A dead receiver with 100,000 waiting deliveries is one lane among others: it takes one turn, like everybody.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from hookline.model.ids import Key


class HasOrganization(Protocol):
    @property
    def organization_id(self) -> Key: ...


T = TypeVar("T", bound=HasOrganization)


class Turns(Generic[T]):
    """A ring of rings. An item stands in it at most once, by the caller's care."""

    def __init__(self) -> None:
        self._rings: dict[Key, deque[T]] = {}
        self._order: deque[Key] = deque()
        self.length = 0

    def add(self, item: T) -> None:
        """Put the item at the end of its organization's ring."""
        ring = self._rings.get(item.organization_id)
        if ring is None:
            ring = self._rings[item.organization_id] = deque()
            self._order.append(item.organization_id)
        ring.append(item)
        self.length += 1

    def next(self) -> T | None:
        """Take the item whose turn it is, or None."""
        if not self._order:
            return None
        organization_id = self._order.popleft()
        ring = self._rings[organization_id]
        item = ring.popleft()
        self.length -= 1
        if ring:
            self._order.append(organization_id)
        else:
            del self._rings[organization_id]
        return item

    def clear(self) -> None:
        self._rings.clear()
        self._order.clear()
        self.length = 0
