"""What this node holds in memory of each webhook's deliveries, and whose turn it is to send.

Room is bounded for each webhook and for the node; what does not fit waits in the table. Retries and replays have less
of it, so that there is always some for fresh events. A lane sends at most its cap at once; when its webhook has a
rate, or has just come back, no faster than that allows. Lanes of receivers that are not proven (never heard of, or
timing out) share at most half of the node's sockets, so the other half is always there for those that answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hookline.core.flow import RAMP_SECONDS, AdaptiveCap, Troubles
from hookline.engine.fair import Turns
from hookline.engine.lines import Lines
from hookline.engine.pace import Pace
from hookline.model.states import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.engine.target import Target
    from hookline.model.ids import Key
    from hookline.ports import Clock, Epoch, Owed

LANE_ROOM: Final = 2_048
"""Claimed first tries of one webhook in memory; the rest waits in the table."""

LATER_ROOM: Final = 512
"""Claimed retries of one webhook in memory, and as many replays: some seconds of what one receiver takes."""

NODE_ROOM: Final = 16_384
"""Claimed deliveries of all webhooks in memory: at 1 KB each about 16 MB. Retries and replays get half of it."""


@dataclass(slots=True)
class Claim:
    """A delivery in this node's hands. cause: as an attempt records it."""

    owed: Owed
    epoch: Epoch
    cause: str

    @property
    def line(self) -> Lane:
        return self.owed.delivery.lane


@dataclass(slots=True, eq=False)
class WebhookLane:
    """What this node holds and knows of one webhook's deliveries.

    reserved: room promised to events that are being committed.  has_more: lines of the table known to have due
    rows for which there was no room.  rests: nothing is started before rests_until
    (loop time), because the receiver asked for it or has just come back.  pace: None without a rate.
    ramps_from: when it came back (loop time), None once it is up to speed.
    """

    target: Target
    cap: AdaptiveCap
    waiting: Lines[Claim] = field(default_factory=Lines)
    troubles: Troubles = field(default_factory=Troubles)
    pace: Pace | None = None
    ramps_from: float | None = None
    active: int = 0
    reserved: int = 0
    has_more: set[Lane] = field(default_factory=set)
    rests: bool = False
    rests_until: float = 0.0
    is_in_turns: bool = False

    @property
    def organization_id(self) -> Key:
        return self.target.organization_id

    @property
    def load(self) -> int:
        return self.waiting.size + self.active + self.reserved

    @property
    def can_start(self) -> bool:
        return (
            self.waiting.size > 0
            and self.active < self.cap.value
            and not self.rests
            and (self.pace is None or self.pace.is_ready)
        )

    def is_low(self, line: Lane) -> bool:
        """Say whether it is time to ask the table for more of a line."""
        return self.waiting.count(line) < _room_of(line) // 2


def _room_of(line: Lane) -> int:
    return LANE_ROOM if line is Lane.FIRST else LATER_ROOM


