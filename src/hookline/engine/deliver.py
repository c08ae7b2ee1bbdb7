"""Deliver: word, sign, send. Before it a delivery is claimed (claim.py), after it judged and settled (outcomes.py).

A delivery waits in the table, not in a worker. What this node has claimed stands in the lane of its webhook, and lanes
take turns (round the organizations, then round their webhooks), so a dead receiver holds its own cap and nothing else
(lanes.py).

Before a send there is a claim under this node's epoch and a lease that is known to be alive. After a send there is
one transaction: attempt and new state.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from hookline import failpoints
from hookline.core.flow import ramp_wait
from hookline.core.lifecycle import PAYLOAD_GONE
from hookline.core.templates import TemplateFailedError
from hookline.engine.attempt import (
    given_back,
    is_ruled_out,
    is_test,
    request_of,
    set_aside,
    unsent,
    unworded,
)
from hookline.engine.claim import Claimer
from hookline.engine.lanes import Claim, Lanes
from hookline.engine.outcomes import Outcomes, Sent
from hookline.engine.pace import Pacer
from hookline.engine.settle import Settler
from hookline.errors import PayloadGoneError, StorageError
from hookline.model.states import AttemptOutcome, Lane, Origin
from hookline.ports import Owed
from hookline.ports.sender import Answer

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from datetime import datetime

    from hookline.engine.alert import Alerts
    from hookline.engine.commit import Committer
    from hookline.engine.directory import Directory
    from hookline.engine.lanes import WebhookLane
    from hookline.engine.lease import Lease
    from hookline.engine.target import Target
    from hookline.engine.watch import Watch
    from hookline.engine.word import Wording
    from hookline.model.events import Delivery
    from hookline.model.ids import Key
    from hookline.ports import Archive, Clock, Epoch, Leases
    from hookline.ports.sender import Sender

_log = structlog.get_logger("hookline.deliver")


class Deliverer:
    """One per node."""

    _loop: asyncio.AbstractEventLoop
    """Kept, because asking for it costs a system call, and every delivery would several times."""

    def __init__(
        self,
        *,
        committer: Committer,
        archive: Archive,
        leases: Leases,
        directory: Directory,
        sender: Sender,
        lease: Lease,
        clock: Clock,
        max_in_flight: int,
        retry_time_scale: float = 1.0,
        alerts: Alerts,
        watch: Watch,
        wording: Wording,
    ) -> None:
        self.committer = committer
        self._archive = archive
        self._directory = directory
        self._sender = sender
        self._lease = lease
        self._clock = clock
        self._alerts = alerts
        self._watch = watch
        self.wording = wording
        self._lanes = Lanes(max_in_flight=max_in_flight, clock=clock)
        self._pacer = Pacer(leases, on_ready=self._ready, on_due=self._renew)
        self._claims = Claimer(
            committer=committer,
            archive=archive,
            directory=directory,
            lanes=self._lanes,
            lease=lease,
            clock=clock,
            take=self._take_claimed,
            time_scale=retry_time_scale,
        )
        self._settler = Settler(committer=committer, lease=lease, alerts=alerts, expect=self.expect)
        self._outcomes = Outcomes(
            settler=self._settler,
            alerts=alerts,
            watch=watch,
            newest=self._newest,
            time_scale=retry_time_scale,
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_open = False
        directory.tell(self._changed)

    def __repr__(self) -> str:
        return f"Deliverer({self._lanes!r}, {self._settler!r})"

    # --- life ---

    @property
    def is_open(self) -> bool:
        """Whether it takes deliveries: never on a node without that role."""
        return self._is_open

    def start(self) -> None:
        self._is_open = True
        self._loop = asyncio.get_running_loop()
        self._claims.start()

    async def close(self, grace: float) -> None:
        """Send nothing new, let what is in flight end within ``grace`` seconds, give the rest back."""
        self._is_open = False
        self._pacer.close()
        self._claims.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        now = self._clock.now()
        for claim in self._lanes.empty():
            self._give_back(claim, now)
        await self._settler.close(grace)

    def forget(self) -> None:
        """The lease is lost: what is in memory belongs to others now. Running sends end and are fenced."""
        for claim in self._lanes.empty():
            self._settler.drop(claim.owed.delivery.id)

    # --- room ---

    def reserve(self, target: Target, *, is_test: bool = False) -> bool:
        """Promise room for one delivery that is about to be committed as claimed by this node."""
        if not self._is_open or not (target.is_active or is_test) or not self._lease.is_held():
            return False
        return self._lanes.reserve(target, is_test=is_test)

    def unreserve(self, webhook_id: Key) -> None:
        self._lanes.unreserve(webhook_id)

    def take(self, owed: Owed, epoch: Epoch) -> None:
        """Take a delivery that was reserved and is now stored as claimed."""
        lane = self._lanes.unreserve(owed.delivery.webhook_id)
        is_urgent = is_test(owed)
        claim = Claim(owed, epoch, "test" if is_urgent else "live")
        begin = self._lanes.begin_test if is_urgent else self._lanes.begin
        if self._is_open and begin(lane):  # the common case: nothing waits
            self._settler.hold(owed.delivery.id)
            self._spawn(self._work(lane, claim))
            return
        self._enqueue(lane, claim, is_urgent=is_urgent)
        self._pump()

    def take_formed(self, target: Target, delivery: Delivery, epoch: Epoch) -> None:
        """Take a batch that was just formed, claimed by this node."""
        claim = Claim(Owed(delivery=delivery, event=None), epoch, "live")
        self._enqueue(self._lanes.of(target), claim)
        self._pump()

    def _take_claimed(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self._enqueue(self._lanes[claim.owed.delivery.webhook_id], claim)
        self._pump()

    def _enqueue(self, lane: WebhookLane, claim: Claim, *, is_urgent: bool = False) -> None:
        self._settler.hold(claim.owed.delivery.id)
        self._lanes.enqueue(lane, claim, is_urgent=is_urgent)
        if lane.pace is not None:
            self._pacer.look(lane)

    def holds(self, delivery_id: Key) -> bool:
        """Say whether a delivery is in this node's hands: waiting, on its way, or about to be settled."""
        return self._settler.holds(delivery_id)

    async def release(self, delivery_id: Key, organization_id: Key, epoch: Epoch) -> None:
        """Give a delivery back that the table says we hold and we do not."""
        delivery = await self._archive.delivery(delivery_id, organization_id=organization_id)
        if delivery is not None:
            self._settler.post(unsent(delivery, epoch, self._clock.now()))

    def expect(self, webhook_id: Key, lane: Lane, due_at: datetime) -> None:
        """Note that the table holds a delivery due then; it is claimed when the time has come."""
        if self._is_open:
            self._claims.expect(webhook_id, lane, due_at)

    def rescan(self) -> None:
        """Another node left deliveries in the table: look soon."""
        if self._is_open:
            self._claims.rescan()

    # --- turns ---

    def _pump(self) -> None:
        """Start as many sends as there are sockets and turns."""
        while (turn := self._next_turn()) is not None:
            self._spawn(self._work(*turn))

    def _next_turn(self) -> tuple[WebhookLane, Claim] | None:
        """The delivery whose turn it is; one with a rate, or that came back, is not asked again at once."""
        turn = self._lanes.next() if self._is_open else None
        if turn is not None:
            lane = turn[0]
            if lane.pace is not None:
                self._pacer.look(lane)
            if lane.ramps_from is not None:
                self._ramp(lane, lane.ramps_from)
        return turn

    def _ramp(self, lane: WebhookLane, since: float) -> None:
        wait = ramp_wait(self._loop.time() - since)
        if wait == 0.0:
            lane.ramps_from = None
        self._let_rest(lane, wait)

    def _ready(self, lane: WebhookLane) -> None:
        self._lanes.offer(lane)
        self._pump()

    def _changed(self, webhook_id: Key) -> None:
        """A webhook was changed: its rate, cap and status count from now on, not from the next send."""
        lane = self._lanes.get(webhook_id)
        if lane is None:
            return
        target, now = self._newest(lane), self._clock.now()
        if target is None or not target.is_active:
            for claim in self._lanes.withdraw(lane):
                if target is not None and is_test(claim.owed):  # whoever paused it may still try it out
                    self._lanes.enqueue(lane, claim, is_urgent=True)
                else:
                    self._give_back(claim, now)
        self._renew(lane)

    def _renew(self, lane: WebhookLane) -> None:
        """Bring a lane up to its webhook's newest revision, which may let it start something."""
        self._newest(lane)
        self._pacer.look(lane)
        self._ready(lane)

    def _newest(self, lane: WebhookLane) -> Target | None:
        """The webhook as it is now, None when it is gone."""
        target = self._directory.known_target(lane.organization_id, lane.target.id)
        if target is not None and target is not lane.target:
            self._lanes.of(target)
        return target

    async def _work(self, lane: WebhookLane, claim: Claim) -> None:
        """Send one delivery, and go on with whoever's turn it is: one task carries many sends."""
        while True:
            try:
                await self._deliver(lane, claim)
            finally:
                self._lanes.done(lane)
                self._claims.refill(lane)
            turn = self._next_turn()
            if turn is None:
                return
            lane, claim = turn

    def _let_rest(self, lane: WebhookLane, seconds: float) -> None:
        """Start nothing more for this webhook for a while; the longest of several rests counts."""
        until = self._loop.time() + seconds
        if seconds <= 0 or until <= lane.rests_until:
            return

        def back() -> None:
            if lane.rests_until == until:
                lane.rests = False
                self._lanes.offer(lane)
                self._pump()

        lane.rests = True
        lane.rests_until = until
        self._loop.call_at(until, back)

    # --- one delivery: load, sign, send, classify, settle ---

    async def _deliver(self, lane: WebhookLane, claim: Claim) -> None:
        target = self._newest(lane)
        delivery = claim.owed.delivery
        is_wanted = target is not None and (target.is_active or is_test(claim.owed))
        if target is None or not is_wanted or is_ruled_out(target, claim.owed) or not self._lease.is_held():
            self._give_back(claim, self._clock.now())  # fenced by the store if others have taken it over
            return
        started_at = self._clock.now()
        body = delivery.body
        try:
            worded = await self.wording.revision_of(target, delivery)
            if body is None:
                body = await self.wording.body(worded, claim.owed)
            sending = self._watch.sending(target, claim)
            request = request_of(target, worded, claim, body, started_at, sending.headers)
        except StorageError as exc:
            _log.warning(
                "wording_failed", reason=exc.message
            )  # the store is away, which is no fault of the event
            self._give_back(claim, self._clock.now())
            return
        except PayloadGoneError:
            self._settler.post(set_aside(claim, PAYLOAD_GONE, started_at))
            return
        except TemplateFailedError as exc:
            body, request, sending = None, unworded(target, claim), self._watch.sending(target, claim)
            answer = Answer(AttemptOutcome.TEMPLATE_FAILED, error=str(exc))
        except Exception as exc:  # noqa: BLE001 -- poison: our own code fails on this event, not the receiver
            self._outcomes.set_crashed(target, claim, exc, started_at)
            return
        else:
            failpoints.hit("before_send")
            answer = await self._sender.send(request)
            failpoints.hit("after_send")
            self._note(lane, answer)
        if self._alerts.concerns(lane.target, answer):
            await self._alerts.ready(lane.target)
        self._outcomes.settle(
            lane, Sent(claim, body, request, answer, started_at, self._clock.now(), sending)
        )

    def _note(self, lane: WebhookLane, answer: Answer) -> None:
        """Learn from an answer how much this receiver can take. Behind a hidden target are as many receivers as there
        are addresses, so the answer of one says nothing of the next.
        """
        if lane.target.webhook.origin is not Origin.REGISTERED:
            return
        now = self._loop.time()
        if answer.outcome is not AttemptOutcome.DELIVERED:
            lane.troubles.failed(now)
            self._let_rest(lane, self._outcomes.rest(lane.target, answer, self._clock.now()))
        elif lane.troubles.succeeded(now):
            lane.ramps_from = now
        if answer.outcome is AttemptOutcome.TIMEOUT:
            self._lanes.learn(lane, has_answered=False)
        elif answer.status is not None:
            self._lanes.learn(lane, has_answered=True)

    def _give_back(self, claim: Claim, now: datetime) -> None:
        """Free a claim without an attempt: due at once for whoever claims it, or held while the webhook rests."""
        target = self._newest(self._lanes[claim.owed.delivery.webhook_id])
        self._settler.post(given_back(target, claim, now))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
