"""Watch: an attempt as it is counted and logged. The deliverer tells of each in one place, here."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import structlog

from hookline.model.ids import public
from hookline.model.states import AttemptOutcome, DeliveryState

if TYPE_CHECKING:
    from datetime import datetime

    from hookline.engine.lanes import Claim
    from hookline.engine.meter import Meter
    from hookline.engine.target import Target
    from hookline.engine.tracing import Sending, Tracing
    from hookline.ports.sender import Answer, Outgoing

LOGGER: Final = "hookline.attempt"

_log = structlog.get_logger(LOGGER)


class LoggedAttempts(StrEnum):
    """Which attempts have a line in the server's log; every one is in the database."""

    ALL = "all"
    FAILED = "failed"
    NONE = "none"


class Watch:
    """One per node."""

    def __init__(self, meter: Meter, tracing: Tracing, logs: LoggedAttempts) -> None:
        self._meter = meter
        self.tracing = tracing
        self._logs = logs

    def __repr__(self) -> str:
        return f"Watch({self._logs})"

    def sending(self, target: Target, claim: Claim) -> Sending:
        """Note that an attempt is about to be made."""
        return self.tracing.sending(claim, target.public_id)

    def attempted(
        self,
        target: Target,
        claim: Claim,
        request: Outgoing,
        answer: Answer,
        state: DeliveryState,
        *,
        at: datetime,
        sending: Sending,
    ) -> None:
        """state: what the attempt made of its delivery.  at: when it ended."""
        self._meter.attempted(answer, state)
        if state is DeliveryState.SUCCEEDED:
            self._meter.delivered((at - claim.owed.delivery.created_at).total_seconds())
        if sending.span is not None:
            self.tracing.sent(sending, claim, target.public_id, request.url, answer, state, at)
        has_failed = answer.outcome is not AttemptOutcome.DELIVERED
        if self._logs is LoggedAttempts.ALL or (has_failed and self._logs is LoggedAttempts.FAILED):
            # Without URL, header or body: what these hold is nobody's who reads logs. What writes these lines counts on
            # ids, states and numbers being all there is in them.
            _log.info(
                "attempt",
                webhook=target.public_id,
                delivery=public("delivery", claim.owed.delivery.id),
                number=claim.owed.delivery.attempts_made + 1,
                outcome=answer.outcome.value,
                status=answer.status,
                duration_ms=answer.duration_ms,
                state=state.value,
                trace_id=sending.context.trace_id,
                span_id=sending.context.span_id,
            )
