"""How soon a user's code starts: one execution after the other on a warm node, which itself says when it began.

All processes of a machine read one monotonic clock, so the instant that the code returns can be compared with that of
the request. What is measured begins before the request is sent: the time of its commit counts, too.
"""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from hookline.testing.bench.figures import START_LIMITS_MS, Figures, quantile_ms
from hookline.testing.bench.stand import BenchFailedError
from hookline.testing.nodes import NodeProcess
from hookline.testing.places import open_place
from hookline.testing.processes import cpu_seconds, peak_memory_mb

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.testing.bench.scenarios import Sizes

_APP: Final = Path(__file__).with_name("bench_app.py")

_RUNS_SHARE: Final = 200
"""A phase's events ÷ this is how many executions are measured: 100, so that one of them is the p99."""

_PAUSE_SHARE: Final = 20.0
"""A phase's seconds ÷ this is the pause between two: 0.25 s, in which the next process gets ready. A node that is used
harder than that is not warm, and what it is then is measured by ``trigger`` and ``executions``."""

_WARM_UP: Final = 3

_PYTHON: Final = """import time
began = time.monotonic_ns()
import hookline_agent
hookline_agent.set_result_object({"began_ns": began})
"""
_NODE: Final = """const began = process.hrtime.bigint()
require("hookline_agent").setResultObject({ began_ns: Number(began) })
"""
_SOURCES: Final = {"start-python": ("began.py", _PYTHON), "start-node": ("began.js", _NODE)}


def measure_start(
    name: str, *, database: str | None, sizes: Sizes, told: Callable[[str, bool], None]
) -> Figures:
    """Measure one kind. Raises BenchFailedError or SettingError."""
    if name == "start-node" and shutil.which("node") is None:
        raise BenchFailedError("Node.js is not installed")
    with ExitStack() as stack:
        place = stack.enter_context(open_place(database, purpose="bench"))
        node = NodeProcess(database=place.url, folder=place.folder, name="subject", app=_APP)
        stack.callback(node.kill)
        told("set up", False)
        node.start()
        path = _path(node, name)
        pause = sizes.seconds / _PAUSE_SHARE
        told("warm up", True)
        for _ in range(_WARM_UP):
            _one(node, path)
            time.sleep(pause)
        told("start", True)
        cpu, since = cpu_seconds(node.pid), time.monotonic()
        answered, began = [], []
        count = max(10, sizes.events // _RUNS_SHARE)
        for _ in range(count):
            took = _one(node, path)
            answered.append(took[0])
            began.append(took[1])
            time.sleep(pause)
        seconds, cpu = time.monotonic() - since, cpu_seconds(node.pid) - cpu
        return Figures(
            scenario=name,
            store=place.store,
            throughput_per_s=round(count / seconds, 1),
            relay_per_s=0.0,
            ratio=round(quantile_ms(began, 0.99) / START_LIMITS_MS[name], 3),
            ack_p50_ms=round(median(answered) / 1000, 3),
            ack_p99_ms=round(quantile_ms(answered, 0.99), 3),
            e2e_p50_ms=round(median(began) / 1000, 3),
            e2e_p99_ms=round(quantile_ms(began, 0.99), 3),
            cpu_s_per_1000=round(1000 * cpu / count, 4),
            peak_rss_mb=round(peak_memory_mb(node.pid), 1),
        )


def _path(node: NodeProcess, name: str) -> str:
    """Return where an execution of that kind is started."""
    if name not in _SOURCES:
        return f"/api/v1/{name.removeprefix('start-')}s/began/executions"
    slug, source = _SOURCES[name]
    node.api.call("POST", "/api/v1/scripts", {"slug": slug, "source": source})
    agent = node.api.call("POST", "/api/v1/script-agents", {"name": "began", "script": slug})
    return f"/api/v1/script-agents/{agent['id']}/launch"


def _one(node: NodeProcess, path: str) -> tuple[int, int]:
    """Start one; return how long its answer and its code's begin took, in microseconds. Raises BenchFailedError."""
    sent_ns = time.monotonic_ns()
    started = node.api.call("POST", path, {})
    answered_ns = time.monotonic_ns()
    ended: dict[str, Any] = node.api.call(
        "GET", f"/api/v1/executions/{started['execution_id']}", prefer="wait=60"
    )
    if ended["status"] != "succeeded":
        raise BenchFailedError(f"an execution ended as {ended['status']}: {ended['error']}")
    return (answered_ns - sent_ns) // 1000, (ended["output"]["began_ns"] - sent_ns) // 1000
