"""What a node remembers of the events that wait for a batch is bounded, and never half a batch."""

from __future__ import annotations

from datetime import UTC, datetime

from hookline.engine.recent import Recent
from hookline.model.events import Event
from hookline.model.ids import new_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _event(size: int) -> Event:
    return Event(
        key=new_key(), organization_id=new_key(), type="t", data=b" " * size, occurred_at=NOW, received_at=NOW
    )


def test_the_events_of_a_batch_come_back_once_in_its_order() -> None:
    recent, batch, events = Recent(), new_key(), [_event(10) for _ in range(3)]
    for event in events:
        recent.keep([event])
    recent.formed(batch, [event.key for event in reversed(events)])

    assert recent.take(batch) == events[::-1]
    assert recent.take(batch) is None


def test_a_batch_of_which_an_event_is_gone_must_be_read() -> None:
    recent, batch, events = Recent(10_000), new_key(), [_event(3_000) for _ in range(4)]
    for event in events:
        recent.keep([event])
    recent.formed(batch, [event.key for event in events])

    assert recent.take(batch) is None


def test_an_event_larger_than_all_that_may_be_kept_is_not() -> None:
    recent, batch, event = Recent(1_000), new_key(), _event(5_000)
    recent.keep([event])
    recent.formed(batch, [event.key])

    assert recent.take(batch) is None
    assert repr(recent) == "Recent(0 events, 0 bytes)"
