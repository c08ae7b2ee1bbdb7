"""Rows of executions and of what a run leaves behind: journal, log lines, conversations, trigger requests."""

from __future__ import annotations

from typing import Final

import msgspec

from hookline.model.executions import (
    Conversation,
    Ending,
    Execution,
    Failure,
    JournalEntry,
    LogLine,
    TriggerRequest,
)
from hookline.model.states import ExecutionStatus, Kind
from hookline.stores.rows.table import (
    AS_IS,
    FLAG,
    HEADERS,
    INSTANT,
    MAYBE_INSTANT,
    Table,
    maybe_json,
    one_of,
)

_EXECUTIONS: Final = Table(
    Execution,
    id=AS_IS,
    organization_id=AS_IS,
    kind=one_of(Kind),
    automation_id=AS_IS,
    automation_name=AS_IS,
    status=one_of(ExecutionStatus),
    source=AS_IS,
    trigger_id=AS_IS,
    request_id=AS_IS,
    replay_of=AS_IS,
    conversation_id=AS_IS,
    callback_id=AS_IS,
    input=AS_IS,
    trigger=AS_IS,
    output=AS_IS,
    error=maybe_json(Failure),
    created_at=INSTANT,
    started_at=MAYBE_INSTANT,
    completed_at=MAYBE_INSTANT,
    wake_at=MAYBE_INSTANT,
    wait_name=AS_IS,
    is_cancel_requested=FLAG,
    launch_ms=AS_IS,
    run_ms=AS_IS,
    attempt=AS_IS,
    steps=AS_IS,
    credits_used=AS_IS,
    event_sequence=AS_IS,
    callback_url=AS_IS,
    gate=AS_IS,
    gate_limit=AS_IS,
    is_blocked=FLAG,
    mark=AS_IS,
    trace=AS_IS,
)
_ENDINGS: Final = Table(
    Ending,
    named={"id": "execution_id"},
    id=AS_IS,
    organization_id=AS_IS,
    status=one_of(ExecutionStatus),
    completed_at=INSTANT,
    output=AS_IS,
    error=maybe_json(Failure),
)
_JOURNAL: Final = Table(
    JournalEntry,
    op=AS_IS,
    name=AS_IS,
    occurrence=AS_IS,
    value=AS_IS,
    started_at=INSTANT,
    duration_ms=AS_IS,
)
_LOGS: Final = Table(
    LogLine,
    position=AS_IS,
    at=INSTANT,
    stream=AS_IS,
    level=AS_IS,
    text=AS_IS,
    fields=AS_IS,
)
_CONVERSATIONS: Final = Table(
    Conversation,
    id=AS_IS,
    organization_id=AS_IS,
    agent_id=AS_IS,
    user_id=AS_IS,
    status=AS_IS,
    started_at=INSTANT,
    completed_at=MAYBE_INSTANT,
    message_count=AS_IS,
    credits_used=AS_IS,
    satisfaction_score=AS_IS,
    resolution=AS_IS,
    idle_ms=AS_IS,
)
_REQUESTS: Final = Table(
    TriggerRequest,
    id=AS_IS,
    organization_id=AS_IS,
    trigger_id=AS_IS,
    execution_id=AS_IS,
    received_at=INSTANT,
    method=AS_IS,
    path=AS_IS,
    query=AS_IS,
    headers=HEADERS,
    body=AS_IS,
    remote_address=AS_IS,
    status=AS_IS,
    reason=AS_IS,
    body_size=AS_IS,
    body_blob=AS_IS,
)

EXECUTION, ENDING, CONVERSATION = _EXECUTIONS.columns, _ENDINGS.columns, _CONVERSATIONS.columns
JOURNAL, LOG, REQUEST = _JOURNAL.columns, _LOGS.columns, _REQUESTS.columns
execution_row, execution_from = _EXECUTIONS.row, _EXECUTIONS.value
ending_from = _ENDINGS.value
journal_row, journal_from = _JOURNAL.row, _JOURNAL.value
log_row, log_from = _LOGS.row, _LOGS.value
conversation_row, conversation_from = _CONVERSATIONS.row, _CONVERSATIONS.value
request_row, request_from = _REQUESTS.row, _REQUESTS.value


def failure_json(failure: Failure | None) -> bytes | None:
    return None if failure is None else msgspec.json.encode(failure)
