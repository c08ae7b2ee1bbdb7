"""Group commit: one transaction for all that waits, and one bad row fails alone (DESIGN section 2)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from hookline.engine.commit import Committer
from hookline.errors import RowError, StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager


class Ledger:
    """Applies writes that are plain text; one named ``bad`` fails its whole batch, as a database would."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.is_away = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def commit(self, writes: Sequence[Any]) -> list[object]:
        await self.gate.wait()
        if self.is_away:
            raise StorageError("The database is away.")
        if "bad" in writes:
            raise RowError("A row was refused.")
        self.batches.append(list(writes))
        return [f"done {write}" for write in writes]


def running(ledger: Ledger) -> AbstractAsyncContextManager[Committer]:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def run() -> AsyncIterator[Committer]:
        committer = Committer(ledger)
        committer.start()
        yield committer
        await committer.close()

    return run()


@pytest.mark.asyncio
async def test_what_waits_during_a_commit_shares_the_next_one() -> None:
    ledger = Ledger()
    ledger.gate.clear()
    async with running(ledger) as committer:
        first = asyncio.create_task(committer.commit("first"))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        rest = [asyncio.create_task(committer.commit(f"{n}")) for n in range(50)]  # type: ignore[arg-type]
        await asyncio.sleep(0)
        ledger.gate.set()
        await asyncio.gather(first, *rest)

    assert ledger.batches == [["first"], [f"{n}" for n in range(50)]]


@pytest.mark.asyncio
async def test_results_go_to_their_own_callers() -> None:
    async with running(Ledger()) as committer:
        results = await asyncio.gather(*(committer.commit(f"{n}") for n in range(100)))  # type: ignore[arg-type]

    assert results == [f"done {n}" for n in range(100)]


@pytest.mark.asyncio
async def test_one_bad_write_fails_alone() -> None:
    ledger = Ledger()
    async with running(ledger) as committer:
        writes = [f"{n}" for n in range(20)] + ["bad"] + [f"{n}" for n in range(20, 33)]
        results = await asyncio.gather(*(committer.commit(w) for w in writes), return_exceptions=True)  # type: ignore[arg-type]

    assert isinstance(results[20], RowError)
    assert sum(isinstance(result, Exception) for result in results) == 1
    assert sorted(w for batch in ledger.batches for w in batch) == sorted(w for w in writes if w != "bad")


@pytest.mark.asyncio
async def test_a_store_that_is_away_fails_all_at_once_and_is_not_asked_again() -> None:
    ledger = Ledger()
    ledger.is_away = True
    async with running(ledger) as committer:
        results = await asyncio.gather(*(committer.commit(f"{n}") for n in range(8)), return_exceptions=True)  # type: ignore[arg-type]

        assert all(isinstance(result, StorageError) for result in results)
        ledger.is_away = False
        assert await committer.commit("later") == "done later"  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_what_must_follow_a_commit_happens_though_its_caller_left() -> None:
    """A caller that disconnects must not strand a delivery that was stored as claimed (P2)."""
    ledger = Ledger()
    ledger.gate.clear()
    seen: list[object] = []
    async with running(ledger) as committer:
        caller = asyncio.create_task(committer.commit("write", after=seen.append))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        caller.cancel()
        ledger.gate.set()
        await asyncio.sleep(0.01)

    assert seen == ["done write"]


@pytest.mark.asyncio
async def test_closing_commits_what_waits() -> None:
    ledger = Ledger()
    ledger.gate.clear()
    committer = Committer(ledger)
    committer.start()
    waiting = [asyncio.create_task(committer.commit(f"{n}")) for n in range(3)]  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    ledger.gate.set()
    await committer.close()

    assert await asyncio.gather(*waiting) == ["done 0", "done 1", "done 2"]


@pytest.mark.asyncio
async def test_what_a_writer_does_with_its_outcome_may_fail() -> None:
    """A defect in one follow-up stops neither its own caller nor the commits after it."""

    def broken(_: object) -> None:
        raise KeyError("a defect of ours")

    async with running(Ledger()) as committer:
        one = committer.commit("one", after=broken)  # type: ignore[arg-type]
        two = committer.commit("two")  # type: ignore[arg-type]
        results = await asyncio.gather(one, two)
        later = await committer.commit("three")  # type: ignore[arg-type]

    assert [*results, later] == ["done one", "done two", "done three"]
