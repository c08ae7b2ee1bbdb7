"""Writes of events: what is stored with one, and what makes a write happen once."""

from __future__ import annotations

from datetime import datetime

import msgspec

from hookline.model.events import Delivery, Event
from hookline.model.ids import Key

Epoch = int
"""A node's lease number. Rises for ever; a claim carries it and settling checks it (fencing)."""

FANOUT_IN_TRANSACTION = 256
"""Matches written with their event; more are left to the durable cursor (DESIGN section 2)."""


LEAVE_THE_CURSOR = bytes(16)
"""Less than any webhook's id: moves no fan-out cursor, and closes none."""


class Waiter(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook that gets an event as part of a batch.  ordering_key: a batch never mixes several."""

    webhook_id: Key
    ordering_key: str | None = None


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event with the deliveries it owes, inserted together or not at all.

    deliveries: whole rows. State IN_FLIGHT means claimed by the writing epoch, PENDING waits for a claim; one with
    an ordering_key is PENDING or HELD, and waits without a time while an earlier one of its webhook and key has not
    ended. Earlier is by the order of commit.
    batched: webhooks for which it waits until a batch is formed (``FormBatches``).
    fanout_after: the last webhook id of both when more webhooks match than were written here:
    opens a durable cursor; None when all are written.
    """

    event: Event
    deliveries: tuple[Delivery, ...] = ()
    batched: tuple[Waiter, ...] = ()
    fanout_after: Key | None = None


class Once(msgspec.Struct, frozen=True, kw_only=True):
    """Makes a write happen once per (scope, name) until expires_at, in its own transaction.

    scope: an organization's or a trigger's key.  digest: SHA-256 of the request.  answer: what a repeat is
    answered with (sealed where it carries secrets).
    """

    scope: Key
    name: str
    digest: bytes
    answer: bytes
    expires_at: datetime


class Repeat(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a write whose Once was there before. is_same: the digest is equal.

    instead: the first write was merged into this execution, and its answer is not stored: ``answer`` is empty.
    """

    answer: bytes
    is_same: bool
    instead: Key | None = None


class Publish(msgspec.Struct, frozen=True, kw_only=True):
    """Insert events. Result: ``Published`` or ``Repeat``. An event whose own id exists is not inserted again,
    nor are its deliveries.
    """

    epoch: Epoch
    events: tuple[NewEvent, ...]
    once: Once | None = None


class Published(msgspec.Struct, frozen=True):
    """is_new: one flag per event, False for a repeat of an own id."""

    is_new: tuple[bool, ...]


class FanOut(msgspec.Struct, frozen=True, kw_only=True):
    """Go on with an event's fan-out: insert deliveries (a (event, webhook) that exists is skipped) and move the
    cursor to ``after``, or close it with None. Result: number of deliveries inserted.

    batched: as in NewEvent, with the event's size in bytes and the instant at which they begin to wait.
    """

    epoch: Epoch
    event_key: Key
    deliveries: tuple[Delivery, ...]
    after: Key | None
    batched: tuple[Waiter, ...] = ()
    size: int = 0
    at: datetime | None = None


class FormBatches(msgspec.Struct, frozen=True, kw_only=True):
    """Make batches of what waits for a webhook's: those that are full (max_events, max_bytes) and those whose oldest
    event waits since ``added_before`` or longer. Result: ``Formed``. Fewer than ``limit`` deliveries: nothing ripe is
    left.

    is_claimed: the writing node sends them itself, those with an ordering key excepted; else any node may.
    held_for: why they are held in place of being sent; None when they are not.
    """

    epoch: Epoch
    organization_id: Key
    webhook_id: Key
    revision: int
    max_events: int
    max_bytes: int
    added_before: datetime
    at: datetime
    is_claimed: bool = True
    held_for: str | None = None
    limit: int = 64


class Formed(msgspec.Struct, frozen=True, kw_only=True):
    """deliveries: of the batches made, claimed by the writing epoch as far as it asked to, or due.
    members: of each, the keys of its events, oldest first.
    left: events that go on waiting, as far as was looked.  waits_since: when the oldest of them began to, or None.
    fullest, fullest_bytes: events and bytes of the one group of them that is nearest to being a batch.
    """

    deliveries: tuple[Delivery, ...]
    members: tuple[tuple[Key, ...], ...]
    left: int
    waits_since: datetime | None = None
    fullest: int = 0
    fullest_bytes: int = 0
