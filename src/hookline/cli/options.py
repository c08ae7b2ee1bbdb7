"""Options that several commands share, worded once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from hookline.cli.client import CommandError, Verbatim

_EXAMPLE: Final = """{} '{{"timeout_seconds": 10, "metadata": {{"team": "billing"}}}}'"""

Json = Annotated[bool, Parameter(name="--json", help="Print JSON, for programs.")]
Limit = Annotated[int, Parameter(name=["--limit", "-n"], help="Most rows to show.", validator=Number(gte=1))]
Data = Annotated[
    str | None,
    Parameter(
        name=["--data", "-d"], help="JSON text, `@FILE` for a file's content, or `-` for standard input."
    ),
]
Wait = Annotated[
    bool,
    Parameter(help="Follow the run to its end; the exit code is 0 only if it succeeded."),
]
Stay = Annotated[bool, Parameter(negative="--no-wait")]
"""A ``wait`` that is on unless told otherwise."""
Timeout = Annotated[float, Parameter(help="Longest wait in seconds; the run goes on after it.")]


def read_data(data: str | None, *, name: str = "--data") -> Any:
    """Return the parsed JSON of a Data option, None when it is absent. Raises CommandError."""
    return None if data is None else _parsed(_text(data, name), name)


def read_verbatim(data: str | None, *, name: str = "--data") -> Verbatim:
    """Return the JSON text of a Data option as it was written, ``null`` when it is absent: an event's data is sent on
    byte for byte, so no space and no digit of it may change on the way. Raises CommandError.
    """
    if data is None:
        return Verbatim("null")
    text = _text(data, name)
    _parsed(text, name)
    return Verbatim(text.strip())


def read_object(data: str | None, *, name: str = "--data") -> dict[str, Any]:
    """Return a Data option that must be a JSON object; an empty one when it is absent."""
    value = read_data(data, name=name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CommandError(f"{name} must be a JSON object, such as '{{\"order\": 1}}'")
    return value


def read_fields(text: str | None, *, name: str = "--set") -> dict[str, Any]:
    """Return the fields of a ``--set`` option; to ``--set dialect=standard`` say how it is written."""
    if text is None:
        return {}
    field, equals, value = text.partition("=")
    if equals and field.replace("_", "").isalnum():
        try:
            json.loads(value)
        except ValueError:
            value = json.dumps(value)
        raise CommandError(f"{name} takes a JSON object: {name} '{{\"{field}\": {value}}}'")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise CommandError(f"{name} takes a JSON object: {_EXAMPLE.format(name)} ({error})") from error
    if not isinstance(found, dict):
        raise CommandError(f"{name} takes a JSON object: {_EXAMPLE.format(name)}")
    return found


def _text(data: str, name: str) -> str:
    try:
        if data == "-":
            return sys.stdin.read()
        return Path(data[1:]).read_text(encoding="utf-8") if data.startswith("@") else data
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{name} names a file that cannot be read: {error}") from error


def _parsed(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(f"{name} must be JSON, such as '{{\"order\": 1}}': {error}") from error


def read_bytes(path: Path) -> bytes:
    """Return what a file holds. Raises CommandError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error


def read_secret(text: str) -> str:
    """Return a secret, or what is in the file of ``@FILE``. Raises CommandError."""
    # Only the line end that an editor adds is dropped: other spaces are a mistake worth explaining.
    secret = text
    if text.startswith("@"):
        secret = read_bytes(Path(text[1:])).decode("utf-8", "replace").rstrip("\r\n")
    if not secret:
        raise CommandError("--secret must not be empty")
    return secret


Yes = Annotated[bool, Parameter(name=["--yes", "-y"], help="Do not ask.")]


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone; without a terminal, ``--yes`` must have been given."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{question} Add --yes to say so.")
    ask(question)


def ask(question: str) -> None:
    """Go on only with a yes; a terminal that ends the input says no. Raises CommandError."""
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        print(file=sys.stderr)
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise CommandError("nothing was changed")
