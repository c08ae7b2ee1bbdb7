"""The demo from start to verdict: each chapter is one function."""

from __future__ import annotations

import asyncio
import http.client
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from hookline.cli.client import AnswerError, Client, CommandError
from hookline.cli.demo.errors import DemoError
from hookline.cli.demo.kinds import PARTS
from hookline.cli.demo.ledger import Ledger, Target
from hookline.cli.demo.narrator import brief
from hookline.testing.nodes import ADMIN_KEY, NodeProcess
from hookline.testing.processes import ProcessFailedError
from hookline.testing.receivers import Received, Receiver, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.cli.demo.narrator import Narrator

_ORDERS: Final = 12
_KILL_AFTER: Final = 3
"""Orders done when the server is killed: some are delivered, some are running, some are just accepted."""

_ARRIVE_SECONDS: Final = 20.0
"""Longest wait for what is owed after the restart; it takes about two."""

_WEBHOOKS: Final = {
    "agenticflow": ("workflow.execution.*", "agent.*"),
    "standard": ("workflow.execution.completed", "agent.message.sent"),
}


class Demo:
    """What the chapters share."""

    def __init__(self, narrator: Narrator, folder: Path) -> None:
        from hookline.testing import demo_app

        self.narrator = narrator
        self.database = folder / "demo.db"
        self.server = NodeProcess(
            database=f"sqlite:///{self.database}", folder=folder, app=Path(str(demo_app.__file__))
        )
        self.client = Client(f"http://127.0.0.1:{self.server.port}", ADMIN_KEY)
        self.ledger = Ledger()
        self.receiver = Receiver(default=self._receive)
        self.triggers: dict[str, str] = {}
        self.skipped: list[str] = []
        self._arrived = asyncio.Event()

    async def start(self) -> str:
        """Start the server; return what to say of it. Raises ProcessFailedError."""
        # Begun by the main thread, with which it would die; only the waiting is left to another.
        self.server.start(waits=False)
        seconds = await asyncio.to_thread(self.server.wait_ready)
        return f"process {self.server.pid}, ready after {seconds:.1f} s"

    def last_words(self) -> str:
        """Return the end of what the server logged."""
        log = self.server.log
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else ""

    async def call(
        self, method: str, path: str, body: object = None, *, note: str | Callable[[Any], str]
    ) -> Any:
        """Make a request to the server and show it. note: text, or made from the answer."""
        shown = path.partition("?")[0] + ("?token=…" if "?token=" in path else "")
        try:
            status, answer = await asyncio.to_thread(self.client.ask, method, path, body=body)
        except AnswerError as error:
            self.narrator.request(method, shown, error.status, error.message)
            raise DemoError(f"{method} {shown} was refused: {error.message}") from error
        except CommandError as error:
            raise DemoError(f"{method} {shown}: {error.message}\n{self.last_words()}") from error
        self.narrator.request(method, shown, status, note(answer) if callable(note) else note)
        return answer

    async def register(
        self, dialect: str, patterns: tuple[str, ...], *, options: dict[str, object] | None = None
    ) -> None:
        """Have these events sent to the receiver in a dialect, and verified there. options: the dialect's."""
        url = f"{self.receiver.origin}/{dialect}"
        body: dict[str, object] = {"name": dialect, "url": url, "events": patterns, "dialect": dialect}
        if options is not None:
            body["dialect_options"] = options
        made = await self.call("POST", "/api/v1/webhooks", body, note=f"{dialect}: {', '.join(patterns)}")
        self.ledger.targets[dialect] = Target(dialect, patterns, made["secret"])

    def fetch(self, url: str) -> bytes:
        """Get a file of the server by a signed link. Raises DemoError."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=20)
        try:
            connection.request("GET", f"{parts.path}?{parts.query}")
            answer = connection.getresponse()
            if answer.status != 200:
                raise DemoError(f"GET {parts.path} was answered {answer.status}")
            return answer.read()
        finally:
            connection.close()

    async def until_ended(self, wanted: int, *, seconds: float) -> None:
        """Wait until so many results have arrived in all. Raises DemoError."""
        if not await self.until(lambda: self.ledger.terminal >= wanted, seconds=seconds):
            arrived = f"only {self.ledger.terminal} of {wanted} results arrived within {seconds:g} s"
            raise DemoError(f"{arrived}\n{self.last_words()}")

    async def until(self, done: Callable[[], bool], *, seconds: float) -> bool:
        """Wait until ``done()`` after an arrival; False when the time is up."""
        deadline = time.monotonic() + seconds
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), min(left, 0.5))
            except TimeoutError:
                continue
        return True

    def _receive(self, request: Received) -> Reply:
        headers = {name.lower(): value for name, value in request.headers}
        webhook = request.target.decode("ascii", "replace").strip("/")
        arrival = self.ledger.arrive(webhook, headers, request.body)
        self.narrator.arrival(arrival)
        self._arrived.set()
        return Reply() if arrival.problem is None else Reply(status=400)


async def tell(narrator: Narrator, *, needs_all: bool = False) -> int:
    """Run the demo. Returns the exit code. Raises DemoError."""
    with tempfile.TemporaryDirectory(prefix="hookline-demo-") as folder:
        demo = Demo(narrator, Path(folder))
        narrator.title()
        async with demo.receiver:
            try:
                await _start(demo)
                await _register(demo)
                await _run_once(demo)
                await _run_other_kinds(demo)
                await _kill_in_the_middle(demo)
                return await _judge(demo, needs_all=needs_all)
            except (CommandError, ProcessFailedError) as error:
                raise DemoError(str(error)) from error
            finally:
                demo.server.kill()


async def _start(demo: Demo) -> None:
    demo.narrator.chapter("Start a server and a receiver")
    started = await demo.start()
    demo.narrator.fact("server", f"{demo.client.url}  {started}")
    demo.narrator.fact("database", f"{demo.database}  a 2xx means it is on disk")
    demo.narrator.fact("receiver", f"{demo.receiver.origin}  verifies every signature and shape")


async def _register(demo: Demo) -> None:
    demo.narrator.chapter("Say where results go, and how work comes in")
    for dialect, patterns in _WEBHOOKS.items():
        await demo.register(dialect, patterns)
    for kind, automation_id in (("workflow", "orders"), ("agent", "support")):
        trigger: dict[str, object] = {
            "automation": {"kind": kind, "id": automation_id},
            "profile": "agenticflow",
            "auth": {"type": "token"},
        }
        made = await demo.call(
            "POST", "/api/v1/triggers", trigger, note=f"a secret URL for {kind} {automation_id}"
        )
        parts = urlsplit(made["url"])
        query = parts.query or f"token={made['token']}"
        demo.triggers[kind] = f"{parts.path}?{query}"


async def _run_once(demo: Demo) -> None:
    demo.narrator.chapter("A workflow and an agent, from request to signed result")
    await _order(demo, 1)
    question = {"message": "Where is my parcel?", "user_id": "user-7"}
    answer = await demo.call(
        "POST", demo.triggers["agent"], question, note=lambda got: brief(got["execution_id"])
    )
    demo.ledger.accept(answer["execution_id"], "agent", "question")
    wanted = len(_WEBHOOKS) * 2
    await demo.until_ended(wanted, seconds=_ARRIVE_SECONDS)


async def _run_other_kinds(demo: Demo) -> None:
    """Show the kinds of work that need a program or an extra, where that is there."""
    for part in PARTS:
        missing = await asyncio.to_thread(part.missing)
        demo.narrator.chapter(part.title)
        if missing is not None:
            demo.narrator.note("skip", f"{part.kind}: {missing}")
            demo.skipped.append(part.kind)
            continue
        await part.show(demo)


async def _kill_in_the_middle(demo: Demo) -> None:
    demo.narrator.chapter(f"{_ORDERS} more orders, and a kill -9 in the middle")
    before = demo.ledger.terminal
    demo.narrator.shows_results = False
    for number in range(2, _ORDERS + 2):
        await _order(demo, number)
    await demo.until(lambda: demo.ledger.terminal >= before + _KILL_AFTER, seconds=_ARRIVE_SECONDS)
    victim = demo.server.pid
    demo.server.kill()
    arrived = demo.ledger.terminal - before
    demo.narrator.note(
        "kill",
        f"kill -9 {victim}: {arrived} of {_ORDERS * len(_WEBHOOKS)} results delivered, the rest is owed",
    )
    await asyncio.sleep(0.5)
    demo.narrator.note("ok", f"started again: {await demo.start()}")
    wanted = before + _ORDERS * len(_WEBHOOKS)
    await demo.until(lambda: demo.ledger.terminal >= wanted, seconds=_ARRIVE_SECONDS)


async def _judge(demo: Demo, *, needs_all: bool) -> int:
    demo.narrator.chapter("Compare the two sides")
    feed = await _whole_feed(demo)
    await demo.until(lambda: demo.ledger.owed(feed) <= demo.ledger.arrived.keys(), seconds=5)
    verdict = demo.ledger.verdict(feed)
    demo.narrator.verdict(verdict)
    code = await asyncio.to_thread(demo.server.stop)
    problems = list(verdict.problems)
    if code != 0:
        problems.append(f"the server ended with {code} instead of 0 when asked to stop\n{demo.last_words()}")
    if problems:
        raise DemoError("; ".join(problems))
    total = sum(row.owed for row in verdict.rows)
    repeats = f" {verdict.repeats} came twice, with the same webhook-id." if verdict.repeats else ""
    demo.narrator.passed(f"Nothing is missing: all {total} events arrived, signed.{repeats}")
    if needs_all and demo.skipped:
        raise DemoError(f"--all: {', '.join(demo.skipped)} cannot be shown here; see above")
    demo.narrator.next_steps()
    return 0


async def _order(demo: Demo, number: int) -> None:
    body = {"input_data": {"order_id": number, "amount": 10 * number, "customer": "Zoë"}}
    answer = await demo.call(
        "POST", demo.triggers["workflow"], body, note=lambda got: f"order {number} is {got['status']}"
    )
    demo.ledger.accept(answer["execution_id"], "workflow", f"order {number}")


async def _whole_feed(demo: Demo) -> list[dict[str, Any]]:
    """Read the feed until every accepted execution has ended and it has nothing more."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = await asyncio.to_thread(demo.client.get, "/api/v1/events", after=cursor, limit=500)
        found += page["events"]
        if not page["events"]:
            return found
        cursor = page["next"]
