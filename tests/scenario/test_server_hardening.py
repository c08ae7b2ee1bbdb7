"""What a caller cannot do to the server, over raw sockets: stall it, fill it, confuse it or be cut off by it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import pytest
import uvloop

from hookline.api.connection import Limits
from hookline.api.errors import CallerGoneError
from hookline.api.inbound import Budget, Inbound
from hookline.api.server import HttpServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

# Short, so that the tests are; each test lengthens the one it is not about.
QUICK = Limits(header_seconds=0.3, body_seconds=0.3, answer_seconds=0.3, idle_seconds=0.3)
HEAD = b"POST /trigger HTTP/1.1\r\nHost: test\r\n"


class App:
    """Reads the body and answers with its length; some paths behave otherwise."""

    def __init__(self) -> None:
        self.requests = 0
        self.finished = 0
        self.disconnects = 0
        self.release = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.requests += 1
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnects += 1
                return
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        if scope["path"] == "/wait":
            await self.release.wait()
        body = b"x" * 50_000_000 if scope["path"] == "/large" else str(size).encode()
        await send({"type": "http.response.start", "status": 202, "headers": _length(body)})
        await send({"type": "http.response.body", "body": body})
        self.finished += 1


def _length(body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", str(len(body)).encode())]


class Caller:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, *parts: bytes, pause: float = 0.0) -> None:
        for part in parts:
            if self.writer.transport.is_closing():
                return
            self.writer.write(part)
            with suppress(ConnectionError):
                await self.writer.drain()
            if pause:
                await asyncio.sleep(pause)

    async def hear(self) -> bytes:
        """Everything until the server closes."""
        with suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.read(), 5)
        return b"reset"

    async def answer(self) -> bytes:
        """One answer with a length."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        length = re.search(rb"content-length: (\d+)", head)
        return head + await self.reader.readexactly(int(length[1]) if length else 0)

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


class Site:
    """A running server and its callers."""

    def __init__(self, server: HttpServer, app: App) -> None:
        self.server = server
        self.app = app
        self.callers: list[Caller] = []

    async def call(self, *parts: bytes, **options: Any) -> Caller:
        caller = Caller(*await asyncio.open_connection("127.0.0.1", self.server.port))
        self.callers.append(caller)
        await caller.say(*parts, **options)
        return caller


@asynccontextmanager
async def site(**changes: Any) -> AsyncIterator[Site]:
    app = App()
    limits = {name: getattr(QUICK, name) for name in QUICK.__struct_fields__} | changes
    server = HttpServer(app, limits=Limits(**limits))
    await server.start()
    one = Site(server, app)
    try:
        yield one
    finally:
        await server.stop(0.0)
        for caller in one.callers:
            await caller.close()


def on_both_loops(test: Callable[..., Any]) -> Callable[..., Any]:
    """Run a coroutine test on asyncio's own loop and on uvloop."""

    @functools.wraps(test)
    def run(*arguments: Any, loop_factory: Any, **options: Any) -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(test(*arguments, **options))

    # pytest reads from it which arguments to pass.
    vars(run)["__signature__"] = _signature_with_loop(test)
    loops = pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
    return cast("Callable[..., Any]", loops(run))


