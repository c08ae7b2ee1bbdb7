"""Delete one thing, after a question."""

from __future__ import annotations

from hookline.cli import show
from hookline.cli.client import Client
from hookline.cli.options import confirm


def delete_for_good(path: str, id_: str, question: str, *, yes: bool) -> None:
    """Ask, delete, and say so. yes: do not ask. Raises CommandError when the answer is no."""
    confirm(question, yes=yes)
    Client.from_environment().call("DELETE", path)
    show.line(f"{id_} is deleted", "green")
