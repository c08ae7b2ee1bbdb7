"""Writes: what the engine hands a store to apply in one transaction, each with the result that it gives."""

from __future__ import annotations

from datetime import datetime

import msgspec

from hookline.model.configuration import Stored, Webhook
from hookline.model.events import Attempt, Delivery, Event
from hookline.model.executions import (
    Artifact,
    Conversation,
    Execution,
    Failure,
    JournalEntry,
    LogLine,
    TriggerRequest,
)
from hookline.model.health import Alert, Health, Mail
from hookline.model.ids import Key
from hookline.model.states import DeliveryState, ExecutionStatus, Kind, Lane

Epoch = int
"""A node's lease number. Rises for ever; a claim carries it and settling checks it (fencing)."""

FANOUT_IN_TRANSACTION = 256
"""Matches written with their event; more are left to the durable cursor (DESIGN section 2)."""


LEAVE_THE_CURSOR = bytes(16)
"""Less than any webhook's id: moves no fan-out cursor, and closes none."""


class Waiter(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook that gets an event as part of a batch.  ordering_key: a batch never mixes several."""

    webhook_id: Key
    ordering_key: str | None = None


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event with the deliveries it owes, inserted together or not at all.

    deliveries: whole rows. State IN_FLIGHT means claimed by the writing epoch, PENDING waits for a claim; one with
    an ordering_key is PENDING or HELD, and waits without a time while an earlier one of its webhook and key has not
    ended. Earlier is by the order of commit.
    batched: webhooks for which it waits until a batch is formed (``FormBatches``).
    fanout_after: the last webhook id of both when more webhooks match than were written here:
    opens a durable cursor; None when all are written.
    """

    event: Event
    deliveries: tuple[Delivery, ...] = ()
    batched: tuple[Waiter, ...] = ()
    fanout_after: Key | None = None


class Once(msgspec.Struct, frozen=True, kw_only=True):
    """Makes a write happen once per (scope, name) until expires_at, in its own transaction.

    scope: an organization's or a trigger's key.  digest: SHA-256 of the request.  answer: what a repeat is
    answered with (sealed where it carries secrets).
    """

    scope: Key
    name: str
    digest: bytes
    answer: bytes
    expires_at: datetime


class Repeat(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a write whose Once was there before. is_same: the digest is equal.

    instead: the first write was merged into this execution, and its answer is not stored: ``answer`` is empty.
    """

    answer: bytes
    is_same: bool
    instead: Key | None = None


class Publish(msgspec.Struct, frozen=True, kw_only=True):
    """Insert events. Result: ``Published`` or ``Repeat``. An event whose own id exists is not inserted again,
    nor are its deliveries.
    """

    epoch: Epoch
    events: tuple[NewEvent, ...]
    once: Once | None = None


class Published(msgspec.Struct, frozen=True):
    """is_new: one flag per event, False for a repeat of an own id."""

    is_new: tuple[bool, ...]


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


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """queued → running, for the claim holder. Result: True, or False when the claim is gone or it was cancelled.

    The execution's ``attempt`` rises by one; started_at and launch_ms are set on the first attempt only.
    """

    epoch: Epoch
    execution_id: Key
    started_at: datetime
    launch_ms: int
    events: tuple[NewEvent, ...] = ()
    event_sequence: int = 0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Append what a running execution did. Result: True, or False when the claim is gone (then nothing is kept).

    entries: an (op, name, occurrence) that exists keeps its value, unless that was None.  steps, credits_used: added.
    event_sequence: the new value, or 0 to leave it.
    """

    epoch: Epoch
    execution_id: Key
    entries: tuple[JournalEntry, ...] = ()
    logs: tuple[LogLine, ...] = ()
    steps: int = 0
    credits_used: float = 0.0
    events: tuple[NewEvent, ...] = ()
    event_sequence: int = 0


class KeepArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """Keep a file of a running execution. Result: True, or False when the claim is gone (then nothing is kept).

    Its blob is whole already. One of the same name is replaced, and its blob is no longer kept.
    """

    epoch: Epoch
    artifact: Artifact


class Suspend(msgspec.Struct, frozen=True, kw_only=True):
    """running → waiting, the claim is freed. Result: ``"waiting"``, ``"ready"`` (one of ``waits`` was answered
    meanwhile, or it was asked to end: the execution is queued, unclaimed), or False when the claim is gone.

    waits: (name, occurrence) of each open wait, whose journal entry was recorded before.  wake_at: the earliest end
    of a sleep or of a wait's time-out, None when only an answer can wake it.
    """

    epoch: Epoch
    execution_id: Key
    waits: tuple[tuple[str, int], ...] = ()
    wake_at: datetime | None = None


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """Answer a wait. Result: ``"resumed"`` (the oldest open wait of that name has its value; a waiting execution is
    queued and unclaimed), ``"stored"`` (nothing waited for that name yet: kept as the answer of its occurrence 0),
    ``"conflict"`` (that name was answered already and waits no more, or the execution has ended) or ``"missing"``.
    """

    organization_id: Key
    execution_id: Key
    name: str
    value: bytes
    at: datetime


class Await(msgspec.Struct, frozen=True, kw_only=True):
    """Say that this node waits for the end of an execution: if another node ends it, it signals ``finished`` with the
    execution's id. Result: True. Nothing happens to one that has ended, or that is not there.
    """

    epoch: Epoch
    execution_id: Key


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """running, queued or waiting → a terminal state, for the claim holder, with its events. Result: True, or False
    when the claim is gone. conversation: replaces the stored row when given.  gate: the execution's own; the next of
    it may begin.
    """

    epoch: Epoch
    execution_id: Key
    status: ExecutionStatus
    gate: bytes | None = None
    completed_at: datetime
    run_ms: int | None = None
    output: bytes | None = None
    error: Failure | None = None
    conversation: Conversation | None = None
    events: tuple[NewEvent, ...] = ()
    event_sequence: int = 0


class Requeue(msgspec.Struct, frozen=True, kw_only=True):
    """running or claimed → queued and unclaimed (its process died and it may resume; or the node stops).
    Result: True, or False when the claim is gone.
    """

    epoch: Epoch
    execution_id: Key


class ClaimExecutions(msgspec.Struct, frozen=True, kw_only=True):
    """Claim runnable executions: queued and unclaimed, or waiting with wake_at due (these become queued), oldest
    first, never a blocked one. Result: tuple of Execution, status queued.

    kinds: only of these, one or more; None for all.
    """

    epoch: Epoch
    limit: int
    now: datetime
    kinds: tuple[Kind, ...] | None = None


class AdoptExecutions(msgspec.Struct, frozen=True, kw_only=True):
    """Take over executions claimed by epochs that are dead. Result: tuple of Execution as stored (queued or
    running), now claimed by this epoch.
    """

    epoch: Epoch
    limit: int


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """Ask an execution to end. Result: ``Cancelling``, or None when there is none in that organization.

    Unclaimed (queued, waiting): it becomes claimed by this epoch (is_seized), which must then Finish it.
    Claimed: the flag is set and its node is woken. Terminal: nothing changes.
    """

    epoch: Epoch
    organization_id: Key
    execution_id: Key


class Cancelling(msgspec.Struct, frozen=True, kw_only=True):
    execution: Execution
    is_seized: bool
    holder: Epoch | None


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """Up to ``limit`` due deliveries of one webhook and lane. revision: frozen into rows that have none (0)."""

    webhook_id: Key
    lane: Lane
    limit: int
    revision: int


class ClaimDeliveries(msgspec.Struct, frozen=True, kw_only=True):
    """Claim due pending deliveries (next_attempt_at <= now), earliest first. Result: tuple of ``Owed``."""

    epoch: Epoch
    wants: tuple[Want, ...]
    now: datetime


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed delivery with its event (None for a batch)."""

    delivery: Delivery
    event: Event | None


class Settle(msgspec.Struct, frozen=True, kw_only=True):
    """Write an attempt and the delivery's new state in one go, and free the claim.

    Result: True; False when the claim is gone (fenced: then neither is written). State PENDING needs
    next_attempt_at. attempt None: nothing was sent (the claim is given back, or our own code failed).
    body: frozen body to keep, or None to leave what is there.  ordering_key: the delivery's own; when it ends here, the
    next of its line is due at ``at``.  events: inserted with it, and not when it is fenced.
    The webhook's counters for the minute of ``at`` rise with it.
    """

    epoch: Epoch
    delivery_id: Key
    webhook_id: Key
    at: datetime
    attempt: Attempt | None
    state: DeliveryState
    state_reason: str | None = None
    lane: Lane = Lane.RETRY
    next_attempt_at: datetime | None = None
    failures: int = 0
    crashes: int = 0
    body: bytes | None = None
    body_size: int | None = None
    ordering_key: str | None = None
    events: tuple[NewEvent, ...] = ()


class Reopen(msgspec.Struct, frozen=True, kw_only=True):
    """Make one delivery due again, whatever its state, unless in flight. Result: the Delivery as it then is,
    or None when there is none in that organization. In flight stays as it is, and so does an ordered one that waits
    for its turn.
    """

    organization_id: Key
    delivery_id: Key
    lane: Lane
    at: datetime


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """Move up to ``limit`` deliveries of a webhook that are in one of ``sources`` to ``to`` (hold on pause, drain
    on resume, cancel on delete). Never touches in-flight ones. Result: how many moved.

    events: inserted if any moved, under ``epoch``.
    created_before: of the ``limit`` oldest, only those created before then; None for whatever age.
    """

    webhook_id: Key
    sources: tuple[DeliveryState, ...]
    to: DeliveryState
    reason: str | None
    next_attempt_at: datetime | None
    at: datetime
    limit: int = 1000
    created_before: datetime | None = None
    epoch: Epoch = 0
    events: tuple[NewEvent, ...] = ()


class FanOut(msgspec.Struct, frozen=True, kw_only=True):
    """Go on with an event's fan-out: insert deliveries (a (event, webhook) that exists is skipped) and move the
    cursor to ``after``, or close it with None. Result: number of deliveries inserted.

    batched: as in NewEvent, with the event's size in bytes and the instant at which they begin to wait.
    """

    epoch: Epoch
    event_key: Key
    deliveries: tuple[Delivery, ...]
    after: Key | None
    batched: tuple[Waiter, ...] = ()
    size: int = 0
    at: datetime | None = None


class FormBatches(msgspec.Struct, frozen=True, kw_only=True):
    """Make batches of what waits for a webhook's: those that are full (max_events, max_bytes) and those whose oldest
    event waits since ``added_before`` or longer. Result: ``Formed``. Fewer than ``limit`` deliveries: nothing ripe is
    left.
    """

    epoch: Epoch
    organization_id: Key
    webhook_id: Key
    revision: int
    max_events: int
    max_bytes: int
    added_before: datetime
    at: datetime
    limit: int = 64


class Formed(msgspec.Struct, frozen=True, kw_only=True):
    """deliveries: of the batches made, claimed by the writing epoch, or in line when they have an ordering key.
    left: events that go on waiting, as far as was looked.  waits_since: when the oldest of them began to, or None.
    fullest, fullest_bytes: events and bytes of the one group of them that is nearest to being a batch.
    """

    deliveries: tuple[Delivery, ...]
    left: int
    waits_since: datetime | None = None
    fullest: int = 0
    fullest_bytes: int = 0


class ChangeHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Replace what is known of a webhook's health, with all that follows from it. Result: True, or False when somebody
    else changed the health or the webhook meanwhile: then nothing of it is stored.

    health: its version is one more than that of the health it was made from.  alerts: inserted or replaced.
    webhook: stored in place of its present revision, which is ``webhook.revision``; None when it stays as it is.
    """

    epoch: Epoch
    at: datetime
    health: Health
    alerts: tuple[Alert, ...] = ()
    mails: tuple[Mail, ...] = ()
    events: tuple[NewEvent, ...] = ()
    webhook: Stored[Webhook] | None = None


class SettleMail(msgspec.Struct, frozen=True, kw_only=True):
    """Write how a try to send a mail went. Result: True, or False when it ended or was tried by another meanwhile.

    mail: as it now is, its tries one more than those of the mail it was made from.
    """

    mail: Mail


Write = (
    Publish
    | Accept
    | OpenConversation
    | CloseConversation
    | KeepRequest
    | Attribute
    | Begin
    | Record
    | KeepArtifact
    | Suspend
    | Resume
    | Await
    | Finish
    | Requeue
    | ClaimExecutions
    | AdoptExecutions
    | Cancel
    | ClaimDeliveries
    | Settle
    | Reopen
    | Shift
    | FanOut
    | FormBatches
    | ChangeHealth
    | SettleMail
)
Result = object
"""What a Write's docstring says."""
