"""Robots: the recordings that people store, and what their runner is given."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from hookline.model.configuration import Document


class Matching(StrEnum):
    """Which pair of a recording runs next: in order, as Maxun has it, or the one whose ``where`` holds."""

    ORDER = "order"
    WHERE = "where"


class Robot(Document, frozen=True, kw_only=True):
    """recording: JSON text in Maxun's format, checked (``core/robots``).

    timeout_seconds: of one run.  concurrency: runs at once on one node, None for as many as there is room for.
    pause_ms: after each action.  max_repeats: of a pair that failed, before the run fails.
    """

    kind: ClassVar[str] = "robot"
    name: str
    recording: str
    timeout_seconds: int = 600
    concurrency: int | None = None
    matching: Matching = Matching.ORDER
    pause_ms: int = 500
    max_repeats: int = 5


class RobotDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """What the runner of robots is given at each start (``RunJob.definition``)."""

    recording: msgspec.Raw
    matching: Matching
    pause_ms: int
    max_repeats: int
