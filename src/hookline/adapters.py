"""The concrete parts that the settings name: store, runners, blobs, mailer, broker, tracer.

Optional ones are imported inside their factory, so a plain install needs none of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from hookline.core.addresses import AddressPolicy
from hookline.core.mail_server import default_sender, read_mail_server
from hookline.engine.vault import Vault
from hookline.errors import SettingError
from hookline.keyfile import previous_secret_key_of, secret_key_of
from hookline.model.states import Kind
from hookline.runners.model_access import ModelAccess, ModelSettings
from hookline.senders.proxy import EgressProxy, parse_proxy
from hookline.senders.relay import PageRelay
from hookline.telemetry.wanted import wanted_exporter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import SecretStr

    from hookline.config import Settings
    from hookline.ports import Clock, Mailer, Store
    from hookline.ports.blobs import Blobs
    from hookline.ports.broker import Broker
    from hookline.ports.runner import DataRunner
    from hookline.ports.sender import Fetcher
    from hookline.ports.tracing import Tracer

_log = structlog.get_logger("hookline.app")


def open_vault(settings: Settings) -> Vault:
    """The vault that the settings and the key file name. Raises SettingError."""
    return Vault(secret_key_of(settings).get_secret_value(), plain(previous_secret_key_of(settings)))


def open_store(settings: Settings, clock: Clock) -> Store:
    """The store that the settings name, not opened yet."""
    if settings.is_sqlite:
        from hookline.stores.sqlite.store import SqliteStore

        return SqliteStore(settings.sqlite_path, clock=clock)
    from hookline.stores.postgres.store import PostgresStore

    return PostgresStore(settings.database, direct_url=settings.database_direct, clock=clock)


def model_access(settings: Settings) -> ModelAccess:
    """The way of agents to their models, through the guard."""

    def relay(secret: str) -> PageRelay:
        policy = AddressPolicy(settings.allow_networks)
        return PageRelay(policy, egress_proxy(settings), secret=secret, most_bytes=None)

    model = ModelSettings(
        base_url=settings.openai_base_url,
        model=settings.openai_model,
        api_key=plain(settings.openai_api_key),
    )
    return ModelAccess(model, relay)


def data_runners(settings: Settings, fetcher: Fetcher) -> dict[Kind, Callable[[], DataRunner]]:
    """What makes the runner of each kind that is set up as data, imported when it first has something to run."""

    def renders() -> DataRunner:
        from hookline.runners.render.programs import Programs
        from hookline.runners.render.runner import RenderRunner

        programs = Programs(ffmpeg=settings.ffmpeg, font=settings.font)
        # Each render uses several processors itself.
        parallel = settings.max_renders or max(1, (os.cpu_count() or 2) // 2)
        return RenderRunner(programs, fetcher, parallel=parallel)

    def robots() -> DataRunner:
        from hookline.runners.robot.host import RobotRunner, RobotSettings

        return RobotRunner(
            RobotSettings(
                chromium=settings.chromium,
                networks=tuple(map(str, settings.allow_networks)),
                egress=plain(settings.egress_proxy),
                max_running=settings.max_robots,
                memory_bytes=settings.robot_memory_mb << 20,
            )
        )

    def scripts() -> DataRunner:
        from hookline.runners.script.runner import ScriptRunner

        policy, proxy = AddressPolicy(settings.allow_networks), egress_proxy(settings)
        return ScriptRunner(lambda: PageRelay(policy, proxy), most_at_once=settings.max_scripts)

    return {Kind.RENDER: renders, Kind.ROBOT: robots, Kind.SCRIPT: scripts}


def open_blobs(settings: Settings, store: Store) -> Blobs:
    """Where bodies and files go that are too large for a row. Raises SettingError."""
    if settings.blobs is not None and settings.blobs.startswith("s3:"):
        return _bucket(settings.blobs)
    if settings.blobs is not None:
        from hookline.blobs.files import FileBlobs

        return FileBlobs(Path(settings.blobs.removeprefix("file://")))
    if settings.is_sqlite:
        from hookline.blobs.files import FileBlobs

        return FileBlobs(settings.sqlite_path.absolute().with_name(f"{settings.sqlite_path.name}-blobs"))
    from hookline.stores.postgres.store import PostgresStore

    assert isinstance(store, PostgresStore)
    return store.blobs


def _bucket(url: str) -> Blobs:
    try:
        from hookline.blobs.objects import ObjectBlobs
    except ImportError as exc:
        raise SettingError(
            "HOOKLINE_BLOBS names a bucket, which needs obstore: pip install 'hookline[s3]'", field="blobs"
        ) from exc
    return ObjectBlobs(url)


def open_mailer(settings: Settings) -> Mailer | None:
    """What sends mails, None when no mail server is set."""
    if settings.smtp_url is None:
        return None
    from hookline.mail.smtp import SmtpMailer
    from hookline.senders.operator import OperatorDial

    server = read_mail_server(settings.smtp_url.get_secret_value())
    sender = settings.mail_from or default_sender(server, settings.public_url)
    return SmtpMailer(server, sender=sender, dial=OperatorDial())


def open_broker(settings: Settings) -> Broker | None:
    """What brings events in beside the API, None when none is set. Raises SettingError."""
    if settings.nats_url is None or settings.nats_stream is None:
        return None
    try:
        from hookline.brokers.nats import NatsBroker
    except ImportError as exc:
        raise SettingError(
            "HOOKLINE_NATS_URL needs nats-py: pip install 'hookline[nats]'", field="nats_url"
        ) from exc
    return NatsBroker(
        settings.nats_url.get_secret_value(),
        stream=settings.nats_stream,
        consumer=settings.nats_consumer,
        credentials=settings.nats_credentials,
    )


def open_tracer(environ: Mapping[str, str]) -> Tracer | None:
    """What collects spans, None when nobody asks for them in the variables of OpenTelemetry. Raises SettingError.

    Without the extra it is None, too: such variables are often set for everything on a machine.
    """
    exporter = wanted_exporter(environ)
    if exporter is None:
        return None
    try:
        from hookline.telemetry.otel import open_tracer as open_otel
    except ImportError:
        _log.warning("spans_not_collected", remedy="pip install 'hookline[otel]'")
        return None
    return open_otel(exporter)


def egress_proxy(settings: Settings) -> EgressProxy | None:
    """The operator's proxy, None for none."""
    url = plain(settings.egress_proxy)
    return None if url is None else parse_proxy(url)


def plain(secret: SecretStr | None) -> str | None:
    """A secret's text, None for none."""
    return None if secret is None else secret.get_secret_value()
