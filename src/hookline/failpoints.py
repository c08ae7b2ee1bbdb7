"""Die, fail or pause at a named point of the code: how the crash test proves what a kill cannot break.

``hit(name)`` stands where a crash would hurt most. Unarmed it is one comparison with None. Armed, by
``HOOKLINE_FAILPOINTS`` and only in a crash test's own database (``Settings`` refuses it elsewhere), the named
passing acts. Nothing here is random: the crash test draws names and passings from its seed.

``HOOKLINE_FAILPOINTS="after_commit:kill@37,before_send:sleep(200)"``: kill at the 37th passing, sleep 200 ms
at the first. Actions are ``kill`` (SIGKILL to ourselves), ``raise`` (FailpointError) and ``sleep(MS)``.
"""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import dataclass
from typing import Final

from hookline.errors import SettingError

FAILPOINTS: Final = {
    "before_commit": "K1: writes are ready, the transaction has not begun",
    "in_transaction": "K2: rows are written, COMMIT was not sent",
    "after_commit": "K3: the commit is durable, nobody knows yet",
    "before_fanout": "K4: more matches than one transaction holds, the cursor was not moved yet",
    "in_fanout": "K5: part of the fan-out is stored",
    "before_send": "K6: the delivery is claimed, nothing was dialled",
    "in_send": "K7: the request is on the wire, its answer is not read",
    "after_send": "K8: the receiver answered, the attempt is not recorded",
    "in_settle": "K9: inside the transaction that records an attempt, between its statements",
    "in_checkpoint": "K10: SQLite's log is being copied back, or old rows are being deleted",
    "in_migration": "K10: a migration's statements ran, its number is not stored",
    "before_start": "K12: the execution is stored as running, its process has not started",
    "before_finish": "K12: the execution has ended, its end is not stored",
}
"""Every point there is, with the row of PROMISES section 3 it stands for."""

_SPEC = re.compile(
    r"(?P<name>[a-z_]+):(?P<action>kill|raise|sleep\((?P<ms>[0-9]{1,6})\))(?:@(?P<at>[0-9]{1,9}))?"
)


class FailpointError(RuntimeError):
    """Raised at a failpoint armed with ``raise``: stands for whatever could go wrong there."""


@dataclass(slots=True)
class _Armed:
    """passings_left: passings until it acts, 1 for the next."""

    action: str
    passings_left: int
    sleep_ms: int = 0


_armed: dict[str, _Armed] | None = None


def hit(name: str) -> None:
    """Pass the point ``name``. Free unless armed."""
    if _armed is None:
        return
    point = _armed.get(name)
    if point is None:
        return
    point.passings_left -= 1
    if point.passings_left == 0:
        _act(name, point)


def arm(text: str | None) -> None:
    """Arm the points that ``text`` names; None or empty for none. Raises SettingError."""
    global _armed
    _armed = dict(map(_parse, filter(None, map(str.strip, text.split(","))))) if text else None


def _parse(text: str) -> tuple[str, _Armed]:
    match = _SPEC.fullmatch(text)
    if match is None or match["name"] not in FAILPOINTS:
        raise SettingError(
            f"HOOKLINE_FAILPOINTS must be a list of NAME:kill|raise|sleep(MS)[@N], got {text!r}",
            field="failpoints",
            expected="NAME:kill|raise|sleep(MS)[@N]",
            received=text,
        )
    # @0 would never act: it is read as the first passing.
    return match["name"], _Armed(
        match["action"].partition("(")[0], max(1, int(match["at"] or 1)), int(match["ms"] or 0)
    )


def _act(name: str, point: _Armed) -> None:
    if point.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if point.action == "raise":
        raise FailpointError(f"failpoint {name}")
    time.sleep(point.sleep_ms / 1000)  # the whole process stops, as a long pause of the machine would stop it
