"""Send mails over SMTP: one connection for each, since mails are few and minutes apart.

Against a mail library's own connect this dials through the function it is given, so that this process has one place
that opens sockets. Certificates are always verified. A line end can get into no header: the parts are checked by the
standard library's message policy, and what it refuses is refused for good.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final, Protocol

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from hookline.core.mail_server import MailServer, StartTls, read_sender
from hookline.ports import MailError

if TYPE_CHECKING:
    import socket

    from hookline.ports import Letter

_CONNECT_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 30.0
"""For each command: a server that scans what it gets may take its time."""

_GOODBYE_SECONDS: Final = 2.0
_LONGEST_ANSWER: Final = 300


class Dial(Protocol):
    """Opens a connection to a host of the operator's settings."""

    async def __call__(self, host: str, port: int, *, seconds: float) -> socket.socket:
        """Raises OSError."""

    def close(self) -> None:
        """Let its threads end."""


class SmtpMailer:
    """``ports.Mailer``.

    sender: ``Name <address>`` or an address.  tls: what certificates are trusted, None for the system's.
    """

    def __init__(
        self, server: MailServer, *, sender: str, dial: Dial, tls: ssl.SSLContext | None = None
    ) -> None:
        self._server = server
        self._sender = read_sender(sender)
        self._dial = dial
        self._tls = tls

    def __repr__(self) -> str:
        return f"SmtpMailer({self._server!r})"

    async def send(self, letter: Letter) -> str:
        """Raises MailError."""
        message = self._message(letter)
        server = await self._open()
        try:
            refused, answer = await server.send_message(
                message, sender=self._sender.addr_spec, recipients=[letter.to]
            )
            assert not refused  # of one recipient: SMTPRecipientsRefused otherwise
        except SMTPException as exc:
            raise _failure(exc) from exc
        finally:
            await _part(server)
        return _one_line(answer)

    def close(self) -> None:
        self._dial.close()

    async def check(self) -> str:
        """Raises MailError."""
        server = await self._open()
        try:
            await server.ehlo()
            said = server.last_ehlo_response.message if server.last_ehlo_response is not None else ""
        except SMTPException as exc:
            raise _failure(exc) from exc
        finally:
            await _part(server)
        return f"{self._server.host}:{self._server.port} ({_one_line(said.splitlines()[0] if said else '')})"

    async def _open(self) -> SMTP:
        """Connect, encrypt, sign in."""
        wanted = self._server
        try:
            dialled = await self._dial(wanted.host, wanted.port, seconds=_CONNECT_SECONDS)
        except OSError as exc:
            raise MailError(f"The mail server cannot be reached: {exc}.") from exc
        server = SMTP(
            hostname=wanted.host,
            sock=dialled,
            use_tls=wanted.is_tls,
            start_tls=_START_TLS[wanted.start_tls] if not wanted.is_tls else False,
            tls_context=self._tls,
            username=wanted.user,
            password=wanted.password,
            # The default asks DNS who we are, which can take seconds.
            local_hostname=self._sender.domain or "localhost",
            timeout=_ANSWER_SECONDS,
        )
        try:
            await server.connect()
        except (SMTPException, OSError) as exc:  # it has closed the connection, and the socket with it
            raise _failure(exc) from exc
        return server

    def _message(self, letter: Letter) -> EmailMessage:
        message = EmailMessage(policy=SMTP_POLICY)
        try:
            message["From"] = self._sender
            message["To"] = Address(addr_spec=letter.to)
            message["Subject"] = letter.subject
            message["Date"] = format_datetime(letter.at)
            message["Message-ID"] = f"<{letter.id}@{self._sender.domain}>"
            # So that no out-of-office answer comes back (RFC 3834 section 5).
            message["Auto-Submitted"] = "auto-generated"
        except (ValueError, MessageError, IndexError) as exc:
            raise MailError("An address or the subject cannot stand in a header.", is_final=True) from exc
        message.set_content(letter.text, charset="utf-8")
        message.add_alternative(letter.html, subtype="html", charset="utf-8")
        return message


_START_TLS: Final = {StartTls.AUTO: None, StartTls.REQUIRED: True, StartTls.NEVER: False}


async def _part(server: SMTP) -> None:
    """Say good-bye; a server that does not hear it is left all the same."""
    with suppress(SMTPException, OSError):
        await server.quit(timeout=_GOODBYE_SECONDS)
    server.close()


def _failure(error: Exception) -> MailError:
    """What went wrong, in one sentence. RFC 5321 section 4.2.1: 5yz stays so, whoever tries again."""
    if isinstance(error, SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, SMTPAuthenticationError):  # the settings are wrong, not the mail
        return MailError(f"The mail server refuses our user or password ({error.code}).")
    if isinstance(error, SMTPResponseException):
        said = _one_line(error.message)
        return MailError(f"The mail server answered {error.code}: {said}.", is_final=500 <= error.code <= 599)
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return MailError("The mail server's certificate or encryption is not acceptable.")
    return MailError(
        f"The mail server gave no proper answer: {_one_line(str(error)) or type(error).__name__}."
    )


def _one_line(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text).strip().rstrip(".")[:_LONGEST_ANSWER]
