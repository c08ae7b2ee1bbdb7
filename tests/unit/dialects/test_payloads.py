from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from hookline.dialects import payloads
from hookline.model.executions import Artifact, Conversation, Execution, Failure, JournalEntry
from hookline.model.states import ExecutionStatus, Kind

AT = datetime(2024, 1, 15, 10, 25, tzinfo=UTC)
RUN = Execution(
    id=bytes(range(16)),
    organization_id=b"o" * 16,
    kind=Kind.WORKFLOW,
    automation_id="wf_abc123",
    automation_name="Orders",
    status=ExecutionStatus.SUCCEEDED,
    input=b'{"name": "John Doe", "n": 1.0}',
    output=b'{"result":"sent"}',
    created_at=AT,
    started_at=AT,
    completed_at=AT + timedelta(seconds=300),
    steps=5,
    credits_used=4.5,
)
EXEC_ID = "exec_00010203-0405-0607-0809-0a0b0c0d0e0f"
TURN = msgspec.structs.replace(
    RUN,
    kind=Kind.AGENT,
    automation_id="agent_abc123",
    input=b'{"message":"hi","user_id":"user_123","metadata":{"source":"form"},"context":{"n":1.0}}',
    output=b'"Hello!"',
    completed_at=AT + timedelta(milliseconds=1500),
)


def changed(execution: Execution, **changes: Any) -> Execution:
    return msgspec.structs.replace(execution, **changes)


def opened(turn: Execution = TURN) -> Conversation:
    return payloads.new_conversation(turn, id=b"c" * 16, now=AT)


