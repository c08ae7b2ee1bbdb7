"""Say how this node is set up: one frozen object, from flags, environment and ``hookline.toml``.

An earlier source wins. A value that cannot be used stops the start with its key, what was expected and what
was found; the text of a secret is never part of that message, nor of ``repr``. Nothing here opens a database.

Importing this module imports pydantic: the command line does it only once a command needs it.
"""

from __future__ import annotations

import os
import re
import tomllib
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from hookline.core.mail_server import read_mail_server, read_sender
from hookline.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "HOOKLINE_"
FILE: Final = "hookline.toml"
FILE_VARIABLE: Final = "HOOKLINE_CONFIG"
"""Names another file than ``hookline.toml`` in the working directory; then that file must exist."""

Role = Literal["receive", "execute", "deliver"]
ALL_ROLES: Final[tuple[Role, ...]] = ("receive", "execute", "deliver")
Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_VISIBLE_ASCII = re.compile(r"[!-~]{1,256}")
# Failpoints kill the process on purpose, so they need a database whose name says it is thrown away.
_THROWAWAY = re.compile(r"hookline[-_]crashtest")


def _split(value: object) -> object:
    """Take a comma-separated text as a list; an empty one is an empty list."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _unset_when_empty(value: object) -> object:
    return None if value == "" else value


def _url(text: str, schemes: tuple[str, ...]) -> SplitResult:
    parts = urlsplit(text)
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"not a URL of {' or '.join(schemes)}")
    _ = parts.port  # raises ValueError for one that is no number
    return parts


def _public_url(text: str | None) -> str | None:
    if text is None:
        return None
    parts = _url(text, ("http", "https"))
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("has a query, a fragment or credentials")
    return text.rstrip("/")


def _smtp_url(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None:
        read_mail_server(secret.get_secret_value())
    return secret


def _egress_proxy(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None:
        parts = _url(secret.get_secret_value(), ("http",))
        if parts.port is None or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("not http://HOST:PORT")
    return secret


def _mail_from(text: str | None) -> str | None:
    if text is not None:
        read_sender(text)
    return text


def _database(text: str) -> str:
    if text.startswith("sqlite:///"):
        if text.removeprefix("sqlite:///") in {"", ":memory:"}:
            raise ValueError("names no file")
        return text
    parts = _url(text, ("postgresql", "postgres"))
    if not parts.path.strip("/"):
        raise ValueError("names no database")
    return text


def _blobs(text: str | None) -> str | None:
    if text is None or (text.startswith("file:///") and text != "file:///"):
        return text
    parts = _url(text, ("s3",))
    if parts.username is not None or parts.fragment:
        raise ValueError("has credentials or a fragment")
    if not set(parse_qs(parts.query, keep_blank_values=True)) <= {"endpoint", "region"}:
        raise ValueError("has an option that there is not")
    return text


def _admin_key(secret: SecretStr | None) -> SecretStr | None:
    # It travels in a header, so only what a header can carry.
    if secret is not None and not _VISIBLE_ASCII.fullmatch(secret.get_secret_value()):
        raise ValueError("not visible ASCII")
    return secret


def _secret_key(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and len(secret.get_secret_value()) < 16:
        raise ValueError("too short")
    return secret


def _variable(name: str) -> str:
    if not _VARIABLE_NAME.fullmatch(name) or name.startswith(PREFIX):
        raise ValueError("not a variable that may be passed on")
    return name


def _roles(roles: tuple[Role, ...]) -> tuple[Role, ...]:
    if not roles:
        raise ValueError("no role left")
    return tuple(role for role in ALL_ROLES if role in roles)


def _setting(expected: str, does: str, default: object) -> Any:
    """Describe one setting. expected: completes "must be …".  does: a sentence or two for the reference."""
    return Field(default, description=does, json_schema_extra={"expected": expected})


_Optional = BeforeValidator(_unset_when_empty)
_List = BeforeValidator(_split)
_Port = Annotated[int, Field(ge=0, le=65_535)]
_Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
_Days = Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1, le=1_000_000)]


class Settings(BaseModel):
    """How this node is set up. Fields stand in the order of the reference page."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: Annotated[str, AfterValidator(_database)] = _setting(
        "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME",
        "Where everything is kept. `sqlite:///hookline.db` is a file in the working directory, "
        "`sqlite:////var/lib/hookline.db` an absolute path.",
        "sqlite:///hookline.db",
    )
    host: Annotated[str, Field(min_length=1)] = _setting(
        "an address or host name to listen on",
        "Address the server listens on. The default is reachable from this machine only.",
        "127.0.0.1",
    )
    port: _Port = _setting(
        "a whole number from 0 to 65535",
        "Port the server listens on; 0 takes any free one and prints it.",
        8700,
    )
    app: Annotated[str | None, _Optional] = _setting(
        "APP.py or APP.py:NAME",
        "The file with your automations, and the name of the `App` in it (`app` when left out).",
        None,
    )
    roles: Annotated[tuple[Role, ...], _List, AfterValidator(_roles)] = _setting(
        "a list of receive, execute, deliver",
        "What this node does. Fewer than all three need PostgreSQL: on SQLite one node is the whole system.",
        ALL_ROLES,
    )
    admin_key: Annotated[SecretStr | None, _Optional, AfterValidator(_admin_key)] = _setting(
        "1 to 256 visible ASCII characters without spaces",
        "A fixed admin key, for automation. Without it the first start with an empty database prints one, "
        "once.",
        None,
    )
    secret_key: Annotated[SecretStr | None, _Optional, AfterValidator(_secret_key)] = _setting(
        "at least 16 characters",
        "Encrypts secrets at rest and signs links. On SQLite it is made beside the file (`FILE.key`, "
        "readable by you alone) when absent; on PostgreSQL it is required, the same on every node.",
        None,
    )
    secret_key_previous: Annotated[SecretStr | None, _Optional, AfterValidator(_secret_key)] = _setting(
        "at least 16 characters",
        "Another secret key that still opens what it sealed, while `secret_key` takes over from it: see "
        "`hookline keys rotate-secret`.",
        None,
    )
    public_url: Annotated[str | None, _Optional, AfterValidator(_public_url)] = _setting(
        "an http or https URL without query",
        "The address callers reach this server by, for the URLs it hands out; the listening address when "
        "absent.",
        None,
    )
    allow_networks: Annotated[tuple[Network, ...], _List] = _setting(
        "a list of CIDRs such as 10.1.0.0/16",
        "Private or loopback networks that webhooks may be sent to. All are refused by default; cloud "
        "metadata addresses always are.",
        (),
    )
    blobs: Annotated[str | None, _Optional, AfterValidator(_blobs)] = _setting(
        "file:///FOLDER or s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME]",
        "Where large bodies and the files of executions are kept; when absent, beside the SQLite file or in "
        "PostgreSQL. A bucket needs `pip install 'hookline[s3]'`; its credentials come from `AWS_ACCESS_KEY_ID` and "
        "`AWS_SECRET_ACCESS_KEY`, or from the machine's role. Nodes of one database must share one place.",
        None,
    )
    trusted_proxies: Annotated[tuple[Network, ...], _List] = _setting(
        "a list of CIDRs such as 10.1.0.0/16",
        "Reverse proxies in front of this node. `X-Forwarded-For` is believed from these alone, for the address that a "
        "trigger's `ip_allowlist` is compared with and that is kept with a request.",
        (),
    )
    source_ips: Annotated[tuple[Address, ...], _List] = _setting(
        "a list of IP addresses",
        "Addresses that deliveries come from, shown by `GET /api/v1/meta` so that receivers can allow them.",
        (),
    )
    egress_proxy: Annotated[SecretStr | None, _Optional, AfterValidator(_egress_proxy)] = _setting(
        "http://HOST:PORT or http://USER:PASSWORD@HOST:PORT",
        "A forward proxy through which every delivery goes, by CONNECT. Names are still resolved and judged here "
        "first, and the proxy is asked for the address that was judged, not for the name.",
        None,
    )
    smtp_url: Annotated[SecretStr | None, _Optional, AfterValidator(_smtp_url)] = _setting(
        "smtp://USER:PASSWORD@HOST:PORT or smtps://…, with ?starttls=required or never where needed",
        "Mail server for alerts; without it none are sent, and alerts are shown by the API and logged. Port 587, or "
        "465 for `smtps`, when left out. STARTTLS is used when the server offers it, and required when there is a "
        "password and the server is not on this machine. Private addresses need no `HOOKLINE_ALLOW_NETWORKS` here.",
        None,
    )
    mail_from: Annotated[str | None, _Optional, AfterValidator(_mail_from)] = _setting(
        "a mail address such as Hookline <hookline@example.com>",
        "Sender of mails. When absent: the user of `HOOKLINE_SMTP_URL` if that is an address, else `hookline@` and the "
        "host of `HOOKLINE_PUBLIC_URL`.",
        None,
    )
    disable_after_days: _Days = _setting(
        "a number above 0, at most 36500",
        "A webhook that gave nothing but failures for so long is disabled; its events are held and a mail says so.",
        5.0,
    )
    retry_time_scale: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = _setting(
        "a number above 0, at most 1000",
        "Multiplies the waits between attempts and nothing else. For tests; `/readyz` shows it when not 1.",
        1.0,
    )
    max_body_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = _setting(
        "a whole number of bytes from 1024 to 1073741824",
        "Largest request body; a larger one is answered 413 before it is read to its end.",
        1 << 20,
    )
    max_in_flight_total: _Count = _setting(
        "a whole number from 1 to 1000000", "Most deliveries on their way at once from this node.", 2048
    )
    max_executions: _Count = _setting(
        "a whole number from 1 to 1000000", "Most executions running at once on this node.", 256
    )
    max_executions_per_organization: _Count | None = _setting(
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
    chromium: Annotated[str | None, _Optional] = _setting(
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
    grace_seconds: _Seconds = _setting(
        "a number above 0, at most 3600",
        "How long a stopping node waits for what is in flight before it gives it back to the queue.",
        20.0,
    )
    retention_days: _Days = _setting(
        "a number above 0, at most 36500",
        "Events, with their deliveries and attempts, and executions are deleted so long after all of it has ended. "
        "What waits or is held is kept however old it is.",
        30.0,
    )
    held_retention_days: _Days = _setting(
        "a number above 0, at most 36500",
        "Deliveries held for a paused or disabled webhook end as `exhausted`, `held_expired`, after so long.",
        30.0,
    )
    conversation_idle_seconds: Annotated[float, Field(ge=1, le=31_536_000, allow_inf_nan=False)] = _setting(
        "a number from 1 to 31536000",
        "A conversation with an agent in which nothing was said for so long is completed.",
        86_400.0,
    )
    payload_retention_days: _Days | None = _setting(
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
    env_passthrough: Annotated[tuple[Annotated[str, AfterValidator(_variable)], ...], _List] = _setting(
        "a list of names of environment variables, none beginning with HOOKLINE_",
        "Environment variables that your automations may see; all others are kept from them.",
        (),
    )
    ffmpeg: Annotated[str | None, _Optional] = _setting(
        "a program's name or path",
        "The FFmpeg that renders videos; when absent the system's, else that of `pip install 'hookline[render]'`.",
        None,
    )
    font: Annotated[str | None, _Optional] = _setting(
        "the path of a .ttf or .otf file",
        "The font of texts that name none; when absent that of `pip install 'hookline[render]'`, else DejaVu Sans or "
        "another common one of the system.",
        None,
    )
    max_renders: _Count | None = _setting(
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
        "failed",
    )
    log_format: Literal["auto", "text", "json"] = _setting(
        "one of auto, text, json", "`auto` writes text to a terminal and JSON elsewhere.", "auto"
    )
    failpoints: Annotated[str | None, _Optional] = _setting(
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
        if self.is_sqlite:
            return self.database
        parts = urlsplit(self.database)
        place = parts.netloc.rpartition("@")[2]
        user = f"{parts.username}@" if parts.username else ""
        return f"{parts.scheme}://{user}{place}{parts.path}"

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Show what differs from the default, without secrets."""
        shown = {name: getattr(self, name) for name in type(self).model_fields}
        shown["database"] = self.database_label
        fields = type(self).model_fields
        return [(name, value) for name, value in shown.items() if value != fields[name].default]


def load_settings(
    overrides: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Settings:
    """Return the settings of this process. Raises SettingError.

    overrides: by field name, from flags; None values are ignored.  environ: the process's own when None.
    directory: where ``hookline.toml`` is looked for; the working directory when None.
    """
    environ = os.environ if environ is None else environ
    path, values = _read_file(environ, directory or Path())
    origins = {name: f"{name} in {path}" for name in values}
    for name in Settings.model_fields:
        variable = PREFIX + name.upper()
        if variable in environ:
            values[name], origins[name] = environ[variable], variable
    for name, value in (overrides or {}).items():
        if value is not None:
            values[name], origins[name] = value, _FLAGS.get(name, "--" + name.replace("_", "-"))
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _explain(error, values, origins) from None


_FLAGS: Final = {"allow_networks": "--allow-network"}
"""Flags that are not named as their setting is."""


def variable_of(name: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + name.upper()


def expected_of(name: str) -> str:
    """Return what a field's value must be, in words."""
    extra = Settings.model_fields[name].json_schema_extra
    return str(extra["expected"]) if isinstance(extra, dict) else ""


def _read_file(environ: Mapping[str, str], directory: Path) -> tuple[Path, dict[str, Any]]:
    named = environ.get(FILE_VARIABLE)
    path = Path(named) if named else directory / FILE
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not named:
            return path, {}
        raise SettingError(
            f"{FILE_VARIABLE} must be a TOML file that exists, got {named!r}", field="config"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"{path} must be a readable TOML file: {error}", field="config") from error


def _explain(error: ValidationError, values: Mapping[str, Any], origins: Mapping[str, str]) -> SettingError:
    """Word the first thing that is wrong. The library's own words are dropped: they would show a secret."""
    problem = error.errors(include_input=False, include_url=False)[0]
    name = str(problem["loc"][0])
    if name not in Settings.model_fields:
        near = get_close_matches(name, Settings.model_fields, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return SettingError(f"{origins.get(name, name)}: there is no such setting{hint}", field=name)
    expected, received = expected_of(name), _shown(name, values[name])
    return SettingError(
        f"{origins[name]} must be {expected}, got {received}",
        field=name,
        expected=expected,
        received=received,
    )


def _shown(name: str, value: object) -> str:
    if name in {"admin_key", "secret_key", "secret_key_previous", "smtp_url", "egress_proxy"}:
        return "nothing" if not value else f"a secret of {len(str(value))} characters"
    if name == "database" and "@" in str(value):
        return "a URL that cannot be read" if "://" not in str(value) else _without_password(str(value))
    return repr(value)


def _without_password(url: str) -> str:
    return repr(re.sub(r"//.*@", "//…@", url))
