"""What ``hookline doctor`` says of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """level: ok, note (what not everybody needs is not there), warn or fail.  found: what is there.

    mend: what to do, or empty.
    """

    subject: str
    level: Level
    found: str
    mend: str = ""