def _signature_with_loop(test: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(test)
    loop = inspect.Parameter("loop_factory", inspect.Parameter.KEYWORD_ONLY)
    return signature.replace(parameters=[*signature.parameters.values(), loop])


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def is_ended(answer: bytes, expected: int) -> bool:
    """A caller that goes on writing after our answer may see the reset first."""
    return answer == b"reset" or status(answer) == expected


# What arrives too slowly


@on_both_loops
async def test_half_a_header_then_silence_is_closed() -> None:
    async with site(body_seconds=9, idle_seconds=9) as one:
        caller = await one.call(HEAD + b"X-Half: ")
        started = time.monotonic()
        answer = await caller.hear()

        assert status(answer) == 408
        assert 0.25 <= time.monotonic() - started <= 0.6
        assert one.app.requests == 0


@on_both_loops
async def test_a_header_at_one_byte_a_time_is_closed() -> None:
    async with site(body_seconds=9, idle_seconds=9) as one:
        caller = await one.call(*(bytes([byte]) for byte in HEAD), pause=0.02)

        assert is_ended(await caller.hear(), 408)
        assert one.app.requests == 0


@on_both_loops
async def test_a_connection_that_says_nothing_is_closed_without_a_word() -> None:
    async with site(body_seconds=9, idle_seconds=9) as one:
        caller = await one.call()

        assert await caller.hear() == b""


@on_both_loops
async def test_half_a_body_then_silence_is_closed_and_the_application_told() -> None:
    async with site(header_seconds=9, idle_seconds=9) as one:
        caller = await one.call(HEAD + b"Content-Length: 10\r\n\r\nhalf")
        answer = await caller.hear()
        await asyncio.sleep(0.01)

        assert status(answer) == 408
        assert answer.count(b"HTTP/1.1 4") == 1
        assert (one.app.requests, one.app.disconnects, one.app.finished) == (1, 1, 0)


@on_both_loops
async def test_a_body_in_drops_is_closed() -> None:
    async with site(header_seconds=9, idle_seconds=9) as one:
        caller = await one.call(HEAD + b"Content-Length: 100\r\n\r\n", *[b"x"] * 60, pause=0.02)

        assert is_ended(await caller.hear(), 408)
        assert one.app.finished == 0


@on_both_loops
async def test_a_large_body_at_the_least_rate_may_take_longer() -> None:
    async with site(header_seconds=9, idle_seconds=9, body_bytes_per_second=50_000) as one:
        parts = [b"x" * 5000] * 8
        caller = await one.call(HEAD + b"Content-Length: 40000\r\n\r\n", *parts, pause=0.08)

        assert (await caller.answer()).endswith(b"40000")


@on_both_loops
async def test_an_idle_connection_is_closed() -> None:
    async with site(header_seconds=9, body_seconds=9) as one:
        caller = await one.call(HEAD + b"Content-Length: 0\r\n\r\n")
        await caller.answer()
        started = time.monotonic()

        assert await caller.hear() == b""
        assert 0.25 <= time.monotonic() - started <= 0.6


@on_both_loops
async def test_half_a_second_request_on_a_kept_connection_is_closed() -> None:
    async with site(body_seconds=9, idle_seconds=9) as one:
        caller = await one.call(HEAD + b"Content-Length: 0\r\n\r\n")
        await caller.answer()
        await caller.say(b"POST /tri")

        assert status(await caller.hear()) == 408


@on_both_loops
async def test_a_caller_who_does_not_read_the_answer_is_dropped() -> None:
    async with site(header_seconds=9, body_seconds=9, idle_seconds=9) as one:
        caller = await one.call(b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n")
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            while one.server.connections:  # noqa: ASYNC110 -- no signal says so
                await asyncio.sleep(0.02)

        assert one.app.requests == 1


@on_both_loops
async def test_a_request_that_is_at_work_is_not_hurried() -> None:
    async with site() as one:
        caller = await one.call(b"POST /wait HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi")
        await asyncio.sleep(0.7)
        one.app.release.set()

        assert status(await caller.answer()) == 202


@on_both_loops
async def test_half_a_request_behind_one_at_work_does_not_cut_its_answer() -> None:
    async with site() as one:
        wait = b"POST /wait HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n"
        caller = await one.call(wait + b"POST /tri")
        await asyncio.sleep(0.7)
        one.app.release.set()

        assert status(await caller.answer()) == 202


# What is too much


@on_both_loops
async def test_a_header_of_a_megabyte_is_431() -> None:
    async with site() as one:
        caller = await one.call(HEAD + b"X-Long: " + b"y" * 1_000_000 + b"\r\n\r\n")

        assert is_ended(await caller.hear(), 431)
        assert one.app.requests == 0


@on_both_loops
@pytest.mark.parametrize(
    "filler",
    [
        b"".join(b"X-%d: y\r\n" % n for n in range(500)),
        b"".join(b"X-%d: %s\r\n" % (n, b"y" * 900) for n in range(80)),
        b"X-Long: " + b"y" * 70_000 + b"\r\n",
    ],
    ids=["500 lines", "80 long lines", "one long line"],
)
async def test_too_much_header_is_431(filler: bytes) -> None:
    async with site() as one:
        caller = await one.call(HEAD + filler + b"\r\n")
        answer = await caller.hear()

        assert status(answer) == 431
        assert b'"code":"HEADERS_TOO_LARGE"' in answer
        assert one.app.requests == 0


@on_both_loops
async def test_too_much_header_is_431_on_a_kept_connection_too() -> None:
    async with site() as one:
        caller = await one.call(HEAD + b"Content-Length: 0\r\n\r\n")
        await caller.answer()
        await caller.say(HEAD + b"X-Long: " + b"y" * 70_000 + b"\r\n\r\n")

        assert status(await caller.hear()) == 431


@on_both_loops
async def test_a_long_url_is_431() -> None:
    async with site() as one:
        caller = await one.call(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: test\r\n\r\n")

        assert status(await caller.hear()) == 431


@on_both_loops
async def test_an_honest_large_request_passes() -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 500) for n in range(90))
    async with site() as one:
        caller = await one.call(HEAD + lines + b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000)
        first = await caller.answer()
        await caller.say(HEAD + b"Content-Length: 3\r\n\r\nabc")

        assert first.endswith(b"300000")
        assert (await caller.answer()).endswith(b"\r\n\r\n3")


@on_both_loops
async def test_connections_of_one_address_are_capped() -> None:
    limits = {"connections_per_address": 5, "uncounted": frozenset[str](), "idle_seconds": 9}
    async with site(header_seconds=9, **limits) as one:
        kept = [await one.call() for _ in range(5)]
        await asyncio.sleep(0.05)
        refused = await one.call(HEAD + b"Content-Length: 0\r\n\r\n")
        answer = await refused.hear()
        await kept[0].close()
        await asyncio.sleep(0.05)
        again = await one.call(HEAD + b"Content-Length: 0\r\n\r\n")

        assert is_ended(answer, 503)
        assert status(await again.answer()) == 202


@on_both_loops
async def test_all_connections_are_capped() -> None:
    async with site(header_seconds=9, connections=20) as one:
        for _ in range(20):
            await one.call()
        await asyncio.sleep(0.05)
        refused = await one.call()

        answer = await refused.hear()

        assert status(answer) == 503
        assert b"retry-after: 1" in answer
        assert one.server.connections == 20


# What is ambiguous


@on_both_loops
@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        HEAD + b"Content-Length: +4\r\n\r\nabcd",
        HEAD + b"Content-Length: 4\n\nabcd",
        b"POST / HTTP/1.1\nHost: test\n\n",
        HEAD + b"X-Folded: a\r\n b\r\n\r\n",
        HEAD + b"X-Space : a\r\n\r\n",
        HEAD + b"X\x00Y: a\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\nabcd\n0\n\n",
        b"POST /\xff HTTP/1.1\r\nHost: test\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=[
        "CL+TE",
        "TE+CL",
        "two lengths",
        "signed length",
        "bare LF in header",
        "bare LF",
        "folded",
        "space before colon",
        "NUL in name",
        "bad chunk size",
        "bare LF in chunks",
        "non-ASCII path",
        "TLS",
        "HTTP/2",
    ],
)
async def test_an_ambiguous_request_is_400(request_bytes: bytes) -> None:
    async with site() as one:
        caller = await one.call(request_bytes)
        answer = await caller.hear()

        assert status(answer) == 400
        assert answer.count(b"HTTP/1.1 4") == 1
        details = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["details"]
        assert details == {"field": None, "expected": None, "received": None}
        assert one.app.finished == 0


