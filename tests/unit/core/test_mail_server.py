"""The URL of the operator's mail server, and who its mails come from (CONTRACT section 1, DEMANDS 9)."""

from __future__ import annotations

import pytest

from hookline.core.mail_server import MailServer, StartTls, default_sender, read_mail_server, read_sender


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.test", ("mail.test", 587, False, StartTls.AUTO, None, None)),
        ("smtp://mail.test/", ("mail.test", 587, False, StartTls.AUTO, None, None)),
        ("smtp://mail.test:0", ("mail.test", 0, False, StartTls.AUTO, None, None)),
        ("smtp://mail.test:25?starttls=never", ("mail.test", 25, False, StartTls.NEVER, None, None)),
        ("smtp://mail.test?starttls=required", ("mail.test", 587, False, StartTls.REQUIRED, None, None)),
        ("smtps://mail.test", ("mail.test", 465, True, StartTls.AUTO, None, None)),
        ("smtp://me:a%40b@localhost", ("localhost", 587, False, StartTls.AUTO, "me", "a@b")),
        ("smtp://me:pw@127.0.0.1", ("127.0.0.1", 587, False, StartTls.AUTO, "me", "pw")),
        ("smtp://me:pw@[::1]", ("::1", 587, False, StartTls.AUTO, "me", "pw")),
    ],
)
def test_a_server_is_read_with_the_usual_ports(url: str, server: tuple[object, ...]) -> None:
    read = read_mail_server(url)

    assert (read.host, read.port, read.is_tls, read.start_tls, read.user, read.password) == server


@pytest.mark.parametrize("host", ["mail.test", "192.0.2.7"])
def test_a_password_is_never_sent_in_the_clear_to_another_machine(host: str) -> None:
    """Unless ``starttls=never`` says so."""
    assert read_mail_server(f"smtp://me:pw@{host}").start_tls is StartTls.REQUIRED
    assert read_mail_server(f"smtp://me:pw@{host}?starttls=never").start_tls is StartTls.NEVER


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://mail.test", "smtp or smtps"),
        ("smtp://", "smtp or smtps"),
        ("smtp://mail.test/inbox", "a path or a fragment"),
        ("smtp://mail.test#top", "a path or a fragment"),
        ("smtp://mail.test?tls=required", "another option"),
        ("smtp://mail.test?starttls=never&starttls=never", "another option"),
        ("smtps://mail.test?starttls=never", "needs no starttls"),
        ("smtp://mail.test?starttls=maybe", "StartTls"),
        ("smtp://CANARY@mail.test", "without a password"),
        ("smtp://CANARY:@mail.test", "without a password"),
        ("smtp://CANARY%0a:pw@mail.test", "control characters"),
        ("smtp://me:CANARY%0d@mail.test", "control characters"),
    ],
)
def test_another_url_is_refused_and_the_refusal_names_no_secret(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        read_mail_server(url)

    assert "CANARY" not in str(caught.value)


def test_a_server_shows_neither_user_nor_password() -> None:
    assert repr(read_mail_server("smtp://me:CANARY@mail.test")) == "MailServer('mail.test', 587)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a@b.test", "a@b.test"), ("Hook Line <a@b.test>", "Hook Line <a@b.test>")],
)
def test_a_sender_is_an_address_with_or_without_a_name(text: str, shown: str) -> None:
    assert str(read_sender(text)) == shown


@pytest.mark.parametrize("text", ["", "nobody", "a@b.test\r\nBcc: c@d.test", "a@", "a b@c.test d"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """Header injection is impossible."""
    with pytest.raises(ValueError, match="not a mail address"):
        read_sender(text)


@pytest.mark.parametrize(
    ("user", "public_url", "sender"),
    [
        ("me@mail.test", "https://hooks.test", "me@mail.test"),
        ("me", "https://hooks.test:8443/x", "hookline@hooks.test"),
        (None, "https://hooks.test", "hookline@hooks.test"),
        (None, "http://[::1]:8080", "hookline@localhost"),
        (None, "not a url", "hookline@localhost"),
        (None, None, "hookline@localhost"),
    ],
)
def test_mails_come_from_the_user_or_from_this_installation(
    user: str | None, public_url: str | None, sender: str
) -> None:
    server = MailServer(
        host="mail.test", port=25, is_tls=False, start_tls=StartTls.AUTO, user=user, password="pw"
    )

    assert default_sender(server, public_url) == sender
