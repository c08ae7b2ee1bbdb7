"""A run that goes on in another process repeats nothing, and one that rests holds no process."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from hookline.model.executions import JournalEntry
from hookline.ports.runner import Failed, Lost, Succeeded, Suspended

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="session")


def answered(name: str, occurrence: int, value: Any) -> JournalEntry:
    return JournalEntry(
        op="wait",
        name=name,
        occurrence=occurrence,
        value=msgspec.json.encode(value),
        started_at=datetime.now(UTC),
    )


@pytest.mark.parametrize("steps", ["steps", "steps_async"])
async def test_steps_logs_credits_and_events_reach_the_listener(
    runs: Any, tmp_path: Path, kept: Any, steps: str
) -> None:
    job = runs.job(steps, {"path": str(tmp_path / "notes")})
    outcome = await runs.host.run(job, kept)

    assert json.loads(outcome.output) == ["one", "one again", "two"]
    assert kept.texts() == ["begin", "middle", "end"]
    assert json.loads(kept.logs[0].fields) == {"number": 1}
    assert kept.credits == 3.5
    assert [(emit.type, emit.occurrence, emit.data) for emit in kept.emits] == [
        ("seen", 0, b'{"n":1}'),
        ("seen", 1, b'{"n":2}'),
    ]
    assert [key for key in kept.journal if key[0] == "step"] == [
        ("step", "one", 0),
        ("step", "one", 1),
        ("step", "two", 0),
    ]


@pytest.mark.parametrize("steps", ["steps", "steps_async"])
async def test_a_run_whose_process_died_goes_on_after_its_last_step(
    runs: Any, tmp_path: Path, kept: Any, steps: str
) -> None:
    job = runs.job(steps, {"path": str(tmp_path / "notes"), "crash": True})
    first = await runs.host.run(job, kept)
    second = await runs.again(job, kept)

    assert isinstance(first, Lost)
    assert json.loads(second.output) == ["one", "one again", "two"]
    assert (tmp_path / "notes").read_text() == "one\none again\ntwo\n"
    assert kept.texts() == ["begin", "middle", "end"]
    assert kept.credits == 3.5
    assert len(kept.emits) == 2


@pytest.mark.parametrize("steps", ["steps", "steps_async"])
async def test_a_run_with_a_full_journal_records_nothing(
    runs: Any, tmp_path: Path, kept: Any, steps: str
) -> None:
    job = runs.job(steps, {"path": str(tmp_path / "notes")})
    await runs.host.run(job, kept)
    calls = kept.calls
    outcome = await runs.again(job, kept)

    assert isinstance(outcome, Succeeded)
    assert kept.calls == calls
    assert (tmp_path / "notes").read_text().count("\n") == 3


async def test_a_step_goes_on_only_after_it_is_stored(runs: Any, tmp_path: Path, kept: Any) -> None:
    kept.gate = asyncio.Event()
    run = asyncio.create_task(runs.host.run(runs.job("steps", {"path": str(tmp_path / "notes")}), kept))
    async with asyncio.timeout(5):
        while not (tmp_path / "notes").exists():  # noqa: ASYNC110 -- another process makes it
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    before = (tmp_path / "notes").read_text()
    kept.gate.set()

    assert before == "one\n"
    assert isinstance(await run, Succeeded)


async def test_what_arrives_during_a_commit_is_handed_over_in_one_call(runs: Any, kept: Any) -> None:
    kept.gate = asyncio.Event()
    run = asyncio.create_task(runs.host.run(runs.job("many_logs", 1000), kept))
    await asyncio.sleep(0.5)
    kept.gate.set()
    await run

    assert kept.texts() == [f"line {number}" for number in range(1000)]
    # One call for the first line, one for what came meanwhile; a busy machine may need a few more to send it all.
    assert kept.calls <= 20
    assert len(kept.journal) <= 20
    assert ("log", "", 999) in kept.journal


async def test_a_large_journal_comes_in_parts(runs: Any, tmp_path: Path, kept: Any) -> None:
    value = msgspec.json.encode("x" * 1_000_000)
    for number in range(30):
        kept.journal["step", "other", number] = JournalEntry(
            op="step", name="other", occurrence=number, value=value, started_at=datetime.now(UTC)
        )
    outcome = await runs.again(runs.job("steps", {"path": str(tmp_path / "notes")}), kept)

    assert isinstance(outcome, Succeeded)


async def test_a_step_returns_what_json_gives_back(runs: Any) -> None:
    """So that it is the same the first time and after resuming."""
    outcome, kept = await runs.run("step_results")
    output = json.loads(outcome.output)

    assert output["shaped"] == [1, {"a": [2]}]
    assert output["problems"] == [
        "ValueError: the result of step 'nan' is not JSON: Out of range float values are not JSON compliant",
        "TypeError: the result of step 'set' is not JSON: Object of type set is not JSON serializable",
        "step 'async' calls an async function: make the automation itself async",
    ]
    assert [key[1] for key in kept.journal if key[0] == "step"] == ["tuple"]


async def test_a_step_that_raised_is_tried_again(runs: Any, kept: Any) -> None:
    job = runs.job("flaky_step")
    first = await runs.host.run(job, kept)
    second = await runs.again(job, kept)

    assert isinstance(first, Suspended)
    assert json.loads(second.output) == "worked"


async def test_too_much_logging_is_cut_with_one_line(runs: Any) -> None:
    _, kept = await runs.run("loud_log")

    assert kept.texts()[-1] == "too much was logged: the rest is dropped"
    assert sum(map(len, kept.texts())) <= 10 * 1024 * 1024
    assert max(map(len, kept.texts())) == 64 * 1024


@pytest.mark.parametrize("nap", ["nap", "nap_async", "nap_shared"])
async def test_a_sleep_holds_no_process_and_runs_no_finally(
    runs: Any, tmp_path: Path, kept: Any, nap: str, children: Callable[[], set[int]]
) -> None:
    before = datetime.now(UTC)
    job = runs.job(nap, {"seconds": 60, "path": str(tmp_path / "notes")})
    outcome = await runs.host.run(job, kept)
    await asyncio.sleep(0.15)

    assert isinstance(outcome, Suspended)
    assert outcome.wake_at is not None
    assert timedelta(seconds=59) < outcome.wake_at - before < timedelta(seconds=62)
    assert outcome.waits == ()
    assert not (tmp_path / "notes").exists()
    assert len(children()) <= 3  # two warm, one shared


@pytest.mark.parametrize("nap", ["nap", "nap_async", "nap_shared"])
async def test_a_sleep_that_is_over_returns_at_once(runs: Any, tmp_path: Path, kept: Any, nap: str) -> None:
    job = runs.job(nap, {"seconds": 0.5, "path": str(tmp_path / "notes")})
    first = await runs.host.run(job, kept)
    second = await runs.again(job, kept)

    assert isinstance(first, Suspended)
    assert first.wake_at is not None
    assert json.loads(second.output) == 2
    assert (tmp_path / "notes").read_text() == "awake in 2\n"
    assert datetime.now(UTC) >= first.wake_at


async def test_a_sleep_ends_at_the_instant_it_was_first_given(runs: Any, kept: Any) -> None:
    job = runs.job("nap", {"seconds": 60, "path": "/dev/null"})
    first = await runs.host.run(job, kept)
    second = await runs.again(job, kept)

    assert first == second


@pytest.mark.parametrize("nap", ["nap", "nap_async", "nap_shared"])
async def test_a_short_sleep_stays_in_its_process(runs: Any, nap: str) -> None:
    outcome, kept = await runs.run(nap, {"seconds": 0.05, "path": "/dev/null"})

    assert json.loads(outcome.output) == 1
    assert ("sleep", "", 0) in kept.journal


@pytest.mark.parametrize("wait", ["wait", "wait_async"])
async def test_a_wait_suspends_until_it_is_answered(runs: Any, kept: Any, wait: str) -> None:
    job = runs.job(wait)
    first = await runs.host.run(job, kept)
    kept.journal["wait", "approved", 0] = answered("approved", 0, {"by": "ann"})
    second = await runs.again(job, kept)

    assert isinstance(first, Suspended)
    assert (first.wake_at, first.wait_name) == (None, "approved")
    assert json.loads(second.output) == {"by": "ann"}


@pytest.mark.parametrize("wait", ["wait", "wait_async"])
async def test_an_answer_that_comes_early_is_kept(runs: Any, wait: str) -> None:
    outcome, _ = await runs.run(wait, journal=(answered("approved", 0, "early"),))

    assert json.loads(outcome.output) == "early"


@pytest.mark.parametrize("wait", ["wait", "wait_async"])
async def test_a_wait_gives_up_at_its_deadline(runs: Any, kept: Any, wait: str) -> None:
    job = runs.job(wait, 0.3)
    first = await runs.host.run(job, kept)
    asked = kept.journal["wait", "approved", 0]
    second = await runs.again(job, kept)
    closed = kept.journal["wait", "approved", 0]

    assert isinstance(first, Suspended)
    assert first.wake_at is not None
    assert first.wake_at == first.waits[0].deadline
    assert second.output == b"null"
    assert (asked.value, closed.value) == (None, b"null")
    assert datetime.now(UTC) >= first.wake_at


async def test_waits_of_one_name_are_told_apart_by_occurrence(runs: Any, kept: Any) -> None:
    job = runs.job("wait_twice")
    kept.journal["wait", "a", 0] = answered("a", 0, 1)
    first = await runs.again(job, kept)
    kept.journal["wait", "a", 1] = answered("a", 1, 2)
    second = await runs.again(job, kept)

    assert first.waits[0].occurrence == 1
    assert json.loads(second.output) == [1, 2]


async def test_steps_beside_a_wait_are_finished_before_the_run_rests(
    runs: Any, tmp_path: Path, kept: Any
) -> None:
    job = runs.job("beside", str(tmp_path / "notes"))
    first = await runs.host.run(job, kept)

    assert isinstance(first, Suspended)
    assert [wait.name for wait in first.waits] == ["go"]
    assert first.wake_at is not None
    assert (tmp_path / "notes").read_text() == "after\n"
    assert {("step", "slow", 0), ("step", "after", 0), ("wait", "go", 0)} <= kept.journal.keys()


async def test_steps_of_other_threads_are_finished_before_the_run_rests(runs: Any) -> None:
    outcome, kept = await runs.run("beside_threads")

    assert isinstance(outcome, Suspended)
    assert ("step", "slow", 0) in kept.journal


async def test_a_step_cannot_be_cut_in_two(runs: Any) -> None:
    outcome, _ = await runs.run("pause_in_step")

    assert json.loads(outcome.output) == [
        "ctx.sleep cannot be called inside a step: call it between steps",
        "ctx.wait_for_event cannot be called inside a step: call it between steps",
    ]


async def test_a_run_ends_with_what_the_listener_raises(runs: Any, tmp_path: Path, kept: Any) -> None:
    class DiskFullError(Exception):
        pass

    async def refuse(*_: Any) -> None:
        raise DiskFullError

    kept.recorded = refuse
    with pytest.raises(DiskFullError):
        await runs.host.run(runs.job("steps", {"path": str(tmp_path / "notes")}), kept)


async def test_no_user_code_runs_when_the_start_cannot_be_stored(
    runs: Any, tmp_path: Path, kept: Any
) -> None:
    async def refuse(**_: Any) -> None:
        raise OSError("disk full")

    kept.started = refuse
    with pytest.raises(OSError, match="disk full"):
        await runs.host.run(runs.job("steps", {"path": str(tmp_path / "notes")}), kept)

    assert isinstance((await runs.run("echo"))[0], Succeeded)
    assert not (tmp_path / "notes").exists()


async def test_an_execution_runs_once_at_a_time(runs: Any, kept: Any) -> None:
    job = runs.job("tidy_async")
    first = asyncio.create_task(runs.host.run(job, kept))
    await kept.said("waiting")
    with pytest.raises(ValueError, match="under way"):
        await runs.host.run(job, kept)

    assert runs.host.cancel(job.execution_id)
    assert not isinstance(await first, Failed)


async def test_a_task_on_its_way_to_a_step_gets_there_before_the_run_rests(runs: Any) -> None:
    outcome, kept = await runs.run("background")

    assert isinstance(outcome, Suspended)
    assert ("step", "late", 0) in kept.journal


async def test_a_sleep_that_ends_as_the_run_would_rest_is_taken_once(
    runs: Any, tmp_path: Path, kept: Any
) -> None:
    """Its length is that of the quiet moment before a run with company suspends."""
    keeps = [type(kept)() for _ in range(30)]
    jobs = [
        runs.job("nap_shared", {"seconds": 0.19 + 0.0007 * number, "path": str(tmp_path / str(number))})
        for number in range(30)
    ]
    outcomes = await asyncio.gather(*map(runs.to_the_end, jobs, keeps))

    assert all(isinstance(outcome, Succeeded) for outcome in outcomes)
    assert all((tmp_path / str(number)).read_text().count("awake") == 1 for number in range(30))
