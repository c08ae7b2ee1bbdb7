#!/usr/bin/env python3
"""Measure whether a node's memory stays flat: the promise is 10 % either way over 10,000 executions.

A real server runs workflows in a shared process, each with one step, and one in a hundred in a process of its own.
Some go first and are not measured: caches fill, the allocator takes its arenas. Then its resident memory is read after
each tenth of the rest, while nothing runs, and the first reading is compared with the furthest from it. The process
that the workflows share is measured, too.

    python scripts/node_memory.py [--executions 10000] [--first 3000] [--database URL] [--json]
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hookline.testing.nodes import Api, NodeProcess
from hookline.testing.places import open_place

MOST = 0.10
CALLERS = 32
ONE_IN_ITS_OWN = 100
PARTS = 10
APP = """
from hookline import App

app = App()


@app.workflow("shared", shared=True)
async def shared(ctx):
    return await ctx.step("take", lambda: ctx.input)


@app.workflow("alone")
def alone(ctx):
    return ctx.step("take", lambda: ctx.input)
"""


def main() -> int:
    """Measure, print, and return 1 when it is not flat."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=3_000)
    parser.add_argument("--database", default=None, help="as for hookline bench")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    readings = measure(arguments.database, arguments.first, arguments.executions)
    nodes = [node for node, _ in readings]
    change = max((reading / nodes[0] - 1 for reading in nodes), key=abs)
    told = {
        "executions": arguments.executions,
        "node_mb": [round(node, 1) for node in nodes],
        "shared_process_mb": [round(shared, 1) for _, shared in readings],
        "change": round(change, 3),
        "most": MOST,
    }
    if arguments.json:
        print(json.dumps(told))
    else:
        print(f"node, MB: {told['node_mb']}\nshared process, MB: {told['shared_process_mb']}")
        print(f"over {arguments.executions:,} executions: {change:+.1%} of {MOST:.0%} at most")
    return 0 if abs(change) <= MOST else 1


def measure(database: str | None, first: int, executions: int) -> list[tuple[float, float]]:
    """Return the memory, in MB, of the node and of its largest child: before, and after each part."""
    with open_place(database, purpose="memory") as place:
        app = place.folder / "app.py"
        app.write_text(APP)
        node = NodeProcess(
            database=place.url, folder=place.folder, app=app, settings={"HOOKLINE_MAX_EXECUTIONS": "64"}
        )
        node.start()
        try:
            webhook = node.api.call(
                "POST", "/api/v1/webhooks", {"url": "http://127.0.0.1:1/", "events": ["workflow.*"]}
            )
            node.api.call("POST", f"/api/v1/webhooks/{webhook['id']}/pause", {})
            run(node, first)
            readings = [memory(node)]
            for _ in range(PARTS):
                run(node, executions // PARTS)
                readings.append(memory(node))
            return readings
        finally:
            node.stop()


def run(node: NodeProcess, executions: int) -> None:
    """Run so many; return when all have ended. Raises RuntimeError for one that does not succeed."""
    local = threading.local()

    def one(number: int) -> None:
        if not hasattr(local, "api"):
            local.api = Api(node.port, seconds=120)
        workflow = "alone" if number % ONE_IN_ITS_OWN == 0 else "shared"
        started = local.api.call(
            "POST",
            f"/api/v1/workflows/{workflow}/executions",
            {"input": {"number": number, "pad": "x" * 600}},
        )
        ended = local.api.call("GET", f"/api/v1/executions/{started['execution_id']}", prefer="wait=60")
        if ended["status"] != "succeeded":
            raise RuntimeError(f"an execution ended as {ended['status']}: {ended['error']}")

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(one, range(executions)))


def memory(node: NodeProcess) -> tuple[float, float]:
    """Return the resident memory of the node, and of the largest of its children, in MB."""
    time.sleep(2)  # processes that were replaced are gone, the next ones ready
    children = Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split()
    return resident(node.pid), max((resident(int(pid)) for pid in children), default=0.0)


def resident(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0.0
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    raise SystemExit(main())
