"""Writes of what comes in: requests, the executions they start, conversations."""

from __future__ import annotations

from datetime import datetime

import msgspec

from hookline.model.executions import Conversation, Execution, TriggerRequest
from hookline.model.ids import Key
from hookline.ports.writes.events import Epoch, NewEvent, Once


class Accept(msgspec.Struct, frozen=True, kw_only=True):
    """Insert a trigger request with its execution and first events. Result: True, ``Repeat``, ``Instead`` or
    ``Taken``.

    request: None when started through the management API.  is_claimed: the execution belongs to the writing epoch
    at once; else any node may claim it. Never with a gate or a mark.  is_awaited: this node waits for its end, as after
    ``Await``.

    when_full: what happens when ``execution.gate_limit`` others of its gate have not ended: ``queue`` (it is blocked
    until its turn, oldest first), ``skip`` (nothing is inserted: Instead of the newest of them) or ``replace`` (they
    are asked to end, leave the gate, and it begins).
    same_mark: what happens to others of ``execution.mark``: ``merge`` (one that waits and never ran takes input,
    trigger, request and wake_at of this one: Instead) or ``supersede`` (those that wait are asked to end).
    merge_within_ms: merging puts wake_at no later than so long after the first one's creation; 0 for no bound.
    reruns: id of a request of the organization that is kept and started nothing yet: the execution becomes its. The
    result is ``Taken``, and nothing is inserted, when it has one or is not there.
    joins: the execution is a turn of its conversation, which stands open and is kept open; it has that conversation's
    gate. The result is ``Closed``, and nothing is inserted, when the conversation is not open or not there. Never with
    a once.
    """

    epoch: Epoch
    execution: Execution
    request: TriggerRequest | None = None
    is_claimed: bool = False
    is_awaited: bool = False
    conversation: Conversation | None = None
    events: tuple[NewEvent, ...] = ()
    once: Once | None = None
    when_full: str = "queue"
    same_mark: str = "merge"
    merge_within_ms: int = 0
    reruns: Key | None = None
    joins: Key | None = None


class Instead(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an Accept that inserted no execution: another stands for it. Its request is kept under that
    one's id, its events are not. Of one that was merged the Once is kept without its answer, which names an execution
    that is not there (``Repeat.instead``; ``Onces.finish`` adds an answer); of one that was skipped it is not.

    reason: ``skipped`` or ``merged``.
    """

    execution_id: Key
    reason: str


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an Accept whose request started something before. execution_id: None when it is not there."""

    execution_id: Key | None


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an Accept whose conversation is not open."""


class OpenConversation(msgspec.Struct, frozen=True, kw_only=True):
    """Insert a conversation that no turn has opened. Result: True."""

    epoch: Epoch
    conversation: Conversation
    events: tuple[NewEvent, ...] = ()


class CloseConversation(msgspec.Struct, frozen=True, kw_only=True):
    """Write the end of an open conversation, with its event. Result: True, or False, and nothing is written, when it
    has ended, when a turn of it has not, when its message_count is no longer that of ``conversation``, or when a turn
    ended after ``idle_since``.

    gate: of its turns.  idle_since: None to close it whenever its last turn ended.
    """

    epoch: Epoch
    conversation: Conversation
    gate: bytes
    idle_since: datetime | None = None
    events: tuple[NewEvent, ...] = ()


class KeepRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Keep a refused trigger request. Result: True."""

    request: TriggerRequest


class Attribute(msgspec.Struct, frozen=True, kw_only=True):
    """Say which execution stands for a kept request that started nothing itself. Result: True, or False when it is
    not there or has one.
    """

    organization_id: Key
    request_id: Key
    execution_id: Key
