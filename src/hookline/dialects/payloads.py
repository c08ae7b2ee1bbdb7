"""The ``data`` of every built-in event, in our own terms. Dialects word the rest around it.

Keys stand in the order of the seed's examples (AF-9, AF-10). What users gave us (inputs, results) is spliced in as
the bytes that are stored. Facts that do not exist are null. ``duration_seconds`` counts from the run's start to its
end, to the millisecond. Nothing here decides whether an event happens, and no user's text can make it fail.

What only one kind of run knows (a script's exit code, a robot's browser, a render's video) its runner hands over as
``Facts`` with its outcome; they stand in the terminal event's ``data``, where ``ending`` reads them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.times import rfc3339
from hookline.model.executions import Conversation, Execution
from hookline.model.ids import public
from hookline.model.states import ExecutionStatus, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hookline.model.executions import Artifact, Facts, JournalEntry
    from hookline.model.ids import Key

_SUBJECT: Final = {
    Kind.WORKFLOW: "workflow_id",
    Kind.AGENT: "agent_id",
    Kind.SCRIPT: "script_id",
    Kind.ROBOT: "robot_id",
    Kind.RENDER: "render_id",
}
"""What the automation's id is called, by kind."""

_encode: Final = msgspec.json.Encoder().encode
_NULL: Final = msgspec.Raw(b"null")


def _raw(text: bytes | None) -> msgspec.Raw:
    return _NULL if text is None else msgspec.Raw(text)


def _time(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)


def _seconds(since: datetime | None, until: datetime | None) -> float | None:
    if since is None or until is None:
        return None
    seconds = round((until - since).total_seconds(), 3)
    return int(seconds) if seconds == int(seconds) else seconds


def workflow_started(execution: Execution) -> bytes:
    """Data of ``workflow.execution.started``."""
    return _encode(
        {
            _SUBJECT[execution.kind]: execution.automation_id,
            "execution_id": public("execution", execution.id),
            "status": "running",
            "started_at": _time(execution.started_at),
            "input_data": _raw(execution.input),
        }
    )


def workflow_terminal(
    execution: Execution, facts: Facts | None = None, files: Sequence[Artifact] | None = None
) -> bytes:
    """Data of ``workflow.execution.completed`` (AF-9), or ``failed``: the same keys with the error (AF-X7).

    An execution of another kind has the same, with its own kind's id first, its facts behind and then its files, which
    have their links; None for a kind that makes none. ValueError if it has not ended.
    """
    if not execution.status.is_terminal:
        raise ValueError("the execution has not ended")
    is_success = execution.status is ExecutionStatus.SUCCEEDED
    data: dict[str, Any] = {
        _SUBJECT[execution.kind]: execution.automation_id,
        "execution_id": public("execution", execution.id),
        "status": "success" if is_success else "failed",
        "started_at": _time(execution.started_at),
        "completed_at": _time(execution.completed_at),
        "duration_seconds": _seconds(execution.started_at, execution.completed_at),
        "input_data": _raw(execution.input),
        "output_data": _raw(execution.output),
        "credits_used": execution.credits_used,
        "steps_completed": execution.steps,
    }
    if facts is not None:
        data |= msgspec.structs.asdict(facts)
    if files is not None:
        data["artifacts"] = [_file(file) for file in files]
    if not is_success:
        del data["output_data"]
        data["error"] = error(execution)
    return _encode(data)


def _file(file: Artifact) -> dict[str, Any]:
    return {
        "name": file.name,
        "content_type": file.content_type,
        "size": file.size,
        "sha256": file.digest,
        "url": file.url,
    }


def error(execution: Execution) -> dict[str, Any]:
    """The error of an execution as receivers see it; the stack stays with the owner."""
    failure = execution.error
    if failure is None:
        return {"code": execution.status.name, "message": "The execution did not succeed.", "type": None}
    shown = {"code": failure.code, "message": failure.message, "type": failure.type}
    return shown if failure.limit is None else {**shown, "limit": failure.limit}


