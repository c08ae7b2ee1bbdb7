"""Follow an execution's log as the server sends it."""

from __future__ import annotations

import time
from json import loads
from typing import TYPE_CHECKING, Any

from hookline.cli.client import Client, CommandError, segment

if TYPE_CHECKING:
    from collections.abc import Iterator


def followed(client: Client, execution_id: str, *, seconds: float | None = None) -> Iterator[dict[str, Any]]:
    """Yield its lines, from the first, until it has ended. Raises CommandError when the server stops before that, or
    the time is up; None for as long as it takes.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    hint = f"see `hookline executions show {execution_id}`"
    for line in client.lines(f"/api/v1/executions/{segment(execution_id)}/logs/follow"):
        # The server sends something every few seconds, so that this is reached in silence, too.
        if deadline is not None and time.monotonic() > deadline:
            raise CommandError(f"{execution_id} has not ended after {seconds:g} s and goes on; {hint}")
        name, _, value = line.decode("utf-8").rstrip("\r\n").partition(": ")
        if name != "data":
            continue
        entry = loads(value)
        if "position" not in entry:
            return
        yield entry
    raise CommandError(f"the server stopped before the end; {hint}")
