"""Workflows as users write them, over both stores: steps that are tried again, children, cancels, and kill -9."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from world import World, database_of, terminal_events, until, world

if TYPE_CHECKING:
    from collections.abc import Iterator


APP = Path(__file__).parents[1] / "support" / "durable_app.py"


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("durable")
    database = database_of(request, folder)
    # Three at once: parents that held theirs while they wait would soon be all there is.
    with world(database, folder, app=APP, HOOKLINE_MAX_EXECUTIONS="3") as found:
        yield found


def steps(one: World, execution_id: str) -> Any:
    return one.get(f"/api/v1/executions/{execution_id}/steps")


def children(one: World, execution_id: str) -> list[str]:
    told = one.get(f"/api/v1/executions/{execution_id}/timeline")["timeline"]
    return [moment["execution_id"] for moment in told if moment["what"] == "child"]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def kill_node(one: World) -> None:
    one.nodes[0].kill()
    one.nodes[0].start()


def test_a_kill_of_the_node_between_two_tries_loses_none_and_repeats_none(one: World, tmp_path: Path) -> None:
    """Issue 5, point 5: the wait is in the store, and so is how often the step has failed."""
    path = tmp_path / "tries"
    execution_id = one.start("reaches", {"path": str(path), "fails": 2})
    one.in_state(execution_id, "waiting")
    waiting = steps(one, execution_id)["unfinished"]
    kill_node(one)
    ended = one.ended(execution_id, within=30)
    shown = steps(one, execution_id)
    told = one.get(f"/api/v1/executions/{execution_id}/timeline")["timeline"]
    tries = [moment for moment in told if moment["what"] == "try"]

    assert (ended["status"], ended["output"]) == ("succeeded", "there")
    assert len(lines(path)) == 3
    assert len(set(lines(path))) == 3, "no process was held"
    assert [(step["name"], step["status"]) for step in waiting] == [("reach", "retrying")]
    assert shown["unfinished"] == []
    assert [one_try["number"] for one_try in shown["steps"][0]["failed_tries"]] == [1, 2]
    assert shown["steps"][0]["failed_tries"][0]["error"] == {
        "code": "FAILED",
        "message": "nobody there",
        "type": "ConnectionError",
    }
    assert [(moment["name"], moment["outcome"]) for moment in tries] == [("reach", "failed")] * 2
    assert terminal_events(one, execution_id) == ["workflow.execution.completed"]


def test_a_kill_of_the_process_between_two_tries_counts_on(one: World, tmp_path: Path) -> None:
    path = tmp_path / "tries"
    execution_id = one.start("dies_between", {"path": str(path), "fails": 2})
    until(lambda: steps(one, execution_id)["unfinished"])
    os.kill(int(lines(path)[0].split()[1]), signal.SIGKILL)
    ended = one.ended(execution_id, within=30)
    told = one.get(f"/api/v1/executions/{execution_id}/timeline")["timeline"]

    assert (ended["status"], ended["output"], ended["attempt"]) == ("succeeded", "there", 2)
    assert any(str(moment.get("text")).startswith("Its process ended. Process 1") for moment in told)
    assert len(lines(path)) == 3
    assert len(steps(one, execution_id)["steps"][0]["failed_tries"]) == 2


def test_a_workflow_gets_the_results_of_those_it_runs_side_by_side(one: World) -> None:
    execution_id = one.start("asks")
    ended = one.ended(execution_id, within=30)
    assert ended["status"] == "succeeded", ended
    ran = children(one, execution_id)
    child = one.get(f"/api/v1/executions/{ran[0]}")

    assert [answer["twice"] for answer in ended["output"]] == [2, 4, 6]
    assert {answer["by"] for answer in ended["output"]} == {execution_id}
    assert len(set(ran)) == 3
    assert (child["trigger"]["source"], child["trigger"]["called_by"]) == ("workflow", execution_id)
    assert one.ended(one.start("asks_shared"))["output"] == 42


def test_what_becomes_of_a_child_is_told_plainly(one: World) -> None:
    """Its failure with code and execution, an id that no workflow has, and one that takes too long."""
    execution_id = one.start("asks_badly")
    failed, unknown, late = one.ended(execution_id, within=30)["output"]

    assert (failed[0], "there is nothing to double" in failed[1]) == ("FAILED", True)
    assert one.get(f"/api/v1/executions/{failed[2]}")["status"] == "failed"
    assert unknown[1].startswith("the app has no workflow 'nobody': it has 'asks'")
    assert late[0] == "TIMED_OUT"
    assert one.ended(children(one, execution_id)[-1])["status"] == "killed", "it does not outlive its parent"


def test_a_cancel_of_the_parent_reaches_children_and_theirs(one: World) -> None:
    execution_id = one.start("runs_long")
    child = until(lambda: children(one, execution_id))[0]
    grandchild = until(lambda: children(one, child))[0]
    one.in_state(grandchild, "waiting")
    one.in_state(execution_id, "waiting")
    one("POST", f"/api/v1/executions/{execution_id}/cancel")

    assert {one.ended(id)["status"] for id in (execution_id, child, grandchild)} == {"killed"}
    for id in (execution_id, child, grandchild):
        assert terminal_events(one, id) == ["workflow.execution.failed"]


def test_an_agent_may_run_workflows_too_and_takes_them_with_it(one: World) -> None:
    started = one("POST", "/api/v1/agents/delegates/executions", {"input": {"message": "Rest a while"}})
    execution_id = started.json["execution_id"]
    child = until(lambda: children(one, execution_id))[0]
    one.in_state(child, "waiting")
    one("POST", f"/api/v1/executions/{execution_id}/cancel")

    assert (one.ended(execution_id)["status"], one.ended(child)["status"]) == ("killed", "killed")


def test_a_cancel_of_the_child_is_told_to_its_parent(one: World) -> None:
    execution_id = one.start("passes_on")
    child = until(lambda: children(one, execution_id))[0]
    one.in_state(child, "waiting")
    one("POST", f"/api/v1/executions/{child}/cancel")
    ended = one.ended(execution_id)

    assert (ended["status"], ended["error"]["type"]) == ("failed", "WorkflowError")
    assert "workflow 'rests': The execution was cancelled." in ended["error"]["message"]


def test_children_end_with_a_parent_that_fails_and_those_only_started_do_not(
    one: World, tmp_path: Path
) -> None:
    failing = one.start("fails_beside")
    letting_go = one.start("lets_go", {"path": str(tmp_path / "notes")})
    failed = one.ended(failing, within=30)
    gone = one.ended(letting_go, within=30)

    assert (failed["status"], gone["status"]) == ("failed", "succeeded")
    assert sorted(one.ended(id)["status"] for id in children(one, failing)) == ["failed", "killed"]
    assert [one.ended(id)["output"] for id in children(one, letting_go)] == ["rested"]
    assert lines(tmp_path / "notes") == ["rests"]


def test_workflows_that_run_each_other_in_a_circle_end(one: World) -> None:
    assert one.ended(one.start("circle"), within=30)["output"] == "LOOP_DETECTED"


def test_a_kill_of_the_node_while_a_parent_waits_loses_no_child_and_runs_none_twice(
    one: World, tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    execution_id = one.start("runs_long", {"seconds": 2, "path": str(path)})
    child = until(lambda: children(one, execution_id))[0]
    grandchild = until(lambda: children(one, child))[0]
    for id in (grandchild, child, execution_id):
        one.in_state(id, "waiting")
    kill_node(one)
    ended = one.ended(execution_id, within=30)

    assert (ended["status"], ended["output"]) == ("succeeded", "rested")
    assert lines(path) == ["rests"]
    assert len(children(one, execution_id)) == 1


def test_a_cancel_reaches_the_step_and_its_process(one: World, tmp_path: Path) -> None:
    """Issue 5, point 5: the process really stops, and the step is recorded as killed."""
    path = tmp_path / "pid"
    execution_id = one.start("hangs_in_step", {"path": str(path)})
    pid = int(until(lambda: lines(path))[0])
    one("POST", f"/api/v1/executions/{execution_id}/cancel")
    ended = one.ended(execution_id)
    shown = steps(one, execution_id)
    until(lambda: not is_alive(pid))

    assert ended["status"] == "killed"
    assert [step["name"] for step in shown["steps"]] == ["first"]
    assert [(step["name"], step["status"]) for step in shown["unfinished"]] == [("hang", "killed")]


def test_steps_of_a_plain_function_run_side_by_side_in_threads(one: World) -> None:
    """Each event tells how many steps are done with it, also when several were committed together."""
    execution_id = one.start("threads")

    assert one.ended(execution_id)["output"] == [0, 1, 2, 3]
    told = one.get("/api/v1/events?order=newest&limit=100")["events"]
    own = [event for event in told if event["execution_id"] == execution_id]
    done = [event["data"] for event in own if event["type"] == "workflow.step.completed"]
    assert [data["steps_completed"] for data in done] == [4, 3, 2, 1]
    assert {step["name"] for step in steps(one, execution_id)["steps"]} == {f"part {n}" for n in range(4)}


def test_a_workflow_keeps_to_its_own_concurrency(one: World, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    ids = [one.start("one_at_a_time", {"path": str(path)}) for _ in range(4)]
    for id in ids:
        one.ended(id, within=30)

    assert lines(path) == ["in", "out"] * 4


def test_a_resume_that_comes_early_is_kept_and_one_that_comes_twice_counts_once(one: World) -> None:
    """DEMANDS 29."""
    execution_id = one.start("awaits", 0.5)
    one.in_state(execution_id, "running", "waiting")
    place = f"/api/v1/executions/{execution_id}/resume"

    def resume(number: int) -> int:
        return one("POST", place, {"name": "go", "data": number}).status

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(resume, range(24)))
    ended = one.ended(execution_id)
    late = one("POST", place, {"name": "go", "data": "late"})

    assert sorted(said) == [202] + [409] * 23
    assert ended["output"] == said.index(202)
    assert late.status == 409


def family(pid: int) -> dict[int, float]:
    """Memory, in MB, of a process and of all that it has started."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return {}
    found = {pid: int(status.partition("VmRSS:")[2].split()[0]) / 1024} if "VmRSS:" in status else {}
    for child in children:
        found |= family(int(child))
    return found


def fall_asleep(one: World, count: int) -> list[str]:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: one.start("sleeps"), range(count)))

    def awake() -> list[str]:
        pages = [one.get(f"/api/v1/executions?limit=1&status={name}") for name in ("queued", "running")]
        return [execution["id"] for page in pages for execution in page["executions"]]

    until(awake, lambda found: not found, within=60)
    return ids


def test_a_thousand_sleeping_workflows_cost_no_process_and_little_memory(tmp_path: Path) -> None:
    """Issue 5, figures: 20 MB at most, of the server and all its processes together."""
    with world(f"sqlite:///{tmp_path}/s.db", tmp_path, app=APP, HOOKLINE_MAX_EXECUTIONS="256") as one:
        fall_asleep(one, 200)  # caches and arenas fill, whatever sleeps
        before = family(one.nodes[0].pid)
        ids = fall_asleep(one, 1000)
        after = family(one.nodes[0].pid)
        asleep = {one.get(f"/api/v1/executions/{id}")["status"] for id in ids[::100]}

    assert len(after) <= len(before)
    assert sum(after.values()) - sum(before.values()) <= 20
    assert asleep == {"waiting"}
