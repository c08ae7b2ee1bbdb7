"""Watch: an attempt as it is counted and logged. The deliverer tells of each in one place, here."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from hookline.model.ids import public
from hookline.model.states import AttemptOutcome

if TYPE_CHECKING:
    from hookline.engine.lanes import Claim
    from hookline.engine.meter import Meter
    from hookline.engine.target import Target
    from hookline.model.states import DeliveryState
    from hookline.ports.sender import Answer

_log = structlog.get_logger("hookline.attempt")


class LoggedAttempts(StrEnum):
    """Which attempts have a line in the server's log; every one is in the database."""

    ALL = "all"
    FAILED = "failed"
    NONE = "none"


class Watch:
    """One per node."""

    def __init__(self, meter: Meter, logs: LoggedAttempts) -> None:
        self._meter = meter
        self._logs = logs

    def __repr__(self) -> str:
        return f"Watch({self._logs})"

    def attempted(self, target: Target, claim: Claim, answer: Answer, state: DeliveryState) -> None:
        """state: what the attempt made of its delivery."""
        self._meter.attempted(answer, state)
        has_failed = answer.outcome is not AttemptOutcome.DELIVERED
        if self._logs is LoggedAttempts.ALL or (has_failed and self._logs is LoggedAttempts.FAILED):
            # Without URL, header or body: what these hold is nobody's who reads logs.
            _log.info(
                "attempt",
                webhook=target.public_id,
                delivery=public("delivery", claim.owed.delivery.id),
                number=claim.owed.delivery.attempts_made + 1,
                outcome=answer.outcome.value,
                status=answer.status,
                duration_ms=answer.duration_ms,
                state=state.value,
            )
