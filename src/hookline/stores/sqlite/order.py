"""Ordered deliveries: of one webhook and key only the first that has not ended can be claimed (PROMISES P6).

The first waits with a time as any other does; those behind it have none, so no claim finds them. Whatever inserts,
ends or moves ordered deliveries gives the time on, in its own transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.stores.rows import to_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookline.model.events import Delivery
    from hookline.model.ids import Key
    from hookline.stores.sqlite.batch import Batch

_PLACE: Final = """
    UPDATE deliveries
    SET next_attempt_at = NULL,
        position = (SELECT seq FROM events WHERE organization_id = deliveries.organization_id AND key = event_key)
    WHERE id = ?
"""
_RELEASE: Final = """
    UPDATE deliveries SET next_attempt_at = ?1
    WHERE state = 'pending' AND next_attempt_at IS NULL AND rowid = (
        SELECT rowid FROM deliveries INDEXED BY deliveries_ordered
        WHERE webhook_id = ?2 AND ordering_key = ?3 AND ended_at IS NULL ORDER BY position LIMIT 1
    )
"""
_REJOIN: Final = "UPDATE deliveries SET next_attempt_at = NULL WHERE id = ?"
_STEP_BACK: Final = """
    UPDATE deliveries SET next_attempt_at = NULL
    WHERE state = 'pending' AND next_attempt_at IS NOT NULL AND rowid = (
        SELECT rowid FROM deliveries INDEXED BY deliveries_ordered
        WHERE webhook_id = ? AND ordering_key = ? AND ended_at IS NULL ORDER BY position LIMIT 1 OFFSET 1
    )
"""
_IS_ORDERED: Final = """
    SELECT 1 FROM deliveries INDEXED BY deliveries_ordered
    WHERE webhook_id = ? AND ordering_key IS NOT NULL AND ended_at IS NULL LIMIT 1
"""
_EARLIER: Final = """
    EXISTS (
        SELECT 1 FROM deliveries AS earlier INDEXED BY deliveries_ordered
        WHERE earlier.webhook_id = deliveries.webhook_id AND earlier.ordering_key = deliveries.ordering_key
            AND earlier.ended_at IS NULL AND earlier.position < deliveries.position
    )
"""
_OF_WEBHOOK: Final = "webhook_id = ?1 AND ordering_key IS NOT NULL AND ended_at IS NULL AND state = 'pending'"
_DEMOTE: Final = f"""
    UPDATE deliveries SET next_attempt_at = NULL WHERE {_OF_WEBHOOK} AND next_attempt_at IS NOT NULL AND {_EARLIER}
"""
_PROMOTE: Final = f"""
    UPDATE deliveries SET next_attempt_at = ?2 WHERE {_OF_WEBHOOK} AND next_attempt_at IS NULL AND NOT {_EARLIER}
"""


def place(batch: Batch, inserted: Iterable[Delivery]) -> None:
    """Put new deliveries in line; the first of each line gets its time."""
    lines: dict[tuple[Key, str], int] = {}
    for delivery in inserted:
        assert delivery.ordering_key is not None
        if delivery.next_attempt_at is not None:
            lines[delivery.webhook_id, delivery.ordering_key] = to_ms(delivery.next_attempt_at)
        batch.cursor.execute(_PLACE, (delivery.id,))
    for (webhook_id, key), due in lines.items():
        release(batch, webhook_id, key, due)


def release(batch: Batch, webhook_id: Key, key: str, due: int) -> None:
    """Let the first of a line be claimed. due: milliseconds."""
    batch.cursor.execute(_RELEASE, (due, webhook_id, key))


def rejoin(batch: Batch, delivery: Delivery, due: int) -> None:
    """Put one that had ended where it stood in its line: whoever was first and came later waits for it."""
    assert delivery.ordering_key is not None
    line = (delivery.webhook_id, delivery.ordering_key)
    batch.cursor.execute(_REJOIN, (delivery.id,))
    batch.cursor.execute(_STEP_BACK, line)
    release(batch, *line, due)


def arrange(batch: Batch, webhook_id: Key, due: int) -> None:
    """Put a webhook's lines right after many of its deliveries changed their state."""
    if batch.first(_IS_ORDERED, (webhook_id,)) is not None:
        batch.cursor.execute(_DEMOTE, (webhook_id,))
        batch.cursor.execute(_PROMOTE, (webhook_id, due))
