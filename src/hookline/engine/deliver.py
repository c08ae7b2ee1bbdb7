"""Deliver: claim, sign, send, classify, settle.

A delivery waits in the table, not in a worker. What this node has claimed stands in the lane of its webhook; a
lane sends at most its cap at once, and lanes take turns (round the organizations, then round their webhooks), so a
dead receiver holds its own cap and nothing else. Webhooks that time out, and those not proven yet, share at
most half of the node's sockets.

Before a send there is a claim under this node's epoch and a lease that is known to be alive. After a send there is
one transaction: attempt and new state. If the store is away, outcomes wait here until it is back.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from hookline import failpoints
from hookline.core.flow import AdaptiveCap
from hookline.core.lifecycle import after_attempt
from hookline.core.redact import redact_headers, redact_url
from hookline.core.retry import next_attempt_at, parse_retry_after
from hookline.engine.fair import Turns
from hookline.errors import StorageError
from hookline.model.events import Attempt
from hookline.model.ids import new_key
from hookline.model.states import AttemptOutcome, DeliveryState, Lane
from hookline.ports import ClaimDeliveries, Owed, Settle, Want
from hookline.ports_sender import Outgoing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from hookline.engine.commit import Committer
    from hookline.engine.directory import Directory
    from hookline.engine.lease import Lease
    from hookline.engine.target import Target
    from hookline.errors import HooklineError
    from hookline.model.ids import Key
    from hookline.ports import Archive, Clock, Epoch
    from hookline.ports_sender import Answer, Sender

_log = structlog.get_logger("hookline.deliver")

_LANE_ROOM: Final = 2_048
"""Claimed deliveries of one webhook in memory; the rest waits in the table."""

_NODE_ROOM: Final = 16_384
"""Claimed deliveries of all webhooks in memory: at 1 KB each about 16 MB."""

_CLAIM_AT_ONCE: Final = 256
_SCAN_SECONDS: Final = 5.0
"""How often the table is asked for lanes that nobody told us of: what dead nodes and lost wake-ups left."""

_CRASHES_ALLOWED: Final = 3
"""Times our own code may fail on a delivery before it is set aside (P22)."""

_CRASH_PAUSE: Final = timedelta(seconds=5)


@dataclass(slots=True)
class _Claim:
    """A delivery in this node's hands."""

    owed: Owed
    epoch: Epoch
    cause: str = "live"


@dataclass(slots=True, eq=False)
class WebhookLane:
    """What this node holds and knows of one webhook's deliveries.

    reserved: room promised to events that are being committed.  has_more: lanes known to have due rows in the
    table for which there was no room.  not_before: loop time before which the receiver asked not to be called.
    """

    target: Target
    cap: AdaptiveCap
    queue: deque[_Claim] = field(default_factory=deque)
    active: int = 0
    reserved: int = 0
    has_more: set[Lane] = field(default_factory=set)
    not_before: float = 0.0
    is_in_turns: bool = False

    @property
    def organization_id(self) -> Key:
        return self.target.organization_id

    @property
    def load(self) -> int:
        return len(self.queue) + self.active + self.reserved

    @property
    def can_start(self) -> bool:
        return bool(self.queue) and self.active < self.cap.value


