"""Word the measured table of docs/scaling.md, from ``docs/scaling.json`` (``scripts/measure_scaling.py --save``)."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
PAGE: Final = DOCS / "scaling.md"
SAVED: Final = DOCS / "scaling.json"
BEGIN: Final = "<!-- measured: made by scripts/reference.py from scaling.json -->\n"
END: Final = "<!-- end of measured -->\n"

MOST_PER_PROCESSOR: Final = 3
"""Load for each processor; what is measured makes about two."""
BUSY: Final = (
    " **It took most of the machine: figures are lower bounds, and ratios between them scatter by half.**"
)
BENCH: Final = "`hookline bench --scenario {} --database postgres`"
STORE: Final = "`python3 scripts/measure_scaling.py`"


def scaling_page() -> str:
    """Return docs/scaling.md with its table made anew."""
    text = PAGE.read_text(encoding="utf-8")
    return re.sub(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}",
        lambda _: f"{BEGIN}\n{measured()}\n{END}",
        text,
        flags=re.DOTALL,
    )


def measured() -> str:
    """Return what was measured, on what, and what bounds it."""
    parts: dict[str, Any] = json.loads(SAVED.read_text(encoding="utf-8"))["parts"]
    rows = [
        *_of_bench(parts["deliver"]["figures"], parts["nodes"]["figures"], parts["nodes-cores"]["figures"]),
        *_of_store(parts["store"]["figures"]),
        _of_executions(parts["executions"]["figures"]),
    ]
    head = "| component | what it took | what bounds it | command |\n|---|---|---|---|\n"
    return f"{_machine(parts)}\n\n{head}" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _machine(parts: dict[str, Any]) -> str:
    def told(name: str) -> str:
        return " and ".join(sorted({str(part[name]) for part in parts.values()}))

    loads = [part["load_average"] for part in parts.values()]
    is_busy = max(loads) > MOST_PER_PROCESSOR * min(part["processors"] for part in parts.values())
    words = (
        f"Measured on {told('measured_on')} with Hookline {told('hookline')}, Python {told('python')} and PostgreSQL "
        f"{told('postgresql')} on the same machine: Linux {told('linux')}, {told('processors')} virtual processors of "
        f"{told('processor')}, shared with other work (load average {min(loads):.1f} to {max(loads):.1f})."
    ) + (BUSY if is_busy else "")
    return textwrap.fill(words, 120, break_long_words=False, break_on_hyphens=False)


def _of_bench(one: dict[str, Any], slots: dict[str, Any], cores: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            "receive, store, deliver, one node",
            f"{one['throughput_per_s']:,.0f} events/s; {one['cpu_s_per_1000']:.2f} s of the node's processor for 1,000",
            "the processors, which load and receiver share",
            BENCH.format("deliver"),
        ),
        (
            "two nodes, sends the bound (8 at once, 20 ms)",
            f"{slots['throughput_per_s']:,.0f}/s, **{slots['ratio']:.2f} times** one node",
            "slots: 8 ÷ 20 ms is 400/s for each node",
            BENCH.format("nodes"),
        ),
        (
            "two nodes, processors the bound",
            f"{cores['throughput_per_s']:,.0f}/s, **{cores['ratio']:.2f} times** one node",
            "the same processors for both, the database and the load",
            BENCH.format("nodes-cores"),
        ),
    ]


def _of_store(found: dict[str, Any]) -> list[tuple[str, ...]]:
    claims = {
        int(name.split("_")[3]): took for name, took in found.items() if name.startswith("claim_64_of_")
    }
    rows = [
        (name, _by_size(found[key]), "one flush for each transaction, so it is the group that counts", STORE)
        for name, key in (("commit of published events", "publish"), ("commit of ended attempts", "settle"))
    ]
    cpu = {size: figures["database_cpu_ms"] for size, figures in found["publish"].items()}
    return [
        *rows,
        (
            "PostgreSQL's processor, for an event it stores",
            ", ".join(f"{cpu[size]:.3f} ms by {size}" for size in ("16", "256")),
            "its processors",
            STORE,
        ),
        (
            "claim 64 due deliveries",
            ", ".join(f"{took:.1f} ms with {count:,} waiting" for count, took in sorted(claims.items())),
            "the commit; not the backlog, which an index of what waits hides",
            STORE,
        ),
        (
            "commits of 8 clients, with signals to other nodes (NOTIFY)",
            f"{found['signalled_commits_per_second']:,}/s that signal, {found['plain_commits_per_second']:,}/s without",
            "PostgreSQL lets one signalling transaction commit at a time",
            STORE,
        ),
        ("retention", f"{found['pruned_rows_per_second']:,} rows/s deleted", "the disk", STORE),
        (
            "what is kept",
            f"{found['bytes_per_event']:,} bytes for an event of 600 bytes, its delivery and attempt, with indexes",
            "the disk",
            STORE,
        ),
        (
            "connections",
            f"{found['connections_of_a_node']} for each node, and one more while retention works",
            "`max_connections`",
            STORE,
        ),
    ]


def _by_size(by_size: dict[str, Any]) -> str:
    words = {"1": "one by one", "16": "by 16", "256": "by 256"}
    return ", ".join(f"{by_size[size]['per_second']:,}/s {word}" for size, word in words.items())


def _of_executions(found: dict[str, Any]) -> tuple[str, ...]:
    return (
        "execute a workflow and deliver its end",
        f"{found['throughput_per_s']:,.0f}/s; {found['cpu_s_per_1000']:.2f} s of processor for 1,000",
        "the node's processors: processes, the code itself and its memory",
        BENCH.format("executions"),
    )