class Lanes:
    """All lanes of a node, their room and their turns. Never sends, never waits."""

    def __init__(self, *, max_in_flight: int, clock: Clock) -> None:
        self._max_in_flight = max_in_flight
        self._clock = clock
        self._lanes: dict[Key, WebhookLane] = {}
        self._turns: Turns[WebhookLane] = Turns()
        self._active_unproven = 0
        self._later = 0
        self.load = 0
        self.active = 0

    def __repr__(self) -> str:
        return f"Lanes({len(self._lanes)}, load={self.load}, active={self.active})"

    def __getitem__(self, webhook_id: Key) -> WebhookLane:
        return self._lanes[webhook_id]

    def get(self, webhook_id: Key) -> WebhookLane | None:
        return self._lanes.get(webhook_id)

    def of(self, target: Target) -> WebhookLane:
        """The lane of a webhook, brought up to its newest revision."""
        lane = self._lanes.get(target.id)
        if lane is None:
            lane = self._lanes[target.id] = WebhookLane(target, AdaptiveCap(target.webhook.max_in_flight))
            lane.pace = Pace.of(target.webhook.rate_per_second)
            lane.ramps_from = self._came_back(target)
        elif lane.target is not target:
            self._renew(lane, target)
        return lane

    def _came_back(self, target: Target) -> float | None:
        """When a webhook that is new to this node was resumed, if that is so recent that it begins slowly."""
        changed_at = target.webhook.status_changed_at
        if changed_at is None:
            return None
        age = max(0.0, (self._clock.now() - changed_at).total_seconds())
        return asyncio.get_running_loop().time() - age if age < RAMP_SECONDS else None

    def _renew(self, lane: WebhookLane, target: Target) -> None:
        """Bring a lane up to a new revision; one that was out of service meanwhile begins anew."""
        webhook, known = target.webhook, lane.target.webhook
        lane.target = target
        if webhook.rate_per_second != known.rate_per_second:
            lane.pace = Pace.of(webhook.rate_per_second)
        if target.is_active and webhook.status_changed_at != known.status_changed_at:
            if lane.cap.is_proven:
                self._active_unproven += lane.active
            lane.cap = AdaptiveCap(webhook.max_in_flight)
            lane.ramps_from = asyncio.get_running_loop().time()
        else:
            lane.cap.limit = webhook.max_in_flight

    # --- room ---

    def reserve(self, target: Target, *, is_test: bool = False) -> bool:
        """Promise room for one first try; False when the table must keep it. Those that wait there go first, but for a
        test there is always room.
        """
        lane = self.of(target)
        if not is_test and (
            lane.waiting.count(Lane.FIRST) + lane.active + lane.reserved >= LANE_ROOM
            or self.load >= NODE_ROOM
            or Lane.FIRST in lane.has_more
        ):
            return False
        lane.reserved += 1
        self.load += 1
        return True

    def unreserve(self, webhook_id: Key) -> WebhookLane:
        """Take a promise back."""
        lane = self._lanes[webhook_id]
        lane.reserved -= 1
        self.load -= 1
        return lane

    def room(self, lane: WebhookLane, line: Lane) -> int:
        """For how many more claims of a line there is room."""
        taken = lane.waiting.count(line)
        if line is Lane.FIRST:
            return min(LANE_ROOM - taken - lane.active - lane.reserved, NODE_ROOM - self.load)
        return min(LATER_ROOM - taken, NODE_ROOM // 2 - self._later, NODE_ROOM - self.load)

    def enqueue(self, lane: WebhookLane, claim: Claim, *, is_urgent: bool = False) -> None:
        line = claim.line
        self.load += 1
        self._later += line is not Lane.FIRST
        lane.waiting.append(line, claim, is_urgent=is_urgent)
        self.offer(lane)

    def empty(self) -> Iterator[Claim]:
        """Take everything out that has not been started."""
        self._turns.clear()
        for lane in self._lanes.values():
            lane.is_in_turns = False
            yield from self.withdraw(lane)

    def withdraw(self, lane: WebhookLane) -> list[Claim]:
        """Take everything out of one lane that has not been started."""
        taken = list(lane.waiting.empty())
        self.load -= len(taken)
        self._later -= sum([line is not Lane.FIRST for line, _ in taken])
        return [claim for _, claim in taken]

    # --- turns ---

    def offer(self, lane: WebhookLane) -> None:
        """Put a lane that can start something in line, once."""
        if not lane.is_in_turns and lane.can_start:
            lane.is_in_turns = True
            self._turns.add(lane)

    def begin(self, lane: WebhookLane) -> bool:
        """Count a claim that has just come as active, when it may start and nobody's turn is before its own."""
        if (
            self._turns.length
            or self.active >= self._max_in_flight
            or lane.waiting.size
            or lane.active >= lane.cap.value
            or lane.rests
            or lane.pace is not None
            or lane.ramps_from is not None
            or not lane.cap.is_proven
        ):
            return False
        self.load += 1
        self._started(lane)
        return True

    def begin_test(self, lane: WebhookLane) -> bool:
        """Count a test as active. Somebody waits for its answer, so it waits for no rate, rest or turn, and one goes
        above the cap.
        """
        if self.active >= self._max_in_flight or lane.active > lane.cap.value:
            return False
        self.load += 1
        self._started(lane)
        return True

    def next(self) -> tuple[WebhookLane, Claim] | None:
        """Take the delivery whose turn it is and count it as active; None when none may start now."""
        for _ in range(self._turns.length):
            if self.active >= self._max_in_flight:
                return None
            lane = self._turns.next()
            if lane is None:
                return None
            lane.is_in_turns = False
            if not lane.can_start:
                continue
            if not lane.cap.is_proven and self._active_unproven * 2 >= self._max_in_flight:
                self.offer(lane)
                continue
            line, claim = lane.waiting.pop()
            self._later -= line is not Lane.FIRST
            if lane.pace is not None:
                lane.pace.is_ready = False
            self._started(lane)
            self.offer(lane)
            return lane, claim
        return None

    def _started(self, lane: WebhookLane) -> None:
        lane.active += 1
        self.active += 1
        self._active_unproven += not lane.cap.is_proven

    def done(self, lane: WebhookLane) -> None:
        """One that was counted as active has ended."""
        lane.active -= 1
        self.active -= 1
        self.load -= 1
        self._active_unproven -= not lane.cap.is_proven
        self.offer(lane)

    def learn(self, lane: WebhookLane, *, has_answered: bool) -> None:
        """Adapt a lane's cap to an answer, or to a time-out."""
        was_proven = lane.cap.is_proven
        if has_answered:
            lane.cap.answered()
        else:
            lane.cap.timed_out()
        if lane.cap.is_proven != was_proven:
            self._active_unproven += lane.active if was_proven else -lane.active
