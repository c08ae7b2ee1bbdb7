"""An nginx with a configuration that a page prints, on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from programs import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def proxied(servers: str, folder: Path, port: int) -> Iterator[None]:
    """Run nginx with these ``server`` and ``upstream`` blocks until the end. port: one that they listen on."""
    temporary = "\n".join(
        f"{name}_temp_path {folder / name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    conf = folder / "nginx.conf"
    conf.write_text(
        f"{user}daemon off; pid {folder / 'pid'}; error_log stderr warn; worker_processes 1;\n"
        f"events {{}}\nhttp {{ access_log off;\n{temporary}\n{servers}\n}}\n"
    )
    log = folder / "nginx.log"
    command = [program("nginx"), "-p", str(folder), "-c", str(conf)]
    with log.open("wb") as errors, subprocess.Popen(command, stderr=errors) as process:
        try:
            _wait(port, log)
            yield
        finally:
            process.terminate()


def _wait(port: int, log: Path) -> None:
    waiting = threading.Event()
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            waiting.wait(0.05)
        else:
            return
    pytest.fail(log.read_text(encoding="utf-8"))
