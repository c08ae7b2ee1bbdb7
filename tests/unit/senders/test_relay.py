"""The relay of a robot's browser: every connection is judged and dialled by the guard (P11)."""

from __future__ import annotations

import asyncio
import socket
from base64 import b64encode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from robot_site import robot_site

from hookline.core.addresses import AddressPolicy
from hookline.senders.proxy import parse_proxy
from hookline.senders.relay import PageRelay
from hookline.testing.proxy import ForwardProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio

LOOPBACK = AddressPolicy(("127.0.0.1/32",))


@asynccontextmanager
async def relay(policy: AddressPolicy = LOOPBACK, **more: Any) -> AsyncIterator[tuple[PageRelay, int]]:
    made = PageRelay(policy, **more)
    try:
        yield made, await made.start()
    finally:
        await made.close()


async def ask(port: int, request: str) -> bytes:
    """Send bytes to the relay; return all that comes until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode("latin-1"))
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


@asynccontextmanager
async def origin(answer: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that keeps its connections open after it has answered."""
    heads: list[bytes] = []
    held: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heads
        for writer in held:
            writer.close()


async def test_a_plain_request_is_told_to_the_origin_in_its_own_form_and_not_kept() -> None:
    """The next request on the browser's connection may be for another host."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    body = hints + b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
    async with origin(body) as (port, heads), relay() as (_, at):
        reader, writer = await asyncio.open_connection("127.0.0.1", at)
        writer.write(
            f"GET http://127.0.0.1:{port}/a?b=%2f#c HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Proxy-Connection: keep-alive\r\nproxy-authorization: Basic eA==\r\nCookie: a=1\r\n\r\n".encode()
        )
        first = await reader.readuntil(b"\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"ok"
        writer.close()

    assert first == hints
    assert b"\r\nConnection: close\r\n" in head
    assert b"keep-alive" not in head
    (seen,) = heads
    assert seen.startswith(b"GET /a?b=%2f HTTP/1.1\r\nConnection: close\r\nHost: ")
    assert b"Cookie: a=1\r\n" in seen
    assert b"proxy-" not in seen.lower()


async def test_a_tunnel_carries_bytes_both_ways() -> None:
    with robot_site() as site:
        async with relay() as (_, at):
            told = await ask(
                at,
                f"CONNECT 127.0.0.1:{site.port} HTTP/1.1\r\n\r\n"
                f"GET /items HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            )

    assert told.startswith(b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert b"Laptop 10" in told


@pytest.mark.parametrize(
    ("url", "host", "reason"),
    [
        ("http://127.0.0.2:{port}/", "127.0.0.2", "loopback"),
        ("http://10.0.0.1/", "10.0.0.1", "private"),
        ("http://[::1]:{port}/", "::1", "loopback"),
        ("http://169.254.169.254/latest", "169.254.169.254", "metadata"),
        ("http://metadata.google.internal/", "metadata.google.internal", "metadata"),
        ("http://0x7f.1:{port}/", "0x7f.1", "four plain decimal"),
        ("http://2130706433/", "2130706433", "four plain decimal"),
        ("http://localhost:{port}/", "localhost", "loopback"),
        ("ftp://127.0.0.1/", "127.0.0.1", "http://"),
    ],
)
async def test_what_is_not_allowed_is_not_dialled_and_told_why(url: str, host: str, reason: str) -> None:
    policy = AddressPolicy() if host == "localhost" else LOOPBACK
    with robot_site("127.0.0.2") as site:
        async with relay(policy) as (found, at):
            told = await ask(at, f"GET {url.format(port=site.port)} HTTP/1.1\r\nHost: x\r\n\r\n")
            why = found.why(host)

        assert site.visited == []
    assert told == b""
    assert why is not None
    assert reason in why


async def test_a_tunnel_to_what_is_not_allowed_is_refused() -> None:
    async with relay() as (found, at):
        told = await ask(at, "CONNECT 10.0.0.1:443 HTTP/1.1\r\n\r\n")

    assert told.startswith(b"HTTP/1.1 502 ")
    assert "private" in (found.why("10.0.0.1") or "")


async def test_a_port_where_nobody_listens_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with relay() as (found, at):
        assert await ask(at, f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\n\r\n") == b""

        assert f"No connection to 127.0.0.1:{port}" in (found.why("127.0.0.1") or "")


@pytest.mark.parametrize("request_", ["\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/1.1 x\r\n\r\n"])
async def test_what_is_no_request_closes_the_connection(request_: str) -> None:
    async with relay() as (_, at):
        assert await ask(at, request_) == b""


async def test_behind_the_operators_proxy_it_asks_for_the_judged_address() -> None:
    with robot_site() as site:
        async with (
            ForwardProxy() as proxy,
            relay(egress=parse_proxy(f"http://127.0.0.1:{proxy.port}")) as (_, at),
        ):
            told = await ask(at, f"GET {site.url}/items HTTP/1.1\r\nHost: x\r\n\r\n")
            asked = [first for first, _ in proxy.asked]

    assert b"Laptop 10" in told
    assert asked == [f"CONNECT 127.0.0.1:{site.port} HTTP/1.1"]


def _basic(words: str) -> str:
    return f"Proxy-Authorization: Basic {b64encode(words.encode()).decode()}\r\n"


@pytest.mark.parametrize("credential", ["", _basic("hookline:wrong"), "Proxy-Authorization: Basic =\r\n"])
async def test_a_relay_with_a_secret_serves_nobody_else(credential: str) -> None:
    async with (
        origin(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as (port, heads),
        relay(secret="s3cret") as (_, at),
    ):
        plain = await ask(at, f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x\r\n{credential}\r\n")
        tunnel = await ask(at, f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n{credential}\r\n")

    assert plain.startswith(b"HTTP/1.1 407 ")
    assert tunnel.startswith(b"HTTP/1.1 407 ")
    assert heads == []


async def test_who_knows_the_secret_is_served_and_told_why_not() -> None:
    """P11, RFC 9209: an address that is not allowed, and one where nobody listens, are told apart."""
    known = _basic("hookline:s3cret")
    async with (
        origin(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as (port, heads),
        relay(secret="s3cret") as (_, at),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", at)
        writer.write(f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x\r\n{known}\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"ok"
        writer.close()
        refused = await ask(
            at, f"POST http://10.0.0.1/ HTTP/1.1\r\nHost: x\r\n{known}Content-Length: 1\r\n\r\n"
        )
        tunnel = await ask(at, f"CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: x\r\n{known}\r\n")
        nobody = await ask(at, f"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\n{known}\r\n")

    assert b64encode(b"hookline:s3cret") not in heads[0]
    for answer in (refused, tunnel):
        assert answer.startswith(b"HTTP/1.1 403 The address 10.0.0.1 is not allowed: ")
        assert b"--allow-network 10.0.0.1/32" in answer
        assert b"\r\nProxy-Status: hookline; error=destination_ip_prohibited\r\n" in answer
    assert nobody.startswith(b"HTTP/1.1 502 No connection to 127.0.0.1:1")
