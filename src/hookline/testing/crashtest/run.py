"""Run one crash test: processes up, faults in, everything quiet, verdict.

The receiver and the producer live through all of it; nodes are killed with SIGKILL at points drawn from the seed,
kill themselves at failpoints, are stopped for longer than their lease (several nodes), or lose their database. The
engine is then asked, through its API only, what it thinks happened, and the ledgers say what did.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

from hookline.testing.crashtest import ledgers
from hookline.testing.crashtest.account import quiesce, read_account
from hookline.testing.crashtest.script import Fault, endpoints_of, faults_of, passing_of, wanted_by
from hookline.testing.crashtest.verdict import Counts, judge
from hookline.testing.nodes import ApiFailedError, NodeProcess
from hookline.testing.places import open_place
from hookline.testing.processes import ProcessFailedError, PythonProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.testing.crashtest.script import FaultKind
    from hookline.testing.places import Place

APP: Final = Path(__file__).with_name("crash_app.py")
LEASE_SECONDS: Final = 3.0
_RETRY_TIME_SCALE: Final = 0.001
"""A minute's wait is 60 ms: the schedule is tested, not sat out."""

_IN_FLIGHT_PER_NODE: Final = 512
_POLL_SECONDS: Final = 0.005
_FAILPOINT_SECONDS: Final = 8.0
"""How long an armed failpoint may stay unpassed before the node is killed from outside…"""

_LULL_SECONDS: Final = 0.5
"""… and how long once there is no more load that could pass it."""

_QUIESCE_SECONDS: Final = 60.0
_DATABASE_DOWN_SECONDS: Final = 0.5

_REPLAY_SECONDS: Final = 2.0
"""How long a replay is asked for while a node may be about to kill itself."""
_REPLAYS_PER_SECOND: Final = 100
_LONG_AGO: Final = "2020-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to run.

    module: what is started in place of ``hookline``; a broken engine, when the test is tested.
    server_settings: of a PostgreSQL that is started for it.
    fault_kinds: None for the script's mixture, else these in turn (``database``: a PostgreSQL of our own only).
    failpoints: None for the script's mixture, else every fault is one of these, in turn.
    """

    kills: int
    events: int
    seed: int
    database: str | None = None
    module: tuple[str, ...] = ("hookline",)
    fault_kinds: tuple[FaultKind, ...] | None = None
    failpoints: tuple[str, ...] | None = None
    server_settings: dict[str, str] | None = None
    quiesce_seconds: float = _QUIESCE_SECONDS


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of it. hits: failpoints that killed a node.  resumed_seconds: the longest time from a node's new
    start to the next receipt.  most_in_flight: deliveries that can have been under way at the kills together.
    """

    store: str
    seed: int
    kills: int
    counts: Counts
    seconds: float
    resumed_seconds: float
    most_in_flight: int
    hits: list[str] = field(default_factory=list)

    @property
    def is_pass(self) -> bool:
        return self.counts.is_pass(most_in_flight=self.most_in_flight)


def run(order: Order, *, told: Callable[[str, int], None]) -> Outcome:
    """Run it. told: what is being done, and how many events are done. Raises ProcessFailedError, SettingError."""
    with ExitStack() as stack:
        place = stack.enter_context(
            open_place(order.database, purpose="crashtest", server_settings=order.server_settings)
        )
        return _Run(order, place, stack, told).run()


