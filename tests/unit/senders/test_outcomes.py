"""How an attempt ends: every status, every kind of failure, every hostile answer."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from hookline.model.states import AttemptOutcome as Is
from hookline.ports.sender import KEPT_ANSWER_BYTES, Outgoing
from hookline.testing.receivers import Receiver, Reply

if TYPE_CHECKING:
    from hookline.senders.http import HttpSender

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((status, Is.DELIVERED) for status in (200, 201, 202, 204, 299)),
        *((status, Is.REDIRECT) for status in (300, 301, 302, 303, 304, 307, 308)),
        *((status, Is.HTTP_ERROR) for status in (400, 401, 404, 410, 429, 500, 503, 599, 600, 999)),
        *((status, Is.BAD_RESPONSE) for status in (101,)),
    ],
)
async def test_the_status_decides(send: Any, status: int, outcome: Is) -> None:
    async with Receiver(default=Reply(status=status)) as receiver:
        answer = await send(receiver.url)

    assert answer.outcome is outcome
    assert answer.status == (None if outcome is Is.BAD_RESPONSE else status)
    assert (answer.error is None) == (outcome is Is.DELIVERED)
    assert answer.address == "127.0.0.1"


async def test_an_answer_is_kept_as_it_came(send: Any) -> None:
    reply = Reply(status=202, headers=(("X-One", "1"), ("X-One", "zwei \xe4")), body=b"\x00\xff{")
    async with Receiver(default=reply) as receiver:
        answer = await send(receiver.url)

    assert answer.headers == (("X-One", "1"), ("X-One", "zwei \xe4"), ("Content-Length", "3"))
    assert answer.body == b"\x00\xff{"
    assert not answer.is_cut


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_shown_and_not_followed_unless_asked_for(send: Any, status: int) -> None:
    async with Receiver() as elsewhere, Receiver(default=Reply.redirect(elsewhere.url, status)) as receiver:
        answer = await send(receiver.url)

    assert answer.outcome is Is.REDIRECT
    assert answer.location == elsewhere.url
    assert elsewhere.connections == 0


@pytest.mark.parametrize(
    ("reply", "outcome", "status", "is_cut"),
    [
        (Reply.endless(), Is.DELIVERED, 200, True),
        (Reply(body=b"x" * 5_000_000), Is.DELIVERED, 200, True),
        (Reply(status=500, body=b"x" * 70_000), Is.HTTP_ERROR, 500, True),
        (Reply.bomb(), Is.DELIVERED, 200, True),
        (Reply.reset(), Is.CONNECTION_LOST, None, False),
        (Reply.vanish(), Is.CONNECTION_LOST, None, False),
        (Reply.break_in_body(), Is.CONNECTION_LOST, 200, True),
        (Reply.many_headers(), Is.BAD_RESPONSE, None, False),
        (Reply.long_header(5_000_000), Is.BAD_RESPONSE, None, False),
        (Reply.bad_status_line(), Is.BAD_RESPONSE, None, False),
        (Reply.flood_of_hints(20_000), Is.BAD_RESPONSE, None, False),
        (Reply(raw=b"HTTP/1.1 000 No\r\nContent-Length: 0\r\n\r\n"), Is.BAD_RESPONSE, None, False),
        (Reply(raw=b"HTTP/1.1 200 OK\n\nx", then="close"), Is.BAD_RESPONSE, None, False),
        (
            Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc"),
            Is.BAD_RESPONSE,
            None,
            False,
        ),
        (
            Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"),
            Is.BAD_RESPONSE,
            200,
            True,
        ),
        (
            Reply(raw=b"HTTP/1.1 101 Other\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"),
            Is.BAD_RESPONSE,
            None,
            False,
        ),
    ],
    ids=lambda value: None if not isinstance(value, Reply) else repr(value.wire()[:40]),
)
async def test_a_hostile_answer_has_its_class(
    send: Any, reply: Reply, outcome: Is, status: int | None, *, is_cut: bool
) -> None:
    async with Receiver(default=reply) as receiver:
        answer = await send(receiver.url)
        await asyncio.sleep(0)

    assert (answer.outcome, answer.status, answer.is_cut) == (outcome, status, is_cut)
    assert len(answer.body) <= KEPT_ANSWER_BYTES
    assert len(receiver.received) == 1


async def test_a_compressed_answer_is_not_unpacked(send: Any) -> None:
    reply = Reply.bomb(1)
    async with Receiver(default=reply) as receiver:
        answer = await send(receiver.url)

    assert answer.body == reply.body
    assert not answer.is_cut


@pytest.mark.parametrize("size", [KEPT_ANSWER_BYTES - 1, KEPT_ANSWER_BYTES, KEPT_ANSWER_BYTES + 1])
async def test_64_kib_are_kept_and_not_a_byte_more(send: Any, size: int) -> None:
    async with Receiver(default=Reply(body=b"x" * size)) as receiver:
        answer = await send(receiver.url)

    assert len(answer.body) == min(size, KEPT_ANSWER_BYTES)
    assert answer.is_cut == (size > KEPT_ANSWER_BYTES)
    assert answer.outcome is Is.DELIVERED


@pytest.mark.parametrize(
    "filler",
    [b"1;" + b"e" * 20_000 + b"\r\nx\r\n", b"1\r\nx\r\n"],
    ids=["chunk extensions", "chunks of one byte"],
)
async def test_chunked_framing_cannot_cost_more_than_the_body(send: Any, filler: bytes) -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + filler * (3_000_000 // len(filler))
    async with Receiver(default=Reply(raw=raw, then="hang")) as receiver:
        answer = await send(receiver.url)

    assert (answer.outcome, answer.is_cut) == (Is.DELIVERED, True)
    assert answer.duration_ms < 1500


async def test_interim_answers_are_passed_over(send: Any) -> None:
    raw = b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" * 3 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with Receiver(default=Reply(raw=raw)) as receiver:
        answer = await send(receiver.url)

    assert (answer.status, answer.body, answer.headers) == (200, b"ok", (("Content-Length", "2"),))


async def test_a_body_without_length_ends_with_the_connection(send: Any) -> None:
    async with Receiver(default=Reply(raw=b"HTTP/1.1 200 OK\r\n\r\nall", then="close")) as receiver:
        answer = await send(receiver.url)

    assert (answer.outcome, answer.body, answer.is_cut) == (Is.DELIVERED, b"all", False)


async def test_a_body_shorter_than_its_length_is_a_lost_connection(send: Any) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall"
    async with Receiver(default=Reply(raw=raw, then="close")) as receiver:
        answer = await send(receiver.url)

    assert (answer.outcome, answer.status, answer.is_cut) == (Is.CONNECTION_LOST, 200, True)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply.hang(), None),
        (Reply.hang_in_body(), 200),
        (Reply.drip(), 200),
        (Reply(delay_seconds=5), None),
        (Reply(raw=b"HTTP/1.1 103 Early\r\n\r\n", then="hang"), None),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nX-Half", then="hang"), None),
    ],
    ids=["silence", "half a body", "drip", "late", "hints only", "half a header"],
)
async def test_the_deadline_holds_to_the_last_byte(send: Any, reply: Reply, status: int | None) -> None:
    async with Receiver(default=reply) as receiver:
        started = time.monotonic()
        answer = await send(receiver.url, timeout_seconds=0.3)
        took = time.monotonic() - started

    assert (answer.outcome, answer.status) == (Is.TIMEOUT, status)
    assert 0.29 <= took <= 0.35
    assert abs(answer.duration_ms - took * 1000) < 10


async def test_a_receiver_that_reads_nothing_is_dropped_with_what_it_owes(
    sender: HttpSender, send: Any
) -> None:
    async with Receiver(is_silent=True) as receiver:
        sending = asyncio.create_task(send(receiver.url, body=b"x" * 8_000_000, timeout_seconds=0.2))
        await asyncio.sleep(0.1)
        (connection,) = sender._busy
        answer = await sending
        await asyncio.sleep(0.01)

    assert answer.outcome is Is.TIMEOUT
    assert connection._transport is None


async def test_a_full_backlog_times_out_while_connecting(send: Any) -> None:
    """A listener whose queue is full drops the handshake, as a dead host does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        queued = [socket.socket() for _ in range(4)]
        for one in queued:
            one.setblocking(False)
            one.connect_ex(address)
        answer = await send(f"http://127.0.0.1:{address[1]}/", connect_timeout_seconds=0.2)
        for one in queued:
            one.close()

    assert (answer.outcome, answer.address) == (Is.TIMEOUT, "127.0.0.1")
    assert answer.duration_ms < 250


