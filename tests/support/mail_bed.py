"""A real mail server on loopback that keeps what it gets, and refuses what it is told to refuse."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from hookline.core.mail_server import read_mail_server
from hookline.mail.smtp import SmtpMailer
from hookline.senders.operator import OperatorDial

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable
    from email.message import EmailMessage

PASSWORD = "p%ss w:rd"


class Mailbox:
    """letters: what was taken over, in order.  refuse: an SMTP answer for a recipient, or None to take it.
    answers: while it is clear, recipients wait for their answer.  asked: set once there was one.
    """

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.refuse: Callable[[str], str | None] = lambda _: None
        self.logins: list[bytes] = []
        self.was_encrypted: list[bool] = []
        self.port = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = asyncio.Event()
        self._arrived = asyncio.Event()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def subjects(self) -> list[str]:
        return [str(letter["Subject"]) for letter in self.letters]

    def mailer(self, url: str | None = None, tls: ssl.SSLContext | None = None) -> SmtpMailer:
        server = read_mail_server(url if url is not None else self.url)
        return SmtpMailer(server, sender="Hookline <hookline@ours.test>", dial=OperatorDial(), tls=tls)

    async def received(self, count: int, *, within: float = 10.0) -> list[EmailMessage]:
        """Wait until that many mails are here. Raises TimeoutError."""
        async with asyncio.timeout(within):
            while len(self.letters) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.letters

    # --- as aiosmtpd calls it ---

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        self.asked.set()
        await self.answers.wait()
        refusal = self.refuse(address)
        if refusal is not None:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.letters.append(message_from_bytes(envelope.content, policy=default))
        self.was_encrypted.append(session.ssl is not None)
        self._arrived.set()
        return "250 taken over"

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any
    ) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.logins.append(given.login)
        return AuthResult(success=given.password == PASSWORD.encode(), handled=False)


@asynccontextmanager
async def mailbox(*, tls: ssl.SSLContext | None = None, signs_in: bool = False) -> AsyncIterator[Mailbox]:
    """A mail server that takes mail. tls: offers STARTTLS.  signs_in: asks for user and PASSWORD."""
    box = Mailbox()
    loop = asyncio.get_running_loop()

    sessions: list[SMTP] = []

    def session() -> SMTP:
        sessions.append(_session())
        return sessions[-1]

    def _session() -> SMTP:
        return SMTP(
            box,
            hostname="mail.test",
            loop=loop,
            tls_context=tls,
            authenticator=box.authenticate if signs_in else None,
            auth_required=signs_in,
            auth_require_tls=tls is not None,
        )

    server = await loop.create_server(session, "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()
        for one in sessions:
            if isinstance(one.transport, asyncio.Transport):
                one.transport.abort()
        await asyncio.sleep(0.01)
        await server.wait_closed()