@on_both_loops
async def test_pipelined_requests_are_answered_in_order() -> None:
    async with site() as one:
        caller = await one.call(
            b"".join(HEAD + b"Content-Length: %d\r\n\r\n" % n + b"x" * n for n in range(1, 6))
        )
        bodies = [(await caller.answer())[-1:] for _ in range(5)]

        assert bodies == [b"1", b"2", b"3", b"4", b"5"]


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the body as hot routes read it."""
    try:
        body = await Inbound(scope, receive, Budget()).body(1_000_000)
    except CallerGoneError:
        return
    await send({"type": "http.response.start", "status": 202, "headers": _length(body)})
    await send({"type": "http.response.body", "body": body})


@on_both_loops
@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_a_body_read_at_once_is_that_of_its_request(pieces: int) -> None:
    """With its head, behind it in pieces, on a kept connection and with other requests behind it."""
    server = HttpServer(_echo)
    await server.start()
    caller = Caller(*await asyncio.open_connection("127.0.0.1", server.port))
    try:
        bodies = [bytes([97 + n]) * (n * 997 + 1) for n in range(8)]
        for body in bodies[:4]:
            wire = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            step = len(wire) // pieces + 1
            await caller.say(
                *[wire[at : at + step] for at in range(0, len(wire), step)], pause=0.01 * (pieces > 1)
            )
            assert (await caller.answer()).endswith(b"\r\n\r\n" + body)

        await caller.say(b"".join([HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(b), b) for b in bodies]))
        for body in bodies:
            assert (await caller.answer()).endswith(b"\r\n\r\n" + body)

        await caller.say(HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert (await caller.answer()).startswith(b"HTTP/1.1 100 ")
        await caller.say(b"abc")
        assert (await caller.answer()).endswith(b"\r\n\r\nabc")
    finally:
        await caller.close()
        await server.stop(0.0)


@on_both_loops
@pytest.mark.parametrize("step", [1_000_000, 50, 1])
async def test_an_offer_of_another_protocol_is_passed_over(step: int) -> None:
    """RFC 9110 section 7.8: some clients offer HTTP/2 with their first request, and its body counts all the same."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
    wire = b"".join(
        HEAD + extra + b"Content-Length: %d\r\n\r\n%b" % (n, b"x" * n)
        for n, extra in enumerate([b"", offer, offer, b"", offer])
    )
    async with site(header_seconds=9, body_seconds=9, idle_seconds=9) as one:
        caller = await one.call()
        for at in range(0, len(wire), step):
            await caller.say(wire[at : at + step])
            await asyncio.sleep(0)
        bodies = [(await caller.answer())[-1:] for _ in range(5)]

        assert bodies == [b"0", b"1", b"2", b"3", b"4"]
        assert one.app.requests == 5


