"""Which waiting events form a batch now: one decision for both stores."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.model.events import Delivery
from hookline.model.ids import Key, new_key
from hookline.model.states import DeliveryState, Lane
from hookline.ports import Formed
from hookline.stores.rows import from_ms, to_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hookline.ports import FormBatches

LOOKED_AT: Final = 10_000
"""Waiting events that one write looks at, oldest first."""

TYPE: Final = "batch"
"""Stands in lists where a single delivery has its event's type."""

_AHEAD_MS: Final = 60_000
"""What was added this long after now was added before the clock was set back. Clocks of nodes differ by less."""

_ENVELOPE_BYTES: Final = 256
"""What wording adds to an event's data, about."""


class Item(msgspec.Struct, frozen=True):
    """An event that waits. added_at: milliseconds.  size: bytes of its data."""

    event_key: Key
    ordering_key: str | None
    size: int
    added_at: int


class Group(msgspec.Struct):
    """Events of one ordering key, oldest first, that fit into one batch."""

    ordering_key: str | None
    items: list[Item]
    size: int = 0


def form(write: FormBatches, waiting: Iterable[Item]) -> list[Group]:
    """Return the batches to be made: the full ones, and those whose oldest event has waited long enough."""
    open_: dict[str | None, Group] = {}
    ripe: list[Group] = []
    for item in waiting:
        group = open_.get(item.ordering_key)
        size = item.size + _ENVELOPE_BYTES
        if group is not None and group.size + size > write.max_bytes:
            ripe.append(open_.pop(item.ordering_key))
            group = None
        if group is None:
            group = open_[item.ordering_key] = Group(item.ordering_key, [])
        group.items.append(item)
        group.size += size
        if len(group.items) >= write.max_events:
            ripe.append(open_.pop(item.ordering_key))
    before, ahead = to_ms(write.added_before), to_ms(write.at) + _AHEAD_MS
    ripe += [group for group in open_.values() if not before < group.items[0].added_at <= ahead]
    return ripe[: write.limit]


def formed(deliveries: Iterable[Delivery], waiting: Iterable[Item], groups: Sequence[Group]) -> Formed:
    """The result of a write that made these deliveries of these groups, in the same order."""
    taken = {item.event_key for group in groups for item in group.items}
    left = [item for item in waiting if item.event_key not in taken]
    events: Counter[str | None] = Counter()
    sizes: Counter[str | None] = Counter()
    for item in left:
        events[item.ordering_key] += 1
        sizes[item.ordering_key] += item.size + _ENVELOPE_BYTES
    return Formed(
        deliveries=tuple(deliveries),
        members=tuple([tuple([item.event_key for item in group.items]) for group in groups]),
        left=len(left),
        waits_since=from_ms(min([item.added_at for item in left])) if left else None,
        fullest=max(events.values(), default=0),
        fullest_bytes=max(sizes.values(), default=0),
    )


def delivery_of(write: FormBatches, group: Group) -> Delivery:
    """The delivery that carries a group: claimed by the writer, due or held; in line if it has an ordering key."""
    id_ = new_key()
    is_held = write.held_for is not None
    is_claimed = write.is_claimed and group.ordering_key is None and not is_held
    return Delivery(
        id=id_,
        organization_id=write.organization_id,
        webhook_id=write.webhook_id,
        event_key=None,
        event_type=TYPE,
        batch_id=id_,
        state=_state_of(is_held=is_held, is_claimed=is_claimed),
        state_reason=write.held_for,
        lane=Lane.FIRST,
        webhook_revision=write.revision if is_claimed else 0,
        ordering_key=group.ordering_key,
        created_at=write.at,
        next_attempt_at=None if is_claimed or is_held else write.at,
    )


def _state_of(*, is_held: bool, is_claimed: bool) -> DeliveryState:
    if is_held:
        return DeliveryState.HELD
    return DeliveryState.IN_FLIGHT if is_claimed else DeliveryState.PENDING