def step_completed(execution: Execution, entry: JournalEntry) -> bytes:
    """Data of ``workflow.step.completed``. entry: the finished step."""
    ended_at = entry.started_at + timedelta(milliseconds=entry.duration_ms)
    return _encode(
        {
            _SUBJECT[execution.kind]: execution.automation_id,
            "execution_id": public("execution", execution.id),
            "step": {"name": entry.name, "occurrence": entry.occurrence},
            "status": "success",
            "started_at": _time(entry.started_at),
            "completed_at": _time(ended_at),
            "duration_seconds": _seconds(entry.started_at, ended_at),
            "output_data": _raw(entry.value),
            "steps_completed": execution.steps,
        }
    )


# --- conversations ---


class _Turn(msgspec.Struct):
    """The fields of AF-3's body that the events repeat."""

    message: msgspec.Raw = msgspec.Raw(b"null")
    user_id: msgspec.Raw = msgspec.Raw(b"null")
    metadata: msgspec.Raw = msgspec.Raw(b"null")
    context: msgspec.Raw = msgspec.Raw(b"null")


class _Resolution(msgspec.Struct):
    """What ``ctx.resolve`` said."""

    type: str | None = None
    category: str | None = None
    tags: list[str] = []
    satisfaction_score: float | None = None


_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_turn: Final = msgspec.json.Decoder(_Turn).decode
_decode_resolution: Final = msgspec.json.Decoder(_Resolution).decode


def _turn(execution: Execution) -> _Turn:
    """What came in; an input that is no AF-3 body (started through the API) is an empty turn."""
    try:
        return _decode_turn(execution.input or b"{}")
    except _UNREADABLE:
        return _Turn()


def body_of_turn(
    message: bytes, *, user_id: str | None, metadata: bytes | None, context: bytes | None
) -> bytes:
    """The AF-3 body of a message, each part as the JSON text that came."""
    parts = {"user_id": user_id, "metadata": metadata, "context": context}
    given = {
        name: _raw(part) if isinstance(part, bytes) else part
        for name, part in parts.items()
        if part is not None
    }
    return _encode({"message": msgspec.Raw(message), **given})


def _name(user_id: msgspec.Raw) -> str | None:
    """A user's id as text: AF-3 says string, yet people send numbers.

    A NUL, which the trigger routes refuse and an input given over the API may hold, is replaced: it is kept as text,
    and not every store's text can hold one. The input itself stays as it came.
    """
    text = bytes(user_id)
    if text.startswith(b'"'):
        return msgspec.json.decode(text, type=str).replace("\0", "\ufffd")
    return None if text == b"null" else text.decode()


def _resolution(text: bytes | None) -> _Resolution:
    """What the agent said of the outcome; nothing when it is not what ``ctx.resolve`` writes."""
    try:
        return _decode_resolution(text or b"{}")
    except _UNREADABLE:
        return _Resolution()


def new_conversation(execution: Execution, *, id: Key, now: datetime) -> Conversation:
    """The conversation that an agent's turn opens."""
    return Conversation(
        id=id,
        organization_id=execution.organization_id,
        agent_id=execution.automation_id,
        user_id=_name(_turn(execution).user_id),
        status="open",
        started_at=now,
        message_count=1,
    )


def after_turn(
    conversation: Conversation, execution: Execution, *, resolution: bytes | None, now: datetime
) -> Conversation:
    """The conversation once its turn has ended: one message more when there was a reply, and resolved."""
    is_success = execution.status is ExecutionStatus.SUCCEEDED
    said = _resolution(resolution)
    kept = {
        "type": said.type or ("solved" if is_success else "unsolved"),
        "category": said.category,
        "tags": said.tags,
    }
    return msgspec.structs.replace(
        conversation,
        status="resolved" if is_success else "failed",
        completed_at=now,
        message_count=conversation.message_count + is_success,
        credits_used=conversation.credits_used + execution.credits_used,
        satisfaction_score=said.satisfaction_score,
        resolution=_encode(kept),
    )


