"""Frames survive any cutting of the stream, and nothing else is taken for one."""

from __future__ import annotations

import struct
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.model.executions import Failure, JournalEntry
from hookline.model.integrations import Handler
from hookline.model.states import Kind
from hookline.ports.runner import CallJob, OpenWait, RunJob
from hookline.runners.protocol import (
    JOURNAL_PART,
    MAX_FRAME,
    TO_CHILD,
    TO_NODE,
    Ack,
    Broken,
    Call,
    Finished,
    FrameReader,
    FrameTooLargeError,
    Journal,
    ProtocolError,
    Recorded,
    Start,
    Suspend,
    frame,
    journal_frames,
)

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
ENTRY = JournalEntry(op="step", name="é", occurrence=3, value=b"[1]", started_at=AT, duration_ms=5)
MESSAGES = [
    Recorded(1, 2, [ENTRY]),
    Recorded(2**40, 1, credits=1.5),
    Suspend(1, AT, [OpenWait(name="a", occurrence=0)]),
    Finished(1, b"x" * 300_000, None),
    Broken(3, Failure(code="FAILED", message="m", stack="s")),
]


@pytest.mark.parametrize(
    "message",
    [
        RunJob(
            execution_id=bytes(16), kind=Kind.WORKFLOW, automation_id="x", input=b"s3cret", private=b"s3cret"
        ),
        CallJob(
            integration_id="a", flow="x", handler=Handler.ON_DEPLOY, context=b"s3cret", payload=b"s3cret"
        ),
        Start(1, bytes(16), "workflow", "x", b"s3cret", b"s3cret", 1, b"s3cret"),
        Call(1, "a", "x", Handler.ON_DEPLOY, b"s3cret", b"s3cret"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_carries_secrets_does_not_show_them(message: object) -> None:
    """P13: no secret in a repr."""
    assert "s3cret" not in repr(message)


@given(st.lists(st.sampled_from(MESSAGES), max_size=6), st.lists(st.integers(1, 70_000), max_size=20))
def test_messages_arrive_whole_however_the_stream_is_cut(messages: list[Recorded], cuts: list[int]) -> None:
    stream = b"".join(frame(message) for message in messages)
    reader = FrameReader(TO_NODE)
    taken = []
    for size in [*cuts, len(stream)]:
        taken += reader.feed(stream[:size])
        stream = stream[size:]

    assert taken == messages


def test_byte_by_byte() -> None:
    reader = FrameReader(TO_CHILD)
    message = Start(1, b"k" * 16, "workflow", "w", b"{}", None, 2)
    taken = [each for byte in frame(message) for each in reader.feed(bytes([byte]))]

    assert taken == [message]


@given(st.binary(min_size=5, max_size=200))
def test_what_is_no_message_is_refused_or_waited_for(data: bytes) -> None:
    with suppress(ProtocolError):
        FrameReader(TO_NODE).feed(data)


def test_a_frame_for_the_other_direction_is_refused() -> None:
    with pytest.raises(ProtocolError):
        FrameReader(TO_NODE).feed(frame(Ack(1, 1)))


def test_a_frame_that_is_too_large_is_refused_at_both_ends() -> None:
    with pytest.raises(FrameTooLargeError):
        frame(Finished(1, b"x" * MAX_FRAME, None))
    with pytest.raises(ProtocolError):
        FrameReader(TO_NODE).feed(struct.pack(">I", MAX_FRAME + 1))


def test_a_journal_is_cut_into_parts_and_keeps_its_order() -> None:
    entries = tuple(
        JournalEntry(op="step", name="s", occurrence=n, value=b"x" * 3_000_000, started_at=AT)
        for n in range(7)
    )
    reader = FrameReader(TO_CHILD)
    parts = [part for data in journal_frames(1, entries) for part in reader.feed(data)]

    assert [entry for part in parts if isinstance(part, Journal) for entry in part.entries] == list(entries)
    assert len(parts) == 3
    assert max(map(len, journal_frames(1, entries))) < JOURNAL_PART + 3_000_000 + 1000
    assert journal_frames(1, ()) == []
