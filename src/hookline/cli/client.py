"""Speak HTTP to a running server, for commands that must start fast.

Built on ``http.client``: it loads in milliseconds, and unlike other clients it never sends a key through
a proxy named in the environment. An answer outside 2xx becomes a ``CommandError`` that says the next step.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from hookline import __version__
from hookline.errors import HooklineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_PIECE_BYTES: Final = 1 << 18

DEFAULT_URL: Final = "http://127.0.0.1:8700"

_NEXT_STEP: Final = {
    401: "set HOOKLINE_API_KEY to a key of this server: the first `hookline serve` printed one. Lost it? Stop the "
    "server; in the folder of its database `env -u HOOKLINE_URL hookline keys create NAME --scope admin` makes another",
    403: "this key lacks the scope; `hookline keys create --scope …` makes another",
    429: "wait a moment and try again",
    503: "the server cannot reach its database; `hookline doctor` says what to mend",
}


_LISTED: Final = {
    "webhooks": "webhooks",
    "deliveries": "deliveries",
    "executions": "executions",
    "conversations": "conversations",
    "integrations": "integrations",
    "instances": "instances",
    "robots": "robots",
    "scripts": "scripts",
    "script-agents": "script-agents",
    "keys": "keys",
    "triggers": "triggers",
    "requests": "requests",
    "organizations": "orgs",
}
"""The command that lists what a path's segment behind ``/api/v1`` names."""


_ORGANIZATION: Final = "Hookline-Organization"
_NO_ROUTE: Final = "There is no such route."


class CommandError(HooklineError):
    """A command cannot go on; its message ends with what to do next."""

    code = "COMMAND_FAILED"


class NoServerError(CommandError):
    """Nothing listens where the server should be."""


class AnswerError(CommandError):
    """The server answered outside 2xx. status: HTTP status.  body: what it said, parsed where it was JSON."""

    def __init__(self, message: str, *, status: int, body: Any, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.body = body


class Verbatim:
    """JSON text that goes into a request as it stands."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Verbatim({len(self.text)})"


class Client:
    """One server, as one key sees it.

    key: None sends no credential.  organization: an admin key acts for this one, None for its own.
    """

    def __init__(self, url: str, key: str | None = None, organization: str | None = None) -> None:
        parts = _server(url)
        self.url = url.rstrip("/")
        self._parts = parts
        self._headers = {"User-Agent": f"hookline/{__version__}", "Accept": "application/json"}
        if key:
            if not (key.isascii() and key.isprintable()):
                raise CommandError(
                    "HOOKLINE_API_KEY must be visible ASCII letters: paste the whole line that `hookline serve` "
                    "printed, or the key of `hookline keys create`"
                )
            self._headers["Authorization"] = f"Bearer {key}"
        if organization:
            self._headers[_ORGANIZATION] = organization

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    @classmethod
    def from_environment(cls) -> Client:
        """Return the client that HOOKLINE_URL, HOOKLINE_API_KEY and HOOKLINE_ORGANIZATION describe."""
        key = os.environ.get("HOOKLINE_API_KEY") or os.environ.get("HOOKLINE_ADMIN_KEY")
        return cls(
            os.environ.get("HOOKLINE_URL") or DEFAULT_URL, key, os.environ.get("HOOKLINE_ORGANIZATION")
        )

    def get(self, path: str, **query: object) -> Any:
        """Return the answer of a GET. query: None values are left out."""
        return self.call("GET", path, query=query)

    def post(self, path: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Any:
        return self.call("POST", path, body=body, headers=headers)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 100.0,
    ) -> Any:
        """Return the parsed answer, None when it has no body. Raises CommandError."""
        return self.ask(
            method, path, body=body, query=query, headers=headers, timeout_seconds=timeout_seconds
        )[1]

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 100.0,
    ) -> tuple[int, Any]:
        """``call``, with the HTTP status before the answer."""
        payload = None if body is None else encoded(body).encode("utf-8", "surrogatepass")
        with self._exchange(method, _with_query(path, query), payload, headers, timeout_seconds) as response:
            return response.status, _read_answer(response, path)

    def fetch(self, path: str) -> bytes:
        """Return the bytes of an answer as they came. Raises CommandError."""
        with self._exchange("GET", path, None, None, 100.0) as response:
            if 200 <= response.status < 300:
                return response.read()
            _read_answer(response, path)
        raise CommandError(f"{self.url} answered without a body: try again")

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Send these bytes and return status and body of the answer, whatever it says. Raises CommandError."""
        with self._exchange(method, path, body, headers, 100.0) as response:
            return response.status, response.read()

    def pages(self, path: str, word: str, *, limit: int, **query: object) -> list[Any]:
        """Return up to ``limit`` objects of a list, following its cursor. word: its name in the answer."""
        found: list[Any] = []
        cursor = None
        while len(found) < limit:
            page = self.get(path, limit=min(limit - len(found), 500), cursor=cursor, **query)
            found += page[word]
            cursor = page.get("next")
            if cursor is None or not page[word]:
                break
        return found

    def lines(self, path: str, *, timeout_seconds: float = 100.0) -> Iterator[bytes]:
        """Yield the lines of an answer as they come. timeout_seconds: longest silence. Raises CommandError."""
        headers = {"Accept": "text/event-stream"}
        with self._exchange("GET", path, None, headers, timeout_seconds) as response:
            if response.status != 200:
                _read_answer(response, path)
            yield from response

    def save(self, path: str, output: Path, *, timeout_seconds: float = 100.0) -> int:
        """Write the bytes of an answer into a file; return how many. Raises CommandError, OSError of the file."""
        with self._exchange("GET", path, None, {"Accept": "*/*"}, timeout_seconds) as response:
            if response.status != 200:
                _read_answer(response, path)
            size = 0
            with output.open("wb") as file:
                while piece := response.read(_PIECE_BYTES):
                    size += file.write(piece)
            return size

    @contextmanager
    def _exchange(
        self,
        method: str,
        path: str,
        payload: bytes | None,
        headers: Mapping[str, str] | None,
        timeout_seconds: float,
    ) -> Iterator[http.client.HTTPResponse]:
        sent = {**self._headers, **(headers or {})}
        if payload is not None and not any(name.lower() == "content-type" for name in sent):
            sent["Content-Type"] = "application/json"
        connection = self._connection(timeout_seconds)
        try:
            connection.request(method, self._parts.path.rstrip("/") + path, body=payload, headers=sent)
            yield connection.getresponse()
        except (ConnectionError, socket.gaierror) as error:
            raise NoServerError(
                f"no server at {self.url}: start one with `hookline serve`, or set HOOKLINE_URL"
            ) from error
        except TimeoutError as error:
            raise CommandError(
                f"{self.url} did not answer within {timeout_seconds:g} s: try again"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(f"cannot speak HTTP with {self.url}: {error}; check HOOKLINE_URL") from error
        finally:
            connection.close()

    def _connection(self, timeout_seconds: float) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=timeout_seconds)
        return http.client.HTTPConnection(host, port, timeout=timeout_seconds)


def _server(url: str) -> SplitResult:
    """Return the parts of HOOKLINE_URL. Raises CommandError."""
    parts = urlsplit(url)
    try:
        is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port past 65535, or no number
        is_whole = False
    if not is_whole:
        meant = f"http://{url}" if "://" not in url else DEFAULT_URL
        raise CommandError(f"HOOKLINE_URL is the server's address, such as {meant!r}; got {url!r}")
    return parts


def segment(text: str) -> str:
    """Return one path segment, safe whatever the user typed."""
    return quote(text, safe="")


def _with_query(path: str, query: Mapping[str, object] | None) -> str:
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def _read_answer(response: http.client.HTTPResponse, path: str) -> Any:
    raw = response.read()
    try:
        body = json.loads(raw) if raw else None
    except ValueError:
        body = raw.decode("utf-8", "replace")
    if 200 <= response.status < 300:
        return body
    raise _refused(response.status, body, path)


def encoded(body: object) -> str:
    """JSON text of a body, without a space that nobody wrote. A Verbatim may be a member of it."""
    if isinstance(body, Verbatim):
        return body.text
    if isinstance(body, dict) and any(isinstance(value, Verbatim) for value in body.values()):
        return "{" + ",".join(f"{encoded(name)}:{encoded(value)}" for name, value in body.items()) + "}"
    return json.dumps(body, separators=(",", ":"))


def _refused(status: int, body: Any, path: str) -> AnswerError:
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        message = f"what answers there is no Hookline server (it said {status}): is HOOKLINE_URL right?"
        return AnswerError(message, status=status, body=body)
    words = [str(error.get("message") or f"the server answered {status}")]
    details = error.get("details") or {}
    if error.get("path") and error["path"] not in words[0]:
        words.append(f"({error['path']})")
    if details.get("field") and details.get("expected"):
        got = f", got {details['received']}" if details.get("received") else ""
        words.append(f"({details['field']}: expected {details['expected']}{got})")
    code = str(error.get("code") or "")
    message = " ".join(words) + (f" [{code}]" if code else "")
    if status in _NEXT_STEP:
        message += f": {_NEXT_STEP[status]}"
    elif message.startswith(_NO_ROUTE):
        message += f": HOOKLINE_URL is the server's address alone, such as {DEFAULT_URL}"
    elif status == 404 and details.get("field") == _ORGANIZATION:
        # While the variable stands, the list itself would be refused with the same words.
        message += (
            ": HOOKLINE_ORGANIZATION names it; `env -u HOOKLINE_ORGANIZATION hookline orgs list` shows what "
            "there is"
        )
    elif status == 404 and (word := path.split("/")[3:4]) and word[0] in _LISTED:
        message += f": `hookline {_LISTED[word[0]]} list` shows what there is"
    return AnswerError(message, status=status, body=body, code=code or None)
