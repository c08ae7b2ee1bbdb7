"""Send the mails that are owed: committed with what they tell of, sent afterwards, by one node at a time.

A mail stays owed until the server took it over for each member, or refused it for good, or three days have passed. A
node that dies between sending and noting it has another send it again, under the same Message-ID; nothing else does.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from hookline.core.mails import Words, trial, word
from hookline.engine.alone import alone
from hookline.model.configuration import Member, Organization
from hookline.model.ids import bare, new_key
from hookline.ports import Letter, MailError, SettleMail

if TYPE_CHECKING:
    from datetime import datetime

    from hookline.engine.commit import Committer
    from hookline.engine.lease import Lease
    from hookline.model.health import Mail
    from hookline.model.ids import Key
    from hookline.ports import Clock, Mailer, Onces, Store

_log = structlog.get_logger("hookline.mails")

_AT_ONCE: Final = 50
_FIRST_WAIT: Final = timedelta(seconds=30)
_LONGEST_WAIT: Final = timedelta(hours=1)
_GIVEN_UP: Final = timedelta(days=3)
"""Older news of a webhook would only confuse; the alert itself stays visible."""


class Mails:
    """One per node.  mailer: None when no mail server is set: then no mail is owed either."""

    def __init__(
        self,
        *,
        store: Store,
        onces: Onces,
        committer: Committer,
        lease: Lease,
        clock: Clock,
        mailer: Mailer | None,
    ) -> None:
        self._store = store
        self._onces = onces
        self._committer = committer
        self._lease = lease
        self._clock = clock
        self._mailer = mailer
        self.sent = 0

    def __repr__(self) -> str:
        return f"Mails(sent={self.sent})"

    def close(self) -> None:
        """Send nothing more."""
        if self._mailer is not None:
            self._mailer.close()

    async def look(self) -> None:
        """Try the mails that are due, unless another node is at it. Raises StorageError."""
        if self._mailer is None or not await self._store.due_mails(self._clock.now(), limit=1):
            return
        async with alone("mails", onces=self._onces, lease=self._lease, clock=self._clock) as epoch:
            due = await self._store.due_mails(self._clock.now(), limit=_AT_ONCE) if epoch is not None else []
            for mail in due:
                if not self._lease.is_held() or self._lease.epoch != epoch:
                    return
                if not await self._try(self._mailer, mail):
                    return  # the server has a trouble of its own: one try a round is enough to see its end

    async def test(self, address: str) -> str:
        """Send a mail at once, to try the settings; returns what the server said. Raises MailError."""
        if self._mailer is None:
            raise MailError("No mail server is set: set HOOKLINE_SMTP_URL.", is_final=True)
        now = self._clock.now()
        return await self._mailer.send(_letter(bare(new_key()), address, trial(at=now), now))

    async def _try(self, mailer: Mailer, mail: Mail) -> bool:
        """Send it to whoever has not got it. False: somebody is left who may get it later."""
        recipients = mail.recipients
        if recipients is None:
            recipients = await self._members(mail.organization_id)
        if not recipients:
            _log.warning("mail_for_nobody", kind=mail.kind, webhook=mail.notice.webhook_id)
        organization = await self._store.get(
            Organization, mail.organization_id, organization_id=mail.organization_id
        )
        name = organization.document.name if organization is not None else ""
        words = word(mail.kind, mail.notice, organization=name)
        left, error = [], None
        for address in recipients:
            try:
                await mailer.send(_letter(bare(mail.id), address, words, mail.created_at))
            except MailError as exc:
                error = exc.message
                if exc.is_final:
                    _log.error("mail_refused", kind=mail.kind, webhook=mail.notice.webhook_id, reason=error)
                else:
                    left.append(address)
            else:
                self.sent += 1
        await self._committer.commit(SettleMail(mail=_settled(mail, tuple(left), error, self._clock.now())))
        return not left

    async def _members(self, organization_id: Key) -> tuple[str, ...]:
        """Everyone who gets the mail, as of its first try; each address once."""
        members = await self._store.list(Member, organization_id=organization_id)
        return tuple(dict.fromkeys(stored.document.email for stored in reversed(members)))


def _letter(id_: str, address: str, words: Words, at: datetime) -> Letter:
    return Letter(id=id_, to=address, subject=words.subject, text=words.text, html=words.html, at=at)


def _settled(mail: Mail, left: tuple[str, ...], error: str | None, now: datetime) -> Mail:
    """What a try makes of a mail. left: addresses that may get it later."""
    tries = mail.tries + 1
    is_over = not left or now - mail.created_at >= _GIVEN_UP
    if left:
        event = "mail_given_up" if is_over else "mail_not_sent"
        _log.warning(event, kind=mail.kind, webhook=mail.notice.webhook_id, tries=tries, reason=error)
    wait = min(_FIRST_WAIT * 2 ** min(mail.tries, 16), _LONGEST_WAIT)
    return msgspec.structs.replace(
        mail,
        recipients=left,
        tries=tries,
        due_at=None if is_over else now + wait,
        ended_at=now if is_over else None,
        error=error,
    )
