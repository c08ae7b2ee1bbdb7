"""What the AgenticFlow seed prints of the data of its events: the keys, in its order (AF-9, AF-10)."""

from __future__ import annotations

from typing import Final

COMPLETED_WORKFLOW: Final = [
    "workflow_id",
    "execution_id",
    "status",
    "started_at",
    "completed_at",
    "duration_seconds",
    "input_data",
    "output_data",
    "credits_used",
    "steps_completed",
]

COMPLETED_CONVERSATION: Final = [
    "agent_id",
    "conversation_id",
    "user_id",
    "status",
    "started_at",
    "completed_at",
    "message_count",
    "satisfaction_score",
    "credits_used",
    "resolution",
]
