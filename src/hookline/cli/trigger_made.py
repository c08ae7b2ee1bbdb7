"""A trigger that was just made, as a person meets it: its credential, once, and a command that calls it."""

from __future__ import annotations

import shlex
from typing import Any

from hookline.cli import show
from hookline.cli.sheets import show_trigger


def show_made(made: dict[str, Any], *, password: str | None) -> None:
    """Print it with its credential and with a command that calls it. password: of ``basic``, as it was given."""
    show_trigger(made)
    credential = {"token", "api_key"} & made.keys()
    if credential:
        show.line(f"The {credential.pop()} is shown once: give it to whoever calls.", "yellow")
    show.line("")
    show.line("Call it:")
    print(f"  {_call(made, password=password)}")


def _call(made: dict[str, Any], *, password: str | None) -> str:
    """Return a command that calls a trigger that was just made."""
    kind = made["auth"]["type"]
    if kind == "signature":
        return f"hookline triggers send {made['id']} --secret @secret.txt --data '{{\"order\": 1}}'"
    words = ["curl", made["url"]]
    if kind == "api_key":
        words += ["-H", f"Api-Key: {made['api_key']}"]
    elif kind == "token" and "token=" not in made["url"]:
        words += ["-H", f"Authorization: Bearer {made['token']}"]
    elif kind == "basic":
        words += ["-u", f"{made['auth']['username']}:{password}"]
    words += ["-H", "Content-Type: application/json", "-d", _example(made)]
    return shlex.join(words)


def _example(made: dict[str, Any]) -> str:
    if made["profile"] != "agenticflow":
        return '{"order": 1}'
    return '{"message": "Hello"}' if made["automation"]["kind"] == "agent" else '{"input_data": {"order": 1}}'
