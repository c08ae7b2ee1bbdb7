"""Say how long an organization's things are kept: never longer than the server keeps anything.

Pure. Nothing is deleted here; ``engine/maintain.py`` and ``engine/shrink.py`` do that by these lengths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from hookline.model.configuration import Retention


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """For how many days, each above 0.

    days: events and executions with all that hangs on them, after all of it has ended.
    payload_days: the data of ended events and what receivers answered; no longer than ``days``.
    held_days: deliveries of a webhook that is paused or disabled.
    """

    days: float
    payload_days: float
    held_days: float


def kept(server: Kept, own: Retention | None) -> Kept:
    """Return what holds for an organization. own: its wishes; one that is None or longer than the server's is no wish.

    The server's times are bounds and may be shortened after an organization said its own.
    """
    if own is None:
        return server
    days = _shorter(server.days, own.days)
    return Kept(
        days=days,
        payload_days=min(days, _shorter(server.payload_days, own.payload_days)),
        held_days=_shorter(server.held_days, own.held_days),
    )


def _shorter(server: float, own: float | None) -> float:
    return server if own is None else min(server, own)
