"""Wire one node from the parts that its settings name (``adapters.py``), and run it."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from hookline import __version__, failpoints
from hookline.adapters import (
    data_runners,
    egress_proxy,
    model_access,
    open_blobs,
    open_broker,
    open_mailer,
    open_store,
    open_tracer,
    open_vault,
    plain,
)
from hookline.api.app import build_application
from hookline.api.front import HealthOnly
from hookline.api.server import HttpServer
from hookline.api.services import ApiSettings, Upkeep
from hookline.core.addresses import AddressPolicy
from hookline.engine.clock import SystemClock
from hookline.engine.manage import first_admin_key, prepare
from hookline.engine.node import Node
from hookline.engine.parts import Limits
from hookline.engine.tracing import TraceHeaders, Tracing
from hookline.engine.watch import LoggedAttempts
from hookline.errors import SettingError, StorageError
from hookline.runners.host import RunnerHost, RunnerSettings
from hookline.runners.kinds import KindRunner
from hookline.senders.http import HttpSender
from hookline.web import Dashboard

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.config import Settings
    from hookline.engine.vault import Vault
    from hookline.ports import Clock, Store
    from hookline.ports.tracing import Tracer

_log = structlog.get_logger("hookline.app")


_START_PATIENCE_SECONDS: Final = 60.0
"""How long a start waits for its database before it gives up with the reason."""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A server that answers. admin_key: only when this start made one; it is shown once and never again."""

    url: str
    epoch: int
    admin_key: str | None = None


