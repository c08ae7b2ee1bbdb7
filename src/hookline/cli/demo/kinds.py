"""The kinds of work that the demo shows where the machine can: each is a ``Part`` in a file of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hookline.cli.demo import render, robot, script

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookline.cli.demo.story import Demo


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of work.

    missing: what to do before it can be shown here, None when it can.  show: run one and have its result arrive; writes
    down what was accepted, and raises DemoError.
    """

    kind: str
    title: str
    missing: Callable[[], str | None]
    show: Callable[[Demo], Awaitable[None]]


PARTS: Final = (
    Part("script", "A script in a sandbox", script.missing, script.show),
    Part("robot", "A robot in a browser", robot.missing, robot.show),
    Part("render", "A movie, rendered to a video", render.missing, render.show),
)
