"""Show a benchmark to people (progress bar, table, verdict) or to programs (one JSON object a line)."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hookline.testing.bench.figures import floor_of, missed
from hookline.testing.bench.run import run_scenario, steps_of
from hookline.testing.bench.scenarios import SCENARIOS, Sizes
from hookline.testing.bench.stand import BenchFailedError
from hookline.testing.nodes import ApiFailedError
from hookline.testing.processes import ProcessFailedError

if TYPE_CHECKING:
    from hookline.testing.bench.figures import Figures


def bench(
    *, scenario: str | None, database: str | None, json: bool, seconds: float, runs: int, events: int
) -> int:
    """Run, show, and return the exit code."""
    sizes = Sizes(events=events, seconds=seconds, runs=runs)
    names = SCENARIOS if scenario is None else (scenario,)
    console = Console(stderr=True)
    found: list[Figures] = []
    failed = False
    with _progress(console) as progress:
        for name in names:
            task = progress.add_task(name, total=steps_of(sizes), words="")

            def told(words: str, is_step: bool, task=task) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001, FBT001
                progress.update(task, advance=int(is_step), words=words)

            try:
                figures = run_scenario(name, database=database, sizes=sizes, told=told)
            except (BenchFailedError, ApiFailedError, ProcessFailedError) as exc:
                failed = True
                console.print(f"[red]{name} was not measured:[/] {exc}", highlight=False)
                continue
            found.append(figures)
            progress.update(task, completed=steps_of(sizes), words="done")
            if json:
                sys.stdout.write(msgspec.json.encode(asdict(figures)).decode() + "\n")
                sys.stdout.flush()
    if found and not json:
        Console().print(table_of(found))
    return 1 if failed else 0


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("[bold]{task.description:<9}"),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        TextColumn("{task.fields[words]}"),
        console=console,
        disable=not console.is_terminal,
    )


def table_of(found: list[Figures]) -> Table:
    """The figures and whether they reach what is asked of them."""
    table = Table(title=f"hookline bench on {found[0].store}, latencies at half of the peak load")
    table.add_column("scenario")
    for heading in (
        "delivered/s",
        "relay/s",
        "ratio",
        "ack p50 / p99 ms",
        "end to end p50 / p99 ms",
        "CPU s / 1,000",
        "peak MB",
    ):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for figures in found:
        misses = missed(figures)
        floor = floor_of(figures.scenario, figures.store)
        bound = (
            f"≥ {floor.at_least:.2f}" if floor.at_least else f"≤ {floor.at_most:.0f}" if floor.at_most else ""
        )
        table.add_row(
            figures.scenario,
            f"{figures.throughput_per_s:,.0f}",
            f"{figures.relay_per_s:,.0f}",
            f"{figures.ratio:.2f} {floor.says} {bound}".strip(),
            f"{figures.ack_p50_ms:.1f} / {figures.ack_p99_ms:.1f}",
            f"{figures.e2e_p50_ms:.1f} / {figures.e2e_p99_ms:.1f}",
            f"{figures.cpu_s_per_1000:.3f}",
            f"{figures.peak_rss_mb:.0f}",
            "[red]" + "; ".join(misses) + "[/]" if misses else "[green]reached[/]" if bound else "",
        )
    return table
