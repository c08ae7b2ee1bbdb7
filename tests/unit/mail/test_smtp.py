"""SMTP against a real server: encryption, sign-in, refusals; and how its URL is read."""

from __future__ import annotations

import asyncio
import ssl
import threading
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
import trustme
from mail_bed import PASSWORD, mailbox

from hookline.core.mail_server import StartTls, default_sender, read_mail_server, read_sender
from hookline.mail.smtp import SmtpMailer
from hookline.ports import Letter, MailError
from hookline.senders.operator import OperatorDial

LETTER = Letter(
    id="01990000",
    to="ada@team.test",
    subject="Wébhook works",
    text="Täxt\n",
    html="<p>Hälló</p>",
    at=datetime(2026, 1, 15, 12, tzinfo=UTC),
)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.mark.asyncio
async def test_a_letter_arrives_whole() -> None:
    async with mailbox() as box:
        said = await box.mailer().send(LETTER)
        (letter,) = box.letters

    assert said == "taken over"
    assert letter["From"] == "Hookline <hookline@ours.test>"
    assert letter["To"] == "ada@team.test"
    assert letter["Subject"] == "Wébhook works"
    assert letter["Message-ID"] == "<01990000@ours.test>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter.get_body(("plain",)).get_content().strip() == "Täxt"  # type: ignore[union-attr]
    assert letter.get_body(("html",)).get_content().strip() == "<p>Hälló</p>"  # type: ignore[union-attr]


@pytest.mark.asyncio
async def test_encryption_is_used_when_it_is_offered(authority: trustme.CA) -> None:
    async with mailbox(tls=server_tls(authority, "127.0.0.1")) as box:
        await box.mailer(tls=trusting(authority)).send(LETTER)

        assert box.was_encrypted == [True]


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["127.0.0.1", "another.test"])
async def test_certificates_are_always_verified(authority: trustme.CA, name: str) -> None:
    """Neither one of an unknown authority nor one of another name is taken."""
    trusted = trusting(authority) if name == "another.test" else None
    async with mailbox(tls=server_tls(authority, name)) as box:
        with pytest.raises(MailError, match="certificate"):
            await box.mailer(tls=trusted).send(LETTER)

        assert box.letters == []


@pytest.mark.asyncio
async def test_a_user_signs_in(authority: trustme.CA) -> None:
    async with mailbox(tls=server_tls(authority, "127.0.0.1"), signs_in=True) as box:
        url = f"smtp://ada%40team.test:{quote(PASSWORD, safe='')}@127.0.0.1:{box.port}?starttls=required"
        mailer = box.mailer(url, trusting(authority))
        await mailer.send(LETTER)

        assert box.logins == [b"ada@team.test"]
        assert len(box.letters) == 1
        assert "127.0.0.1" in await mailer.check()


@pytest.mark.asyncio
async def test_a_wrong_password_is_said_without_saying_it(authority: trustme.CA) -> None:
    """P13; and the mail is kept: the settings are wrong, not the mail."""
    async with mailbox(tls=server_tls(authority, "127.0.0.1"), signs_in=True) as box:
        url = f"smtp://ada:hunter2@127.0.0.1:{box.port}?starttls=required"
        with pytest.raises(MailError, match="refuses our user or password") as caught:
            await box.mailer(url, trusting(authority)).send(LETTER)

    assert "hunter2" not in str(caught.value)
    assert not caught.value.is_final


@pytest.mark.asyncio
async def test_a_password_is_never_sent_in_the_clear_to_another_machine() -> None:
    assert read_mail_server("smtp://a:b@mail.test").start_tls is StartTls.REQUIRED
    assert read_mail_server("smtp://a:b@127.0.0.1").start_tls is StartTls.AUTO
    async with mailbox() as box:
        url = f"smtp://a:b@127.0.0.1:{box.port}?starttls=required"
        with pytest.raises(MailError):
            await box.mailer(url).send(LETTER)

        assert (box.logins, box.letters) == ([], [])


@pytest.mark.asyncio
@pytest.mark.parametrize(("answer", "is_final"), [("550 no such user", True), ("450 busy", False)])
async def test_a_refusal_says_whether_it_is_for_good(answer: str, is_final: bool) -> None:
    """RFC 5321 section 4.2.1."""
    async with mailbox() as box:
        box.refuse = lambda _: answer
        with pytest.raises(MailError) as caught:
            await box.mailer().send(LETTER)

    assert caught.value.is_final is is_final
    assert answer.split(" ", 1)[1] in caught.value.message


@pytest.mark.asyncio
async def test_a_server_that_is_away_is_said() -> None:
    async with mailbox() as box:
        url = box.url
    mailer = SmtpMailer(read_mail_server(url), sender="a@b.test", dial=OperatorDial())

    with pytest.raises(MailError, match="cannot be reached"):
        await mailer.send(LETTER)


@pytest.mark.asyncio
@pytest.mark.parametrize("subject", ["a\r\nBcc: b@c.test", "a\nb"])
async def test_no_line_end_gets_into_a_header(subject: str) -> None:
    async with mailbox() as box:
        with pytest.raises(MailError) as caught:
            await box.mailer().send(
                Letter(id="1", to="a@b.test", subject=subject, text="t", html="h", at=LETTER.at)
            )

        assert caught.value.is_final
        assert box.letters == []


@pytest.mark.asyncio
async def test_the_threads_that_looked_names_up_end_with_the_mailer() -> None:
    before = set(threading.enumerate())
    async with mailbox() as box:
        mailer = box.mailer()
        await mailer.check()
        looking = {one for one in threading.enumerate() if one not in before and one.name.startswith("dns")}
        mailer.close()
        for one in looking:
            await asyncio.to_thread(one.join, 5)

    assert looking
    assert not any(one.is_alive() for one in looking)


@pytest.mark.asyncio
async def test_metadata_addresses_are_refused_even_to_the_operator() -> None:
    """P11: one dial site, and this rule has no exception."""
    with pytest.raises(OSError, match="not allowed"):
        await OperatorDial()("169.254.169.254", 25, seconds=1)


@pytest.mark.parametrize(
    "url",
    [
        "http://mail.test",
        "smtp://",
        "smtp://mail.test/path",
        "smtp://mail.test?starttls=perhaps",
        "smtp://mail.test?tls=1",
        "smtp://user@mail.test",
        "smtps://mail.test?starttls=never",
        "smtp://mail.test:port",
    ],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- each has words of its own
        read_mail_server(url)


def test_what_a_url_says() -> None:
    plain, safe = read_mail_server("smtp://mail.test"), read_mail_server("smtps://u%3A:p%40@mail.test:4650")

    assert (plain.port, plain.is_tls, plain.user) == (587, False, None)
    assert (safe.port, safe.is_tls, safe.user, safe.password) == (4650, True, "u:", "p@")
    assert "p@" not in repr(safe)


def test_the_sender_is_named_or_made() -> None:
    named = read_sender("Höökline <hooks@example.com>")

    assert (named.display_name, named.addr_spec) == ("Höökline", "hooks@example.com")
    assert default_sender(read_mail_server("smtp://me%40a.test:p@mail.test"), None) == "me@a.test"
    assert (
        default_sender(read_mail_server("smtp://mail.test"), "https://h.example.com")
        == "hookline@h.example.com"
    )
    assert default_sender(read_mail_server("smtp://mail.test"), None) == "hookline@localhost"
    for wrong in ("nobody", "a@b\r\nBcc: c@d", "@b", "a@"):
        with pytest.raises(ValueError, match="mail address"):
            read_sender(wrong)
