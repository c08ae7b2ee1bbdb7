"""The data of the events that tell how deliveries fare (CONTRACT section 5: operational events)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from hookline.core.operations import (
    Subject,
    disabled_data,
    exhausted_data,
    expired_data,
    failure_view,
    recovered_data,
    subject_of,
)
from hookline.model.health import Health, LastFailure
from hookline.model.ids import public
from hookline.model.states import AttemptOutcome

AT = datetime(2026, 1, 15, 12, tzinfo=UTC)
ABOUT = Subject(id=b"w" * 16, name="Orders", url="https://example.com/hook")
NAMED = {
    "webhook_id": public("webhook", b"w" * 16),
    "webhook_name": "Orders",
    "webhook_url": "https://example.com/hook",
}
FAILURE = LastFailure(
    started_at=AT - timedelta(seconds=1),
    at=AT,
    outcome=AttemptOutcome.HTTP_ERROR,
    status=404,
    error="The receiver answered 404.",
    delivery_id=b"d" * 16,
    event_id="evt_42",
    event_type="order.paid",
    number=3,
    next_attempt_at=AT + timedelta(seconds=5),
)
SHOWN = {
    "at": "2026-01-15T12:00:00.000Z",
    "outcome": "http_error",
    "status": 404,
    "error": "The receiver answered 404.",
    "delivery_id": public("delivery", b"d" * 16),
    "event_id": "evt_42",
    "event_type": "order.paid",
    "attempt": 3,
    "next_attempt_at": "2026-01-15T12:00:05.000Z",
}
HEALTH = Health(webhook_id=b"w" * 16, organization_id=b"o" * 16, failing_since=AT, failures=5, latest=FAILURE)


def test_a_disabled_webhook_tells_why_and_since_when() -> None:
    assert json.loads(disabled_data(ABOUT, HEALTH, "gone", AT)) == {
        **NAMED,
        "reason": "gone",
        "disabled_at": "2026-01-15T12:00:00.000Z",
        "failing_since": "2026-01-15T12:00:00.000Z",
        "failures": 5,
        "last_failure": SHOWN,
    }


def test_a_recovered_webhook_tells_what_was_known_before() -> None:
    later = AT + timedelta(hours=1)

    assert json.loads(recovered_data(ABOUT, HEALTH, later)) == {
        **NAMED,
        "recovered_at": "2026-01-15T13:00:00.000Z",
        "failing_since": "2026-01-15T12:00:00.000Z",
        "failures": 5,
        "last_failure": SHOWN,
    }


def test_a_delivery_that_was_given_up_tells_its_event_and_its_last_failure() -> None:
    data = exhausted_data(
        ABOUT,
        delivery_id=b"d" * 16,
        event_id="evt_42",
        event_type="order.paid",
        attempts=3,
        reason="retries_exhausted",
        failure=FAILURE,
    )

    assert json.loads(data) == {
        **NAMED,
        "delivery_id": public("delivery", b"d" * 16),
        "event_id": "evt_42",
        "event_type": "order.paid",
        "attempts": 3,
        "reason": "retries_exhausted",
        "last_failure": SHOWN,
    }


def test_held_deliveries_that_expired_are_told_as_one() -> None:
    assert json.loads(expired_data(ABOUT, AT)) == {
        **NAMED,
        "reason": "held_expired",
        "held_before": "2026-01-15T12:00:00.000Z",
    }


def test_without_a_failure_there_is_nothing_to_show() -> None:
    assert failure_view(None) is None


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b'{"webhook_id":"wh_1"}', "wh_1"),
        (b'{"webhook_id":7}', None),
        (b'{"id":"wh_1"}', None),
        (b'["webhook_id"]', None),
        (b"no json", None),
    ],
)
def test_an_event_is_about_the_webhook_that_its_data_names(data: bytes, named: str | None) -> None:
    """Anyone may publish one: whatever the data are, this does not fail."""
    assert subject_of(data) == named
