"""Conversations in the ledger: opened, joined by turns, closed when nothing of them is under way.

Turns that join a conversation, their ends and its own end all hold the lock of its gate (``turns.lock``), so each sees
what the others wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.ports import CloseConversation, OpenConversation
from hookline.stores import rows
from hookline.stores.postgres.publishing import put_conversations

if TYPE_CHECKING:
    from hookline.stores.postgres.batch import Batch
    from hookline.stores.postgres.connection import Connection

_CLOSE: Final = """
UPDATE conversations SET status = $1, completed_at = $2, satisfaction_score = $3, resolution = $4
WHERE id = $5 AND organization_id = $6 AND completed_at IS NULL AND message_count = $7 AND NOT EXISTS (
    SELECT FROM executions x
    WHERE x.conversation_id = $5 AND (x.completed_at IS NULL OR x.completed_at >= $8::bigint)
)
"""


async def open_(connection: Connection, batch: Batch) -> None:
    await put_conversations(connection, [write.conversation for _, write in batch.of(OpenConversation)])
    for place, write in batch.of(OpenConversation):
        batch.add_events(write.epoch, write.events)
        batch.results[place] = True


async def close(connection: Connection, batch: Batch) -> None:
    for place, write in batch.of(CloseConversation):
        closed = write.conversation
        done = await connection.execute(
            _CLOSE,
            closed.status,
            rows.maybe_ms(closed.completed_at),
            closed.satisfaction_score,
            closed.resolution,
            closed.id,
            closed.organization_id,
            closed.message_count,
            rows.maybe_ms(write.idle_since),
        )
        batch.results[place] = done == "UPDATE 1"
        if batch.results[place]:
            batch.add_events(write.epoch, write.events)
