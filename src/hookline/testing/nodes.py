"""Run real nodes, ``python -m hookline serve``, as processes that may be killed, and speak to them over
HTTP.
"""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING, Any, Final

from hookline.testing.processes import ProcessFailedError, PythonProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ADMIN_KEY: Final = "measured-on-a-throwaway-database"
_SECRET_KEY: Final = "nothing-here-outlives-the-measurement"  # noqa: S105 -- of a throwaway database
_START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.02


class ApiFailedError(RuntimeError):
    """The management API answered something else than asked for. status: 0 without an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """The management API of one node, for one thread; keeps its connection."""

    def __init__(self, port: int, *, key: str = ADMIN_KEY, seconds: float = 30.0) -> None:
        self._port = port
        self._key = key
        self._seconds = seconds
        self._connection: http.client.HTTPConnection | None = None

    def call(self, method: str, path: str, body: object = None, *, prefer: str | None = None) -> Any:
        """Return the answer's JSON. Raises ApiFailedError for anything but 2xx."""
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        if prefer is not None:
            headers["Prefer"] = prefer
        data = None if body is None else json.dumps(body).encode()
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._seconds)
            self._connection.request(method, path, data, headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            raise ApiFailedError(f"{method} {path}: {exc!r}") from exc
        if not 200 <= answer.status < 300:
            raise ApiFailedError(
                f"{method} {path}: {answer.status} {text[:300].decode(errors='replace')}", answer.status
            )
        return json.loads(text) if text else None

    def pages(self, path: str, name: str, *, limit: int = 500) -> Iterator[dict[str, Any]]:
        """Every object of a list route, newest first."""
        cursor = ""
        while True:
            mark = "&" if "?" in path else "?"
            page = self.call("GET", f"{path}{mark}limit={limit}{cursor}")
            yield from page[name]
            if not page.get("next"):
                return
            cursor = f"&cursor={page['next']}"

    def is_ready(self) -> bool:
        try:
            self.call("GET", "/readyz")
        except ApiFailedError:
            return False
        return True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class NodeProcess:
    """One node that can be started again and again on the same port and database.

    module: what to run in place of ``hookline``, with the same arguments: a broken one, to prove the crash
    test.
    """

    def __init__(
        self,
        *,
        database: str,
        folder: Path,
        name: str = "node",
        app: Path | None = None,
        settings: Mapping[str, str] | None = None,
        module: tuple[str, ...] = ("hookline",),
    ) -> None:
        self.port = free_port()
        self.log = folder / f"{name}.log"
        self.api = Api(self.port)
        self._folder = folder
        self._module = module
        self._arguments = ("serve", *([str(app)] if app is not None else []), "--port", str(self.port))
        self._settings = {
            "HOOKLINE_DATABASE": database,
            "HOOKLINE_ADMIN_KEY": ADMIN_KEY,
            "HOOKLINE_SECRET_KEY": _SECRET_KEY,
            "HOOKLINE_ALLOW_NETWORKS": "127.0.0.0/8",
            "HOOKLINE_LOG_LEVEL": "warning",
            "HOOKLINE_LOG_FORMAT": "json",
            **(settings or {}),
        }
        self.process: PythonProcess | None = None

    def __repr__(self) -> str:
        return f"NodeProcess(port={self.port}, process={self.process!r})"

    @property
    def pid(self) -> int:
        if self.process is None:
            raise ValueError("the node does not run")
        return self.process.pid

    def start(self, *, failpoints: str | None = None, waits: bool = True) -> None:
        """Start it. waits: until it is ready. Raises ProcessFailedError."""
        self.api.close()
        armed = {"HOOKLINE_FAILPOINTS": failpoints} if failpoints else {}
        module, *first = self._module
        self.process = PythonProcess(
            module,
            *first,
            *self._arguments,
            environment=self._settings | armed,
            log=self.log,
            folder=self._folder,
        )
        if waits:
            self.wait_ready()

    def wait_ready(self) -> float:
        """Return the seconds until it answered that it is ready. Raises ProcessFailedError."""
        began = time.monotonic()
        assert self.process is not None
        while time.monotonic() - began < _START_SECONDS:
            if self.process.exit_code is not None:
                raise ProcessFailedError(
                    f"the node ended with {self.process.exit_code}: {self.process.last_words()}"
                )
            if self.api.is_ready():
                return time.monotonic() - began
            time.sleep(_POLL_SECONDS)
        raise ProcessFailedError(f"not ready in {_START_SECONDS:.0f} s: {self.process.last_words()}")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process = None
        self.api.close()

    def last_words(self) -> str:
        """The end of its log; empty while there is none."""
        return self.log.read_bytes()[-1500:].decode(errors="replace") if self.log.exists() else ""

    def stop(self) -> int:
        """Stop it cleanly. Returns its exit code, 0 when it did not run."""
        self.api.close()
        if self.process is None:
            return 0
        code, self.process = self.process.terminate(), None
        return code