async def test_a_closed_port_is_a_failed_connect(send: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        answer = await send(f"http://127.0.0.1:{taken.getsockname()[1]}/")

    assert answer.outcome is Is.CONNECT_FAILED
    assert answer.error == "No connection to 127.0.0.1: the connection was refused."


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        (errno.ECONNRESET, Is.CONNECTION_LOST),
        (errno.ECONNREFUSED, Is.CONNECT_FAILED),
        (errno.EHOSTUNREACH, Is.CONNECT_FAILED),
    ],
)
async def test_a_reset_is_a_lost_connection_however_early_it_comes(
    send: Any, monkeypatch: pytest.MonkeyPatch, number: int, outcome: Is
) -> None:
    """Who resets what it has just accepted does so before or after we look."""

    async def connect(*_: object) -> None:
        raise OSError(number, "as the kernel says")

    monkeypatch.setattr("hookline.senders.guard.Guard._connect", connect)
    answer = await send("http://127.0.0.1:9/")

    assert (answer.outcome, answer.address) == (outcome, "127.0.0.1")
    assert answer.error is not None


async def test_cancelling_closes_the_connection(send: Any) -> None:
    async with Receiver(default=Reply.hang()) as receiver:
        sending = asyncio.create_task(send(receiver.url))
        await receiver.wait_for(1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.sleep(0.05)

        assert receiver.open_connections == 0


async def test_closing_ends_what_is_under_way(sender: HttpSender, send: Any) -> None:
    async with Receiver(default=Reply.hang()) as receiver:
        sending = asyncio.create_task(send(receiver.url))
        await receiver.wait_for(1)
        await sender.close()

        assert (await sending).outcome is Is.INTERRUPTED


async def test_a_closed_sender_sends_nothing(sender: HttpSender, send: Any) -> None:
    async with Receiver() as receiver:
        sending = asyncio.create_task(send(receiver.url))
        await asyncio.sleep(0)
        await sender.close()
        answers = [await sending, await send(receiver.url)]

    assert [answer.outcome for answer in answers] == [Is.INTERRUPTED] * 2
    assert receiver.count == 0


async def test_a_head_request_needs_no_body(send: Any) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    async with Receiver(default=Reply(raw=raw)) as receiver:
        answer = await send(receiver.url, method="HEAD", body=b"")

    assert (answer.outcome, answer.body, answer.is_cut) == (Is.DELIVERED, b"", False)


async def test_no_socket_left_is_our_fault_and_not_the_receivers(
    send: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(24, "Too many open files")

    async with Receiver() as receiver:
        monkeypatch.setattr("hookline.senders.guard.socket.socket", refuse)
        answer = await send(receiver.url)
        monkeypatch.undo()

    assert answer.outcome is Is.NOT_SENT


async def test_a_url_that_cannot_be_dialled_is_not_sent(sender: HttpSender) -> None:
    for url in ("ftp://127.0.0.1/", "http:///x"):
        answer = await sender.send(Outgoing(url))

        assert answer.outcome is Is.NOT_SENT
        assert answer.error
