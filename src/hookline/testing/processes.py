"""Start, watch, stop and kill the processes of a measurement, and leave none behind.

Every process dies with its parent (the kernel sees to it on Linux), so an interrupted measurement cannot leave a
server on a port. Nothing here knows what the processes do.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_DIE_WITH_PARENT: Final = 1  # prctl's PR_SET_PDEATHSIG
_STOP_SECONDS: Final = 15.0
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class ProcessFailedError(RuntimeError):
    """A process ended, or did not start, when it should have run."""


class PythonProcess:
    """``python -m MODULE ARGUMENTS`` in a group of its own.

    log: where its standard error goes; None for nowhere.  environment: added to ours.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        folder: Path | None = None,
    ) -> None:
        self._name = module
        self._log = log
        errors: IO[bytes] | int = log.open("ab") if log is not None else subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(  # noqa: S603 -- our own modules
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=clean_environment() | dict(environment or {}),
                cwd=folder,
                process_group=0,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 -- one system call, no lock is taken
            )
        finally:
            if not isinstance(errors, int):
                errors.close()

    def __repr__(self) -> str:
        return f"PythonProcess({self._name}, pid={self.pid})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs, negative for the signal that ended it."""
        return self._process.poll()

    def told(self) -> dict[str, Any]:
        """The next line it prints, which is one JSON object. Raises ProcessFailedError."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ProcessFailedError(f"{self._name} ended with {self._process.wait()}. {self.last_words()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def tell(self, what: object) -> None:
        """Write one line of JSON to its input."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        self._process.stdin.flush()

    def last_words(self, size: int = 1500) -> str:
        if self._log is None or not self._log.exists():
            return ""
        return self._log.read_bytes()[-size:].decode(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to the process alone, as a crash is: what it started must find out by itself."""
        self.signal(signal.SIGKILL)
        self._process.wait()
        self._close_pipes()

    def terminate(self) -> int:
        """Ask it to stop; kill it when it does not. Returns its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self, seconds: float = _STOP_SECONDS) -> int:
        """Wait for its end; kill it when that does not come. Returns its exit code."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self._kill_group()
        self._close_pipes()
        return self._process.returncode

    def close(self) -> None:
        """Close its input, by which our helpers know that they are done, and see it off."""
        stdin = self._process.stdin
        if stdin is not None and not stdin.closed:
            with suppress(BrokenPipeError):
                stdin.close()
        self.wait(2.0)

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                with suppress(BrokenPipeError):  # it ended before it read all it was told
                    pipe.close()


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def clean_environment() -> dict[str, str]:
    """Our environment without settings of Hookline: a measurement makes its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HOOKLINE_")}


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_seconds(pid: int) -> float:
    """CPU time a process has used so far, user and system; 0 where the system does not say."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory_mb(pid: int) -> float:
    """Most memory a process has held at once, in MiB; 0 where the system does not say."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = next((line for line in text.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(found.split()[1]) / 1024
