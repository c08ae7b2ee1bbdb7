#!/usr/bin/env python3
"""Measure what each component of the PostgreSQL store takes: the constants of docs/scaling.md and of its model.

One writer of one node, on a PostgreSQL that is started for it, on this machine: commits of published events and of
ended attempts by how many share a transaction, claims with a backlog, signals, retention, connections and bytes. The
processor's seconds are those of PostgreSQL's processes; the node's own are in ``hookline bench --scenario deliver``.

    python3 scripts/measure_scaling.py [--events 4096] [--backlog 200000] [--json]
    python3 scripts/measure_scaling.py --save [--part store|deliver|nodes|nodes-cores|executions]

The second makes ``docs/scaling.json``, or one part of it again: what the store takes, and the scenarios of ``hookline
bench`` that the page shows, each with how busy the machine was and all versions. ``scripts/reference.py`` words the
page's table of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookline import __version__
from hookline.engine.clock import SystemClock
from hookline.model.events import Attempt, Delivery, Event
from hookline.model.ids import new_key
from hookline.model.states import AttemptOutcome, DeliveryState, Lane
from hookline.ports import ClaimDeliveries, NewEvent, Publish, Settle, Want
from hookline.stores.postgres.store import PostgresStore
from hookline.testing.postgres import PostgresServer
from hookline.testing.processes import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookline.model.ids import Key
    from hookline.ports import Write

DATA = b'{"words":"' + b"The quick brown fox jumps over the lazy dog. " * 13 + b'"}'
SAVED = Path(__file__).resolve().parent.parent / "docs" / "scaling.json"
STORE = "store"
PARTS = (STORE, "deliver", "nodes", "nodes-cores", "executions")
SIZES = (1, 16, 64, 256)
LEASE = timedelta(seconds=600)
CLAIMED = 64
ROUNDS = 20
READS = 8


class Bed:
    """A store with one webhook, and the events and claims that measurements leave behind."""

    def __init__(self, server: PostgresServer, url: str, store: PostgresStore, epoch: int) -> None:
        self.server = server
        self.url = url
        self.store = store
        self.epoch = epoch
        self.organization_id = new_key()
        self.webhook_id = new_key()
        self.clock = SystemClock()

    def publish(self, state: DeliveryState, due: datetime | None, webhook_id: Key | None = None) -> Publish:
        now = self.clock.now()
        event = Event(
            key=new_key(),
            organization_id=self.organization_id,
            type="scaling.measured",
            data=DATA,
            occurred_at=now,
            received_at=now,
        )
        delivery = Delivery(
            id=new_key(),
            organization_id=self.organization_id,
            webhook_id=webhook_id or self.webhook_id,
            event_key=event.key,
            event_type=event.type,
            state=state,
            lane=Lane.FIRST,
            created_at=now,
            next_attempt_at=due,
        )
        return Publish(epoch=self.epoch, events=(NewEvent(event=event, deliveries=(delivery,)),))

    def settle(self, write: Publish) -> Settle:
        (delivery,) = write.events[0].deliveries
        now = self.clock.now()
        attempt = Attempt(
            id=new_key(),
            delivery_id=delivery.id,
            number=1,
            started_at=now,
            duration_ms=20,
            outcome=AttemptOutcome.DELIVERED,
            status=200,
        )
        return Settle(
            epoch=self.epoch,
            delivery_id=delivery.id,
            webhook_id=delivery.webhook_id,
            at=now,
            attempt=attempt,
            state=DeliveryState.SUCCEEDED,
        )

    def processor(self) -> float:
        """Seconds that PostgreSQL's processes have used so far."""
        pids = self.server.execute("SELECT pid FROM pg_stat_activity").split()
        return sum(cpu_seconds(int(pid)) for pid in pids)


async def in_commits(bed: Bed, writes: list[Any], size: int) -> dict[str, float]:
    """Commit all, so many a transaction, one after the other as one node's writer does."""
    cpu, took = bed.processor(), []
    for start in range(0, len(writes), size):
        began = time.perf_counter()
        await bed.store.commit(writes[start : start + size])
        took.append(time.perf_counter() - began)
    return {
        "per_second": round(len(writes) / sum(took)),
        "commit_ms": round(statistics.median(took) * 1000, 3),
        "database_cpu_ms": round((bed.processor() - cpu) / len(writes) * 1000, 4),
    }


async def commits(bed: Bed, events: int) -> dict[str, Any]:
    """Publish and settle, by how many share a transaction."""
    found: dict[str, Any] = {"publish": {}, "settle": {}}
    for size in SIZES:
        count = min(events, size * 200) // size * size
        published: list[Write] = [bed.publish(DeliveryState.IN_FLIGHT, None) for _ in range(count)]
        found["publish"][size] = await in_commits(bed, published, size)
        settled: list[Write] = [bed.settle(write) for write in published]  # type: ignore[arg-type]
        found["settle"][size] = await in_commits(bed, settled, size)
    return found


