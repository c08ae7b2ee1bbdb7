"""Deadlines: many exchanges under one timer, each ended when it is due and none sooner."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from hookline.senders.deadlines import Deadlines

if TYPE_CHECKING:
    from hookline.senders.connection import Connection

pytestmark = pytest.mark.asyncio


class Exchange:
    """Notes how long after its beginning it was ended."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.took: float | None = None

    def expire(self) -> None:
        self.took = time.monotonic() - self.began


def begun(deadlines: Deadlines, seconds: float) -> Exchange:
    one = Exchange()
    deadlines.add(one, one.began + seconds)  # type: ignore[arg-type]
    return one


async def test_each_ends_when_it_is_due_whatever_order_they_came_in() -> None:
    deadlines = Deadlines()
    late, soon, middle = (begun(deadlines, seconds) for seconds in (0.3, 0.1, 0.2))
    await asyncio.sleep(0.4)

    assert len(deadlines) == 0
    for one, due in ((late, 0.3), (soon, 0.1), (middle, 0.2)):
        assert one.took is not None
        assert due <= one.took < due + 0.1


async def test_what_is_over_is_not_ended_and_what_comes_later_still_is() -> None:
    deadlines = Deadlines()
    over = begun(deadlines, 0.05)
    deadlines.discard(over)  # type: ignore[arg-type]
    later = begun(deadlines, 0.15)
    await asyncio.sleep(0.25)

    assert over.took is None
    assert later.took is not None


async def test_what_is_due_already_ends_in_a_later_turn_of_the_loop() -> None:
    deadlines = Deadlines()
    one = begun(deadlines, -1.0)

    assert one.took is None
    await asyncio.sleep(0.02)
    assert one.took is not None


async def test_ending_one_may_begin_and_end_others() -> None:
    deadlines = Deadlines()
    began: list[Exchange] = []

    class Restless(Exchange):
        def expire(self) -> None:
            super().expire()
            began.append(begun(deadlines, 0.05))

    one: Connection = Restless()  # type: ignore[assignment]
    deadlines.add(one, time.monotonic() + 0.05)
    await asyncio.sleep(0.2)

    assert [other.took is not None for other in began] == [True]


async def test_after_close_nothing_is_ended() -> None:
    deadlines = Deadlines()
    one = begun(deadlines, 0.05)
    deadlines.close()
    await asyncio.sleep(0.15)

    assert one.took is None
