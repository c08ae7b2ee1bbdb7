"""End a run, and the process it had to itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn

from hookline.model.states import Kind
from hookline.runners import values
from hookline.runners.protocol import Broken, FrameTooLargeError
from hookline.runners.streams import flush_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.model.executions import Failure
    from hookline.runners.protocol import Start, ToNode
    from hookline.runners.session import RunSession


def answer(session: RunSession, kind: Kind, result: Any, send: Callable[[ToNode], None]) -> None:
    """Send what the function returned, or why that cannot be sent."""
    if kind is Kind.AGENT and not isinstance(result, str | dict):
        message = f"an agent returns its reply, a text or a JSON object; got {type(result).__name__}"
        send(Broken(session.run, values.failure(message, type_="TypeError")))
        return
    try:
        send(session.finished(result))
    except (TypeError, ValueError, FrameTooLargeError) as exc:
        send(Broken(session.run, values.failure(str(exc), type_=type(exc).__name__)))


def missing(start: Start) -> Failure:
    """Return the failure of a run whose function is gone from the app's file."""
    return values.failure(f"the app has no {start.kind} {start.automation_id!r}")


def leave() -> NoReturn:
    """End the process now: no ``finally``, no exit handler, no waiting for threads of the user."""
    flush_output()
    os._exit(0)
