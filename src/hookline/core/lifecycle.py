"""Say what state comes next: for deliveries after an attempt, for executions on any move.

Both lifecycles are tables; a move that is not in them is our bug, raises ValueError and changes nothing.

| delivery after an attempt | next state | uses up a step |
|---|---|---|
| 2xx | succeeded | - |
| 410 | held, and its webhook is disabled | yes |
| its template cannot word the event | exhausted | yes |
| 410 from an address that its target has for this delivery alone | exhausted | yes |
| our own node stopped or had no room | pending | no |
| anything else, retries left | pending | yes |
| anything else, none left | exhausted | yes |
| anything but 2xx and our own, for a test | exhausted | yes |

This module never reads a clock, stores or sends.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hookline.model.states import AttemptOutcome, DeliveryState, ExecutionStatus

TEMPLATE_FAILED: Final = "template_failed"
RETRIES_EXHAUSTED: Final = "retries_exhausted"
PAYLOAD_GONE: Final = "payload_expired"
WEBHOOK_DELETED: Final = "webhook_deleted"
WEBHOOK_DISABLED: Final = "webhook_disabled"
CONDITION_UNREADABLE: Final = "condition_unreadable"
"""Why a delivery is held whose webhook has conditions that this version cannot read, and, pending again, that they are
still to be asked.
"""
FILTERED: Final = "filtered"
GONE: Final = "gone"
TEST_FAILED: Final = "test_failed"
FAILING_TOO_LONG: Final = "failing_too_long"


class Verdict(msgspec.Struct, frozen=True):
    """What an attempt means for its delivery.

    reason: why it is held or exhausted, None otherwise.  counts_as_failure: it used up a step of the schedule.
    disable: why the webhook must be disabled, None when it need not.
    """

    state: DeliveryState
    reason: str | None = None
    counts_as_failure: bool = True
    disable: str | None = None


_SUCCEEDED: Final = Verdict(DeliveryState.SUCCEEDED, counts_as_failure=False)
_AGAIN: Final = Verdict(DeliveryState.PENDING)
_AGAIN_FREE: Final = Verdict(DeliveryState.PENDING, counts_as_failure=False)
_EXHAUSTED: Final = Verdict(DeliveryState.EXHAUSTED, RETRIES_EXHAUSTED)
# The same event would be worded as badly the next time; once the template is mended, a retry by hand sends it.
_UNWORDED: Final = Verdict(DeliveryState.EXHAUSTED, TEMPLATE_FAILED)
# Held, not dropped: whoever mends the receiver gets everything on resume.
_GONE: Final = Verdict(DeliveryState.HELD, WEBHOOK_DISABLED, disable=GONE)

# A callback's address was named for one execution: that it is gone says nothing of the others.
_GONE_ALONE: Final = Verdict(DeliveryState.EXHAUSTED, GONE)

# Whoever asks for a test waits for its one answer; a second try would surprise them hours later.
_FAILED_TEST: Final = Verdict(DeliveryState.EXHAUSTED, TEST_FAILED)
_GONE_AT_TEST: Final = Verdict(DeliveryState.EXHAUSTED, TEST_FAILED, disable=GONE)

# The receiver has no part in these, so they cost it no try.
_OURS: Final = frozenset({AttemptOutcome.INTERRUPTED, AttemptOutcome.NOT_SENT})


def after_attempt(
    outcome: AttemptOutcome,
    status: int | None,
    *,
    failures: int,
    retries: int,
    is_callback: bool = False,
    is_test: bool = False,
) -> Verdict:
    """Return what becomes of a delivery in flight whose attempt ended so (PROMISES P8).

    status: None without an answer.  failures: steps used up before this attempt.  retries: the schedule's length.
    is_callback: the address is the delivery's own, not its webhook's.  is_test: somebody waits for this one answer.
    A Retry-After changes when, never whether. ValueError for a success that is no 2xx.
    """
    if outcome is AttemptOutcome.DELIVERED:
        if status is None or not 200 <= status <= 299:
            raise ValueError(f"an attempt with status {status} was not delivered")
        return _SUCCEEDED
    if outcome in _OURS:
        return _AGAIN_FREE
    if outcome is AttemptOutcome.TEMPLATE_FAILED:
        return _UNWORDED
    if is_test:
        return _GONE_AT_TEST if status == 410 else _FAILED_TEST
    if status == 410:
        return _GONE_ALONE if is_callback else _GONE
    return _AGAIN if failures < retries else _EXHAUSTED


_D = DeliveryState
DELIVERY_MOVES: Final[dict[DeliveryState, frozenset[DeliveryState]]] = {
    _D.PENDING: frozenset({_D.IN_FLIGHT, _D.HELD, _D.CANCELLED, _D.EXHAUSTED}),
    _D.IN_FLIGHT: frozenset({_D.PENDING, _D.SUCCEEDED, _D.HELD, _D.EXHAUSTED, _D.CANCELLED}),
    _D.HELD: frozenset({_D.PENDING, _D.EXHAUSTED, _D.CANCELLED}),
    # Ended, though a retry by hand or a replay may open them again.
    _D.SUCCEEDED: frozenset({_D.PENDING}),
    _D.EXHAUSTED: frozenset({_D.PENDING}),
    _D.CANCELLED: frozenset({_D.PENDING}),
}


def move_delivery(state: DeliveryState, to: DeliveryState) -> DeliveryState:
    """Return ``to``; ValueError when the table has no such move."""
    if to not in DELIVERY_MOVES[state]:
        raise ValueError(f"a delivery cannot go from {state} to {to}")
    return to


_E = ExecutionStatus
_FAILURES: Final = frozenset({_E.FAILED, _E.KILLED, _E.TIMED_OUT, _E.LOST})
EXECUTION_MOVES: Final[dict[ExecutionStatus, frozenset[ExecutionStatus]]] = {
    # Ended before it began: cancelled, or its automation is gone.
    _E.QUEUED: _FAILURES | {_E.RUNNING},
    # Back to queued: its process died and it may resume, or its node stops.
    _E.RUNNING: _FAILURES | {_E.WAITING, _E.QUEUED, _E.SUCCEEDED},
    _E.WAITING: _FAILURES | {_E.RUNNING, _E.QUEUED, _E.SUCCEEDED},
    _E.SUCCEEDED: frozenset(),
    _E.FAILED: frozenset(),
    _E.KILLED: frozenset(),
    _E.TIMED_OUT: frozenset(),
    _E.LOST: frozenset(),
}


def move_execution(status: ExecutionStatus, to: ExecutionStatus) -> ExecutionStatus:
    """Return ``to``; ValueError when the table has no such move. A terminal status never changes."""
    if to not in EXECUTION_MOVES[status]:
        raise ValueError(f"an execution cannot go from {status} to {to}")
    return to