class Server:
    """A whole server in this process: store, node, HTTP."""

    def __init__(self, settings: Settings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock if clock is not None else SystemClock()
        self._http: HttpServer | None = None
        self._store: Store | None = None
        self._tracer: Tracer | None = None
        self.node: Node | None = None
        self.running: Running | None = None

    def __repr__(self) -> str:
        return f"Server({self.url or 'not started'})"

    @property
    def url(self) -> str | None:
        """Where it answers; None before it does."""
        return self.running.url if self.running is not None else None

    async def start(self) -> Running:
        """Open the store, start the node, listen. Raises SettingError or StorageError; then nothing is left open."""
        settings = self._settings
        failpoints.arm(settings.failpoints)
        raise_file_limit()
        _check_folder(settings)
        # Before anything is made: a start that cannot succeed leaves no file behind.
        listening = _listen(settings.host, settings.port)
        try:
            vault = open_vault(settings)
            store = self._store = open_store(settings, self._clock)
            await store.open()
            await prepare(store, vault, clock=self._clock, fixed_admin_key=plain(settings.admin_key))
            return await self._start_node(store, vault, listening)
        except BaseException:
            await self.stop()
            listening.close()
            raise

    async def _start_node(self, store: Store, vault: Vault, listening: socket.socket) -> Running:
        settings = self._settings
        url = settings.public_url or _local_url(settings.host, listening.getsockname()[1])
        policy = AddressPolicy(settings.allow_networks)
        node = self.node = await self._node(store, vault, policy, url)
        await node.start()
        told = _told(settings, url)
        application = Dashboard(build_application(node, told, policy), node, told)
        door = application if "receive" in settings.roles else HealthOnly(application)
        self._http = HttpServer(door, sock=listening)
        await self._http.start()
        calm_collector()
        admin_key = await first_admin_key(store, clock=self._clock)
        self.running = Running(url=url, epoch=node.epoch, admin_key=admin_key)
        return self.running

    async def _node(self, store: Store, vault: Vault, policy: AddressPolicy, url: str) -> Node:
        """The node, not started yet."""
        settings = self._settings
        self._tracer = open_tracer(os.environ)
        blobs = open_blobs(settings, store)
        if settings.blobs is not None:
            await blobs.open()
        sender = HttpSender(policy, proxy=egress_proxy(settings))
        host = RunnerHost(
            RunnerSettings(app=settings.app, env_passthrough=settings.env_passthrough), model_access(settings)
        )
        node = Node(
            name=f"{socket.gethostname()}:{os.getpid()}",
            store=store,
            runner=KindRunner(host, data_runners(settings, sender)),
            sender=sender,
            vault=vault,
            clock=self._clock,
            limits=_limits(settings),
            roles=settings.roles,
            public_url=url,
            blobs=blobs,
            mailer=open_mailer(settings),
            tracing=Tracing(TraceHeaders(settings.trace_headers), self._tracer),
        )
        broker = open_broker(settings)
        if broker is not None:
            node.take_from(broker)
        return node

    async def stop(self) -> None:
        """Stop accepting, finish or give back what is under way, close. Loses nothing, repeats nothing."""
        if self.node is not None:
            self.node.is_ready = False
            # Who waits for a run that does not end in time is given its id, while there is time to say it.
            asyncio.get_running_loop().call_later(self._settings.grace_seconds / 2, self.node.endings.close)
        if self._http is not None:
            await self._http.stop(self._settings.grace_seconds)
        if self.node is not None:
            await self.node.stop()
        if self._tracer is not None:
            await self._tracer.close()
        if self._store is not None:
            await self._store.close()


async def serve(settings: Settings, *, ready: Callable[[Running], None] | None = None) -> int:
    """Run a server until SIGTERM or SIGINT; a second signal ends it at once. Returns the exit code."""
    server = Server(settings)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def on_signal() -> None:
        if stopping.is_set():
            os._exit(130)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    running = await _start_patiently(server, stopping)
    if running is None:
        return 0
    if ready is not None:
        ready(running)
    await stopping.wait()
    _log.info("stopping")
    await server.stop()
    return 0


async def _start_patiently(server: Server, stopping: asyncio.Event) -> Running | None:
    """Start, waiting a while for a database that is not there yet. None when we were told to stop meanwhile.

    A node that comes back before its database does must not need somebody to start it again.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_PATIENCE_SECONDS
    while True:
        try:
            return await server.start()
        except StorageError as exc:
            if loop.time() > deadline:
                raise
            _log.warning("waiting_for_database", reason=exc.message)
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await stopping.wait()
        if stopping.is_set():
            return None


def raise_file_limit() -> None:
    """Take as many file descriptors as we may: every delivery under way is a socket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


_TELLS: Final = ("debug", "info")
"""Levels at which a line of an attempt is written."""


def calm_collector() -> None:
    """Let the garbage collector look less often, and never again at what was loaded at start.

    A delivery makes some hundred short-lived objects without cycles; with the default of one look per 700 of them,
    the collector took 12 % of a loaded node's time (``hookline bench --scenario deliver``).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def _check_folder(settings: Settings) -> None:
    """Raise SettingError when the database's folder is not there: a mistyped path must not begin an empty database."""
    if settings.is_sqlite and not settings.sqlite_path.parent.is_dir():
        raise SettingError(
            f"HOOKLINE_DATABASE must name a file in a folder that exists, got {str(settings.sqlite_path)!r}: "
            "make the folder first",
            field="database",
            expected="a file in a folder that exists",
            received=str(settings.sqlite_path),
        )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as exc:
        listening.close()
        raise SettingError(
            f"cannot listen on {host}:{port}: {exc.strerror}. Name another with --host and --port (or HOOKLINE_HOST, "
            "HOOKLINE_PORT); --port 0 takes any that is free.",
            field="port",
        ) from exc
    return listening


def _local_url(host: str, port: int) -> str:
    """The address callers on this machine reach it by."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 -- compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _limits(settings: Settings) -> Limits:
    """How much the node takes on."""
    return Limits(
        max_in_flight=settings.max_in_flight_total,
        max_executions=settings.max_executions,
        max_executions_per_organization=settings.max_executions_per_organization,
        unsafe_scripts=settings.unsafe_scripts,
        max_run_seconds=settings.max_run_seconds,
        retry_time_scale=settings.retry_time_scale,
        max_retries=settings.max_retries,
        grace_seconds=settings.grace_seconds,
        lease_seconds=settings.lease_seconds,
        retention_days=settings.retention_days,
        held_retention_days=settings.held_retention_days,
        conversation_idle_seconds=settings.conversation_idle_seconds,
        disable_after_days=settings.disable_after_days,
        payload_retention_days=settings.payload_retention_days or settings.retention_days,
        retention_max_bytes=settings.retention_max_bytes,
        # Not worded where their level is not written: that costs more than to write them.
        log_attempts=LoggedAttempts(settings.log_attempts if settings.log_level in _TELLS else "none"),
    )


def _told(settings: Settings, url: str) -> ApiSettings:
    """What the API tells of the settings, or needs of them."""
    return ApiSettings(
        version=__version__,
        public_url=url,
        admin_key=plain(settings.admin_key),
        source_ips=tuple(str(address) for address in settings.source_ips),
        retry_time_scale=settings.retry_time_scale,
        max_retries=settings.max_retries,
        max_body_bytes=settings.max_body_bytes,
        trusted_proxies=settings.trusted_proxies,
        upkeep=_upkeep(settings),
    )


def _upkeep(settings: Settings) -> Upkeep:
    return Upkeep(
        retention_days=settings.retention_days,
        payload_retention_days=settings.payload_retention_days or settings.retention_days,
        held_retention_days=settings.held_retention_days,
        retention_max_bytes=settings.retention_max_bytes,
        disable_after_days=settings.disable_after_days,
        mail=settings.smtp_url is not None,
    )
