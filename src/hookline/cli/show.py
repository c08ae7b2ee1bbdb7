"""Print answers: tables and short sheets for people, one JSON value for programs."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console

# What a receiver or a payload says may hold terminal escapes; a terminal must never obey them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_PIPE_WIDTH = 10_000

STYLES = {
    "succeeded": "green",
    "success": "green",
    "delivered": "green",
    "active": "green",
    "running": "cyan",
    "in_flight": "cyan",
    "pending": "cyan",
    "queued": "cyan",
    "waiting": "yellow",
    "held": "yellow",
    "paused": "yellow",
    "failed": "red",
    "exhausted": "red",
    "disabled": "red",
    "killed": "red",
    "timed_out": "red",
    "lost": "red",
}
"""Colour of a state; the word is always there too, so nothing depends on seeing the colour."""


@cache
def console() -> Console:
    """Return the terminal; rich honours NO_COLOR. Into a pipe, a row is one line however long it is."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def as_json(value: object) -> None:
    """Print one JSON value."""
    print(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))


def clean(value: object) -> str:
    """Return text that a terminal cannot obey."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", "" if value is None else str(value))


def table(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]], *, empty: str) -> None:
    """Print rows. columns: heading by dotted path into a row.  empty: what to say when there are none."""
    from rich.table import Table
    from rich.text import Text

    found = list(rows)
    if not found:
        console().print(Text(empty, style="dim"))
        return
    grid = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for path, heading in columns.items():
        # An id is there to be copied: it stays whole, and what people read gives way.
        grid.add_column(heading, overflow="fold", no_wrap=path == "id")
    for row in found:
        grid.add_row(*(_cell(_reach(row, path)) for path in columns))
    console().print(grid)


def sheet(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one a line; None values are left out."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for name, value in pairs:
        if value is not None:
            grid.add_row(Text(name, style="dim"), _cell(value))
    console().print(grid)


def line(text: str, style: str = "") -> None:
    """Print one line as it is, without reading markup in it."""
    from rich.text import Text

    console().print(Text(clean(text), style=style))


def ago(text: object, *, now: datetime | None = None) -> str:
    """Return how long ago an RFC 3339 instant was, short; the text itself when it is none."""
    try:
        then = datetime.fromisoformat(str(text))
    except ValueError:
        return "" if text is None else str(text)
    seconds = round(((now or datetime.now(UTC)) - then).total_seconds())
    word = "in " if seconds < 0 else ""
    tail = "" if seconds < 0 else " ago"
    seconds = abs(seconds)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{word}{seconds // size} {unit}{tail}"
    return f"{word}{seconds} s{tail}"


def _reach(row: Mapping[str, Any], path: str) -> object:
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return ago(value) if path.endswith("_at") or path in {"timestamp", "last_delivery"} else value


def _cell(value: object) -> Any:
    from rich.text import Text

    if isinstance(value, list | tuple):
        return Text(", ".join(clean(item) for item in value))
    if isinstance(value, dict):
        return Text(clean(json.dumps(value, ensure_ascii=False)))
    text = clean(value)
    return Text(text, style=STYLES.get(text, ""))


def columns(*names: Sequence[str] | str) -> dict[str, str]:
    """Return headings by path: ``"id"`` heads itself, ``("automation.id", "automation")`` is renamed."""
    pairs = [(name, name) if isinstance(name, str) else (name[0], name[1]) for name in names]
    return dict(pairs)
