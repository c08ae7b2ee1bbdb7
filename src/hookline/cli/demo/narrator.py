"""How the demo is told in a terminal: one line for each thing that happens, as it happens.

Every line reads without colour too, so a pipe, a log file and NO_COLOR lose nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hookline.cli.show import clean, console

if TYPE_CHECKING:
    from hookline.cli.demo.ledger import Arrival, Verdict

_MARKS = {"ok": ("✓", "green"), "bad": ("✗", "bold red"), "kill": ("✂", "bold red"), "skip": ("-", "yellow")}


_REQUEST_WIDTH = 40
"""Columns of a request: all that stands there whole but for long ids, in a terminal of 80."""


def brief(id: str) -> str:
    """Return an id that fits beside others: its end, since ids of one minute begin alike."""
    prefix, mark, _ = id.rpartition("_")
    return f"{prefix}{mark}…{id[-12:]}"


def _fitted(text: str, width: int) -> str:
    """Return a text of exactly this many characters, shortened visibly."""
    return f"{text[: width - 1]}…" if len(text) > width else text.ljust(width)


class Narrator:
    """Prints the story. Nothing here decides anything.

    shows_results: print what a run gave below its delivery; off while many arrive.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._chapter = 0
        self.shows_results = True

    def title(self) -> None:
        """Say what is about to happen."""
        self._print(
            ("Hookline demo", "bold"),
            ("  a real server, a real receiver, real signatures, one kill -9", "dim"),
        )

    def chapter(self, text: str) -> None:
        """Open the next part."""
        self._chapter += 1
        self._print()
        self._print((f"{self._chapter}  {text}", "bold"))

    def fact(self, name: str, value: str) -> None:
        """Say where something is."""
        self._print((f"   {name:<10}", "dim"), (value, ""))

    def request(self, method: str, path: str, status: int, note: str) -> None:
        """Show a request that was made to the server."""
        style = "green" if status < 300 else "bold red"
        self._print(
            (self._clock(), "dim"),
            ("→ ", "cyan"),
            (f"{_fitted(f'{method} {path}', _REQUEST_WIDTH)} ", ""),
            (f"{status} ", style),
            (note, "dim"),
        )

    def arrival(self, arrival: Arrival) -> None:
        """Show a delivery that reached the receiver."""
        check = ("verified", "green") if arrival.problem is None else (arrival.problem, "bold red")
        again = (", again", "yellow") if arrival.is_repeat else ("", "")
        self._print(
            (self._clock(), "dim"),
            ("← ", "magenta"),
            (f"{arrival.type:<30} ", ""),
            (f"{arrival.webhook:<14}", "dim"),
            (f"{arrival.subject:<9} ", ""),
            check,
            again,
        )

        if arrival.result is not None and self.shows_results and not arrival.is_repeat:
            self._print((f"{'':15}{arrival.result}", "dim"))

    def note(self, mark: str, text: str) -> None:
        """Say something in between. mark: ok, bad, kill or skip."""
        sign, style = _MARKS[mark]
        self._print(
            (self._clock(), "dim"), (f"{sign} ", style), (text, style if mark in {"bad", "kill"} else "")
        )

    def verdict(self, verdict: Verdict) -> None:
        """Print both sides of the ledger."""
        from rich.table import Table
        from rich.text import Text

        grid = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
        for heading in ("", "accepted", "ended", "events owed", "arrived", "missing"):
            grid.add_column(heading, justify="left" if not heading else "right")
        for row in verdict.rows:
            style = "red" if row.missing or row.ended != row.accepted else "green"
            numbers = (row.accepted, row.ended, row.owed, row.arrived, row.missing)
            grid.add_row(Text(f"   {row.name}"), *(Text(str(number), style=style) for number in numbers))
        console().print(grid)

    def passed(self, text: str) -> None:
        """End well."""
        self._print()
        self._print(("✓ ", "bold green"), (text, "bold green"))

    def failed(self, reason: str) -> None:
        """End badly, with the reason."""
        self._print()
        self._print(("✗ ", "bold red"), (reason, "bold red"))

    def next_steps(self) -> None:
        """Say what to try now."""
        self._print()
        self._print(
            ("Next: ", "bold"), ("hookline serve", "cyan"), ("   and docs/tutorial/first-webhook.md", "dim")
        )

    def _clock(self) -> str:
        return f"   {time.monotonic() - self._began:6.2f} s  "

    def _print(self, *parts: tuple[str, str]) -> None:
        from rich.text import Text

        # Arrivals hold what a receiver got: it is shown, never obeyed.
        console().print(Text.assemble(*((clean(text), style) for text, style in parts)), soft_wrap=True)
