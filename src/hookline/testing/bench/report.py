"""Show a benchmark to people (progress bar, table, verdict) or to programs (one JSON object a line)."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console, Group
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from hookline.testing.bench.figures import floor_of, missed
from hookline.testing.bench.run import run_scenario, steps_of
from hookline.testing.bench.scenarios import GROUPS, SCENARIOS, Sizes
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
    names = SCENARIOS if scenario is None else GROUPS.get(scenario, (scenario,))
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
        Console().print(tables_of(found))
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


def tables_of(found: list[Figures]) -> Group:
    """The figures, whether they reach what is asked of them, and in words what they missed.

    Two narrow tables, one after the other, because one of nine columns is cut off in a terminal of 80.
    """
    return Group(
        Text(f"hookline bench on {found[0].store}\n", style="bold"),
        _verdicts(found),
        "",
        Text("latencies at half of the peak load", style="dim"),
        _costs(found),
        *(Text(f"{each.scenario}: {miss}", style="red") for each in found for miss in missed(each)),
    )


def _verdicts(found: list[Figures]) -> Table:
    table = _grid("delivered/s", "ratio")
    for heading in ("of what", "asked", "verdict"):
        table.add_column(heading, no_wrap=True)
    for figures in found:
        floor = floor_of(figures.scenario, figures.store)
        bound = (
            f"≥ {floor.at_least:.2f}" if floor.at_least else f"≤ {floor.at_most:.0f}" if floor.at_most else ""
        )
        table.add_row(
            figures.scenario,
            f"{figures.throughput_per_s:,.0f}",
            f"{figures.ratio:.2f}",
            floor.says,
            bound,
            "[red]missed[/]" if missed(figures) else "[green]reached[/]" if bound else "",
        )
    return table


def _costs(found: list[Figures]) -> Table:
    table = _grid("relay/s", "ack\np50 / p99 ms", "end to end\np50 / p99 ms", "CPU s / 1,000", "peak MB")
    for figures in found:
        table.add_row(
            figures.scenario,
            f"{figures.relay_per_s:,.0f}",
            f"{figures.ack_p50_ms:.1f} / {figures.ack_p99_ms:.1f}",
            f"{figures.e2e_p50_ms:.1f} / {figures.e2e_p99_ms:.1f}",
            f"{figures.cpu_s_per_1000:.3f}",
            f"{figures.peak_rss_mb:.0f}",
        )
    return table


def _grid(*numbers: str) -> Table:
    """Return a table of scenarios and columns of numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("scenario", no_wrap=True)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
