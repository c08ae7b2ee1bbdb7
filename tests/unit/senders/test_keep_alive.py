"""When a connection is used again, and when a request is sent twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from hookline.model.states import AttemptOutcome as Is
from hookline.ports.sender import TlsOptions
from hookline.senders.connection import Connection, Ending
from hookline.testing.receivers import Receiver, Reply

if TYPE_CHECKING:
    from hookline.senders.http import HttpSender

pytestmark = pytest.mark.asyncio


async def test_a_connection_is_used_again(send: Any) -> None:
    async with Receiver() as receiver:
        for _ in range(5):
            await send(receiver.url)

    assert (receiver.count, receiver.connections) == (5, 1)


async def test_a_connection_the_receiver_ended_is_replaced_once(send: Any) -> None:
    """It closed as we wrote: nothing was answered, so the same attempt asks again."""
    async with Receiver([Reply(), Reply.vanish()]) as receiver:
        await send(receiver.url)
        answer = await send(receiver.url)

    assert answer.outcome is Is.DELIVERED
    assert (receiver.count, receiver.connections) == (3, 2)


async def test_it_is_replaced_only_once(send: Any) -> None:
    async with Receiver([Reply(), Reply.reset(), Reply.vanish()]) as receiver:
        await send(receiver.url)
        answer = await send(receiver.url)

    assert answer.outcome is Is.CONNECTION_LOST
    assert (receiver.count, receiver.connections) == (3, 2)


async def test_a_fresh_connection_is_not_tried_again(send: Any) -> None:
    async with Receiver([Reply.vanish()]) as receiver:
        answer = await send(receiver.url)

    assert answer.outcome is Is.CONNECTION_LOST
    assert receiver.count == 1


async def test_one_answered_byte_forbids_the_second_try(send: Any) -> None:
    async with Receiver([Reply(), Reply(raw=b"H", then="reset")]) as receiver:
        await send(receiver.url)
        answer = await send(receiver.url)

    assert answer.outcome is Is.CONNECTION_LOST
    assert receiver.count == 2


async def test_a_connection_closed_while_idle_is_not_used(send: Any) -> None:
    async with Receiver([Reply(then="close")]) as receiver:
        await send(receiver.url)
        await asyncio.sleep(0.02)
        await send(receiver.url)

    assert (receiver.count, receiver.connections) == (2, 2)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["told so", "http/1.0", "an answer to no question"],
)
async def test_such_a_connection_is_not_used_again(send: Any, raw: bytes) -> None:
    async with Receiver([Reply(raw=raw)]) as receiver:
        await send(receiver.url)
        await send(receiver.url)

    assert receiver.connections == 2


async def test_bytes_that_come_while_idle_end_the_connection(send: Any) -> None:
    """An answer sent ahead of its request would be taken for the answer to the next delivery."""
    async with Receiver([Reply(raw=b"HTTP/1.1 204 Yes\r\n\r\n")]) as receiver:
        await send(receiver.url)
        (connection,) = receiver._open
        connection._transport.write(b"HTTP/1.1 200 Forged\r\nContent-Length: 0\r\n\r\n")
        await asyncio.sleep(0.02)
        answer = await send(receiver.url)

    assert receiver.connections == 2
    assert receiver.count == 2
    assert answer.outcome is Is.DELIVERED


async def test_an_answer_before_the_body_was_sent_ends_the_connection(send: Any) -> None:
    class Hasty(asyncio.Protocol):
        count = 0

        def connection_made(self, transport: Any) -> None:
            Hasty.count += 1
            self.transport = transport

        def data_received(self, _: bytes) -> None:
            self.transport.pause_reading()
            self.transport.write(b"HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n")
            asyncio.get_running_loop().call_later(0.1, self.transport.abort)

    server = await asyncio.get_running_loop().create_server(Hasty, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    answers = [await send(url, body=b"x" * 20_000_000) for _ in range(2)]
    server.close()
    await asyncio.sleep(0.15)

    assert [answer.status for answer in answers] == [413, 413]
    assert Hasty.count == 2


async def test_who_answers_before_being_asked_is_heard_once() -> None:
    """A server that is full says so as soon as it is dialled; what else it says belongs to no request of ours."""
    connection = Connection(asyncio.get_running_loop(), "127.0.0.1", 0.0)
    transport = Mock()
    transport.is_closing.return_value = False
    transport.get_write_buffer_size.return_value = 0

    connection.connection_made(transport)
    connection.data_received(b"HTTP/1.1 503 Full\r\nRetry-After: 7\r\nContent-Le")
    asked = asyncio.ensure_future(connection.exchange(b"POST / HTTP/1.1\r\n\r\n", b""))
    await asyncio.sleep(0)
    connection.data_received(b"ngth: 0\r\n\r\n")
    await asked

    assert (connection.ending, connection.status) == (Ending.COMPLETE, 503)
    assert (b"Retry-After", b"7") in connection.headers
    assert [call[0] for call in transport.method_calls if "reading" in call[0]] == [
        "pause_reading",
        "resume_reading",
    ]
    assert not connection.is_reusable


async def test_a_receiver_that_refuses_at_once_is_recorded_with_its_answer(send: Any) -> None:
    class Full(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.write(b"HTTP/1.1 503 Full\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            transport.close()

    server = await asyncio.get_running_loop().create_server(Full, "127.0.0.1", 0)
    answer = await send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    server.close()

    assert (answer.outcome, answer.status) == (Is.HTTP_ERROR, 503)


async def test_names_do_not_share_connections(sender: HttpSender, send: Any) -> None:
    async with Receiver() as receiver:
        await send(receiver.url)
        await send(receiver.url.replace("127.0.0.1", "127.0.0.2").replace("127.0.0.2", "127.0.0.1"))
        await send(receiver.url, tls=TlsOptions())

    assert receiver.connections == 2


async def test_idle_connections_are_dropped_when_the_rule_changes(sender: HttpSender, send: Any) -> None:
    async with Receiver() as receiver:
        await send(receiver.url)
        sender.drop_idle()
        await asyncio.sleep(0.02)

        assert receiver.open_connections == 0


async def test_an_idle_connection_holds_no_answer(sender: HttpSender, send: Any) -> None:
    async with Receiver(default=Reply(body=b"x" * 60_000)) as receiver:
        answer = await send(receiver.url)
        ((connection,),) = sender._pool._idle.values()

    assert len(answer.body) == 60_000
    assert connection.body == b""


async def test_idle_connections_are_swept(
    sender: HttpSender, send: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookline.senders.pool._IDLE_SECONDS", 0.05)
    async with Receiver() as receiver:
        await asyncio.gather(*(send(receiver.url) for _ in range(10)))
        await asyncio.sleep(0.2)

        assert receiver.connections == 10
        assert receiver.open_connections == 0
        assert len(sender._pool) == 0
