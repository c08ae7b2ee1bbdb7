from __future__ import annotations

import pytest

from hookline.core.lifecycle import (
    DELIVERY_MOVES,
    EXECUTION_MOVES,
    Verdict,
    after_attempt,
    move_delivery,
    move_execution,
)
from hookline.model.states import AttemptOutcome, DeliveryState, ExecutionStatus

A, D, E = AttemptOutcome, DeliveryState, ExecutionStatus
AGAIN = Verdict(D.PENDING, None, True, None)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226, 299])
def test_any_2xx_is_success(status: int) -> None:
    """P8."""
    assert after_attempt(A.DELIVERED, status, failures=3, retries=6) == Verdict(
        D.SUCCEEDED, None, False, None
    )


@pytest.mark.parametrize("status", [None, 0, 100, 199, 300, 600])
def test_a_success_that_is_no_2xx_is_our_bug(status: int | None) -> None:
    """PROMISES section 3: 1xx, 600, 0 failed."""
    with pytest.raises(ValueError, match="not delivered"):
        after_attempt(A.DELIVERED, status, failures=0, retries=6)


@pytest.mark.parametrize("failures", [0, 6])
def test_410_disables_at_once_and_holds_the_delivery(failures: int) -> None:
    """P8; PROMISES section 3: pending ones held, not dropped."""
    assert after_attempt(A.HTTP_ERROR, 410, failures=failures, retries=6) == Verdict(
        D.HELD, "webhook_disabled", True, "gone"
    )


@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 405, 408, 409, 413, 422, 429, 500, 502, 503, 504, 599, 600]
)
def test_every_other_answer_retries_on_the_schedule(status: int) -> None:
    """P8, AF-21."""
    assert after_attempt(A.HTTP_ERROR, status, failures=0, retries=6) == AGAIN
    assert after_attempt(A.HTTP_ERROR, status, failures=5, retries=6) == AGAIN
    assert after_attempt(A.HTTP_ERROR, status, failures=6, retries=6) == Verdict(
        D.EXHAUSTED, "retries_exhausted", True, None
    )


@pytest.mark.parametrize(
    "outcome",
    sorted(set(A) - {A.DELIVERED, A.HTTP_ERROR, A.REDIRECT, A.INTERRUPTED, A.NOT_SENT, A.TEMPLATE_FAILED}),
)
def test_every_failure_without_an_answer_retries_on_the_schedule(outcome: AttemptOutcome) -> None:
    """P8: DNS, TLS, connection and time-outs."""
    assert after_attempt(outcome, None, failures=0, retries=1) == AGAIN
    assert after_attempt(outcome, None, failures=1, retries=1).state is D.EXHAUSTED


def test_a_template_that_fails_is_not_tried_again() -> None:
    """Issue 4: the same event would be worded as badly the next time."""
    assert after_attempt(A.TEMPLATE_FAILED, None, failures=0, retries=6) == Verdict(
        D.EXHAUSTED, "template_failed", True, None
    )


def test_a_redirect_is_a_failure() -> None:
    """P8."""
    assert after_attempt(A.REDIRECT, 308, failures=0, retries=1) == AGAIN


@pytest.mark.parametrize("outcome", [A.INTERRUPTED, A.NOT_SENT])
def test_what_was_our_own_fault_costs_the_receiver_no_try(outcome: AttemptOutcome) -> None:
    assert after_attempt(outcome, None, failures=6, retries=6) == Verdict(D.PENDING, None, False, None)


def test_a_schedule_without_retries_ends_with_the_first_failure() -> None:
    """PB-11: no retry."""
    assert after_attempt(A.HTTP_ERROR, 500, failures=0, retries=0).state is D.EXHAUSTED


def test_a_terminal_execution_never_changes() -> None:
    """CONTRACT section 4."""
    for status in E:
        assert status.is_terminal is (not EXECUTION_MOVES[status])
        for to in E:
            if status.is_terminal:
                with pytest.raises(ValueError, match="cannot go"):
                    move_execution(status, to)


def test_an_execution_moves_along_its_table() -> None:
    """CONTRACT section 4: queued → running ⇄ waiting → an end."""
    assert move_execution(E.QUEUED, E.RUNNING) is E.RUNNING
    assert move_execution(E.RUNNING, E.WAITING) is E.WAITING
    assert move_execution(E.WAITING, E.RUNNING) is E.RUNNING
    assert move_execution(E.RUNNING, E.QUEUED) is E.QUEUED
    assert move_execution(E.QUEUED, E.KILLED) is E.KILLED
    with pytest.raises(ValueError, match="from queued to succeeded"):
        move_execution(E.QUEUED, E.SUCCEEDED)
    with pytest.raises(ValueError, match="from running to running"):
        move_execution(E.RUNNING, E.RUNNING)


def test_a_delivery_moves_along_its_table() -> None:
    """CONTRACT section 5."""
    assert set(DELIVERY_MOVES) == set(D)
    assert move_delivery(D.PENDING, D.IN_FLIGHT) is D.IN_FLIGHT
    assert move_delivery(D.EXHAUSTED, D.PENDING) is D.PENDING
    for state in D:
        with pytest.raises(ValueError, match="cannot go"):
            move_delivery(state, state)
    with pytest.raises(ValueError, match="from succeeded to in_flight"):
        move_delivery(D.SUCCEEDED, D.IN_FLIGHT)
    with pytest.raises(ValueError, match="from pending to succeeded"):
        move_delivery(D.PENDING, D.SUCCEEDED)


@pytest.mark.parametrize(("status", "disable"), [(500, None), (404, None), (None, None), (410, "gone")])
def test_a_test_is_one_attempt(status: int | None, disable: str | None) -> None:
    """Issue 4, point 12: whoever tries a webhook out hears of one answer, and no second try comes hours later."""
    outcome = A.TIMEOUT if status is None else A.HTTP_ERROR

    assert after_attempt(outcome, status, failures=0, retries=6, is_test=True) == Verdict(
        D.EXHAUSTED, "test_failed", True, disable
    )
    assert after_attempt(A.NOT_SENT, None, failures=0, retries=6, is_test=True).state is D.PENDING
