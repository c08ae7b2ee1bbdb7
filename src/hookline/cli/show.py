"""Print answers: tables and short sheets for people, one JSON value for programs."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from functools import cache
from json import dumps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

# What a receiver or a payload says may hold terminal escapes; a terminal must never obey them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_PIPE_WIDTH = 10_000

_SHORT = 60
"""Letters of a value beside others on a line."""

_ENOUGH = 28
"""Letters that a folded text keeps on a line: the longest event type of ours, ``workflow.execution.completed``."""

_FEWEST = 12
"""Letters of a line where not even that fits; what is no longer, such as a state, is never folded."""

STYLES = {
    "succeeded": "green",
    "success": "green",
    "delivered": "green",
    "active": "green",
    "resolved": "green",
    "open": "cyan",
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
    if sys.stdout.isatty():
        print(dumps(value, indent=2, ensure_ascii=False))
    else:
        print(dumps(value, separators=(",", ":"), ensure_ascii=False))


def clean(value: object) -> str:
    """Return text that a terminal cannot obey."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", "" if value is None else str(value))


def short(value: object) -> str:
    """Return a value as one word beside others: text as it is, anything else as JSON, cut after 60 letters."""
    text = value if isinstance(value, str) else dumps(value, ensure_ascii=False)
    text = clean(text.replace("\n", "\\n"))
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"


def table(
    columns: Mapping[str, str],
    rows: Iterable[Mapping[str, Any]],
    *,
    empty: str,
    spare: Sequence[str] = (),
) -> None:
    """Print rows. columns: heading by dotted path into a row.  empty: what to say when there are none.

    spare: paths of columns that are left out where the terminal is too narrow, the least important first; a line below
    names them.
    """
    from rich.table import Table
    from rich.text import Text

    found = list(rows)
    if not found:
        console().print(Text(empty, style="dim"))
        return
    cells = {path: [_cell(_reach(row, path)) for row in found] for path in columns}
    whole = {
        path: max(len(columns[path]), *(text.cell_len for text in texts)) for path, texts in cells.items()
    }
    widths, gap = fit(whole, spare, console().width)
    grid = Table(box=None, header_style="bold", pad_edge=False, padding=(0, gap, 0, 0))
    for path, width in widths.items():
        grid.add_column(columns[path], overflow="fold", width=width)
    for number in range(len(found)):
        grid.add_row(*(cells[path][number] for path in widths))
    _print(grid)
    left_out = [heading for path, heading in columns.items() if path not in widths]
    if left_out:
        line(f"a wider terminal, or --json, also shows: {', '.join(left_out)}", "dim")


def none_found(empty: str, *filters: object) -> str:
    """Return what an empty list says: ``empty`` holds only where no filter narrowed it; None is a filter not given."""
    return empty if all(one is None for one in filters) else "nothing matches these filters"


def listing(
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
    *,
    json: bool,
    empty: str,
    spare: Sequence[str] = (),
) -> None:
    """Print what a list answered: one JSON array for programs, else a table as ``table`` draws it."""
    if json:
        as_json(rows)
    else:
        table(columns, rows, empty=empty, spare=spare)


def fit(whole: Mapping[str, int], spare: Sequence[str], room: int) -> tuple[dict[str, int], int]:
    """Return the columns that a terminal of that width shows, each with its own width, and the gap between them.

    whole: letters of the longest text by column.  spare: as for ``table``.  A text of more than 28 letters may be
    folded down to these before a column is left out, and where none is left to leave out down to 12. All others stay
    on their line; so does an id, which is there to be copied.
    """
    shown = dict(whole)
    least = {path: size if path == "id" else min(size, _ENOUGH) for path, size in whole.items()}

    def left(gap: int) -> int:
        return room - sum(least[path] for path in shown) - gap * (len(shown) - 1)

    for path in spare:
        if left(gap=1) >= 0:
            break
        del shown[path]
    gap = 2 if left(gap=2) >= 0 else 1
    while left(gap) < 0:
        longest = max((path for path in shown if path != "id"), key=least.__getitem__, default="id")
        if longest == "id" or least[longest] <= _FEWEST:
            break
        least[longest] -= 1
    over = max(0, left(gap))
    for path, size in shown.items():
        more = min(over, size - least[path])
        shown[path] = least[path] + more
        over -= more
    return shown, gap


def _print(grid: Table) -> None:
    """Print a table; into a pipe without the blanks that fill its last column."""
    if console().is_terminal:
        console().print(grid)
        return
    with console().capture() as captured:
        console().print(grid)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def sheet(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one a line; None values are left out. What is too long is folded: it may be copied."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None:
            grid.add_row(Text(name, style="dim"), _cell(value))
    _print(grid)


def on_one_line(text: str) -> Text:
    """Return a value for a sheet that is cut where the line ends: it may be long, and nobody copies it."""
    from rich.text import Text

    return Text(clean(text), no_wrap=True, overflow="ellipsis")


def line(text: str, style: str = "") -> None:
    """Print one line as it is, without reading markup in it."""
    from rich.text import Text

    console().print(Text(clean(text), style=style))


def note(text: str) -> None:
    """Print one line beside the output, where a pipe does not take it."""
    print(clean(text), file=sys.stderr)


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
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{word}{seconds // size}{unit}{tail}"
    return f"{word}{seconds}s{tail}"


def took(milliseconds: float) -> str:
    """Return a duration in the unit that a person would say it in."""
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1_000
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _reach(row: Mapping[str, Any], path: str) -> object:
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if path.endswith("_ms") and isinstance(value, int | float):
        return took(value)
    return ago(value) if path.endswith("_at") or path in {"timestamp", "last_delivery"} else value


def _cell(value: object) -> Any:
    from rich.text import Text

    if isinstance(value, Text):
        return value
    if isinstance(value, list | tuple):
        return Text(", ".join(_word(item) for item in value))
    text = _word(value)
    return Text(text, style=STYLES.get(text, ""))


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return clean(dumps(value, ensure_ascii=False) if isinstance(value, dict) else value)


def columns(*names: Sequence[str] | str) -> dict[str, str]:
    """Return headings by path: ``"id"`` heads itself, ``("automation.id", "automation")`` is renamed."""
    pairs = [(name, name) if isinstance(name, str) else (name[0], name[1]) for name in names]
    return dict(pairs)
