"""A PgBouncer in transaction mode over a PostgreSQL of the tests: few server sessions, given out by the transaction."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from socket import create_connection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from programs import program

from hookline.testing.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hookline.testing.postgres import PostgresServer

SESSIONS = 6
"""Of the server, for all clients together: fewer than two nodes have connections."""


@contextmanager
def pooled(
    server: PostgresServer, *, mode: str = "transaction", users: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run one. users: name to password, beside the server's own.  Yields its port on loopback."""
    pgbouncer = program("pgbouncer")
    folder = Path(tempfile.mkdtemp(prefix="hookline-pgbouncer-"))
    port = free_port()
    parts = urlsplit(server.url)
    known = {str(parts.username): str(parts.password)} | dict(users or {})
    (folder / "users.txt").write_text("".join(f'"{name}" "{word}"\n' for name, word in known.items()))
    (folder / "pgbouncer.ini").write_text(
        f"""[databases]
* = host=127.0.0.1 port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder / "users.txt"}
pool_mode = {mode}
default_pool_size = {SESSIONS}
max_client_conn = 500
server_idle_timeout = 1
logfile = {folder / "log"}
"""
    )
    user = "nobody" if os.geteuid() == 0 else None
    if user is not None:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, user)
    with subprocess.Popen([pgbouncer, "-q", str(folder / "pgbouncer.ini")], user=user) as process:
        try:
            _await(port, process)
            yield port
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)


def through(url: str, port: int) -> str:
    """The same database by way of the pooler."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}"))


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with closing(create_connection(("127.0.0.1", port), timeout=1)):
                return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("pgbouncer did not start")
