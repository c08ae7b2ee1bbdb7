#!/usr/bin/env python3
"""Measure what a SQLite commit costs a busy event loop: made on the loop, and handed to a thread.

The loop is kept as busy as a node under load keeps it: 64 tasks that each compute for a moment and yield. Every
figure is the time from asking for a commit of 32 rows to having its result. Reproduces docs/decisions/0002.

    python3 scripts/measure_commit.py
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw

ROWS = 32
ROUNDS = 200
TASKS = 64


def commit(database: apsw.Connection) -> None:
    """Write 32 rows of 700 bytes durably."""
    database.execute("begin immediate")
    database.executemany("insert into facts (data) values (?)", [(b"x" * 700,)] * ROWS)
    database.execute("commit")


async def keep_busy() -> None:
    """Compute 50 microseconds at a time, as parsing and signing do."""
    while True:
        until = time.perf_counter() + 50e-6
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0)


async def measure(database: apsw.Connection, pool: ThreadPoolExecutor | None) -> list[float]:
    """Return milliseconds for each commit, seen from the loop."""
    loop = asyncio.get_running_loop()
    busy = [asyncio.create_task(keep_busy()) for _ in range(TASKS)]
    times = []
    for _ in range(ROUNDS):
        await asyncio.sleep(0)
        began = time.perf_counter()
        if pool is None:
            commit(database)
        else:
            await loop.run_in_executor(pool, commit, database)
        times.append((time.perf_counter() - began) * 1000)
    for task in busy:
        task.cancel()
    return times


def main() -> None:
    """Print both figures."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as pool:
        database = apsw.Connection(str(Path(folder) / "measure.db"))
        database.pragma("journal_mode", "wal")
        database.pragma("synchronous", "full")
        database.execute("create table facts (id integer primary key, data blob)")
        for name, where in (("on the loop", None), ("in a thread", pool)):
            times = asyncio.run(measure(database, where))
            late = statistics.quantiles(times, n=20)[-1]
            print(f"{name}: median {statistics.median(times):.2f} ms, 95 of 100 within {late:.2f} ms")
        database.close()


if __name__ == "__main__":
    main()
