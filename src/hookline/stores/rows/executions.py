"""Rows of executions and of what a run leaves behind: journal, log lines, conversations, trigger requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

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
from hookline.stores.rows.values import (
    EPOCH,
    MS,
    Row,
    from_ms,
    maybe_at,
    maybe_ms,
    pack_headers,
    unpack_headers,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

EXECUTION: Final = (
    "id", "organization_id", "kind", "automation_id", "automation_name", "status", "source", "trigger_id",
    "request_id", "replay_of", "conversation_id", "callback_id", "input", "trigger", "output", "error", "created_at",
    "started_at", "completed_at", "wake_at", "wait_name", "is_cancel_requested", "launch_ms", "run_ms", "attempt",
    "steps", "credits_used", "event_sequence", "callback_url", "gate", "gate_limit", "is_blocked", "mark", "trace",
)  # fmt: skip
ENDING: Final = ("id", "organization_id", "status", "completed_at", "output", "error")
JOURNAL: Final = ("op", "name", "occurrence", "value", "started_at", "duration_ms")
LOG: Final = ("position", "at", "stream", "level", "text", "fields")
CONVERSATION: Final = (
    "id", "organization_id", "agent_id", "user_id", "status", "started_at", "completed_at", "message_count",
    "credits_used", "satisfaction_score", "resolution", "idle_ms",
)  # fmt: skip
REQUEST: Final = (
    "id", "organization_id", "trigger_id", "execution_id", "received_at", "method", "path", "query", "headers", "body",
    "remote_address", "status", "reason", "body_size", "body_blob",
)  # fmt: skip

_STATUSES: Final = {status.value: status for status in ExecutionStatus}
_KINDS: Final = {kind.value: kind for kind in Kind}
_failure_decoder: Final = msgspec.json.Decoder(Failure)


def failure_json(failure: Failure | None) -> bytes | None:
    return None if failure is None else msgspec.json.encode(failure)


def execution_row(execution: Execution) -> Row:
    return (
        execution.id,
        execution.organization_id,
        execution.kind,
        execution.automation_id,
        execution.automation_name,
        execution.status,
        execution.source,
        execution.trigger_id,
        execution.request_id,
        execution.replay_of,
        execution.conversation_id,
        execution.callback_id,
        execution.input,
        execution.trigger,
        execution.output,
        failure_json(execution.error),
        (execution.created_at - EPOCH) // MS,
        maybe_ms(execution.started_at),
        maybe_ms(execution.completed_at),
        maybe_ms(execution.wake_at),
        execution.wait_name,
        execution.is_cancel_requested,
        execution.launch_ms,
        execution.run_ms,
        execution.attempt,
        execution.steps,
        execution.credits_used,
        execution.event_sequence,
        execution.callback_url,
        execution.gate,
        execution.gate_limit,
        execution.is_blocked,
        execution.mark,
        execution.trace,
    )


def execution_from(row: Sequence[Any]) -> Execution:
    return Execution(
        id=row[0],
        organization_id=row[1],
        kind=_KINDS[row[2]],
        automation_id=row[3],
        automation_name=row[4],
        status=_STATUSES[row[5]],
        source=row[6],
        trigger_id=row[7],
        request_id=row[8],
        replay_of=row[9],
        conversation_id=row[10],
        callback_id=row[11],
        input=row[12],
        trigger=row[13],
        output=row[14],
        error=None if row[15] is None else _failure_decoder.decode(row[15]),
        created_at=from_ms(row[16]),
        started_at=maybe_at(row[17]),
        completed_at=maybe_at(row[18]),
        wake_at=maybe_at(row[19]),
        wait_name=row[20],
        is_cancel_requested=bool(row[21]),
        launch_ms=row[22],
        run_ms=row[23],
        attempt=row[24],
        steps=row[25],
        credits_used=row[26],
        event_sequence=row[27],
        callback_url=row[28],
        gate=row[29],
        gate_limit=row[30],
        is_blocked=bool(row[31]),
        mark=row[32],
        trace=row[33],
    )


def ending_from(row: Sequence[Any]) -> Ending:
    return Ending(
        execution_id=row[0],
        organization_id=row[1],
        status=_STATUSES[row[2]],
        completed_at=from_ms(row[3]),
        output=row[4],
        error=None if row[5] is None else _failure_decoder.decode(row[5]),
    )


def journal_row(entry: JournalEntry) -> Row:
    return (
        entry.op,
        entry.name,
        entry.occurrence,
        entry.value,
        (entry.started_at - EPOCH) // MS,
        entry.duration_ms,
    )


def journal_from(row: Sequence[Any]) -> JournalEntry:
    return JournalEntry(
        op=row[0],
        name=row[1],
        occurrence=row[2],
        value=row[3],
        started_at=from_ms(row[4]),
        duration_ms=row[5],
    )


def log_row(line: LogLine) -> Row:
    return (line.position, (line.at - EPOCH) // MS, line.stream, line.level, line.text, line.fields)


def log_from(row: Sequence[Any]) -> LogLine:
    return LogLine(
        position=row[0], at=from_ms(row[1]), stream=row[2], level=row[3], text=row[4], fields=row[5]
    )


def conversation_row(conversation: Conversation) -> Row:
    return (
        conversation.id,
        conversation.organization_id,
        conversation.agent_id,
        conversation.user_id,
        conversation.status,
        (conversation.started_at - EPOCH) // MS,
        maybe_ms(conversation.completed_at),
        conversation.message_count,
        conversation.credits_used,
        conversation.satisfaction_score,
        conversation.resolution,
        conversation.idle_ms,
    )


def conversation_from(row: Sequence[Any]) -> Conversation:
    return Conversation(
        id=row[0],
        organization_id=row[1],
        agent_id=row[2],
        user_id=row[3],
        status=row[4],
        started_at=from_ms(row[5]),
        completed_at=maybe_at(row[6]),
        message_count=row[7],
        credits_used=row[8],
        satisfaction_score=row[9],
        resolution=row[10],
        idle_ms=row[11],
    )


def request_row(request: TriggerRequest) -> Row:
    return (
        request.id,
        request.organization_id,
        request.trigger_id,
        request.execution_id,
        (request.received_at - EPOCH) // MS,
        request.method,
        request.path,
        request.query,
        pack_headers(request.headers),
        request.body,
        request.remote_address,
        request.status,
        request.reason,
        request.body_size,
        request.body_blob,
    )


def request_from(row: Sequence[Any]) -> TriggerRequest:
    return TriggerRequest(
        id=row[0],
        organization_id=row[1],
        trigger_id=row[2],
        execution_id=row[3],
        received_at=from_ms(row[4]),
        method=row[5],
        path=row[6],
        query=row[7],
        headers=unpack_headers(row[8]),
        body=row[9],
        remote_address=row[10],
        status=row[11],
        reason=row[12],
        body_size=row[13],
        body_blob=row[14],
    )
