"""Say that a run took too long, and by whose limit: that of its automation, its organization or this server."""

from __future__ import annotations

from hookline.model.executions import Failure


def too_long(what: str, timeout_ms: int, limit: str | None, *, type_: str | None = None) -> Failure:
    """Return the failure of what a limit of time ended. what: how a sentence begins that is about it.

    limit: ``agent``, ``org`` or ``global``; None for a call, which has its own.  type_: the exception's class, where a
    kind of work has one.
    """
    seconds = f"{timeout_ms / 1000:g}"
    message = {
        "agent": f"{what} took longer than its limit of {seconds} seconds.",
        "org": "The organization's run time of this period is used up.",
        "global": f"{what} took longer than {seconds} seconds, the limit of this server.",
    }[limit or "agent"]
    return Failure(code="TIMED_OUT", message=message, type=type_, limit=limit)
