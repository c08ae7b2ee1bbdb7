"""Writes: what the engine hands a store to apply in one transaction, each with the result that it gives."""

from __future__ import annotations

from hookline.ports.writes.arrivals import (
    Accept,
    Attribute,
    CloseConversation,
    Closed,
    Instead,
    KeepRequest,
    OpenConversation,
    Taken,
)
from hookline.ports.writes.events import (
    FANOUT_IN_TRANSACTION,
    LEAVE_THE_CURSOR,
    Epoch,
    FanOut,
    FormBatches,
    Formed,
    NewEvent,
    Once,
    Publish,
    Published,
    Repeat,
    Waiter,
)
from hookline.ports.writes.runs import (
    AdoptExecutions,
    Await,
    Begin,
    Cancel,
    Cancelling,
    ClaimExecutions,
    Finish,
    KeepArtifact,
    Record,
    Requeue,
    Resume,
    Suspend,
)
from hookline.ports.writes.sends import (
    ChangeHealth,
    ClaimDeliveries,
    Outdated,
    Owed,
    Reopen,
    Settle,
    SettleMail,
    Shift,
    ShortenWaits,
    Want,
)

__all__ = [
    "FANOUT_IN_TRANSACTION",
    "LEAVE_THE_CURSOR",
    "Accept",
    "AdoptExecutions",
    "Attribute",
    "Await",
    "Begin",
    "Cancel",
    "Cancelling",
    "ChangeHealth",
    "ClaimDeliveries",
    "ClaimExecutions",
    "CloseConversation",
    "Closed",
    "Epoch",
    "FanOut",
    "Finish",
    "FormBatches",
    "Formed",
    "Instead",
    "KeepArtifact",
    "KeepRequest",
    "NewEvent",
    "Once",
    "OpenConversation",
    "Outdated",
    "Owed",
    "Publish",
    "Published",
    "Record",
    "Reopen",
    "Repeat",
    "Requeue",
    "Result",
    "Resume",
    "Settle",
    "SettleMail",
    "Shift",
    "ShortenWaits",
    "Suspend",
    "Taken",
    "Waiter",
    "Want",
    "Write",
]

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
    | ShortenWaits
    | FanOut
    | FormBatches
    | ChangeHealth
    | SettleMail
)
Result = object
"""What a Write's docstring says."""
