"""What goes over the wire, byte for byte."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hookline import __version__
from hookline.engine.manage.receiver_auth import check_header_name
from hookline.errors import InputError
from hookline.model.states import AttemptOutcome
from hookline.ports.sender import Outgoing
from hookline.senders.wording import _REFUSED, _REFUSED_STARTS
from hookline.testing.receivers import Receiver

pytestmark = pytest.mark.asyncio


async def captured(send: Any, path: str, **options: object) -> bytes:
    """The bytes of one request as a plain socket sees them."""
    arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = b"" if b"Length: 0\r" in head else await reader.read(1000)
        arrived.set_result(head + body)
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answer = await send(f"http://127.0.0.1:{port}{path}", **options)
    server.close()
    assert answer.outcome is AttemptOutcome.DELIVERED
    return (await arrived).replace(str(port).encode(), b"PORT")


async def test_a_request_is_these_bytes_and_no_others(send: Any) -> None:
    headers = (("Content-Type", "application/json"), ("webhook-ID", "msg_1"))
    assert await captured(send, "/in?a=1", headers=headers) == (
        b"POST /in?a=1 HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Type: application/json\r\n"
        b"webhook-ID: msg_1\r\nUser-Agent: Hookline/" + __version__.encode() + b"\r\nAccept: */*\r\n"
        b'Accept-Encoding: identity\r\nContent-Length: 7\r\n\r\n{"a":1}'
    )


@pytest.mark.parametrize(
    "path",
    ["/a%2fb%2Fc", "/%41%61", "/a//b/./c", "/?x=%2B+%20&y=a%zz&&", "/a;b=c?d=/../e", "/~a!$'()*,:@-._"],
)
async def test_the_path_and_query_arrive_as_they_were_saved(send: Any, path: str) -> None:
    assert (await captured(send, path)).split(b" ")[1] == path.encode()


@pytest.mark.parametrize("value", ["a%2fb%2Fc", "%41%61", "a+b%20c", "MY_SECRET_KEY", "x=y==?z/%zz"])
@pytest.mark.parametrize(
    ("path", "before"), [("/in", "/in?"), ("/in?a=%2f", "/in?a=%2f&"), ("/in?", "/in?"), ("/in#top", "/in?")]
)
async def test_a_secret_in_the_query_arrives_byte_for_byte(
    send: Any, path: str, before: str, value: str
) -> None:
    """PB-8: no library may rewrite ``%2f`` or ``%41``; a raw socket sees what was saved."""
    wire = await captured(send, path, query_secret=f"secret={value}")

    assert wire.split(b" ")[1] == f"{before}secret={value}".encode()


async def test_what_is_about_to_be_sent_can_be_printed_without_its_secrets() -> None:
    """P13."""
    one = Outgoing(
        "https://a.example/in?token=CANARY", (("Authorization", "CANARY"),), query_secret="s=CANARY"
    )

    assert "CANARY" not in repr(one)
    assert "https://a.example/in" in repr(one)


async def test_a_user_agent_of_the_dialect_replaces_ours(send: Any) -> None:
    wire = await captured(send, "/", headers=(("user-agent", "Other/1"),))

    assert b"user-agent: Other/1\r\n" in wire
    assert b"Hookline" not in wire


async def test_a_post_without_body_says_so(send: Any) -> None:
    assert b"Content-Length: 0\r\n" in await captured(send, "/", body=b"")


async def test_every_byte_value_survives_in_the_body(send: Any) -> None:
    body = bytes(range(256)) * 4000
    async with Receiver() as receiver:
        await send(receiver.url, body=body)

    assert receiver.received[0].body == body


@pytest.mark.parametrize(
    "header",
    [
        ("Host", "internal"),
        ("content-length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("connection", "close"),
        ("Expect", "100-continue"),
        ("accept-encoding", "gzip"),
        ("Metadata-Flavor", "Google"),
        ("Metadata", "true"),
        ("X-aws-ec2-metadata-token", "t"),
        ("X-aws-ec2-metadata-token-ttl-seconds", "60"),
        ("bad name", "v"),
        ("bad:name", "v"),
        ("bad\r\nname", "v"),
        ("", "v"),
        ("X-A", "a\r\nX-B: b"),
        ("X-A", "a\nb"),
        ("X-A", "a\x00b"),
        ("X-A", "a\x7fb"),
        ("X-A", "é"),
    ],
)
async def test_a_header_that_could_change_the_request_is_never_sent(
    send: Any, header: tuple[str, str]
) -> None:
    async with Receiver() as receiver:
        answer = await send(receiver.url, headers=(("X-Good", "1"), header))

    assert answer.outcome is AttemptOutcome.NOT_SENT
    assert receiver.connections == 0
    assert "\n" not in answer.error


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "POST /", "post", ""])
async def test_only_known_methods_are_sent(send: Any, method: str) -> None:
    async with Receiver() as receiver:
        answer = await send(receiver.url, method=method)

    assert answer.outcome is AttemptOutcome.NOT_SENT
    assert receiver.connections == 0


@pytest.mark.parametrize("name", sorted(_REFUSED | {f"{start}x" for start in _REFUSED_STARTS}))
async def test_what_is_refused_when_it_is_sent_is_refused_when_it_is_saved(name: str) -> None:
    """A webhook that could be saved but never sent would wait for ever."""
    with pytest.raises(InputError):
        check_header_name(name, "headers")
