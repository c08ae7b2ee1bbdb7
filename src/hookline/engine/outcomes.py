"""Outcomes: what an attempt makes of its delivery, of its webhook's health, and of when the next one is due.

A verdict (``core.lifecycle``) becomes one ``Settle``: attempt, state and news share a transaction. Nothing here sends.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from hookline.core.lifecycle import WEBHOOK_DELETED, after_attempt
from hookline.core.retry import OUR_PAUSE, next_attempt_at, parse_retry_after
from hookline.engine.alert import NO_NEWS
from hookline.engine.attempt import attempt_of, header, is_test, set_aside, unsent
from hookline.engine.lanes import Claim
from hookline.engine.tracing import Sending
from hookline.model.states import DeliveryState, Lane, Origin
from hookline.ports import Settle
from hookline.ports.sender import Answer, Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.core.lifecycle import Verdict
    from hookline.engine.alert import Alerts
    from hookline.engine.lanes import WebhookLane
    from hookline.engine.settle import Settler
    from hookline.engine.target import Target
    from hookline.engine.watch import Watch

_log = structlog.get_logger("hookline.deliver")

_CRASHES_ALLOWED: Final = 3
"""Times our own code may fail on a delivery before it is set aside (P22)."""

_ASKS_FOR_REST: Final = (429, 503)
"""Statuses whose Retry-After counts (RFC 9110 section 10.2.3)."""

_WAITS: Final = frozenset({DeliveryState.PENDING, DeliveryState.HELD})


class Sent(msgspec.Struct, frozen=True):
    """An attempt that has ended. body: None when there is none, because the event could not be worded."""

    claim: Claim
    body: bytes | None
    request: Outgoing
    answer: Answer
    started_at: datetime
    ended_at: datetime
    sending: Sending


class Outcomes:
    """One per node.

    newest: the webhook of a lane as it is now, None when it is gone.  time_scale: multiplies every pause.
    """

    def __init__(
        self,
        *,
        settler: Settler,
        alerts: Alerts,
        watch: Watch,
        newest: Callable[[WebhookLane], Target | None],
        time_scale: float,
    ) -> None:
        self._settler = settler
        self._alerts = alerts
        self._watch = watch
        self._newest = newest
        self._time_scale = time_scale

    def __repr__(self) -> str:
        return f"Outcomes({self._settler!r})"

    def settle(self, lane: WebhookLane, sent: Sent, *, is_first: bool = True) -> None:
        """Judge an attempt and post what it means. The alerts must have been made ready for its webhook: from here to
        the commit nothing is awaited, so what they were made ready for is still so.
        """
        claim, answer, ended_at = sent.claim, sent.answer, sent.ended_at
        delivery, target = claim.owed.delivery, lane.target
        verdict = self._verdict(lane, claim, answer)
        if is_first:
            self._watch.attempted(
                target, claim, sent.request, answer, verdict.state, at=ended_at, sending=sent.sending
            )
        failures = delivery.failures + verdict.counts_as_failure
        due = self._next_due(target, verdict, failures, answer, ended_at)
        news = NO_NEWS
        if self._alerts.concerns(target, answer):
            news = self._alerts.news(
                target,
                claim,
                answer,
                verdict,
                started_at=sent.started_at,
                ended_at=ended_at,
                next_attempt_at=due,
            )
        body = sent.body
        self._settler.post(
            Settle(
                epoch=claim.epoch,
                delivery_id=delivery.id,
                webhook_id=delivery.webhook_id,
                at=ended_at,
                attempt=attempt_of(claim, sent.request, answer, sent.started_at, target),
                state=verdict.state,
                state_reason=verdict.reason,
                lane=Lane.REPLAY if delivery.lane is Lane.REPLAY else Lane.RETRY,
                next_attempt_at=due,
                failures=failures,
                crashes=delivery.crashes,
                body=None if verdict.state is DeliveryState.SUCCEEDED else body,
                body_size=None if body is None else len(body),
                ordering_key=delivery.ordering_key,
                events=news.events,
            ),
            news,
            anew=partial(self.settle_anew, lane, sent) if news.health is not None else None,
        )

    async def settle_anew(self, lane: WebhookLane, sent: Sent) -> None:
        """Judge an attempt by the webhook and its health as they are now. Raises StorageError."""
        await self._alerts.ready_anew(lane.target)
        self.settle(lane, sent, is_first=False)

    def rest(self, target: Target, answer: Answer, now: datetime) -> float:
        """Seconds for which a receiver asks for rest, 0 for none; at most the longest pause of its schedule."""
        if answer.status not in _ASKS_FOR_REST:
            return 0.0
        wait = parse_retry_after(header(answer, "retry-after"), now)
        longest = max(target.schedule.delays, default=timedelta())
        return min(wait, longest).total_seconds()

    def set_crashed(self, target: Target, claim: Claim, exc: Exception, at: datetime) -> None:
        """Our own code failed on it: try again a little later, set aside after the third time (P22)."""
        delivery = claim.owed.delivery
        crashes = delivery.crashes + 1
        _log.error("delivery_crashed", delivery=delivery.id.hex(), crashes=crashes, exc_info=exc)
        if crashes >= _CRASHES_ALLOWED:
            reason = f"poison: {type(exc).__name__}"
            events = self._alerts.poisoned(target, claim, reason, at)
            self._settler.post(set_aside(claim, reason, at, crashes=crashes, events=events))
            return
        later = at + OUR_PAUSE * self._time_scale
        self._settler.post(unsent(delivery, claim.epoch, at, due=later, crashes=crashes))

    def _verdict(self, lane: WebhookLane, claim: Claim, answer: Answer) -> Verdict:
        verdict = after_attempt(
            answer.outcome,
            answer.status,
            failures=claim.owed.delivery.failures,
            retries=len(lane.target.schedule.delays),
            is_callback=lane.target.webhook.origin is not Origin.REGISTERED,
            is_test=is_test(claim.owed),
        )
        if verdict.state in _WAITS and self._newest(lane) is None:
            # Deleted while it was under way: nobody would ever send it again.
            return msgspec.structs.replace(verdict, state=DeliveryState.CANCELLED, reason=WEBHOOK_DELETED)
        return verdict

    def _next_due(
        self, target: Target, verdict: Verdict, failures: int, answer: Answer, ended_at: datetime
    ) -> datetime | None:
        """When the next attempt may start, None when there is none."""
        if verdict.state is not DeliveryState.PENDING:
            return None
        if not verdict.counts_as_failure:
            return ended_at + OUR_PAUSE * self._time_scale
        asked = header(answer, "retry-after") if answer.status in _ASKS_FOR_REST else None
        return next_attempt_at(
            target.schedule,
            attempts_made=failures,
            ended_at=ended_at,
            jitter=random.random(),  # noqa: S311 -- spreads load, guards nothing
            retry_after=parse_retry_after(asked, ended_at),
            time_scale=self._time_scale,
        )
