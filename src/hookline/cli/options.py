"""Options that several commands share, worded once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from hookline.cli.client import CommandError

Json = Annotated[bool, Parameter(name="--json", help="Print JSON, for programs.")]
Limit = Annotated[int, Parameter(name=["--limit", "-n"], help="Most rows to show.")]
Data = Annotated[
    str | None,
    Parameter(
        name=["--data", "-d"], help="JSON text, `@FILE` for a file's content, or `-` for standard input."
    ),
]


def read_data(data: str | None, *, name: str = "--data") -> Any:
    """Return the parsed JSON of a Data option, None when it is absent. Raises CommandError."""
    if data is None:
        return None
    try:
        if data == "-":
            text = sys.stdin.read()
        elif data.startswith("@"):
            text = Path(data[1:]).read_text(encoding="utf-8")
        else:
            text = data
        return json.loads(text)
    except OSError as error:
        raise CommandError(f"{name} names a file that cannot be read: {error}") from error
    except ValueError as error:
        raise CommandError(f"{name} must be JSON, such as '{{\"order\": 1}}': {error}") from error


def read_object(data: str | None, *, name: str = "--data") -> dict[str, Any]:
    """Return a Data option that must be a JSON object; an empty one when it is absent."""
    value = read_data(data, name=name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CommandError(f"{name} must be a JSON object, such as '{{\"order\": 1}}'")
    return value


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone; without a terminal, ``--yes`` must have been given."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{question} Add --yes to say so.")
    if input(f"{question} [y/N] ").strip().lower() not in {"y", "yes"}:
        raise CommandError("nothing was changed")
