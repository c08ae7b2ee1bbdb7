#!/usr/bin/env python3
"""Simulate many nodes over one PostgreSQL, and over several, with the constants measured on one machine.

A discrete-event model, event by event: callers keep every node busy; a node computes on one processor, its one writer
commits whatever waits for it in one transaction, transactions take turns on PostgreSQL's processors and flush the log,
those with a signal one at a time; sends hold one of the node's slots for as long as the receiver takes. It answers what
bounds the whole, and where. What it leaves out (caches, vacuum, networks, backlogs, skew between webhooks) only makes
the real thing slower: read its numbers as upper bounds. docs/scaling.md shows its table beside what was measured.

    python3 scripts/simulate_scaling.py [--seconds 2] [--json]
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
from collections import deque
from dataclasses import dataclass, replace
from statistics import mean, quantiles
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ORGANIZATIONS = 1_000
DRAWS = 200
MOST_IN_COMMIT = 256
SECONDS = 2.0
"""Simulated for each line, after a fifth of it to begin with: longer changes the last digits."""

BUSY = 0.9
"""A part that works for so much of the time is what bounds the whole."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Constants of one node and its database; times in seconds.

    receive, deliver: a node's computing for one event in and one event out.  fixed: of a transaction beside computing:
    round trips and the flush.  database: PostgreSQL's computing for one event in one of its two transactions.
    slots: sends at once on a node.  answer: what a receiver takes.  is_signalled: nodes of one role each tell others of
    every commit of a publisher.
    """

    nodes: int = 1
    receive: float = 0.00006
    deliver: float = 0.0001
    fixed: float = 0.002
    database: float = 0.00004
    database_processors: int = 4
    slots: int = 2048
    answer: float = 0.02
    is_signalled: bool = False


class Pool:
    """So many at a time; who waits is served in order. busy: seconds that its places were taken, together."""

    def __init__(self, clock: Clock, places: int) -> None:
        self._clock = clock
        self._free = self.places = places
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self.busy = 0.0

    def serve(self, seconds: float, then: Callable[[], None]) -> None:
        """Hold a place for so long, as soon as there is one."""
        if self._free:
            self._begin(seconds, then)
        else:
            self._waiting.append((seconds, then))

    def _begin(self, seconds: float, then: Callable[[], None]) -> None:
        self._free -= 1
        self.busy += seconds

        def end() -> None:
            self._free += 1
            if self._waiting:
                self._begin(*self._waiting.popleft())
            then()

        self._clock.after(seconds, end)


class Clock:
    """Simulated time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now + seconds, next(self._order), do))

    def run(self, until: float) -> None:
        while self._due and self._due[0][0] <= until:
            self.now, _, do = heapq.heappop(self._due)
            do()


class Database:
    """Transactions of all nodes."""

    def __init__(self, clock: Clock, machine: Machine) -> None:
        self._clock = clock
        self._machine = machine
        self.processors = Pool(clock, machine.database_processors)
        self.signals = Pool(clock, 1)

    def commit(self, events: int, *, is_signalled: bool, then: Callable[[], None]) -> None:
        """Compute, then flush; a signal is committed by one at a time."""

        def flush() -> None:
            if is_signalled:
                self.signals.serve(self._machine.fixed, then)
            else:
                self._clock.after(self._machine.fixed, then)

        self.processors.serve(events * self._machine.database, flush)


class Node:
    """One process: a processor, a writer, slots for sends, and as many callers as keep it busy."""

    def __init__(self, clock: Clock, machine: Machine, database: Database, callers: int) -> None:
        self._machine = machine
        self._database = database
        self.processor = Pool(clock, 1)
        self.slots = Pool(clock, machine.slots)
        self.delivered = 0
        self._writes: deque[tuple[bool, Callable[[], None]]] = deque()
        self._is_writing = False
        for _ in range(callers):
            self._call()

    def _call(self) -> None:
        """An event from its request to its settled delivery; then its caller sends the next."""
        machine = self._machine
        self.processor.serve(
            machine.receive,
            lambda: self._write(
                is_publish=True,
                then=lambda: self.processor.serve(
                    machine.deliver,
                    lambda: self.slots.serve(
                        machine.answer, lambda: self._write(is_publish=False, then=self._end)
                    ),
                ),
            ),
        )

    def _end(self) -> None:
        self.delivered += 1
        self._call()

    def _write(self, *, is_publish: bool, then: Callable[[], None]) -> None:
        self._writes.append((is_publish, then))
        if not self._is_writing:
            self._commit()

    def _commit(self) -> None:
        """Put what waits into one transaction."""
        batch = [self._writes.popleft() for _ in range(min(len(self._writes), MOST_IN_COMMIT))]
        self._is_writing = True

        def done() -> None:
            self._is_writing = False
            if self._writes:
                self._commit()
            for _, then in batch:
                then()

        is_signalled = self._machine.is_signalled and any(is_publish for is_publish, _ in batch)
        self._database.commit(len(batch), is_signalled=is_signalled, then=done)