class Deliverer:
    """One per node."""

    def __init__(
        self,
        *,
        committer: Committer,
        archive: Archive,
        directory: Directory,
        sender: Sender,
        lease: Lease,
        clock: Clock,
        max_in_flight: int,
        retry_time_scale: float = 1.0,
        on_webhook_gone: Callable[[Target, str], Awaitable[None]] | None = None,
    ) -> None:
        self.committer = committer
        self._archive = archive
        self._directory = directory
        self._sender = sender
        self._lease = lease
        self._clock = clock
        self._max_in_flight = max_in_flight
        self._time_scale = retry_time_scale
        self._on_webhook_gone = on_webhook_gone
        self._lanes: dict[Key, WebhookLane] = {}
        self._turns: Turns[WebhookLane] = Turns()
        self._load = 0
        self._active = 0
        self._active_unproven = 0
        self._due: list[tuple[float, Key, Lane]] = []
        self._expected: dict[tuple[Key, Lane], float] = {}
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._claimer: asyncio.Task[None] | None = None
        self._is_open = False
        self._unsettled = 0
        self.attempts = 0

    def __repr__(self) -> str:
        return f"Deliverer(held={self._load}, active={self._active}, lanes={len(self._lanes)})"

    # --- life ---

    def start(self) -> None:
        self._is_open = True
        self._claimer = asyncio.create_task(self._claim_forever(), name="claimer")

    async def close(self, grace: float) -> None:
        """Send nothing new, let what is in flight end within ``grace`` seconds, give the rest back."""
        self._is_open = False
        if self._claimer is not None:
            self._claimer.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await self._give_all_back()
        deadline = asyncio.get_running_loop().time() + grace
        while self._unsettled and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)

    async def _give_all_back(self) -> None:
        now = self._clock.now()
        for lane in self._lanes.values():
            while lane.queue:
                self._load -= 1
                self._give_back(lane.queue.popleft(), now)
        self._turns.clear()

    def forget(self) -> None:
        """The lease is lost: what is in memory belongs to others now. Running sends end and are fenced."""
        for lane in self._lanes.values():
            self._load -= len(lane.queue)
            lane.queue.clear()
            lane.is_in_turns = False
        self._turns.clear()

    # --- room ---

    def reserve(self, target: Target) -> bool:
        """Promise room for one delivery that is about to be committed as claimed by this node."""
        if not self._is_open or not target.is_active or target.webhook.is_ordered or not self._lease.is_held():
            return False
        lane = self._lane(target)
        if lane.load >= _LANE_ROOM or self._load >= _NODE_ROOM or lane.has_more:
            return False
        lane.reserved += 1
        self._load += 1
        return True

    def unreserve(self, webhook_id: Key) -> None:
        lane = self._lanes[webhook_id]
        lane.reserved -= 1
        self._load -= 1

    def take(self, owed: Owed, epoch: Epoch) -> None:
        """Take a delivery that was reserved and is now stored as claimed."""
        lane = self._lanes[owed.delivery.webhook_id]
        lane.reserved -= 1
        self._enqueue(lane, _Claim(owed, epoch, cause="test" if _is_test(owed) else "live"))

    def expect(self, webhook_id: Key, lane: Lane, due_at: datetime) -> None:
        """Note that the table holds a delivery due then; it is claimed when the time has come."""
        due = due_at.timestamp()
        known = self._expected.get((webhook_id, lane))
        if known is not None and known <= due:
            return
        self._expected[webhook_id, lane] = due
        heapq.heappush(self._due, (due, webhook_id, lane))
        if self._due[0][0] == due:
            self._wake.set()

    def _lane(self, target: Target) -> WebhookLane:
        lane = self._lanes.get(target.id)
        if lane is None:
            lane = self._lanes[target.id] = WebhookLane(target, AdaptiveCap(target.webhook.max_in_flight))
        elif lane.target is not target:
            lane.target = target
            lane.cap.limit = target.webhook.max_in_flight
        return lane

    # --- turns ---

    def _enqueue(self, lane: WebhookLane, claim: _Claim) -> None:
        lane.queue.append(claim)
        self._offer(lane)
        self._pump()

    def _offer(self, lane: WebhookLane) -> None:
        if not lane.is_in_turns and lane.can_start:
            lane.is_in_turns = True
            self._turns.add(lane)

    def _pump(self) -> None:
        """Start as many sends as there are sockets and turns."""
        while self._is_open and (lane := self._next_lane()) is not None:
            self._active += 1
            task = asyncio.create_task(self._work(lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _next_lane(self) -> WebhookLane | None:
        """Take the lane whose turn it is and count a send for it; None when no lane may start one."""
        for _ in range(len(self._turns)):
            if self._active >= self._max_in_flight:
                return None
            lane = self._turns.next()
            if lane is None:
                return None
            lane.is_in_turns = False
            if not lane.can_start:
                continue
            if not lane.cap.is_proven and self._active_unproven * 2 >= self._max_in_flight:
                lane.is_in_turns = True
                self._turns.add(lane)
                continue
            if self._waits_for_receiver(lane):
                continue
            lane.active += 1
            self._active_unproven += not lane.cap.is_proven
            self._offer(lane)
            return lane
        return None

    def _waits_for_receiver(self, lane: WebhookLane) -> bool:
        """A receiver that said Retry-After is left alone until then."""
        loop = asyncio.get_running_loop()
        if lane.not_before <= loop.time():
            return False
        lane.is_in_turns = True  # keeps it out until the timer puts it back

        def back() -> None:
            lane.is_in_turns = False
            self._offer(lane)
            self._pump()

        loop.call_at(lane.not_before, back)
        return True

    async def _work(self, lane: WebhookLane) -> None:
        """Send one delivery, and go on with whoever's turn it is: one task carries many sends."""
        current: WebhookLane | None = lane
        while current is not None:
            claim = current.queue.popleft()
            try:
                await self._deliver(current, claim)
            finally:
                current.active -= 1
                self._active_unproven -= not current.cap.is_proven
                self._load -= 1
                self._active -= 1
                self._refill(current)
                self._offer(current)
            current = self._next_lane() if self._is_open else None
            self._active += current is not None
        self._pump()

    def _refill(self, lane: WebhookLane) -> None:
        """Ask the table for more once there is room again."""
        if lane.has_more and lane.load < _LANE_ROOM // 2:
            now = self._clock.now()
            for kind in lane.has_more:
                self.expect(lane.target.id, kind, now)
            lane.has_more.clear()

    # --- one delivery: load, sign, send, classify, settle ---

    async def _deliver(self, lane: WebhookLane, claim: _Claim) -> None:
        target = lane.target
        delivery = claim.owed.delivery
        if not target.is_active or not self._lease.is_held():
            self._give_back(claim, self._clock.now())  # fenced by the store if others have taken it over
            return
        started_at = self._clock.now()
        try:
            body = delivery.body if delivery.body is not None else await self._word(target, claim)
            request = _request(target, claim, body, started_at)
        except Exception as exc:  # noqa: BLE001 -- poison: our own code fails on this event, not the receiver
            self._set_crashed(claim, exc, started_at)
            return
        failpoints.hit("before_send")
        answer = await self._sender.send(request)
        failpoints.hit("after_send")
        self.attempts += 1
        self._note(lane, answer)
        self._settle(lane, claim, body, request, answer, started_at)

    async def _word(self, target: Target, claim: _Claim) -> bytes:
        """The body, as the revision frozen into the delivery words it."""
        event = claim.owed.event
        assert event is not None
        revision = claim.owed.delivery.webhook_revision
        if revision not in (0, target.revision):
            target = await self._directory.target_at(target, revision)
        return target.body(event)

    def _note(self, lane: WebhookLane, answer: Answer) -> None:
        """Learn from an answer how much this receiver can take."""
        was_proven = lane.cap.is_proven
        if answer.outcome is AttemptOutcome.TIMEOUT:
            lane.cap.timed_out()
        elif answer.status is not None:
            lane.cap.answered()
        if lane.cap.is_proven != was_proven:
            self._active_unproven += lane.active if was_proven else -lane.active
        if answer.status in (429, 503):
            wait = parse_retry_after(_header(answer, "retry-after"), self._clock.now())
            bounded = min(wait, max(lane.target.schedule.delays, default=timedelta()))
            lane.not_before = asyncio.get_running_loop().time() + bounded.total_seconds() * self._time_scale

    def _settle(
        self,
        lane: WebhookLane,
        claim: _Claim,
        body: bytes,
        request: Outgoing,
        answer: Answer,
        started_at: datetime,
    ) -> None:
        delivery, target = claim.owed.delivery, lane.target
        ended_at = self._clock.now()
        verdict = after_attempt(
            answer.outcome, answer.status, failures=delivery.failures, retries=len(target.schedule.delays)
        )
        failures = delivery.failures + verdict.counts_as_failure
        due = None
        if verdict.state is DeliveryState.PENDING:
            due = next_attempt_at(
                target.schedule,
                attempts_made=failures,
                ended_at=ended_at,
                jitter=random.random(),  # noqa: S311 -- spreads load, guards nothing
                retry_after=parse_retry_after(_header(answer, "retry-after"), ended_at)
                if answer.status in (429, 503)
                else timedelta(),
                time_scale=self._time_scale,
            )
        self._post(
            Settle(
                epoch=claim.epoch,
                delivery_id=delivery.id,
                webhook_id=delivery.webhook_id,
                at=ended_at,
                attempt=_attempt(claim, request, answer, started_at),
                state=verdict.state,
                state_reason=verdict.reason,
                lane=Lane.REPLAY if delivery.lane is Lane.REPLAY else Lane.RETRY,
                next_attempt_at=due,
                failures=failures,
                crashes=delivery.crashes,
                body=None if verdict.state is DeliveryState.SUCCEEDED else body,
                body_size=len(body),
            )
        )
        if verdict.disable is not None and self._on_webhook_gone is not None:
            self._spawn(self._on_webhook_gone(target, verdict.disable))

    def _set_crashed(self, claim: _Claim, exc: Exception, at: datetime) -> None:
        """Our own code failed on it: try again a little later, set aside after the third time (P22)."""
        delivery = claim.owed.delivery
        crashes = delivery.crashes + 1
        _log.error("delivery_crashed", delivery=delivery.id.hex(), crashes=crashes, exc_info=exc)
        is_poison = crashes >= _CRASHES_ALLOWED
        self._post(
            Settle(
                epoch=claim.epoch,
                delivery_id=delivery.id,
                webhook_id=delivery.webhook_id,
                at=at,
                attempt=None,
                state=DeliveryState.EXHAUSTED if is_poison else DeliveryState.PENDING,
                state_reason=f"poison: {type(exc).__name__}" if is_poison else None,
                lane=delivery.lane,
                next_attempt_at=None if is_poison else at + _CRASH_PAUSE * self._time_scale,
                failures=delivery.failures,
                crashes=crashes,
            )
        )

    def _give_back(self, claim: _Claim, now: datetime) -> None:
        """Free a claim without an attempt: due at once for whoever claims it, or held while the webhook rests."""
        delivery = claim.owed.delivery
        target = self._lanes[delivery.webhook_id].target
        is_held = not target.is_active
        self._post(
            Settle(
                epoch=claim.epoch,
                delivery_id=delivery.id,
                webhook_id=delivery.webhook_id,
                at=now,
                attempt=None,
                state=DeliveryState.HELD if is_held else DeliveryState.PENDING,
                state_reason=f"webhook_{target.webhook.status}" if is_held else None,
                lane=delivery.lane,
                next_attempt_at=None if is_held else now,
                failures=delivery.failures,
                crashes=delivery.crashes,
            )
        )

    # --- settling ---

    def _post(self, settle: Settle, *, tries: int = 0) -> None:
        """Commit an outcome; keep it and try again while the store is away: it must not be lost, since the request
        was made."""
        self._unsettled += 1

        def done(result: object) -> None:
            self._unsettled -= 1
            if isinstance(result, StorageError):
                self._retry_settle(settle, result, tries)
            elif result is False:
                _log.info("claim_lost", delivery=settle.delivery_id.hex())
            elif settle.next_attempt_at is not None:
                self.expect(settle.webhook_id, settle.lane, settle.next_attempt_at)

        self.committer.post(settle, done)

    def _retry_settle(self, settle: Settle, failure: HooklineError, tries: int) -> None:
        if settle.epoch != self._lease.epoch:
            return
        if failure.code == "WRITE_REFUSED" and settle.attempt is not None:
            # The answer itself cannot be stored: keep the outcome, drop what the receiver said.
            bare = msgspec.structs.replace(settle.attempt, response_headers=(), response_body=b"", error="unstorable")
            settle = msgspec.structs.replace(settle, attempt=bare)
        if not self._is_open and tries:
            return
        self._unsettled += 1
        delay = min(0.2 * 2**tries, 5.0)

        def again() -> None:
            self._unsettled -= 1
            self._post(settle, tries=tries + 1)

        asyncio.get_running_loop().call_later(delay, again)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # type: ignore[arg-type]
        task.add_done_callback(self._tasks.discard)  # type: ignore[arg-type]

    # --- claiming from the table ---

    async def _claim_forever(self) -> None:
        loop = asyncio.get_running_loop()
        next_scan = loop.time()
        while True:
            try:
                if loop.time() >= next_scan:
                    next_scan = loop.time() + _SCAN_SECONDS
                    await self._scan()
                await self._claim_due()
            except StorageError as exc:
                _log.warning("claim_failed", reason=exc.message)
                await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311 -- spreads reconnecting nodes
            self._wake.clear()
            wait = next_scan - loop.time()
            if self._due:
                wait = min(wait, self._due[0][0] - self._clock.now().timestamp())
            if wait > 0:
                try:
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    def rescan(self) -> None:
        """Another node left deliveries in the table: look soon."""
        self._spawn(self._scan_quietly())

    async def _scan_quietly(self) -> None:
        try:
            await self._scan()
        except StorageError as exc:
            _log.warning("scan_failed", reason=exc.message)

    async def _scan(self) -> None:
        for waiting in await self._archive.waiting():
            self.expect(waiting.webhook_id, waiting.lane, waiting.due_at)

    async def _claim_due(self) -> None:
        """Claim what is due and has room, a bounded number for each webhook lane."""
        now = self._clock.now()
        wants = []
        while self._due and self._due[0][0] <= now.timestamp():
            due, webhook_id, kind = heapq.heappop(self._due)
            if self._expected.get((webhook_id, kind)) != due:
                continue  # an earlier note was acted on
            del self._expected[webhook_id, kind]
            want = await self._want(webhook_id, kind)
            if want is not None:
                wants.append(want)
        if not wants or not self._lease.is_held():
            return
        epoch = self._lease.epoch
        taken = await self.committer.commit(ClaimDeliveries(epoch=epoch, wants=tuple(wants), now=now))
        assert isinstance(taken, tuple)
        self._take_claimed(taken, epoch)
        self._expect_more(wants, taken, now)

    async def _want(self, webhook_id: Key, kind: Lane) -> Want | None:
        lane = self._lanes.get(webhook_id)
        target = (
            self._directory.known_target(lane.organization_id, webhook_id)
            if lane is not None
            else await self._directory.target(webhook_id)
        )
        if target is None or not target.is_active:
            return None
        lane = self._lane(target)
        room = min(_LANE_ROOM - lane.load, _NODE_ROOM - self._load, _CLAIM_AT_ONCE)
        if room <= 0:
            lane.has_more.add(kind)
            return None
        return Want(webhook_id=webhook_id, lane=kind, limit=room, revision=target.revision)

    def _take_claimed(self, taken: tuple[Owed, ...], epoch: Epoch) -> None:
        for owed in taken:
            lane = self._lanes[owed.delivery.webhook_id]
            self._load += 1
            self._enqueue(lane, _Claim(owed, epoch, cause=_cause(owed)))

    def _expect_more(self, wants: list[Want], taken: tuple[Owed, ...], now: datetime) -> None:
        """A full claim means there may be more of the same."""
        counts: dict[tuple[Key, Lane], int] = {}
        for owed in taken:
            place = (owed.delivery.webhook_id, owed.delivery.lane)
            counts[place] = counts.get(place, 0) + 1
        for want in wants:
            if counts.get((want.webhook_id, want.lane), 0) >= want.limit:
                lane = self._lanes[want.webhook_id]
                if lane.load >= _LANE_ROOM // 2:
                    lane.has_more.add(want.lane)
                else:
                    self.expect(want.webhook_id, want.lane, now)


def _cause(owed: Owed) -> str:
    if owed.delivery.lane is Lane.REPLAY:
        return "replay"
    return "retry" if owed.delivery.attempts_made else "live"


def _is_test(owed: Owed) -> bool:
    return owed.event is not None and owed.event.target_id is not None


def _header(answer: Answer, name: str) -> str | None:
    return next((value for key, value in answer.headers if key.lower() == name), None)


def _request(target: Target, claim: _Claim, body: bytes, at: datetime) -> Outgoing:
    event = claim.owed.event
    assert event is not None
    headers = target.signed_headers(event.public_id, at, body)
    if event.sequence:
        headers = (*headers, ("Hookline-Sequence", str(event.sequence)))
    return Outgoing(url=target.webhook.url, headers=headers, body=body, timeout_seconds=target.timeout_seconds)


def _attempt(claim: _Claim, request: Outgoing, answer: Answer, started_at: datetime) -> Attempt:
    return Attempt(
        id=new_key(),
        delivery_id=claim.owed.delivery.id,
        number=claim.owed.delivery.attempts_made + 1,
        started_at=started_at,
        duration_ms=answer.duration_ms,
        outcome=answer.outcome,
        status=answer.status,
        error=answer.error,
        address=answer.address,
        url=redact_url(request.url),
        cause=claim.cause,
        request_headers=redact_headers(request.headers),
        response_headers=redact_headers(answer.headers),
        response_body=answer.body,
        is_response_cut=answer.is_cut,
    )
