"""What is asked of a store about health, alerts and mails, and of whatever sends mails."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from hookline.model.health import Cause
from hookline.model.ids import Key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookline.model.health import Alert, Health, Mail


class AlertFilter(msgspec.Struct, frozen=True, kw_only=True):
    """is_open: None for open and closed ones."""

    webhook_id: Key | None = None
    cause: Cause | None = None
    is_open: bool | None = None


class HeldBack(msgspec.Struct, frozen=True):
    """count: at most the ceiling.  oldest_at: when the oldest came to be owed, None when none is held."""

    count: int
    oldest_at: datetime | None


class AlertRecords(Protocol):
    """Reads of health, alerts and mails; they are written through the ledger (``ChangeHealth``, ``SettleMail``)."""

    async def health(self, webhook_ids: Sequence[Key]) -> dict[Key, Health]:
        """Those that have a record. At most 500 ids."""
        ...

    async def watched(self) -> dict[Key, int]:
        """Webhook to version of every health that a success, or the mere passing of time, would change
        (``Health.is_watched``).
        """
        ...

    async def alert(self, id: Key, *, organization_id: Key) -> Alert | None: ...

    async def alerts(
        self, organization_id: Key, filter: AlertFilter, *, before: Key | None, limit: int
    ) -> list[Alert]:
        """Newest first. before: only ids smaller than it."""
        ...

    async def due_mails(self, now: datetime, *, limit: int) -> list[Mail]:
        """Mails that are to be tried now, those due longest first."""
        ...

    async def held_back(self, webhook_id: Key, *, ceiling: int = 100_000) -> HeldBack:
        """What is held for a webhook."""
        ...


class MailError(Exception):
    """A mail was not taken. Its text is one plain sentence without secrets.

    is_final: the same mail will never be taken (RFC 5321 section 4.2.1: 5yz).
    """

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.is_final = is_final


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A mail as it is sent, to one address. id: equal in every try, so that a mailbox can tell a repeat."""

    id: str
    to: str
    subject: str
    text: str
    html: str
    at: datetime


class Mailer(Protocol):
    """Hands mails to a mail server."""

    async def send(self, letter: Letter) -> str:
        """Return what the server said when it took the mail over. Raises MailError."""
        ...

    async def check(self) -> str:
        """Reach the server, and sign in where there is a user; return what it is called. Raises MailError."""
        ...

    def close(self) -> None:
        """Let go of what it holds, its threads too; nothing is sent afterwards."""
        ...