def after_message(
    conversation: Conversation, execution: Execution, *, resolution: bytes | None, now: datetime
) -> Conversation:
    """A conversation that is kept open once a turn of it has ended: the message and its reply count, and it is
    resolved if the agent said so. One that has ended stays as it ended.
    """
    is_success = execution.status is ExecutionStatus.SUCCEEDED
    counted = msgspec.structs.replace(
        conversation,
        message_count=conversation.message_count + 1 + is_success,
        credits_used=conversation.credits_used + execution.credits_used,
    )
    if resolution is None or not is_success or conversation.completed_at is not None:
        return counted
    said = _resolution(resolution)
    return closed(
        counted,
        {"type": said.type or "solved", "category": said.category, "tags": said.tags},
        satisfaction_score=said.satisfaction_score,
        now=now,
    )


def closed(
    conversation: Conversation,
    resolution: dict[str, Any],
    *,
    satisfaction_score: float | None,
    now: datetime,
) -> Conversation:
    """The conversation as it ends now. resolution: its ``type``, ``category`` and ``tags`` (AF-10)."""
    return msgspec.structs.replace(
        conversation,
        status="resolved",
        completed_at=now,
        satisfaction_score=satisfaction_score,
        resolution=_encode(resolution),
    )


def opened(conversation: Conversation, *, metadata: bytes | None, context: bytes | None) -> bytes:
    """Data of ``agent.conversation.started`` where no message opened it."""
    return _encode(
        {
            "agent_id": conversation.agent_id,
            "conversation_id": public("conversation", conversation.id),
            "execution_id": None,
            "user_id": conversation.user_id,
            "status": "open",
            "started_at": _time(conversation.started_at),
            "metadata": _raw(metadata),
            "context": _raw(context),
        }
    )


def exchange(execution: Execution) -> dict[str, Any]:
    """What was said in a turn that has ended: its message, and the reply, null when there was none."""
    return {"message": _turn(execution).message, "reply": _raw(execution.output)}


def _about(conversation: Conversation, execution: Execution) -> dict[str, Any]:
    return {
        "agent_id": conversation.agent_id,
        "conversation_id": public("conversation", conversation.id),
        "execution_id": public("execution", execution.id),
        "user_id": conversation.user_id,
    }


def conversation_started(conversation: Conversation, execution: Execution) -> bytes:
    """Data of ``agent.conversation.started``."""
    turn = _turn(execution)
    return _encode(
        {
            **_about(conversation, execution),
            "status": "open",
            "started_at": _time(conversation.started_at),
            "metadata": turn.metadata,
            "context": turn.context,
        }
    )


def message_received(conversation: Conversation, execution: Execution) -> bytes:
    """Data of ``agent.message.received``."""
    turn = _turn(execution)
    return _encode(
        {
            **_about(conversation, execution),
            "message": turn.message,
            "received_at": _time(execution.created_at),
            "metadata": turn.metadata,
            "context": turn.context,
        }
    )


def message_sent(conversation: Conversation, execution: Execution) -> bytes:
    """Data of ``agent.message.sent``, the terminal event of a turn that succeeded."""
    return _encode(
        {
            **_about(conversation, execution),
            "status": "success",
            "message": _raw(execution.output),
            "sent_at": _time(execution.completed_at),
            "duration_seconds": _seconds(execution.started_at, execution.completed_at),
            "credits_used": execution.credits_used,
        }
    )


def message_failed(conversation: Conversation, execution: Execution) -> bytes:
    """Data of ``agent.message.failed``, the terminal event of a turn that did not."""
    return _encode(
        {
            **_about(conversation, execution),
            "status": "failed",
            "failed_at": _time(execution.completed_at),
            "duration_seconds": _seconds(execution.started_at, execution.completed_at),
            "credits_used": execution.credits_used,
            "error": error(execution),
        }
    )


def conversation_completed(conversation: Conversation) -> bytes:
    """Data of ``agent.conversation.completed`` (AF-10)."""
    return _encode(
        {
            "agent_id": conversation.agent_id,
            "conversation_id": public("conversation", conversation.id),
            "user_id": conversation.user_id,
            "status": conversation.status,
            "started_at": _time(conversation.started_at),
            "completed_at": _time(conversation.completed_at),
            "message_count": conversation.message_count,
            "satisfaction_score": conversation.satisfaction_score,
            "credits_used": conversation.credits_used,
            "resolution": _raw(conversation.resolution),
        }
    )
