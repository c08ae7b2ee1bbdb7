"""Conversations in the ledger: opened, kept with their turns, closed when nothing of them is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.stores import rows
from hookline.stores.rows import CONVERSATION, listed, maybe_ms
from hookline.stores.sqlite.batch import marks

if TYPE_CHECKING:
    from hookline.model.executions import Conversation
    from hookline.ports import Accept, CloseConversation, OpenConversation
    from hookline.stores.sqlite.batch import Batch

_PUT: Final = f"""
    INSERT OR REPLACE INTO conversations ({listed(CONVERSATION)}) VALUES ({marks(CONVERSATION)})
"""
_IS_OPEN: Final = """
    SELECT 1 FROM conversations WHERE id = ? AND organization_id = ? AND completed_at IS NULL
"""
_CLOSE: Final = """
    UPDATE conversations SET status = ?1, completed_at = ?2, satisfaction_score = ?3, resolution = ?4
    WHERE id = ?5 AND organization_id = ?6 AND completed_at IS NULL AND message_count = ?7 AND NOT EXISTS (
        SELECT 1 FROM executions WHERE conversation_id = ?5 AND (completed_at IS NULL OR completed_at >= ?8)
    )
"""


def keep(batch: Batch, conversation: Conversation | None) -> None:
    if conversation is not None:
        batch.cursor.execute(_PUT, rows.conversation_row(conversation))


def is_open(batch: Batch, write: Accept) -> bool:
    """Say whether the conversation that a turn joins stands open."""
    return batch.first(_IS_OPEN, (write.joins, write.execution.organization_id)) is not None


def open_(batch: Batch, write: OpenConversation) -> bool:
    keep(batch, write.conversation)
    batch.add_all(write.events, write.epoch)
    return True


def close(batch: Batch, write: CloseConversation) -> bool:
    closed = write.conversation
    bindings = (
        closed.status,
        maybe_ms(closed.completed_at),
        closed.satisfaction_score,
        closed.resolution,
        closed.id,
        closed.organization_id,
        closed.message_count,
        maybe_ms(write.idle_since),
    )
    if batch.change(_CLOSE, bindings) == 0:
        return False
    batch.add_all(write.events, write.epoch)
    return True
