"""Show a crash test to people (progress bar, verdict table) or to programs (one JSON object)."""

from __future__ import annotations

import random
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hookline.testing.crashtest.run import Order, counts_of, run
from hookline.testing.crashtest.verdict import bound
from hookline.testing.nodes import ApiFailedError
from hookline.testing.processes import ProcessFailedError

if TYPE_CHECKING:
    from hookline.testing.crashtest.run import Outcome

_NEVER: Final = (
    "lost",
    "phantom",
    "corrupt",
    "false_success",
    "duplicates_unexplained",
    "stuck",
    "out_of_order",
)
_MEANINGS: Final = {
    "acked": "answered with 2xx",
    "kills": "faults: kill -9, failpoints, pauses past the lease, lost databases, restarts",
    "lost": "acked, and neither delivered nor exhausted",
    "phantom": "received, and never sent or refused",
    "corrupt": "received with other bytes or a wrong signature",
    "false_success": "called delivered, and never accepted by the receiver",
    "duplicates_explained": "accepted twice; the log shows the interrupted attempt",
    "duplicates_unexplained": "accepted twice for no reason in the log",
    "unlogged": "received without a record of the attempt",
    "stuck": "still owed after everything was quiet",
    "out_of_order": "arrived at an ordered webhook after one that was sent later",
}


def crashtest(*, json: bool, seed: int | None, **asked: Any) -> int:
    """Run, show, and return the exit code: 0 pass, 1 fail, 2 when it could not be run to its end.

    asked: of ``Order``.  seed: None for one drawn by chance.
    """
    order = Order(seed=random.SystemRandom().randrange(1_000_000) if seed is None else seed, **asked)
    console = Console(stderr=True)
    try:
        outcome = _run(order, console)
    except (ProcessFailedError, ApiFailedError) as exc:
        console.print(
            f"[red]The crash test with seed {order.seed} did not come to its end:[/] {exc}", highlight=False
        )
        return 2
    if json:
        sys.stdout.write(msgspec.json.encode(counts_of(outcome)).decode() + "\n")
    else:
        show(outcome, Console())
    return 0 if outcome.is_pass else 1


def _run(order: Order, console: Console) -> Outcome:
    columns = (
        TextColumn("[bold]crashtest"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=order.events, words=f"seed {order.seed}")

        def told(words: str, done: int) -> None:
            progress.update(task, completed=done)
            if words:
                progress.update(task, words=words)

        return run(order, told=told)


def show(outcome: Outcome, console: Console) -> None:
    """Print the verdict table, what went wrong, and what the numbers prove."""
    table = Table(title=f"hookline crashtest on {outcome.store}, {_nodes(outcome)}, seed {outcome.seed}")
    table.add_column("count", justify="right")
    table.add_column("what")
    table.add_column("meaning", style="dim")
    for name, value in counts_of(outcome).items():
        if name in _MEANINGS:
            style = ("red" if value else "green") if name in _NEVER else ""
            table.add_row(f"{value:,}", name.replace("_", " "), _MEANINGS[name], style=style)
    console.print(table)
    for name, stories in outcome.counts.examples.items():
        for story in stories:
            console.print(f"[red]{name.replace('_', ' ')}:[/] {story}", highlight=False)
    counts = outcome.counts
    console.print(
        f"{counts.owed:,} deliveries owed, {counts.dead:,} exhausted (one receiver never accepts), "
        f"{counts.replayed:,} replayed, "
        f"{counts.unknown:,} answers unknown, {counts.refused:,} refused; {outcome.seconds:.0f} s; "
        f"first delivery at most {outcome.resumed_seconds:.1f} s after a restart",
        highlight=False,
    )
    hits = ", ".join(f"{name} x{count}" for name, count in sorted(Counter(outcome.hits).items()))
    console.print(f"failpoints that killed: {hits or 'none'}", highlight=False)
    troubles = ", ".join(f"{name} x{count}" for name, count in sorted(outcome.troubles.items()))
    console.print(f"what callers saw instead of answers: {troubles or 'nothing'}", highlight=False)
    if outcome.rude:
        console.print(
            f"[red]rude:[/] no node crashed, and yet callers saw {', '.join(outcome.rude)}", highlight=False
        )
    if outcome.is_pass:
        share = bound(counts.acked)
        console.print(
            f"[bold green]PASS[/]: none of {counts.acked:,} lost, so at 95 % fewer than {share:.2%} are "
            "(rule of three; more events tighten it)",
            highlight=False,
        )
    else:
        console.print(f"[bold red]FAIL[/]: repeat it with --seed {outcome.seed}", highlight=False)


def _nodes(outcome: Outcome) -> str:
    return "1 node" if outcome.nodes == 1 else f"{outcome.nodes} nodes"
