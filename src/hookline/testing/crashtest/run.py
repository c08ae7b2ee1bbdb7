"""Run one crash test: processes up, faults in, everything quiet, verdict.

The receiver and the producer live through all of it; nodes are killed with SIGKILL at points drawn from the seed,
kill themselves at failpoints, are stopped for longer than their lease (several nodes), lose their database, or are
told to stop and started again. The engine is then asked, through its API only, what it thinks happened, and the
ledgers say what did.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

from hookline.errors import SettingError
from hookline.testing.crashtest import ledgers
from hookline.testing.crashtest.account import quiesce, read_account
from hookline.testing.crashtest.disruption import LEASE_SECONDS, Disruption
from hookline.testing.crashtest.production import Production
from hookline.testing.crashtest.script import (
    OF_THE_DATABASE,
    ROLES,
    Fault,
    endpoints_of,
    faults_of,
    passing_of,
    roles_of,
    wanted_by,
)
from hookline.testing.crashtest.verdict import Counts, judge
from hookline.testing.nodes import ApiFailedError, NodeProcess
from hookline.testing.places import open_place
from hookline.testing.processes import PythonProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.testing.crashtest.script import FaultKind
    from hookline.testing.places import Place

APP: Final = Path(__file__).with_name("crash_app.py")
_RETRY_TIME_SCALE: Final = 0.001
"""A minute's wait is 60 ms: the schedule is tested, not sat out."""

