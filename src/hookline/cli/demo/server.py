"""A server process that can be killed: started as a user would start it, over a temporary database."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from hookline.cli.client import Client, CommandError

if TYPE_CHECKING:
    from pathlib import Path

_READY_SECONDS: Final = 20.0
"""A start takes about a second; a machine that is busy with other things may need more."""


class ServerProcess:
    """``hookline serve`` with the demo app, in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.key = secrets.token_urlsafe(24)
        self.client = Client(self.url, self.key)
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"ServerProcess({self.url!r}, pid={self.pid})"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def start(self) -> float:
        """Start it and wait until it is ready; return the seconds that took. Raises CommandError."""
        began = time.monotonic()
        self._process = self._spawn()
        while not await asyncio.to_thread(self._is_ready):
            if self._process.poll() is not None or time.monotonic() - began > _READY_SECONDS:
                raise CommandError(f"the server did not start:\n{self.log_tail()}")
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    def kill(self) -> None:
        """Kill it with -9: no handler runs, nothing is flushed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def stop(self) -> int | None:
        """Stop it as an operator would and return its exit code, None when it was not running."""
        if self._process is None or self._process.poll() is not None:
            return None
        self._process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(self._process.wait, 10)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    def log_tail(self, lines: int = 15) -> str:
        """Return the end of what it wrote."""
        path = self.directory / "server.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def _spawn(self) -> subprocess.Popen[bytes]:
        from hookline.testing import demo_app

        command = [sys.executable, "-m", "hookline", "serve", str(demo_app.__file__)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--allow-network", "127.0.0.1/32"]
        with (self.directory / "server.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 -- our own interpreter and arguments
                command, cwd=self.directory, env=self._environment(), stdout=log, stderr=log
            )

    def _is_ready(self) -> bool:
        try:
            self.client.call("GET", "/readyz", timeout_seconds=2)
        except CommandError:
            return False
        return True

    def _environment(self) -> dict[str, str]:
        # The user's own settings must not reach into the demo.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HOOKLINE_")}
        return kept | {"HOOKLINE_ADMIN_KEY": self.key, "HOOKLINE_DATABASE": "sqlite:///demo.db"}


def _free_port() -> int:
    # The port must be the same after the kill, so it cannot be left to the server to choose.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