class _Run:
    def __init__(
        self, order: Order, place: Place, stack: ExitStack, told: Callable[[str, int], None]
    ) -> None:
        self._order = order
        self._place = place
        self._stack = stack
        self._told = told
        self._endpoints = endpoints_of(order.events)
        self._nodes = [self._node(index) for index in range(1 if place.is_sqlite else 2)]
        self._names: dict[str, str] = {}
        self._done = 0
        self._starts: list[float] = []
        self._hits: list[str] = []
        self._kills = 0
        self._replayed: set[str] = set()

    def run(self) -> Outcome:
        began = time.monotonic()
        producer = self._set_up()
        faults = self._faults()
        for index, node in enumerate(self._nodes):
            node.stop()
            self._start(node, _next_for(index, faults))
        listening = self._listen_to(producer)
        for index, fault in enumerate(faults):
            self._allow(producer, fault.upto)
            self._commit(fault, faults[index + 1 :], producer)
            if index >= len(faults) // 3:
                self._ask_for_replays()
        self._allow(producer, 1.0)
        self._told("wait for the producer", self._done)
        listening.join()
        if producer.wait() != 0:
            raise ProcessFailedError(f"the producer failed: {producer.last_words()}")
        self._ask_for_replays(seconds=_QUIESCE_SECONDS)
        return self._conclude(began)

    # --- setting up ---

    def _node(self, index: int) -> NodeProcess:
        node = NodeProcess(
            database=self._place.url,
            folder=self._place.folder,
            name=f"node-{index}",
            app=APP,
            module=self._order.module,
            settings={
                "HOOKLINE_RETRY_TIME_SCALE": str(_RETRY_TIME_SCALE),
                "HOOKLINE_LEASE_SECONDS": str(LEASE_SECONDS),
                "HOOKLINE_MAX_IN_FLIGHT_TOTAL": str(_IN_FLIGHT_PER_NODE),
                "HOOKLINE_GRACE_SECONDS": "5",
            },
        )
        self._stack.callback(node.kill)
        return node

    def _set_up(self) -> PythonProcess:
        """Start the receiver and one node, register everything, and hand the producer its plan."""
        order, folder = self._order, self._place.folder
        receiver = self._process("receiver")
        receiver.tell({"seed": order.seed, "events": order.events, "ledger": str(folder / "receiver.jsonl")})
        port = receiver.told()["port"]
        node = self._nodes[0]
        node.start()
        for endpoint in self._endpoints:
            body = endpoint.registration(f"http://127.0.0.1:{port}/{endpoint.name}", order.seed)
            self._names[node.api.call("POST", "/api/v1/webhooks", body)["id"]] = endpoint.name
        trigger = node.api.call(
            "POST",
            "/api/v1/triggers",
            {
                "name": "crash",
                "automation": {"kind": "workflow", "id": "crash"},
                "profile": "agenticflow",
                "auth": {"type": "token"},
            },
        )
        producer = self._process("producer")
        producer.tell(
            {
                "seed": order.seed,
                "events": order.events,
                "ports": [node.port for node in self._nodes],
                "token": trigger["token"],
                "ledger": str(folder / "producer.jsonl"),
                "seconds": 120.0 + 10.0 * order.kills + order.events / 20,
            }
        )
        return producer

    def _process(self, name: str) -> PythonProcess:
        process = PythonProcess(f"hookline.testing.crashtest.{name}", log=self._place.folder / f"{name}.log")
        return self._stack.enter_context(process)

    def _listen_to(self, producer: PythonProcess) -> threading.Thread:
        def listen() -> None:
            try:
                while self._done < self._order.events:
                    self._done = int(producer.told()["done"])
            except ProcessFailedError:
                return  # its exit code tells

        thread = threading.Thread(target=listen, name="progress", daemon=True)
        thread.start()
        return thread

    def _allow(self, producer: PythonProcess, share: float) -> None:
        """Let the producer go so far: else it would be done before the last faults."""
        with suppress(BrokenPipeError):  # it is done already
            producer.tell({"upto": int(share * self._order.events)})

    def _ask_for_replays(self, *, seconds: float = _REPLAY_SECONDS) -> None:
        """Have sent again what some endpoints got so far, while faults go on; later if no node answers just now."""
        wanted = {endpoint.name for endpoint in self._endpoints if endpoint.is_replayed} - self._replayed
        ids = {name: id for id, name in self._names.items()}
        deadline = time.monotonic() + seconds
        while wanted and time.monotonic() < deadline:
            name = min(wanted)
            job = {"webhook_id": ids[name], "since": _LONG_AGO, "rate_per_second": _REPLAYS_PER_SECOND}
            for node in self._nodes:
                with suppress(ApiFailedError):  # it is down; or it did it, and a second job does it twice
                    node.api.call("POST", "/api/v1/replays", job)
                    wanted.discard(name)
                    self._replayed.add(name)
                    break
            else:
                time.sleep(_POLL_SECONDS)

    # --- faults ---

    def _faults(self) -> tuple[Fault, ...]:
        order = self._order
        faults = faults_of(
            order.seed,
            order.kills,
            nodes=len(self._nodes),
            events=order.events,
            can_stop_database=self._place.server is not None,
        )
        kinds, points = order.fault_kinds, order.failpoints
        if points is not None:
            # Soon, so that each is passed before its share of the load is through.
            draw = Random(f"{order.seed}/failpoints")  # noqa: S311 -- a script that can be repeated, no secret
            return tuple(
                replace(
                    fault, kind="failpoint", failpoint=passing_of(points[index % len(points)], draw, most=6)
                )
                for index, fault in enumerate(faults)
            )
        if kinds is None:
            return faults
        return tuple(
            replace(fault, kind=kinds[index % len(kinds)], failpoint=None)
            for index, fault in enumerate(faults)
        )

    def _start(self, node: NodeProcess, fault: Fault | None) -> None:
        """Start a node, armed when the next fault that is meant for it is a failpoint."""
        node.start(failpoints=fault.failpoint if fault is not None else None, waits=False)
        self._starts.append(time.monotonic())

    def _commit(self, fault: Fault, later: tuple[Fault, ...], producer: PythonProcess) -> None:
        """Do one fault and mend what it broke."""
        node = self._nodes[fault.node]
        self._kills += 1
        words = f"fault {self._kills} of {self._order.kills}: {fault.failpoint or fault.kind}"
        self._told(words, self._done)
        if fault.kind == "failpoint":
            self._await_failpoint(fault, node, producer)
        else:
            node.wait_ready()
            self._await_share(fault.at, producer, node)
            time.sleep(fault.delay)
            if fault.kind == "pause":
                self._pause(node)
                return
            if fault.kind == "database":
                self._stop_database()
                return
        node.kill()
        self._start(node, _next_for(fault.node, later))

    def _await_share(self, share: float, producer: PythonProcess, node: NodeProcess) -> None:
        """Wait until so many events are done, as far as there is anybody to do them."""
        while self._done < share * self._order.events and producer.exit_code is None:
            self._told("", self._done)
            assert node.process is not None
            if node.process.exit_code is not None:
                raise ProcessFailedError(
                    f"a node ended by itself with {node.process.exit_code}: {node.process.last_words()}"
                )
            time.sleep(_POLL_SECONDS)

    def _await_failpoint(self, fault: Fault, node: NodeProcess, producer: PythonProcess) -> None:
        assert node.process is not None
        deadline = time.monotonic() + _FAILPOINT_SECONDS
        while node.process.exit_code is None and time.monotonic() < deadline and producer.exit_code is None:
            self._told("", self._done)
            if self._done >= int(fault.upto * self._order.events):
                deadline = min(deadline, time.monotonic() + _LULL_SECONDS)
            time.sleep(_POLL_SECONDS)
        if node.process.exit_code == -signal.SIGKILL:
            self._hits.append((fault.failpoint or "").partition(":")[0])
        elif node.process.exit_code is not None:
            raise ProcessFailedError(
                f"a node ended by itself with {node.process.exit_code}: {node.process.last_words()}"
            )

    def _pause(self, node: NodeProcess) -> None:
        """Stop a node for longer than its lease, then let it find out that it was taken for dead."""
        assert node.process is not None
        node.process.signal(signal.SIGSTOP)
        time.sleep(LEASE_SECONDS + 1.5)
        node.process.signal(signal.SIGCONT)

    def _stop_database(self) -> None:
        assert self._place.server is not None
        for node in self._nodes:
            # A node that finds no database when it starts says so and ends; those that run must live through it.
            with suppress(ProcessFailedError):  # it was armed, and has killed itself
                node.wait_ready()
        self._place.server.stop("immediate")
        time.sleep(_DATABASE_DOWN_SECONDS)
        self._place.server.start()

    # --- the end ---

    def _conclude(self, began: float) -> Outcome:
        for node in self._nodes:
            node.wait_ready()
        api = self._nodes[0].api
        ledger = self._place.folder / "receiver.jsonl"
        quiesce(
            api,
            seconds=self._order.quiesce_seconds,
            told=lambda words: self._told(words, self._done),
            progress=lambda: ledger.stat().st_size,
        )
        self._told("read what the engine says", self._done)
        sent = ledgers.read(self._place.folder / "producer.jsonl", ledgers.Sent)
        receipts = ledgers.read(self._place.folder / "receiver.jsonl", ledgers.Receipt)
        account = read_account(api, self._names, receipts)
        return Outcome(
            store=self._place.store,
            seed=self._order.seed,
            kills=self._kills,
            counts=judge(
                sent,
                receipts,
                account,
                endpoints=wanted_by(self._endpoints),
                ordered=[endpoint.name for endpoint in self._endpoints if endpoint.is_ordered],
            ),
            seconds=time.monotonic() - began,
            resumed_seconds=self._slowest_resume([receipt.at for receipt in receipts]),
            most_in_flight=self._kills * _IN_FLIGHT_PER_NODE * len(self._nodes),
            hits=self._hits,
        )

    def _slowest_resume(self, receipts: list[float]) -> float:
        """The longest time from a node's start to the next receipt by anybody, starts after the last one left out."""
        waits = [min((at - start for at in receipts if at > start), default=0.0) for start in self._starts]
        return max(waits, default=0.0)


def _next_for(node: int, faults: tuple[Fault, ...]) -> Fault | None:
    return next((fault for fault in faults if fault.node == node), None)


def counts_of(outcome: Outcome) -> dict[str, Any]:
    """The object that ``--json`` prints (CONTRACT section 1)."""
    counts = outcome.counts
    return {
        "store": outcome.store,
        "seed": outcome.seed,
        "acked": counts.acked,
        "kills": outcome.kills,
        "lost": counts.lost,
        "phantom": counts.phantom,
        "corrupt": counts.corrupt,
        "false_success": counts.false_success,
        "duplicates_explained": counts.duplicates_explained,
        "duplicates_unexplained": counts.duplicates_unexplained,
        "unlogged": counts.unlogged,
        "stuck": counts.stuck,
    }