_IN_FLIGHT_PER_NODE: Final = 512
_POLL_SECONDS: Final = 0.005
_QUIESCE_SECONDS: Final = 60.0
_REPLAY_SECONDS: Final = 2.0
"""How long a replay is asked for while a node may be about to kill itself."""
_REPLAYS_PER_SECOND: Final = 100
_LONG_AGO: Final = "2020-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to run.

    module: what is started in place of ``hookline``; a broken engine, when the test is tested.
    server_settings: of a PostgreSQL that is started for it.
    nodes: None for one on SQLite and two or three on PostgreSQL.  is_split: they have one role each.
    fault_kinds: None for the script's mixture, else these (of the database: a PostgreSQL of our own only).
    outage_seconds: how long an ``outage`` lasts.
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
    nodes: int | None = None
    is_split: bool = False
    outage_seconds: float = 5.0
    quiesce_seconds: float = _QUIESCE_SECONDS


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of it. hits: failpoints that killed a node.  resumed_seconds: the longest time from a node's new
    start to the next receipt.  most_in_flight: deliveries that can have been under way at the crashes together.
    crashes: faults that were no clean restart.  troubles: what the producer saw instead of answers, by name.
    """

    store: str
    seed: int
    nodes: int
    kills: int
    counts: Counts
    seconds: float
    resumed_seconds: float
    most_in_flight: int
    crashes: int = 0
    hits: list[str] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)

    @property
    def is_pass(self) -> bool:
        return self.counts.is_pass(most_in_flight=self.most_in_flight) and not self.rude

    @property
    def rude(self) -> list[str]:
        """What callers saw although nodes only ever stopped when told to, beside "not now" (503)."""
        return [] if self.crashes else sorted(set(self.troubles) - {"503"})


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
        self._done: Callable[[], int] = int
        self._endpoints = endpoints_of(order.events)
        self._nodes = [self._node(index) for index in range(nodes_of(order, place))]
        self._receiving = [
            node
            for index, node in enumerate(self._nodes)
            if "receive" in roles_of(index, is_split=order.is_split)
        ]
        self._names: dict[str, str] = {}
        self._replayed: set[str] = set()

    def run(self) -> Outcome:
        began = time.monotonic()
        production = Production(self._set_up(), self._order.events)
        self._done = lambda: production.done
        faults = self._faults()
        disruption = Disruption(
            self._nodes,
            faults,
            server=self._place.server,
            outage_seconds=self._order.outage_seconds,
            told=self._tell,
        )
        disruption.arm()
        for number, fault in enumerate(faults):
            production.allow(fault.upto)
            disruption.commit(number, production)
            if number >= len(faults) // 3:
                self._ask_for_replays()
        production.allow(1.0)
        self._tell("wait for the producer")
        production.finish()
        self._ask_for_replays(seconds=_QUIESCE_SECONDS)
        return self._conclude(began, disruption)

    def _tell(self, words: str) -> None:
        self._told(words, self._done())

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
                "HOOKLINE_ROLES": ",".join(roles_of(index, is_split=self._order.is_split)),
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
                "ports": [node.port for node in self._receiving],
                "token": trigger["token"],
                "ledger": str(folder / "producer.jsonl"),
                "seconds": 120.0 + (10.0 + order.outage_seconds) * order.kills + order.events / 20,
            }
        )
        return producer

    def _process(self, name: str) -> PythonProcess:
        process = PythonProcess(f"hookline.testing.crashtest.{name}", log=self._place.folder / f"{name}.log")
        return self._stack.enter_context(process)

    def _ask_for_replays(self, *, seconds: float = _REPLAY_SECONDS) -> None:
        """Have sent again what some endpoints got so far, while faults go on; later if no node answers just now."""
        wanted = {endpoint.name for endpoint in self._endpoints if endpoint.is_replayed} - self._replayed
        ids = {name: id for id, name in self._names.items()}
        deadline = time.monotonic() + seconds
        while wanted and time.monotonic() < deadline:
            name = min(wanted)
            job = {"webhook_id": ids[name], "since": _LONG_AGO, "rate_per_second": _REPLAYS_PER_SECOND}
            for node in self._receiving:
                with suppress(ApiFailedError):  # it is down; or it did it, and a second job does it twice
                    node.api.call("POST", "/api/v1/replays", job)
                    wanted.discard(name)
                    self._replayed.add(name)
                    break
            else:
                time.sleep(_POLL_SECONDS)

    def _faults(self) -> tuple[Fault, ...]:
        order = self._order
        faults = faults_of(
            order.seed,
            order.kills,
            nodes=len(self._nodes),
            events=order.events,
            can_stop_database=self._place.server is not None,
            is_split=order.is_split,
            kinds=order.fault_kinds or (),
        )
        points = order.failpoints
        if points is None:
            return faults
        # Soon, so that each is passed before its share of the load is through.
        draw = Random(f"{order.seed}/failpoints")  # noqa: S311 -- a script that can be repeated, no secret
        return tuple(
            replace(fault, kind="failpoint", failpoint=passing_of(points[index % len(points)], draw, most=6))
            for index, fault in enumerate(faults)
        )

    # --- the end ---

    def _conclude(self, began: float, disruption: Disruption) -> Outcome:
        for node in self._nodes:
            node.wait_ready()
        api = self._nodes[0].api
        ledger = self._place.folder / "receiver.jsonl"
        quiesce(
            api,
            seconds=self._order.quiesce_seconds,
            told=self._tell,
            progress=lambda: ledger.stat().st_size,
        )
        self._tell("read what the engine says")
        sent = ledgers.read(self._place.folder / "producer.jsonl", ledgers.Sent)
        receipts = ledgers.read(self._place.folder / "receiver.jsonl", ledgers.Receipt)
        account = read_account(api, self._names, receipts)
        return Outcome(
            store=self._place.store,
            seed=self._order.seed,
            nodes=len(self._nodes),
            kills=self._order.kills,
            crashes=disruption.crashes,
            counts=judge(
                sent,
                receipts,
                account,
                endpoints=wanted_by(self._endpoints),
                ordered=[endpoint.name for endpoint in self._endpoints if endpoint.is_ordered],
            ),
            seconds=time.monotonic() - began,
            resumed_seconds=_slowest_resume(disruption.starts, [receipt.at for receipt in receipts]),
            most_in_flight=disruption.crashes * _IN_FLIGHT_PER_NODE * len(self._nodes),
            hits=disruption.hits,
            troubles=Counter(trouble for one in sent for trouble in one.troubles),
        )


def _slowest_resume(starts: list[float], receipts: list[float]) -> float:
    """The longest time from a node's start to the next receipt by anybody, starts after the last one left out."""
    receipts = sorted(receipts)
    waits = [
        receipts[place] - start
        for start in starts
        if (place := bisect_right(receipts, start)) < len(receipts)
    ]
    return max(waits, default=0.0)


def nodes_of(order: Order, place: Place) -> int:
    """How many nodes run. Raises SettingError for more than the store or the split can have."""
    least = len(ROLES) if order.is_split else 1
    nodes = order.nodes or (1 if place.is_sqlite else max(2, least))
    if place.is_sqlite and (nodes > 1 or order.is_split):
        raise SettingError("On SQLite one node is the whole system: give --database", field="nodes")
    if nodes < least:
        raise SettingError(
            f"--nodes must be {least} or more when roles are split, got {nodes}", field="nodes"
        )
    if place.server is None and not OF_THE_DATABASE.isdisjoint(order.fault_kinds or ()):
        raise SettingError(
            "Only a PostgreSQL that is started for the test can be stopped: give --database postgres",
            field="faults",
        )
    return nodes


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
