"""Every setting: its kind, its default, and what it does, in the order of the reference page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from hookline.config.values import (
    ALL_ROLES,
    Address,
    CommaList,
    Count,
    Days,
    EmptyIsNone,
    Network,
    Port,
    Role,
    Seconds,
    read_admin_key,
    read_api_key,
    read_blobs,
    read_database,
    read_database_direct,
    read_egress_proxy,
    read_mail_from,
    read_nats_url,
    read_public_url,
    read_roles,
    read_secret_key,
    read_smtp_url,
    read_stream,
    read_variable,
)
from hookline.errors import SettingError

# Failpoints kill the process on purpose, so they need a database whose name says it is thrown away.
_THROWAWAY = re.compile(r"hookline[-_]crashtest")


def _setting(expected: str, does: str, default: object) -> Any:
    """Describe one setting. expected: completes "must be …".  does: a sentence or two for the reference."""
    return Field(default, description=does, json_schema_extra={"expected": expected})


class Settings(BaseModel):
    """How this node is set up. Fields stand in the order of the reference page."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: Annotated[str, AfterValidator(read_database)] = _setting(
        "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME",
        "Where everything is kept. `sqlite:///hookline.db` is a file in the working directory, "
        "`sqlite:////var/lib/hookline.db` an absolute path.",
        "sqlite:///hookline.db",
    )
    database_direct: Annotated[str | None, AfterValidator(read_database_direct)] = _setting(
        "postgresql://USER:PASSWORD@HOST/NAME",
        "The same database past the pooler, where `HOOKLINE_DATABASE` leads through one that shares sessions "
        "(PgBouncer in transaction mode): for the connection that listens, migrations and retention.",
        None,
    )
    host: Annotated[str, Field(min_length=1)] = _setting(
        "an address or host name to listen on",
        "Address the server listens on. The default is reachable from this machine only.",
        "127.0.0.1",
    )
    port: Port = _setting(
        "a whole number from 0 to 65535",
        "Port the server listens on; 0 takes any free one and prints it.",
        8700,
    )
    app: Annotated[str | None, EmptyIsNone] = _setting(
        "APP.py or APP.py:NAME",
        "The file with your automations, and the name of the `App` in it (`app` when left out).",
        None,
    )
    roles: Annotated[tuple[Role, ...], CommaList, AfterValidator(read_roles)] = _setting(
        "a list of receive, execute, deliver",
        "What this node does. Fewer than all three need PostgreSQL: on SQLite one node is the whole system.",
        ALL_ROLES,
    )
    admin_key: Annotated[SecretStr | None, EmptyIsNone, AfterValidator(read_admin_key)] = _setting(
        "1 to 256 visible ASCII characters without spaces",
        "A fixed admin key, for automation. Without it the first start with an empty database prints one, "
        "once.",
        None,
    )
    secret_key: Annotated[SecretStr | None, EmptyIsNone, AfterValidator(read_secret_key)] = _setting(
        "at least 16 characters",
        "Encrypts secrets at rest and signs links. On SQLite it is made beside the file (`FILE.key`, "
        "readable by you alone) when absent; on PostgreSQL it is required, the same on every node.",
        None,
    )
    secret_key_previous: Annotated[SecretStr | None, EmptyIsNone, AfterValidator(read_secret_key)] = _setting(
        "at least 16 characters",
        "Another secret key that still opens what it sealed, while `secret_key` takes over from it: see "
        "`hookline keys rotate-secret`.",
        None,
    )
    public_url: Annotated[str | None, EmptyIsNone, AfterValidator(read_public_url)] = _setting(
        "an http or https URL without query",
        "The address callers reach this server by, for the URLs it hands out; the listening address when "
        "absent.",
        None,
    )
    allow_networks: Annotated[tuple[Network, ...], CommaList] = _setting(
        "a list of CIDRs such as 10.1.0.0/16",
        "Private or loopback networks that webhooks may be sent to. All are refused by default; cloud "
        "metadata addresses always are.",
        (),
    )
    blobs: Annotated[str | None, EmptyIsNone, AfterValidator(read_blobs)] = _setting(
        "file:///FOLDER or s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME]",
        "Where large bodies and the files of executions are kept; when absent, beside the SQLite file or in "
        "PostgreSQL. A bucket needs `pip install 'hookline[s3]'`; its credentials come from `AWS_ACCESS_KEY_ID` and "
        "`AWS_SECRET_ACCESS_KEY`, or from the machine's role. Nodes of one database must share one place.",
        None,
    )
    trusted_proxies: Annotated[tuple[Network, ...], CommaList] = _setting(
        "a list of CIDRs such as 10.1.0.0/16",
        "Reverse proxies in front of this node. `X-Forwarded-For` is believed from these alone, for the address that a "
        "trigger's `ip_allowlist` is compared with and that is kept with a request.",
        (),
    )
    source_ips: Annotated[tuple[Address, ...], CommaList] = _setting(
        "a list of IP addresses",
        "Addresses that deliveries come from, shown by `GET /api/v1/meta` so that receivers can allow them.",
        (),
    )
    egress_proxy: Annotated[SecretStr | None, EmptyIsNone, AfterValidator(read_egress_proxy)] = _setting(
        "http://HOST:PORT or http://USER:PASSWORD@HOST:PORT",
        "A forward proxy through which every delivery goes, by CONNECT. Names are still resolved and judged here "
        "first, and the proxy is asked for the address that was judged, not for the name.",
        None,
    )
    smtp_url: Annotated[SecretStr | None, EmptyIsNone, AfterValidator(read_smtp_url)] = _setting(
        "smtp://USER:PASSWORD@HOST:PORT or smtps://…, with ?starttls=required or never where needed",
        "Mail server for alerts; without it none are sent, and alerts are shown by the API and logged. Port 587, or "
        "465 for `smtps`, when left out. STARTTLS is used when the server offers it, and required when there is a "
        "password and the server is not on this machine. Private addresses need no `HOOKLINE_ALLOW_NETWORKS` here.",
        None,
    )
    mail_from: Annotated[str | None, EmptyIsNone, AfterValidator(read_mail_from)] = _setting(
        "a mail address such as Hookline <hookline@example.com>",
        "Sender of mails. When absent: the user of `HOOKLINE_SMTP_URL` if that is an address, else `hookline@` and the "
        "host of `HOOKLINE_PUBLIC_URL`.",
        None,
    )
    nats_url: Annotated[SecretStr | None, EmptyIsNone, AfterValidator(read_nats_url)] = _setting(
        "nats://HOST:PORT or tls://HOST:PORT, with USER:PASSWORD@ or TOKEN@ where needed",
        "A NATS server whose JetStream stream `nats_stream` brings events in, beside the API. Needs "
        "`pip install 'hookline[nats]'`.",
        None,
    )
    nats_stream: Annotated[str | None, EmptyIsNone, AfterValidator(read_stream)] = _setting(
        "the name of a stream, without spaces, dots, * and >",
        "The stream whose messages become events; it must be there already.",
        None,
    )
    nats_consumer: Annotated[str, AfterValidator(read_stream)] = _setting(
        "the name of a consumer, without spaces, dots, * and >",
        "The durable consumer that all nodes share. Made when it is not there; one that is there is used as it is, so "
        "that it may filter subjects.",
        "hookline",
    )
    nats_credentials: Annotated[str | None, EmptyIsNone] = _setting(
        "the path of a .creds file",
        "What to sign in to NATS with, where the server asks for more than a password.",
        None,
    )
    disable_after_days: Days = _setting(
        "a number above 0, at most 36500",
        "A webhook that gave nothing but failures for so long is disabled; its events are held and a mail says so.",
        5.0,
    )
    retry_time_scale: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = _setting(
        "a number above 0, at most 1000",
        "Multiplies the waits between attempts and nothing else. For tests; `/readyz` shows it when not 1.",
        1.0,
    )
    max_retries: Annotated[int, Field(ge=0, le=100)] = _setting(
        "a whole number from 0 to 100",
        "Most retries of a `retry_policy` with `max_retries`; one that asks for more gets so many.",
        6,
    )
    max_body_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = _setting(
        "a whole number of bytes from 1024 to 1073741824",
        "Largest request body; a larger one is answered 413 before it is read to its end.",
        1 << 20,
    )
    max_in_flight_total: Count = _setting(
        "a whole number from 1 to 1000000", "Most deliveries on their way at once from this node.", 2048
    )
    max_executions: Count = _setting(
        "a whole number from 1 to 1000000", "Most executions running at once on this node.", 256
    )
    max_executions_per_organization: Count | None = _setting(
        "a whole number from 1 to 1000000",
        "Most executions of one organization running at once on a node; left out, as many as the node takes.",
        None,
    )
    max_scripts: Annotated[int, Field(ge=1, le=1_000)] = _setting(
        "a whole number from 1 to 1000",
        "Most scripts running at once on this node; each is a process of its own, others wait.",
        32,
    )
    max_robots: Annotated[int, Field(ge=1, le=1_000)] = _setting(
        "a whole number from 1 to 1000",
        "Most browser robots running at once on this node; each is a browser of its own, others wait.",
        4,
    )
    robot_memory_mb: Annotated[int, Field(ge=200, le=65_536)] = _setting(
        "a whole number from 200 to 65536",
        "Memory that one robot's browser may use, all its processes together, before its run fails.",
        1024,
    )
    chromium: Annotated[str | None, EmptyIsNone] = _setting(
        "a program, by name or path",
        "The browser that robots use; when absent, the system's Chromium or Chrome, then Playwright's own.",
        None,
    )
    max_run_seconds: Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)] = _setting(
        "a number of seconds up to 31536000",
        "Longest that a process of an execution may run on this server, whatever its automation allows. A workflow "
        "that sleeps or waits has no process.",
        86_400.0,
    )
    unsafe_scripts: bool = _setting(
        "true or false",
        "Run scripts of several organizations also where this machine cannot keep them from each other's data and "
        "from the server's. `hookline doctor` says whether it can.",
        False,
    )
    lease_seconds: Annotated[float, Field(ge=3, le=300, allow_inf_nan=False)] = _setting(
        "a number from 3 to 300",
        "A node that has not been heard of for this long is taken for dead and its work is given to others.",
        10.0,
    )
    grace_seconds: Seconds = _setting(
        "a number above 0, at most 3600",
        "How long a stopping node waits for what is in flight before it gives it back to the queue.",
        20.0,
    )
    retention_days: Days = _setting(
        "a number above 0, at most 36500",
        "Events, with their deliveries and attempts, and executions are deleted so long after all of it has ended. "
        "What waits or is held is kept however old it is.",
        30.0,
    )
    held_retention_days: Days = _setting(
        "a number above 0, at most 36500",
        "Deliveries held for a paused or disabled webhook end as `exhausted`, `held_expired`, after so long.",
        30.0,
    )
    conversation_idle_seconds: Annotated[float, Field(ge=1, le=31_536_000, allow_inf_nan=False)] = _setting(
        "a number from 1 to 31536000",
        "A conversation with an agent in which nothing was said for so long is completed.",
        86_400.0,
    )
    payload_retention_days: Days | None = _setting(
        "a number above 0, at most 36500, or nothing",
        "Payloads of ended events, and what receivers answered to them, are emptied so long after the event came; that "
        "it happened, when and how it went stays for `retention_days`. Nothing: as long as the rest.",
        None,
    )
    retention_max_bytes: Annotated[int, Field(ge=0, le=1 << 50)] = _setting(
        "a whole number of bytes, 0 for no bound",
        "What is stored is kept about below this size: first the payloads of the oldest ended events are emptied, then "
        "the oldest are deleted. What waits or is held is kept however large it is.",
        0,
    )
    openai_base_url: Annotated[str | None, EmptyIsNone, AfterValidator(read_public_url)] = _setting(
        "an http or https URL without query",
        "The endpoint that answers for agents made with `app.openai_agent` that name none: anything that speaks "
        "OpenAI's chat completions. When absent, OpenAI's own, `https://api.openai.com/v1`.",
        None,
    )
    openai_model: Annotated[str | None, EmptyIsNone] = _setting(
        "a model's name", "The model of agents made with `app.openai_agent` that name none.", None
    )
    openai_api_key: Annotated[SecretStr | None, EmptyIsNone, AfterValidator(read_api_key)] = _setting(
        "1 to 1000 visible ASCII letters",
        "The key of `openai_base_url`. It is given to turns of agents that name neither a URL nor a key of their own, "
        "and goes to no other URL.",
        None,
    )
    env_passthrough: Annotated[tuple[Annotated[str, AfterValidator(read_variable)], ...], CommaList] = (
        _setting(
            "a list of names of environment variables, none beginning with HOOKLINE_",
            "Environment variables that your automations may see; all others are kept from them.",
            (),
        )
    )
    ffmpeg: Annotated[str | None, EmptyIsNone] = _setting(
        "a program's name or path",
        "The FFmpeg that renders videos; when absent the system's, else that of `pip install 'hookline[render]'`.",
        None,
    )
    font: Annotated[str | None, EmptyIsNone] = _setting(
        "the path of a .ttf or .otf file",
        "The font of texts that name none; when absent that of `pip install 'hookline[render]'`, else DejaVu Sans or "
        "another common one of the system.",
        None,
    )
    max_renders: Count | None = _setting(
        "a whole number from 1 to 1000000",
        "Most videos rendered at once on this node; left out, one for every two of its processors.",
        None,
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "one of debug, info, warning, error", "Least severe log line that is written.", "info"
    )
    log_attempts: Literal["all", "failed", "none"] = _setting(
        "one of all, failed, none",
        "Which attempts have a line in the log, at level info; every one is in the database.",
        "all",
    )
    trace_headers: Literal["all", "continued", "none"] = _setting(
        "one of all, continued, none",
        "Which attempts carry a `traceparent`: all; those whose trace came in with a request or is collected by "
        "OpenTelemetry; or none.",
        "all",
    )
    log_format: Literal["auto", "text", "json"] = _setting(
        "one of auto, text, json", "`auto` writes text to a terminal and JSON elsewhere.", "auto"
    )
    failpoints: Annotated[str | None, EmptyIsNone] = _setting(
        "left out: failpoints belong to `hookline crashtest`",
        "Used by `hookline crashtest` to kill the node at a chosen point; refused with any other database.",
        None,
    )

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.is_sqlite and self.roles != ALL_ROLES:
            raise SettingError(
                f"HOOKLINE_ROLES must be receive,execute,deliver, got {','.join(self.roles)!r}: "
                "on SQLite one node is the whole system",
                field="roles",
                expected="receive,execute,deliver",
                received=",".join(self.roles),
            )
        if (self.nats_url is None) is not (self.nats_stream is None):
            missing = "nats_url" if self.nats_url is None else "nats_stream"
            raise SettingError(
                f"HOOKLINE_{missing.upper()} must be set, got nothing: HOOKLINE_NATS_URL and HOOKLINE_NATS_STREAM "
                "belong together",
                field=missing,
                expected="a value",
                received="nothing",
            )
        if self.failpoints is not None and not _THROWAWAY.search(urlsplit(self.database).path):
            raise SettingError(
                "HOOKLINE_FAILPOINTS must be left out, got a value: they belong to `hookline crashtest`",
                field="failpoints",
                expected="nothing",
                received="a value",
            )
        return self

    @property
    def is_sqlite(self) -> bool:
        return self.database.startswith("sqlite:")

    @property
    def sqlite_path(self) -> Path:
        """The database file. Raises ValueError on PostgreSQL."""
        if not self.is_sqlite:
            raise ValueError("the database is not a file")
        return Path(self.database.removeprefix("sqlite:///"))

    @property
    def database_label(self) -> str:
        """The database's URL without its password, for people."""
        return self.database if self.is_sqlite else _without_password(self.database)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Show what differs from the default, without secrets."""
        shown = {name: getattr(self, name) for name in type(self).model_fields}
        shown["database"] = self.database_label
        if self.database_direct is not None:
            shown["database_direct"] = _without_password(self.database_direct)
        fields = type(self).model_fields
        return [(name, value) for name, value in shown.items() if value != fields[name].default]


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}@" if parts.username else ""
    return f"{parts.scheme}://{user}{place}{parts.path}"
