"""The bare relay every benchmark is measured against: parse, answer 202, POST on. It stores and signs
nothing.

One process, the same hardened HTTP server as a node's, and one aiohttp session with as many sockets as the
measured webhook may use. What a relay loses in a crash is everything in its queue: that is what durability
buys.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec
import uvloop

from hookline.api.server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]

IN_FLIGHT: Final = 64
"""POSTs on their way at once; the measured webhook's max_in_flight is the same."""

_QUEUE: Final = 1024
"""Events in memory; past that the caller waits for its answer."""

_ANSWER: Final = b'{"status":"accepted"}'


class Relay:
    """The queue, its workers, and the ASGI application in front of them."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_QUEUE)

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, answer = 202, _ANSWER
        try:
            msgspec.json.decode(body)
        except msgspec.DecodeError:
            status, answer = 400, b"{}"
        else:
            await self._queue.put(body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def work(self, session: aiohttp.ClientSession) -> None:
        headers = {"Content-Type": "application/json"}
        while True:
            body = await self._queue.get()
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.post(self._target, data=body, headers=headers) as response:
                    await response.read()


async def _serve(target: str) -> None:
    relay = Relay(target)
    server = HttpServer(relay)
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
    ) as session:
        await server.start()
        workers = [asyncio.create_task(relay.work(session)) for _ in range(IN_FLIGHT)]
        print(json.dumps({"port": server.port}), flush=True)  # noqa: T201 -- told to the parent
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
        for worker in workers:
            worker.cancel()
        await server.stop(1.0)


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
