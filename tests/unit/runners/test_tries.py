"""Steps that are tried again, that take too long, and that are cut off: plain, async and in a shared process."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from hookline.core.tries import FailedTry, tries_by_step
from hookline.model.executions import JournalEntry
from hookline.ports.runner import Failed, Killed, Lost, Succeeded, Suspended

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="session")

WAYS = ("retried", "retried_async", "retried_shared")


def failed_tries(kept: Any) -> list[tuple[str, FailedTry]]:
    found = tries_by_step(kept.journal.values())
    return [(name, tried) for (name, _), tries in found.items() for _, tried in tries]


@pytest.mark.parametrize("way", WAYS)
async def test_a_step_that_fails_is_tried_as_often_as_was_asked_for(
    runs: Any, tmp_path: Path, kept: Any, way: str
) -> None:
    outcome = await runs.host.run(runs.job(way, {"path": str(tmp_path / "notes"), "fails": 2}), kept)
    tries = [tried for _, tried in failed_tries(kept)]

    assert json.loads(outcome.output) == "there"
    assert [(tried.number, tried.failure.type, tried.is_final) for tried in tries] == [
        (1, "ConnectionError", False),
        (2, "ConnectionError", False),
    ]
    assert all(tried.retry_at is not None for tried in tries)
    assert [entry.value for entry in kept.journal.values() if entry.op == "step"] == [b'"there"']


@pytest.mark.parametrize("way", WAYS)
async def test_one_that_fails_for_good_says_so_with_its_cause(
    runs: Any, tmp_path: Path, kept: Any, way: str
) -> None:
    outcome = await runs.host.run(runs.job(way, {"path": str(tmp_path / "notes"), "fails": 9}), kept)

    assert json.loads(outcome.output) == {
        "said": "step 'reach' failed in 3 tries: nobody there",
        "code": "FAILED",
        "type": "ConnectionError",
        "tries": 3,
        "cause": "ConnectionError",
    }
    assert [tried.is_final for _, tried in failed_tries(kept)] == [False, False, True]


@pytest.mark.parametrize("way", WAYS)
async def test_a_long_wait_between_tries_holds_no_process_and_counts_on(
    runs: Any, tmp_path: Path, kept: Any, way: str
) -> None:
    data = {"path": str(tmp_path / "notes"), "fails": 1, "policy": {"delay_seconds": 2.5}}
    job = runs.job(way, data)
    first = await runs.host.run(job, kept)
    outcome = await runs.again(job, kept)

    assert isinstance(first, Suspended)
    assert first.wake_at is not None
    assert first.waits == ()
    assert json.loads(outcome.output) == "there"
    assert (tmp_path / "notes").read_text() == "tried\ntried\n"


async def test_a_failure_for_good_is_remembered_when_the_run_goes_on(
    runs: Any, tmp_path: Path, kept: Any
) -> None:
    """Else a run that has taken one way would find itself on another after a sleep."""
    job = runs.job("fails_then_sleeps", {"path": str(tmp_path / "notes")})
    outcome = await runs.to_the_end(job, kept)

    assert json.loads(outcome.output) == "step 'reach' failed: nobody there"
    assert (tmp_path / "notes").read_text() == "tried\n"


async def test_an_execution_that_is_run_again_as_a_whole_has_all_its_tries_again(
    runs: Any, tmp_path: Path, kept: Any
) -> None:
    """PR-18: the retry of a flow begins a new round."""
    job = runs.job("retried", {"path": str(tmp_path / "notes"), "fails": 4})
    await runs.host.run(job, kept)
    kept.journal["retry", "", 0] = JournalEntry(
        op="retry", name="", occurrence=0, value=b"{}", started_at=datetime.now(UTC)
    )
    outcome = await runs.again(job, kept)

    assert json.loads(outcome.output) == "there"
    assert [(tried.number, tried.round) for _, tried in failed_tries(kept)] == [
        (1, 0),
        (2, 0),
        (3, 0),
        (4, 1),
    ]


async def test_an_error_that_no_try_can_mend_ends_the_step(runs: Any, tmp_path: Path, kept: Any) -> None:
    outcome = await runs.host.run(runs.job("gives_up", {"path": str(tmp_path / "notes")}), kept)

    assert isinstance(outcome, Failed)
    assert (outcome.failure.type, outcome.failure.message) == (
        "StepError",
        "step 'reach' failed: nobody there",
    )
    assert (tmp_path / "notes").read_text() == "tried\n"


async def test_a_try_that_takes_too_long_has_failed(runs: Any) -> None:
    outcome, _ = await runs.run("slow_step")

    assert json.loads(outcome.output) == {
        "said": "step 'slow' failed in 2 tries: it took longer than 0.1 s",
        "code": "TIMED_OUT",
        "type": "TimeoutError",
        "tries": 2,
        "cause": "NoneType",
    }


@pytest.mark.parametrize("way", ["slow_step_async", "slow_step_shared"])
async def test_async_code_cuts_short_what_is_awaited_and_what_blocks(runs: Any, way: str) -> None:
    outcome, _ = await runs.run(way)

    assert [one["code"] for one in json.loads(outcome.output)] == ["TIMED_OUT", "TIMED_OUT"]


async def test_what_makes_no_sense_is_refused_at_the_call(runs: Any) -> None:
    outcome, kept = await runs.run("policies")

    assert json.loads(outcome.output) == [
        "retries takes 0 to 100; got -1",
        "retries takes a whole number or a RetryPolicy; got True",
        "retries takes a whole number or a RetryPolicy; got '3'",
        "ctx.step: timeout_seconds must be above 0",
        "retries takes 0 to 100; got 101",
    ]
    assert not kept.journal


async def test_a_cancel_reaches_the_step_and_is_written_down(runs: Any, kept: Any) -> None:
    job = runs.job("long_step")
    run = asyncio.create_task(runs.host.run(job, kept))
    await kept.said("in it")
    runs.host.cancel(job.execution_id)
    outcome = await run

    assert isinstance(outcome, Killed)
    assert [(name, tried.failure.code) for name, tried in failed_tries(kept)] == [("long", "KILLED")]


async def test_a_step_that_does_not_listen_is_killed_and_written_down(runs: Any, kept: Any) -> None:
    job = runs.job("stubborn_step", timeout_ms=1500)
    outcome = await runs.host.run(job, kept)

    assert [(name, tried.failure.code) for name, tried in failed_tries(kept)] == [("deaf", "TIMED_OUT")]
    assert not isinstance(outcome, Succeeded)


async def test_a_step_that_takes_its_process_with_it_is_written_down_and_uses_up_no_try(
    runs: Any, kept: Any
) -> None:
    job = runs.job("dying_step")
    first = await runs.host.run(job, kept)
    outcome = await runs.again(job, kept)

    assert isinstance(first, Lost)
    assert [(name, tried.failure.code) for name, tried in failed_tries(kept)] == [("die", "LOST")]
    assert json.loads(outcome.output) == "lived"


async def test_steps_side_by_side_keep_their_places_over_a_sleep(
    runs: Any, tmp_path: Path, kept: Any
) -> None:
    """A step is known by its name and how often that came before, whatever order steps end in."""
    outcome = await runs.to_the_end(runs.job("side_by_side", {"path": str(tmp_path / "notes")}), kept)

    assert json.loads(outcome.output) == [f"part {number}" for number in range(6)]
    assert sorted((tmp_path / "notes").read_text().splitlines()) == [f"part {number}" for number in range(6)]
