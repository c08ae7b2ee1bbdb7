"""What an attempt's outcome says of a webhook's receiver, as a step that judges its health.

A step is kept apart from the health that it judges, because another node may have changed that meanwhile: then the same
step judges the newer one. Nothing is stored or sent here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hookline.core import alerting
from hookline.core.alerting import Change, Policy
from hookline.model.health import Health
from hookline.model.ids import new_key
from hookline.model.states import DeliveryState

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from hookline.core.lifecycle import Verdict
    from hookline.engine.lanes import Claim
    from hookline.engine.target import Target
    from hookline.model.health import LastFailure

Step = Callable[[Health, "Target"], Change]
"""Judges a happening: what it makes of a health, given the webhook as it now is."""

_OF_THE_RECEIVER: Final = frozenset({"live", "retry"})
"""Causes of attempts that say something new of a receiver: of a test or a replay whoever began it sees the end."""


def step_of(
    target: Target,
    claim: Claim,
    verdict: Verdict,
    failure: LastFailure | None,
    *,
    started_at: datetime,
    ended_at: datetime,
    disable_after: timedelta,
) -> Step | None:
    """How an outcome is judged; None when it says nothing of the receiver.

    failure: None for an attempt that was accepted.  disable_after: of only failures a webhook is disabled.
    """
    if verdict.state is DeliveryState.CANCELLED:
        return None  # the webhook was deleted meanwhile
    if claim.cause == "test" and not target.is_active:
        return None  # whoever tries it out decides what comes of it
    if failure is None:
        return lambda health, _: alerting.succeeded(health, started_at=started_at, at=ended_at)
    if not verdict.counts_as_failure or claim.owed.delivery.url is not None:
        return None
    if claim.cause not in _OF_THE_RECEIVER and verdict.disable is None:
        return None
    ids = (new_key(), new_key())
    return lambda health, now: alerting.failed(
        health, failure, _policy(now, disable_after), gone=verdict.disable, is_active=now.is_active, ids=ids
    )


def _policy(target: Target, disable_after: timedelta) -> Policy:
    return Policy(disable_after=disable_after, disables_misconfigured=target.dialect.disables_misconfigured)
