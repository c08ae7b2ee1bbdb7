"""Jobs that do many things again, as a person meets them: how many, may I, how far."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

from hookline.cli import show
from hookline.cli.client import CommandError, segment
from hookline.cli.options import ask

if TYPE_CHECKING:
    from hookline.cli.client import Client

_LOOK_SECONDS: Final = 0.5
_DONE: Final = ("reopened", "started", "added", "skipped")
"""What a job counts; one of deliveries knows others than one of requests."""

_ONE: Final = {"deliveries": "delivery", "requests": "request"}


def how_many(preview: dict[str, Any], things: str) -> str:
    """Say how much a job is. things: what it counts, ``deliveries`` or ``requests``."""
    more = "" if preview["is_count_exact"] else "more than "
    noun = _ONE[things] if preview["count"] == 1 else things
    return (
        f"{more}{preview['count']} {noun}, {preview['rate_per_second']:g} a second: "
        f"{preview['count'] / preview['rate_per_second']:.0f} s"
    )


def confirm_replay(preview: dict[str, Any], things: str, *, would: str, question: str) -> None:
    """Ask before it begins; without a terminal, ``--yes`` must have been given. Raises CommandError."""
    if not sys.stdin.isatty():
        raise CommandError(f"this would {would} {how_many(preview, things)}; add --yes to do it")
    show.line(how_many(preview, things))
    ask(question)


def follow(client: Client, made: dict[str, Any], *, is_shown: bool) -> dict[str, Any]:
    """Wait for the end of a job, or until somebody pauses it. Returns it as it then is."""
    from rich.progress import Progress

    with Progress(console=show.console(), transient=True, disable=not is_shown) as bar:
        task = bar.add_task("replaying", total=max(1, made["count"]))
        while made["status"] == "running":
            time.sleep(_LOOK_SECONDS)
            made = client.get(f"/api/v1/replays/{segment(made['id'])}")
            bar.update(task, completed=sum(made.get(name, 0) for name in _DONE))
    return made