def test_a_completed_workflow_has_the_seeds_keys_in_the_seeds_order() -> None:
    """AF-9."""
    data = payloads.workflow_terminal(RUN)

    assert json.loads(data) == {
        "workflow_id": "wf_abc123",
        "execution_id": EXEC_ID,
        "status": "success",
        "started_at": "2024-01-15T10:25:00.000Z",
        "completed_at": "2024-01-15T10:30:00.000Z",
        "duration_seconds": 300,
        "input_data": {"name": "John Doe", "n": 1},
        "output_data": {"result": "sent"},
        "credits_used": 4.5,
        "steps_completed": 5,
    }
    assert list(json.loads(data)) == [
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


def test_what_users_gave_us_is_spliced_in_as_it_came() -> None:
    """P4."""
    assert b'"input_data":{"name": "John Doe", "n": 1.0}' in payloads.workflow_terminal(RUN)
    assert b'"input_data":{"name": "John Doe", "n": 1.0}' in payloads.workflow_started(RUN)


@pytest.mark.parametrize("status", ["FAILED", "KILLED", "TIMED_OUT", "LOST"])
def test_a_workflow_that_failed_has_an_error_instead_of_output(status: str) -> None:
    """AF-X7, CONTRACT section 5: data.error.code; the stack stays with the owner."""
    failure = Failure(code=status, message="no", type="ValueError", stack="CANARY", limit="agent")
    data = payloads.workflow_terminal(
        changed(RUN, status=ExecutionStatus[status], error=failure, output=None)
    )
    parsed = json.loads(data)

    assert parsed["status"] == "failed"
    assert parsed["error"] == {"code": status, "message": "no", "type": "ValueError", "limit": "agent"}
    assert "output_data" not in parsed
    assert b"CANARY" not in data
    bare = payloads.workflow_terminal(changed(RUN, status=ExecutionStatus[status]))
    assert json.loads(bare)["error"]["code"] == status


def test_facts_that_do_not_exist_are_null() -> None:
    """CONTRACT section 5."""
    never_ran = changed(RUN, status=ExecutionStatus.KILLED, started_at=None, input=None, completed_at=AT)
    parsed = json.loads(payloads.workflow_terminal(never_ran))

    assert (parsed["started_at"], parsed["duration_seconds"], parsed["input_data"]) == (None, None, None)


def test_files_are_told_with_their_links_and_only_of_kinds_that_make_some() -> None:
    file = Artifact(
        execution_id=RUN.id,
        name="a.csv",
        content_type="text/csv",
        size=3,
        digest="d" * 64,
        blob_id="never told",
        created_at=AT,
        url="https://here/artifacts/exec_1/a.csv?token=t",
    )
    told = json.loads(payloads.workflow_terminal(RUN, None, [file]))
    url = "https://here/artifacts/exec_1/a.csv?token=t"

    assert told["artifacts"] == [
        {"name": "a.csv", "content_type": "text/csv", "size": 3, "sha256": "d" * 64, "url": url}
    ]
    assert json.loads(payloads.workflow_terminal(RUN, None, []))["artifacts"] == []
    assert "artifacts" not in json.loads(payloads.workflow_terminal(RUN))


def test_an_execution_under_way_has_no_terminal_payload() -> None:
    with pytest.raises(ValueError, match="not ended"):
        payloads.workflow_terminal(changed(RUN, status=ExecutionStatus.RUNNING))


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_names_its_automation(kind: Kind) -> None:
    assert next(iter(json.loads(payloads.workflow_started(changed(RUN, kind=kind))))) == f"{kind}_id"


def test_a_step_says_what_it_returned_and_how_long_it_took() -> None:
    """AF-6."""
    entry = JournalEntry(
        op="step", name="charge", occurrence=1, value=b'{"ok":true}', started_at=AT, duration_ms=1250
    )
    parsed = json.loads(payloads.step_completed(RUN, entry))

    assert parsed["step"] == {"name": "charge", "occurrence": 1}
    assert (parsed["output_data"], parsed["duration_seconds"]) == ({"ok": True}, 1.25)
    assert parsed["completed_at"] == "2024-01-15T10:25:01.250Z"


def test_a_completed_conversation_has_the_seeds_keys_in_the_seeds_order() -> None:
    """AF-10."""
    said = (
        b'{"satisfaction_score":4.5,"type":"solved","category":"technical_support","tags":["password_reset"]}'
    )
    ended = payloads.after_turn(opened(), TURN, resolution=said, now=AT + timedelta(minutes=5))
    parsed = json.loads(payloads.conversation_completed(ended))

    assert list(parsed.items()) == [
        ("agent_id", "agent_abc123"),
        ("conversation_id", "conv_63636363-6363-6363-6363-636363636363"),
        ("user_id", "user_123"),
        ("status", "resolved"),
        ("started_at", "2024-01-15T10:25:00.000Z"),
        ("completed_at", "2024-01-15T10:30:00.000Z"),
        ("message_count", 2),
        ("satisfaction_score", 4.5),
        ("credits_used", 4.5),
        ("resolution", {"type": "solved", "category": "technical_support", "tags": ["password_reset"]}),
    ]


def test_a_message_carries_what_came_with_it() -> None:
    """AF-3, AF-6."""
    received = json.loads(payloads.message_received(opened(), TURN))
    sent = json.loads(payloads.message_sent(opened(), TURN))

    assert received["message"] == "hi"
    assert (received["metadata"], received["context"]) == ({"source": "form"}, {"n": 1})
    assert received["execution_id"] == sent["execution_id"] == EXEC_ID
    assert (sent["status"], sent["message"], sent["duration_seconds"]) == ("success", "Hello!", 1.5)


def test_a_turn_that_failed_says_why() -> None:
    """CONTRACT section 5."""
    failed = changed(
        TURN,
        status=ExecutionStatus.TIMED_OUT,
        error=Failure(code="TIMED_OUT", message="900 s", limit="agent"),
    )
    conversation = payloads.after_turn(opened(), failed, resolution=None, now=AT)
    parsed = json.loads(payloads.message_failed(conversation, failed))

    assert (parsed["status"], parsed["error"]["code"], parsed["error"]["limit"]) == (
        "failed",
        "TIMED_OUT",
        "agent",
    )
    assert (conversation.status, conversation.message_count) == ("failed", 1)


@pytest.mark.parametrize(
    ("text", "user_id"),
    [
        (b'{"user_id":"ann"}', "ann"),
        (b'{"user_id":"\\u00e9"}', "é"),
        (b'{"user_id":108}', "108"),
        (b'{"user_id":123456789012345678901234567890}', "123456789012345678901234567890"),
        (b'{"user_id":null}', None),
        (b"{}", None),
        (b"[1]", None),
        (b'"text"', None),
        (b"not json", None),
        (b"[" * 5000, None),
        (None, None),
    ],
)
def test_no_input_can_break_a_conversation(text: bytes | None, user_id: str | None) -> None:
    """AF-3 says string; people send what they like, and the API starts agents with anything."""
    turn = changed(TURN, input=text)
    conversation = payloads.new_conversation(turn, id=b"c" * 16, now=AT)

    assert conversation.user_id == user_id
    assert json.loads(payloads.message_received(conversation, turn))
    assert json.loads(payloads.conversation_started(conversation, turn))


@pytest.mark.parametrize(
    "said", [b"[]", b'{"type":1}', b'{"tags":"x"}', b"broken", b'{"satisfaction_score":1e999}', None]
)
def test_no_resolution_can_break_a_conversation(said: bytes | None) -> None:
    ended = payloads.after_turn(opened(), TURN, resolution=said, now=AT)

    assert json.loads(payloads.conversation_completed(ended))["resolution"]["type"] == "solved"


# --- conversations that are kept open ---

SAID = b'{"type":"solved_by_hand","category":"billing","tags":["a"],"satisfaction_score":4.5}'
LATER = AT + timedelta(hours=1)


def test_a_message_is_kept_as_the_body_that_a_trigger_would_have_been_sent() -> None:
    """AF-3, P4: each part as it came, and none that was not sent."""
    whole = payloads.body_of_turn(b'"hi"', user_id="u", metadata=b'{"n":1.0}', context=b"[1]")

    assert whole == b'{"message":"hi","user_id":"u","metadata":{"n":1.0},"context":[1]}'
    assert payloads.body_of_turn(b'{"a":1}', user_id=None, metadata=None, context=None) == (
        b'{"message":{"a":1}}'
    )


def test_each_message_and_each_reply_of_an_open_conversation_counts() -> None:
    """AF-10: message_count, credits_used; it stays open."""
    replied = payloads.after_message(opened(), TURN, resolution=None, now=LATER)
    failed = payloads.after_message(
        opened(), changed(TURN, status=ExecutionStatus.FAILED), resolution=SAID, now=LATER
    )

    assert (replied.message_count, replied.credits_used, replied.status) == (3, 4.5, "open")
    assert (failed.message_count, failed.credits_used, failed.status) == (2, 4.5, "open")
    assert replied.completed_at is failed.completed_at is None


def test_an_agent_resolves_a_conversation_and_nobody_resolves_it_twice() -> None:
    """AF-10: its type, category and tags."""
    ended = payloads.after_message(opened(), TURN, resolution=SAID, now=LATER)
    again = payloads.after_message(ended, TURN, resolution=b"{}", now=LATER + timedelta(hours=1))

    assert (ended.status, ended.completed_at, ended.satisfaction_score) == ("resolved", LATER, 4.5)
    assert json.loads(ended.resolution or b"") == {
        "type": "solved_by_hand",
        "category": "billing",
        "tags": ["a"],
    }
    assert (again.resolution, again.completed_at) == (ended.resolution, LATER)
    assert again.message_count == ended.message_count + 2


def test_a_resolution_without_a_type_is_solved() -> None:
    ended = payloads.after_message(opened(), TURN, resolution=b"{}", now=LATER)

    assert json.loads(ended.resolution or b"") == {"type": "solved", "category": None, "tags": []}


def test_a_conversation_that_no_message_opened_tells_what_it_was_opened_with() -> None:
    """AF-8: agent.conversation.started, and no execution that it came from."""
    data = payloads.opened(opened(), metadata=b'{"n":1.0}', context=None)

    assert json.loads(data) == {
        "agent_id": "agent_abc123",
        "conversation_id": "conv_63636363-6363-6363-6363-636363636363",
        "execution_id": None,
        "user_id": "user_123",
        "status": "open",
        "started_at": "2024-01-15T10:25:00.000Z",
        "metadata": {"n": 1.0},
        "context": None,
    }
    assert b'"metadata":{"n":1.0}' in data


def test_an_exchange_is_the_message_and_the_reply() -> None:
    """AF-3: the body is the message with what came along; null where there was no reply."""
    said = payloads.exchange(TURN)
    silent = payloads.exchange(changed(TURN, output=None))

    assert msgspec.json.encode(said) == b'{"message":"hi","reply":"Hello!"}'
    assert msgspec.json.encode(silent) == b'{"message":"hi","reply":null}'