async def claims(bed: Bed, backlog: int) -> dict[str, float]:
    """Claim 64 of one webhook, before and after many others wait for theirs."""
    due = bed.clock.now()
    found: dict[str, float] = {}
    others = [new_key() for _ in range(100)]
    for waiting in (0, backlog):
        for start in range(0, waiting, 1000):
            await bed.store.commit(
                [bed.publish(DeliveryState.PENDING, due, others[n % 100]) for n in range(start, start + 1000)]
            )
        await bed.store.commit([bed.publish(DeliveryState.PENDING, due) for _ in range(CLAIMED * ROUNDS)])
        took = []
        want = Want(webhook_id=bed.webhook_id, lane=Lane.FIRST, limit=CLAIMED, revision=1)
        for _ in range(ROUNDS):
            began = time.perf_counter()
            (owed,) = await bed.store.commit(
                [ClaimDeliveries(epoch=bed.epoch, wants=(want,), now=bed.clock.now())]
            )
            took.append(time.perf_counter() - began)
            assert isinstance(owed, tuple)
            assert len(owed) == CLAIMED
        found[f"claim_64_of_{waiting + CLAIMED * ROUNDS}_waiting_ms"] = round(
            statistics.median(took) * 1000, 2
        )
    return found


async def signals(bed: Bed) -> dict[str, float]:
    """Commits a second of many clients, with and without a signal: a server commits signals one at a time."""
    import asyncpg

    found: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        connections = [await asyncpg.connect(bed.url) for _ in range(8)]
        for connection in connections:
            stack.push_async_callback(connection.close)
        await connections[0].execute("CREATE TABLE IF NOT EXISTS scaling_signals (n bigint)")
        for name, more in (("plain", ""), ("signalled", "SELECT pg_notify('hookline', 'deliveries');")):
            statement = f"BEGIN; INSERT INTO scaling_signals VALUES (1); {more} COMMIT"

            async def commit(connection: Any, statement: str = statement) -> None:
                for _ in range(100):
                    await connection.execute(statement)

            began = time.perf_counter()
            await asyncio.gather(*[commit(connection) for connection in connections])
            found[f"{name}_commits_per_second"] = round(800 / (time.perf_counter() - began))
    return found


async def connections(bed: Bed) -> dict[str, float]:
    """How many a node holds when as many read at once as may."""
    await asyncio.gather(*[bed.store.backlog() for _ in range(READS)])
    count = bed.server.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hookline'")
    return {"connections_of_a_node": int(count)}


async def retention(bed: Bed) -> dict[str, float]:
    """Rows and bytes of what is kept, and how fast it goes."""
    size, rows = (
        int(number)
        for number in bed.server.execute(
            "SELECT (SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'"
            " AND relname IN ('events', 'deliveries', 'attempts')), (SELECT count(*) FROM events)",
            url=bed.url,
        ).split("|")
    )
    began, deleted = time.perf_counter(), 0
    before = bed.clock.now() + timedelta(days=1)
    while (more := await bed.store.prune(before=before, limit=2000)) > 0 and time.perf_counter() - began < 20:
        deleted += more
    took = time.perf_counter() - began
    return {"bytes_per_event": round(size / rows), "pruned_rows_per_second": round(deleted / took)}


async def measure(server: PostgresServer, events: int, backlog: int) -> dict[str, Any]:
    """Every figure, by name."""
    url = server.fresh_database("hookline_scaling")
    store = PostgresStore(url, clock=SystemClock())
    await store.open()
    try:
        bed = Bed(server, url, store, await store.open_node("scaling", lease=LEASE))
        found: dict[str, Any] = await commits(bed, events)
        found |= await claims(bed, backlog)
        found |= await signals(bed)
        found |= await connections(bed)
        return found | await retention(bed)
    finally:
        await store.close()


def about_the_machine(server: PostgresServer) -> dict[str, Any]:
    """What the figures were measured on."""
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return {
        "python": platform.python_version(),
        "postgresql": server.execute("SHOW server_version").split()[0],
        "linux": platform.release().partition("-")[0],
        "processors": os.cpu_count(),
        "processor": model[1] if model is not None else "unknown",
        "hookline": __version__,
    }


def benched(scenario: str) -> dict[str, Any]:
    """Return what ``hookline bench`` prints of a scenario."""
    command = [sys.executable, "-m", "hookline", "bench", "--scenario", scenario, "--database", "postgres"]
    command += ["--runs", "3", "--seconds", "2", "--events", "6000", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def save(server: PostgresServer, parts: Iterable[str], events: int, backlog: int) -> None:
    """Measure parts of ``docs/scaling.json`` and put them in the place of what it had."""
    saved: dict[str, Any] = json.loads(SAVED.read_text(encoding="utf-8")) if SAVED.exists() else {"parts": {}}
    for part in parts:
        figures = asyncio.run(measure(server, events, backlog)) if part == STORE else benched(part)
        saved["parts"][part] = {
            "figures": figures,
            "measured_on": datetime.now(UTC).date().isoformat(),
            # Of the minute that has passed, so it counts the measurement itself, too.
            "load_average": round(os.getloadavg()[0], 1),
            **about_the_machine(server),
        }
        SAVED.write_text(json.dumps(saved, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=4096)
    parser.add_argument("--backlog", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--save", action="store_true", help="write docs/scaling.json")
    parser.add_argument("--part", choices=PARTS, help="only this one")
    asked = parser.parse_args()
    with PostgresServer() as server:
        if asked.save:
            save(server, PARTS if asked.part is None else (asked.part,), asked.events, asked.backlog)
            return
        found = asyncio.run(measure(server, asked.events, asked.backlog))
    if asked.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(name, value)


if __name__ == "__main__":
    main()
