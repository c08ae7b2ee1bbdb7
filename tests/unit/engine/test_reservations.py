"""Reservations are given back, also those that the store could not take back when they ended."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from hookline.engine.reservations import Reservations
from hookline.errors import StorageError
from hookline.ports import Once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.ports import Repeat

pytestmark = pytest.mark.asyncio

ONCE = Once(
    scope=bytes(16), name="round", digest=b"", answer=b"", expires_at=datetime(2030, 1, 1, tzinfo=UTC)
)


class Table:
    """``ports.Onces`` of one name."""

    def __init__(self) -> None:
        self.holder: int | None = None
        self.answer = b""
        self._is_away = False
        self._is_deaf = False

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nothing is answered."""
        self._is_away = True
        yield
        self._is_away = False

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """It is done, and then nothing answered."""
        self._is_deaf = True
        yield
        self._is_deaf = False

    async def reserve(self, once: Once, epoch: int) -> Repeat | bool:  # noqa: ARG002 -- the protocol's
        self._answers()
        is_free, self.holder = self.holder is None, epoch
        self._heard()
        return is_free

    async def finish(self, once: Once, epoch: int) -> None:  # noqa: ARG002 -- the protocol's
        self._answers()
        self.answer = once.answer or b"finished"

    async def forget(self, once: Once, epoch: int) -> None:  # noqa: ARG002 -- the protocol's
        self._answers()
        self.holder = None

    def _answers(self) -> None:
        if self._is_away:
            raise StorageError("away")

    def _heard(self) -> None:
        if self._is_deaf:
            raise StorageError("away")


async def test_what_could_not_be_given_back_is_when_the_store_is_there_again() -> None:
    table = Table()
    reservations = Reservations(table)
    assert await reservations.reserve(ONCE, 1) is True
    with table.away():
        with pytest.raises(StorageError):
            await reservations.forget(ONCE, 1)
        with pytest.raises(StorageError):
            await reservations.settle()
    await reservations.settle()

    assert table.holder is None


async def test_who_asks_again_before_that_is_not_locked_out_by_itself() -> None:
    table = Table()
    reservations = Reservations(table)
    await reservations.reserve(ONCE, 1)
    with table.away(), pytest.raises(StorageError):
        await reservations.forget(ONCE, 1)

    assert await reservations.reserve(ONCE, 1) is True
    await reservations.settle()
    assert table.holder == 1, "what is held now is not what was owed"


async def test_a_reservation_of_which_nobody_knows_whether_it_was_stored_is_given_back() -> None:
    table = Table()
    reservations = Reservations(table)
    with table.deaf(), pytest.raises(StorageError):
        await reservations.reserve(ONCE, 1)
    assert table.holder == 1
    await reservations.settle()

    assert table.holder is None


async def test_a_call_that_failed_gives_nothing_back_that_another_call_of_this_node_holds() -> None:
    table = Table()
    reservations = Reservations(table)
    await reservations.reserve(ONCE, 1)
    with table.away(), pytest.raises(StorageError):
        await reservations.reserve(ONCE, 1)
    await reservations.settle()

    assert table.holder == 1


async def test_an_answer_that_could_not_be_kept_is_kept_later_and_not_forgotten() -> None:
    """P5: the act is done, so a repeat must find its answer and not do it again."""
    table = Table()
    reservations = Reservations(table)
    await reservations.reserve(ONCE, 1)
    with table.away(), pytest.raises(StorageError):
        await reservations.finish(ONCE, 1)
    await reservations.settle()

    assert (table.holder, table.answer) == (1, b"finished")
