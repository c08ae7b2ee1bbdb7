"""A real NATS server with JetStream, on a free port of 127.0.0.1, in a temporary folder."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import nats
from nats.js.errors import NotFoundError

PROGRAM: Final = Path(nats.__file__).parents[4] / "bin" / "nats-server"
STREAM: Final = "ORDERS"


class NatsServer:
    """Stopped and started at will; what its streams hold is on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"NatsServer({self.url})"

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns when it takes connections."""
        command = [str(PROGRAM), "-js", "-sd", str(self._folder), "-a", "127.0.0.1", "-p", str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return
            time.sleep(0.02)
        raise TimeoutError("the NATS server takes no connections")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def make_stream(self, *subjects: str) -> None:
        async with await nats.connect(self.url) as client:
            await client.jetstream().add_stream(name=STREAM, subjects=list(subjects))

    async def send(self, *messages: tuple[str, bytes, dict[str, str]]) -> None:
        """Publish in their order: subject, payload, headers."""
        async with await nats.connect(self.url) as client:
            for subject, data, headers in messages:
                await client.jetstream().publish(subject, data, headers=headers)

    async def until_all_are_settled(self, consumer: str = "hookline", *, within: float = 60.0) -> None:
        """Wait until nothing is left to bring and nothing that was brought is unanswered."""
        async with asyncio.timeout(within), await nats.connect(self.url) as client:
            while True:
                with suppress(NotFoundError):  # the node has not been here yet
                    info = await client.jetstream().consumer_info(STREAM, consumer)
                    if not info.num_pending and not info.num_ack_pending:
                        return
                await asyncio.sleep(0.02)
