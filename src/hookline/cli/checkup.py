"""What ``hookline doctor`` looks at: one function for each subject, each yielding findings.

Nothing here is fatal: a check that cannot be made is itself a finding.
"""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hookline.cli import checkup_parts as parts
from hookline.cli.client import Client, CommandError
from hookline.cli.finding import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.config import Settings

_OLDEST_SQLITE: Final = (3, 53, 0)
"""Earlier ones can corrupt a write-ahead log that two connections checkpoint at once."""

_OLDEST_POSTGRES: Final = 150_000
_FEW_FILES: Final = 4096
"""512 deliveries, as many callers, the children's pipes and the database fit with room to spare."""

_SLOW_SYNC_MS: Final = 20.0
"""Group commit makes up for a slow disk under load, but a single request waits for one of these."""

_IMPOSSIBLE_SYNC_MS: Final = 0.02
"""No device confirms a write this fast: something on the way answers before the data is safe."""

_NETWORK_FILESYSTEMS: Final = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"}


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield every finding, in the order in which they are shown."""
    yield from _python()
    yield from _sqlite_file(settings) if settings.is_sqlite else _postgres(settings)
    yield from _server()
    yield from _clock()
    yield from _files()
    yield from _addresses(settings)
    yield from _mail(settings)
    yield from _broker(settings)
    yield from _unknown_variables()
    yield from parts.drivers()
    yield from parts.tracing()
    yield from parts.model(settings)
    yield from parts.runners(settings)


def _python() -> Iterator[Finding]:
    import apsw

    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.release()}")
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    level: Level = "ok" if version >= _OLDEST_SQLITE else "fail"
    yield Finding(
        "sqlite", level, apsw.sqlite_lib_version(), "" if level == "ok" else "pip install --upgrade apsw"
    )


def _sqlite_file(settings: Settings) -> Iterator[Finding]:
    path = settings.sqlite_path.absolute()
    folder = path.parent
    if not folder.is_dir():
        yield Finding("database", "fail", f"{folder} is no directory", f"mkdir -p {folder}")
        return
    if not os.access(path if path.exists() else folder, os.W_OK):
        yield Finding(
            "database", "fail", f"{path} cannot be written", "give this user the right to write there"
        )
        return
    state = (
        f"{path}, {path.stat().st_size / 1e6:.1f} MB" if path.exists() else f"{path}, made at the first start"
    )
    yield Finding("database", "ok", state)
    filesystem = _filesystem(folder)
    if filesystem in _NETWORK_FILESYSTEMS:
        yield Finding(
            "disk",
            "fail",
            f"{filesystem} does not lock reliably",
            "use a local disk, or PostgreSQL for many nodes",
        )
    yield from _durability(folder)
    free = shutil.disk_usage(folder).free
    level: Level = "ok" if free > 1 << 30 else "warn"
    yield Finding("disk space", level, f"{free / 1e9:.1f} GB free", "" if level == "ok" else "make room")


def _durability(folder: Path) -> Iterator[Finding]:
    try:
        times = _sync_times(folder)
    except OSError as error:
        yield Finding(
            "fsync", "fail", f"cannot write in {folder}: {error.strerror}", "mend the disk or its rights"
        )
        return
    middle, worst = statistics.median(times), max(times)
    found = f"median {middle:.2f} ms, worst {worst:.2f} ms of {len(times)} writes of 4 KiB"
    if middle < _IMPOSSIBLE_SYNC_MS:
        yield Finding(
            "fsync", "warn", found, "this disk answers before the data is safe; a power cut may lose it"
        )
    elif middle > _SLOW_SYNC_MS:
        yield Finding("fsync", "warn", found, "every single request waits this long; a local SSD would help")
    else:
        yield Finding("fsync", "ok", found)


def _sync_times(folder: Path, count: int = 50) -> list[float]:
    times = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".hookline-doctor-") as file:
        for _ in range(count):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return times


def _filesystem(folder: Path) -> str:
    """Return the type of the filesystem that holds a folder, empty when it cannot be told."""
    best, kind = "", ""
    try:
        rows = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    for row in rows:
        _, mount, type_, *_ = row.split()
        if (folder == Path(mount) or Path(mount) in folder.parents) and len(mount) >= len(best):
            best, kind = mount, type_
    return kind


def _postgres(settings: Settings) -> Iterator[Finding]:
    if find_spec("asyncpg") is None:
        yield Finding(
            "database", "fail", "the PostgreSQL driver is not installed", "pip install 'hookline[postgres]'"
        )
        return
    try:
        facts = asyncio.run(_ask_postgres(settings.database))
    except Exception as error:  # noqa: BLE001 -- whatever goes wrong is the finding
        yield Finding(
            "database",
            "fail",
            f"{settings.database_label}: {str(error) or type(error).__name__}",
            "check the URL",
        )
        return
    number = int(facts["server_version_num"])
    level: Level = "ok" if number >= _OLDEST_POSTGRES else "fail"
    yield Finding(
        "database",
        level,
        f"{settings.database_label}, PostgreSQL {facts['server_version']}, answers in {facts['ms']} ms",
        "" if level == "ok" else "PostgreSQL 15 or later is needed",
    )
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        is_on = facts[name] not in {"off", "local"}
        mend = "" if is_on else f"set {name} = on in postgresql.conf"
        yield Finding(name, "ok" if is_on else "fail", facts[name], mend)
    if settings.secret_key is None:
        yield Finding("secret key", "fail", "none", "set HOOKLINE_SECRET_KEY, the same on every node")


async def _ask_postgres(url: str) -> dict[str, str]:
    import asyncpg

    # Prepared statements are lost behind a pooler that shares sessions.
    connection = await asyncpg.connect(url, timeout=5, statement_cache_size=0)
    try:
        began = time.perf_counter()
        await connection.fetchval("select 1")
        facts = {"ms": f"{(time.perf_counter() - began) * 1000:.1f}"}
        for name in (
            "server_version",
            "server_version_num",
            "fsync",
            "synchronous_commit",
            "full_page_writes",
        ):
            facts[name] = str(await connection.fetchval(f"show {name}"))
        return facts
    finally:
        await connection.close()


def _server() -> Iterator[Finding]:
    client = Client.from_environment()
    try:
        client.call("GET", "/readyz", timeout_seconds=2)
    except CommandError as error:
        is_away = "no server at" in error.message
        found = f"none at {client.url}" if is_away else error.message
        yield Finding("server", "ok" if is_away else "fail", found)
        return
    # Its flags and its environment cannot be seen from here.
    theirs = (
        "the lines about settings, such as targets, are of this shell's, not of those it was started with"
    )
    yield Finding("server", "ok", f"ready on {client.url}; {theirs}")


def _clock() -> Iterator[Finding]:
    # A signature holds a timestamp that receivers compare with their own clock, five minutes apart at most.
    try:
        answer = subprocess.run(
            ["timedatectl", "show", "--property=NTPSynchronized", "--value"],  # noqa: S607 -- found on the path
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        yield Finding(
            "clock", "ok", f"{time.strftime('%Y-%m-%d %H:%M:%S')} UTC%+.0f h" % (-time.timezone / 3600)
        )
        return
    if answer == "yes":
        yield Finding("clock", "ok", "synchronized")
    else:
        yield Finding(
            "clock", "warn", "not synchronized", "start an NTP service: receivers refuse signatures 5 min off"
        )


def _files() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    level: Level = "ok" if hard >= _FEW_FILES else "warn"
    mend = "" if level == "ok" else f"ulimit -Hn {_FEW_FILES} or more: each delivery under way is a socket"
    yield Finding("open files", level, f"{soft}, raised to {hard} at start", mend)


def _addresses(settings: Settings) -> Iterator[Finding]:
    if settings.allow_networks:
        allowed = ", ".join(map(str, settings.allow_networks))
        yield Finding("targets", "warn", f"webhooks may go to {allowed}", "keep this list short")
    else:
        yield Finding("targets", "ok", "public addresses only")
    if settings.egress_proxy is not None:
        yield _egress_proxy(settings.egress_proxy.get_secret_value())
    is_open = settings.host not in {"127.0.0.1", "localhost", "::1"}
    if is_open and settings.public_url is None:
        yield Finding(
            "public url", "warn", f"listening on {settings.host} without one", "set HOOKLINE_PUBLIC_URL"
        )


def _egress_proxy(url: str) -> Finding:
    from hookline.senders.proxy import parse_proxy

    proxy = parse_proxy(url)
    try:
        socket.create_connection((proxy.host, proxy.port), timeout=3).close()
    except OSError as error:
        mend = "start it, or mend HOOKLINE_EGRESS_PROXY: deliveries wait for it"
        return Finding("egress proxy", "fail", f"{proxy.host}:{proxy.port}: {error}", mend)
    return Finding("egress proxy", "ok", f"{proxy.host}:{proxy.port} accepts connections")


def _mail(settings: Settings) -> Iterator[Finding]:
    from hookline.adapters import open_mailer
    from hookline.ports import MailError

    mailer = open_mailer(settings)
    if mailer is None:
        yield Finding("mail", "note", "no mail server", "set HOOKLINE_SMTP_URL, so that alerts reach people")
        return
    try:
        found = asyncio.run(mailer.check())
    except MailError as error:
        yield Finding("mail", "fail", error.message, "check HOOKLINE_SMTP_URL")
        return
    finally:
        mailer.close()
    yield Finding("mail", "ok", found)


def _broker(settings: Settings) -> Iterator[Finding]:
    from hookline.adapters import open_broker
    from hookline.errors import SettingError
    from hookline.ports.broker import BrokerError

    try:
        broker = open_broker(settings)
    except SettingError as error:
        yield Finding("nats", "fail", "nats-py is not installed", error.message)
        return
    if broker is None:
        return
    try:
        found = asyncio.run(broker.check())
    except BrokerError as error:
        yield Finding("nats", "fail", error.message, "check HOOKLINE_NATS_URL and HOOKLINE_NATS_STREAM")
        return
    yield Finding("nats", "ok", found)


def _unknown_variables() -> Iterator[Finding]:
    from hookline.config import unknown_variables

    for name, near in unknown_variables(os.environ).items():
        mend = "see docs/reference/settings.md" if near is None else f"did you mean {near}?"
        yield Finding("environment", "warn", f"{name} is no setting", mend)