def simulate(machine: Machine, *, seconds: float) -> dict[str, Any]:
    """Deliveries a second of all nodes, how busy each part was, and which of them bounds the whole."""
    clock = Clock()
    database = Database(clock, machine)
    # Enough in the system to keep whatever is slowest busy, and little enough to be through in the time.
    callers = max(64, min(1024, 2 * machine.slots))
    nodes = [Node(clock, machine, database, callers) for _ in range(machine.nodes)]
    warm = seconds / 5
    clock.run(warm)
    before = sum(node.delivered for node in nodes)
    parts = {
        "node": [node.processor for node in nodes],
        "slots": [node.slots for node in nodes],
        "database": [database.processors],
        "signals": [database.signals],
    }
    was = {name: sum(pool.busy for pool in pools) for name, pools in parts.items()}
    clock.run(warm + seconds)
    busy = {
        name: (sum(pool.busy for pool in pools) - was[name]) / (seconds * sum(pool.places for pool in pools))
        for name, pools in parts.items()
    }
    bound = max(busy, key=lambda name: busy[name])
    return {
        "nodes": machine.nodes,
        "per_second": round((sum(node.delivered for node in nodes) - before) / seconds),
        "busy": {name: round(min(share, 1.0), 2) for name, share in busy.items()},
        "bound": bound if busy[bound] >= BUSY else "commits",
    }


def sharded(shards: int, *, skew: float, seed: int = 1) -> dict[str, float]:
    """What several databases carry, as multiples of one, when organizations are dealt out by a hash of their id.

    skew: the n-th largest organization sends 1 ÷ n**skew.  Nothing is moved, so the fullest database bounds the whole.
    """
    draw = random.Random(seed)
    weights = [1 / rank**skew for rank in range(1, ORGANIZATIONS + 1)]
    found = []
    for _ in range(DRAWS):
        loads = [0.0] * shards
        for weight in weights:
            loads[draw.randrange(shards)] += weight
        found.append(sum(weights) / max(loads))
    worst = quantiles(found, n=20)[0] if shards > 1 else found[0]
    return {"shards": shards, "skew": skew, "typical": round(mean(found), 2), "worst_of_20": round(worst, 2)}


def tables() -> dict[str, Callable[[float], list[dict[str, Any]]]]:
    """Every table of the page, by its title: what makes its lines of so many simulated seconds."""
    base = Machine()

    def lines(counts: tuple[int, ...], **changes: Any) -> Callable[[float], list[dict[str, Any]]]:
        return lambda seconds: [
            simulate(replace(base, nodes=nodes, **changes), seconds=seconds) for nodes in counts
        ]

    return {
        "8 sends at once on a node, receivers of 20 ms": lines((1, 2, 4), slots=8),
        "PostgreSQL with 1 processor": lines((1, 2, 4, 8), database_processors=1),
        "PostgreSQL with 4 processors": lines((1, 2, 4, 8, 16)),
        "Roles split, so that every publish is signalled": lines((1, 2, 4, 8, 16), is_signalled=True),
        "A slow disk: 10 ms for a commit": lines((1, 4, 16), fixed=0.01, is_signalled=True),
        "Several databases, as multiples of one": lambda _: [
            sharded(shards, skew=skew) for skew in (0.0, 0.5, 1.0) for shards in (2, 4, 8)
        ],
    }


def as_markdown(lines: list[dict[str, Any]]) -> str:
    """One table."""
    flat = [
        {name: value for name, value in line.items() if name != "busy"}
        | {f"{part} busy": f"{share:.0%}" for part, share in line.get("busy", {}).items()}
        for line in lines
    ]
    shown = [
        list(flat[0]),
        ["---"] * len(flat[0]),
        *[[_shown(value) for value in line.values()] for line in flat],
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in shown)


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def main() -> None:
    """Print every table, as docs/scaling.md shows it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="simulated, for each line")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = {title: make(asked.seconds) for title, make in tables().items()}
    if asked.json:
        print(json.dumps(found))
        return
    for title, lines in found.items():
        print(f"**{title}**\n\n{as_markdown(lines)}\n")


if __name__ == "__main__":
    main()