@on_both_loops
@pytest.mark.parametrize(
    ("request_", "is_soon", "heard"),
    [
        (b"POST /wait HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc", True, 202),
        (b"POST /wait HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc", False, None),
        (b"POST /wait HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nab", True, None),
        (b"POST /wait HT", True, None),
    ],
    ids=["whole", "long at work", "half a body", "half a head"],
)
async def test_who_closes_its_side_behind_a_request_hears_an_answer_that_comes_soon(
    request_: bytes, heard: int | None, *, is_soon: bool
) -> None:
    """As programs do that pipe a request into a socket."""
    soon = 9.0 if is_soon else 0.1
    async with site(header_seconds=9, body_seconds=9, idle_seconds=9, leaving_seconds=soon) as one:
        caller = await one.call(request_)
        caller.writer.write_eof()
        if is_soon:
            await asyncio.sleep(0.05)
            one.app.release.set()
        answer = await caller.hear()

        assert (status(answer) if answer else None) == heard


@on_both_loops
async def test_forwarded_headers_do_not_change_who_calls() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["client"][0], scope["scheme"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    server = HttpServer(app)
    await server.start()
    caller = Caller(*await asyncio.open_connection("127.0.0.1", server.port))
    await caller.say(HEAD + b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\r\n")
    answer = await caller.answer()
    await server.stop(0.0)
    await caller.close()

    assert seen == [("127.0.0.1", "http")]
    assert b"date: " in answer
    assert b"server:" not in answer


# How it stops


@on_both_loops
async def test_a_stop_lets_the_running_request_end_and_closes_idle_ones() -> None:
    async with site(idle_seconds=9, header_seconds=9) as one:
        idle = await one.call(HEAD + b"Content-Length: 0\r\n\r\n")
        await idle.answer()
        busy = await one.call(b"POST /wait HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
        await asyncio.sleep(0.02)
        stopping = asyncio.create_task(one.server.stop(5.0))
        assert await idle.hear() == b""
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", one.server.port)
        one.app.release.set()
        answer = await busy.hear()
        started = time.monotonic()
        await stopping

        assert status(answer) == 202
        assert b"connection: close" in answer
        assert time.monotonic() - started < 0.1
        assert one.server.connections == 0


@on_both_loops
async def test_a_request_on_a_kept_connection_that_crosses_the_stop_is_answered_and_is_the_last() -> None:
    """Issue 6, point 5: callers see no error of a node that was told to stop, other than a refused connection."""
    async with site(idle_seconds=9, linger_seconds=5) as one:
        kept = await one.call(HEAD + b"Content-Length: 0\r\n\r\n")
        await kept.answer()
        stopping = asyncio.create_task(one.server.stop(9.0))
        await asyncio.sleep(0.02)
        await kept.say(HEAD + b"Content-Length: 0\r\n\r\n")
        answer = await kept.hear()
        await stopping

        assert status(answer) == 202
        assert b"connection: close" in answer


@on_both_loops
async def test_a_caller_that_nobody_had_accepted_yet_is_answered_too() -> None:
    """Issue 6, point 5: what the kernel holds in the queue of the listening socket is not reset."""
    async with site(idle_seconds=9, linger_seconds=5) as one:
        callers = []
        for _ in range(20):  # the loop is not given a turn, so none of them is accepted
            caller = socket.create_connection(("127.0.0.1", one.server.port))
            caller.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
            callers.append(caller)
        await one.server.stop(9.0)
        answers = []
        for caller in callers:
            caller.settimeout(5)
            answers.append(caller.recv(4096))
            caller.close()

        assert [status(answer) for answer in answers] == [202] * 20
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", one.server.port))


@on_both_loops
async def test_a_body_that_is_arriving_is_waited_for() -> None:
    async with site(body_seconds=9, idle_seconds=9) as one:
        caller = await one.call(HEAD + b"Content-Length: 4\r\n\r\nab")
        await asyncio.sleep(0.02)
        stopping = asyncio.create_task(one.server.stop(5.0))
        await asyncio.sleep(0.02)
        await caller.say(b"cd")
        answer = await caller.hear()
        await stopping

        assert status(answer) == 202


@on_both_loops
async def test_what_outlasts_the_grace_is_cut_off() -> None:
    async with site() as one:
        caller = await one.call(b"POST /wait HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
        await asyncio.sleep(0.02)
        started = time.monotonic()
        await one.server.stop(0.2)

        assert 0.15 <= time.monotonic() - started <= 0.5
        assert await caller.hear() in {b"", b"reset"}
        assert one.app.finished == 0


@on_both_loops
async def test_stopping_twice_or_before_the_start_is_harmless() -> None:
    unused = HttpServer(App())
    await unused.stop(1.0)
    async with site() as one:
        await one.server.stop(1.0)
        await one.server.stop(1.0)


@on_both_loops
async def test_several_servers_share_a_port_when_asked() -> None:
    first = HttpServer(App(), shares_port=True)
    second = HttpServer(App(), port=first.port, shares_port=True)
    await first.start()
    await second.start()
    with pytest.raises(OSError, match="in use"):
        HttpServer(App(), port=first.port)
    await first.stop(0.0)
    await second.stop(0.0)


PROGRAM = """
import asyncio, signal
from hookline.api.server import HttpServer

async def app(scope, receive, send):
    await receive()
    print("running", flush=True)
    await asyncio.sleep(0.5)
    await send({"type": "http.response.start", "status": 202, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})

async def main():
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    server = HttpServer(app)
    await server.start()
    print(server.port, flush=True)
    await stopping.wait()
    await server.stop(5.0)

asyncio.run(main())
"""


def test_sigterm_ends_the_running_request_and_the_process_with_0() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())

        async def call() -> bytes:
            caller = Caller(*await asyncio.open_connection("127.0.0.1", port))
            await caller.say(HEAD + b"Content-Length: 0\r\n\r\n")
            await asyncio.to_thread(process.stdout.readline)  # type: ignore[union-attr]
            process.send_signal(signal.SIGTERM)
            answer = await caller.hear()
            await caller.close()
            return answer

        answer = asyncio.run(call())

        assert status(answer) == 202
        assert b"done" in answer
        assert process.wait(5) == 0
