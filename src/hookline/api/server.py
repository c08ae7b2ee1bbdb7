"""Serve HTTP to callers, none of whom is trusted to finish what they begin.

uvicorn's httptools protocol parses (strictly: two framings at once, a bare line feed or a folded header are
400) and runs the application; ``connection`` adds deadlines and bounds for each caller, and this module what is of
all of them: the socket, caps for connections, and a stop that keeps its word. It installs no signal handler, writes
no log of its own and never exits the process.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from uvicorn.config import Config

from hookline.api.connection import Limits, Protocol, State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Application = Callable[[Any, Any, Any], Awaitable[None]]

# How often due connections are looked for, at most; a tenth of the shortest deadline if that is less.
_SWEEP_SECONDS = 0.5
# How long tasks that were cancelled when the grace was over have to let go.
_CANCEL_SECONDS = 1.0
_BACKLOG = 2048


class HttpServer:
    """An HTTP server in the running event loop.

    app: ASGI 3.  sock: a bound socket to listen on, which is then ours to close; else host and port are
    bound, with ``shares_port`` so that several processes can (SO_REUSEPORT). The port is known before
    ``start``. Raises OSError when the address cannot be bound.
    """

    def __init__(
        self,
        app: Application,
        *,
        sock: socket.socket | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        shares_port: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits if limits is not None else Limits()
        self._socket = sock if sock is not None else _bind(host, port, shares_port=shares_port)
        self.port: int = self._socket.getsockname()[1]
        self._config = Config(
            app,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        self._state: State | None = None
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        shortest = min(
            self._limits.header_seconds,
            self._limits.body_seconds,
            self._limits.answer_seconds,
            self._limits.idle_seconds,
        )
        self._sweep_seconds = min(_SWEEP_SECONDS, shortest / 10)

    def __repr__(self) -> str:
        return f"<HttpServer port={self.port} connections={self.connections}>"

    @property
    def connections(self) -> int:
        """Open connections, idle ones included."""
        return len(self._state.connections) if self._state is not None else 0

    async def start(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        self._config.load()
        state = self._state = State(self._limits)
        self._sweep()
        self._server = await loop.create_server(
            lambda: Protocol(self._config, state, loop), sock=self._socket, backlog=_BACKLOG
        )

    async def stop(self, grace_seconds: float) -> None:
        """Accept no more, let what is asked be answered within the grace, close idle connections after a moment.

        What is left after the grace is cancelled and cut off. Safe to call twice.
        """
        state = self._state
        if state is None or self._server is None:
            self._socket.close()
            return
        if not state.is_stopping:
            state.is_stopping = True
            await self._stop_listening(self._server, state)
        lingering = min(self._limits.linger_seconds, grace_seconds)
        await _drained(state, lingering)
        for connection in tuple(state.connections):
            connection.shutdown()
        await _drained(state, grace_seconds - lingering)
        await self._cut_off(state)
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def _stop_listening(self, server: asyncio.Server, state: State) -> None:
        """Close the listening socket, and take over the connections that nobody has accepted yet.

        The kernel has told their callers that they are connected, and would reset them with the socket.
        """
        loop = asyncio.get_running_loop()
        last_hold = self._socket.dup()
        last_hold.setblocking(False)
        server.close()
        accepted = []
        with last_hold, suppress(OSError):  # there is none left
            while True:
                accepted.append(last_hold.accept()[0])
        for connection in accepted:
            connection.setblocking(False)
            with suppress(OSError):  # it has gone already
                await loop.connect_accepted_socket(lambda: Protocol(self._config, state, loop), connection)

    async def _cut_off(self, state: State) -> None:
        for connection in tuple(state.connections):
            connection.transport.abort()
        tasks = tuple(state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
        # One turn of the loop for the transports to report that they are gone.
        await asyncio.sleep(0)

    def _sweep(self) -> None:
        """End what is due and refresh the date that goes into every answer."""
        assert self._state is not None
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._state.tell_time()
        for connection in tuple(self._state.connections):
            connection.look(now)
        self._sweeper = loop.call_later(self._sweep_seconds, self._sweep)


async def _drained(state: State, seconds: float) -> None:
    """Wait until no connection is left, but no longer than so."""
    if state.connections:
        state.drained.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(state.drained.wait(), seconds)


def _bind(host: str, port: int, *, shares_port: bool) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound
