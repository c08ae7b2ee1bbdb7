"""A real node as a child process, real receivers and plain HTTP: what a user has, driven from a test that blocks."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

import described

from hookline.testing.nodes import ADMIN_KEY, NodeProcess
from hookline.testing.receivers import Receiver, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pytest

    from hookline.testing.postgres import PostgresServer
    from hookline.testing.receivers import Received

T = TypeVar("T")
APP = Path(__file__).with_name("world_app.py")


class Answer:
    """One HTTP answer."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"{self.status} {self.body[:400]!r}"

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(
    port: int,
    method: str,
    path: str,
    body: object = None,
    *,
    key: str | None = ADMIN_KEY,
    seconds: float = 15.0,
    **headers: str,
) -> Answer:
    """One request on a connection of its own. body: bytes go as they are, None is no body, the rest as JSON."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        sent.setdefault("Authorization", f"Bearer {key}")
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    if data is not None:
        sent.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(method, path, data, sent)
        answer = connection.getresponse()
        found = Answer(answer.status, answer.headers, answer.read())  # type: ignore[arg-type]
    finally:
        connection.close()
    url = unquote(urlsplit(path).path)
    described.note(method, url, found.status, found.headers.get("content-type"), data or b"", found.body)
    return found


def until(ask: Callable[[], T], holds: Callable[[T], bool] = bool, *, within: float = 10.0) -> T:
    """Ask as a user would, again and again, until the answer is right."""
    deadline = time.monotonic() + within
    while True:
        found = ask()
        if holds(found):
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"after {within} s still: {found!r}")
        time.sleep(0.03)


class Inbox:
    """A receiver in a thread of its own. answers: what it says to each request; it may block nobody but itself."""

    def __init__(self, answers: Callable[[Received], Reply] | Reply | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._receiver = Receiver(default=answers)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._receiver.__aenter__(), self._loop).result(5)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._receiver.stop(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    @property
    def origin(self) -> str:
        return self._receiver.origin

    def at(self, path: str) -> list[Received]:
        """What came to a path."""
        return [one for one in list(self._receiver.received) if one.target.decode() == path]

    def all(self) -> list[Received]:
        """What came, in its order."""
        return list(self._receiver.received)

    def wait(self, path: str, count: int = 1, *, within: float = 10.0) -> list[Received]:
        return until(lambda: self.at(path), lambda found: len(found) >= count, within=within)


class World:
    """Nodes over one database, and one inbox."""

    def __init__(self, database: str, folder: Path, inbox: Inbox, app: Path = APP) -> None:
        self.database = database
        self.folder = folder
        self.inbox = inbox
        self.app = app
        self.nodes: list[NodeProcess] = []

    def add_node(self, *, failpoints: str | None = None, **settings: str) -> NodeProcess:
        node = NodeProcess(
            database=self.database,
            folder=self.folder,
            name=f"node{len(self.nodes)}",
            app=self.app,
            settings={"HOOKLINE_RETRY_TIME_SCALE": "0.002", "HOOKLINE_LEASE_SECONDS": "3", **settings},
        )
        self.nodes.append(node)
        node.start(failpoints=failpoints)
        return node

    def __call__(self, method: str, path: str, body: object = None, *, node: int = 0, **more: Any) -> Answer:
        return call(self.nodes[node].port, method, path, body, **more)

    def get(self, path: str, **more: Any) -> Any:
        answer = self("GET", path, **more)
        assert answer.status == 200, answer
        return answer.json

    def webhook(self, path: str, events: list[str], **fields: Any) -> dict[str, Any]:
        made = self("POST", "/api/v1/webhooks", {"url": self.inbox.origin + path, "events": events, **fields})
        assert made.status == 201, made
        found: dict[str, Any] = made.json
        return found

    def trigger(self, id: str, kind: str = "workflow", **fields: Any) -> dict[str, Any]:
        body = {
            "automation": {"kind": kind, "id": id},
            "auth": {"type": "token"},
            "rate_per_second": 10_000,
            **fields,
        }
        made = self("POST", "/api/v1/triggers", body)
        assert made.status == 201, made
        found: dict[str, Any] = made.json
        return found

    def start(self, id: str, given: object = None, **more: Any) -> str:
        body = {} if given is None else {"input": given}
        started = self("POST", f"/api/v1/workflows/{id}/executions", body, **more)
        assert started.status == 202, started
        return str(started.json["execution_id"])

    def ended(self, execution_id: str, *, within: float = 15.0, node: int = 0) -> dict[str, Any]:
        return self.in_state(
            execution_id, "succeeded", "failed", "killed", "timed_out", "lost", within=within, node=node
        )

    def in_state(
        self, execution_id: str, *statuses: str, within: float = 15.0, node: int = 0
    ) -> dict[str, Any]:
        found: dict[str, Any] = until(
            lambda: self.get(f"/api/v1/executions/{execution_id}", node=node),
            lambda execution: execution["status"] in statuses,
            within=within,
        )
        return found

    def close(self) -> None:
        for node in self.nodes:
            node.kill()


def database_of(request: pytest.FixtureRequest, folder: Path) -> str:
    """Return the URL of an empty database of the store that a fixture's parameter names, ``sqlite`` or ``postgres``."""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        return server.fresh_database()
    return f"sqlite:///{folder}/hookline.db"


@contextmanager
def world(
    database: str,
    folder: Path,
    *,
    answers: Callable[[Received], Reply] | Reply | None = None,
    nodes: int = 1,
    app: Path = APP,
    **settings: str,
) -> Iterator[World]:
    with ExitStack() as stack:
        one = World(database, folder, stack.enter_context(Inbox(answers)), app)
        stack.callback(one.close)
        for _ in range(nodes):
            one.add_node(**settings)
        yield one


def terminal_events(world: World, execution_id: str, *, node: int = 0) -> list[str]:
    """Types of the events that say how an execution ended."""
    events = [
        event
        for event in every_event(world, node=node)
        if event.get("execution_id") == execution_id and event["type"].endswith((".completed", ".failed"))
    ]
    return [event["type"] for event in events if not event["type"].startswith("workflow.step")]


def every_event(world: World, *, node: int = 0) -> list[dict[str, Any]]:
    """The whole feed, in its order."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = world.get(f"/api/v1/events?limit=500{after}", node=node)
        found += page["events"]
        if not page["next"] or not page["events"]:
            return found
        after = f"&after={page['next']}"


def finished_steps(world: World, execution_id: str) -> list[str]:
    """Names of the steps whose results are stored: the ones that nothing may repeat."""
    steps = world.get(f"/api/v1/executions/{execution_id}/steps")["steps"]
    return [step["name"] for step in steps]
