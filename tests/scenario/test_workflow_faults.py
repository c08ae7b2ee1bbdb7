"""Users' code that misbehaves, waits or is interrupted, through the real runner and over HTTP."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from world import World, database_of, finished_steps, terminal_events, until, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("faults")
    with world(database_of(request, folder), folder) as found:
        yield found


FAULTS = {
    "raises": ("failed", "FAILED", "no such order"),
    "hangs": ("timed_out", "TIMED_OUT", "0.5"),
    "exits": ("failed", "FAILED", "exit"),
    "dies": ("lost", "LOST", "7"),
    "unspeakable": ("failed", "FAILED", "JSON"),
    "surrogate": ("failed", "FAILED", ""),
}


def test_each_misbehaving_run_ends_by_itself_and_troubles_no_other(one: World) -> None:
    """CONTRACT sections 4 and 5: a clear error, one terminal event each, others unaffected."""
    one.webhook("/ends", ["workflow.execution.failed", "workflow.execution.completed"])
    ids = {name: one.start(name) for name in FAULTS}
    loud = one.start("chatters")
    sound = [one.start("orders", {"order_id": number}) for number in range(5)]
    ended = {name: one.ended(id) for name, id in ids.items()}
    ended_sound = [one.ended(id) for id in sound]
    ended_loud = one.ended(loud, within=60)
    until(lambda: len(one.inbox.at("/ends")) >= len(FAULTS) + 6)
    told: dict[str, list[Any]] = {}
    for request in one.inbox.at("/ends"):
        data = json.loads(request.body)["data"]
        told.setdefault(data["execution_id"], []).append(data)

    for name, (status, code, words) in FAULTS.items():
        execution, data = ended[name], told[ids[name]]
        assert execution["status"] == status, (name, execution)
        assert execution["error"]["code"] == code, (name, execution)
        assert words in execution["error"]["message"], (name, execution)
        assert len(data) == 1, name
        assert data[0]["error"]["code"] == code, data
        assert terminal_events(one, ids[name]) == ["workflow.execution.failed"]
    assert {execution["status"] for execution in ended_sound} == {"succeeded"}
    assert ended_loud["status"] == "succeeded", ended_loud
    assert one("GET", "/readyz").status == 200


REFUSED = {
    "step",
    "emit type",
    "wait",
    "error",
    "surrogate error",
    "surrogate step",
    "surrogate emit",
}


@pytest.mark.parametrize(
    "where",
    [
        "step",
        "log",
        "emit",
        "emit type",
        "wait",
        "error",
        "surrogate error",
        "surrogate log",
        "surrogate step",
        "surrogate emit",
    ],
)
def test_odd_text_from_user_code_never_leaves_a_run_without_its_end(one: World, where: str) -> None:
    """NUL and lone surrogates in names, words and data: an end of its own, the same on both stores."""
    ended = one.ended(one.start("nul", where))
    logs = one("GET", f"/api/v1/executions/{ended['id']}/logs")
    steps = one("GET", f"/api/v1/executions/{ended['id']}/steps")

    assert ended["status"] == ("failed" if where in REFUSED else "succeeded"), ended
    assert len(terminal_events(one, ended["id"])) == 1
    assert (logs.status, steps.status) == (200, 200)


def test_odd_text_of_an_agent_is_kept(one: World) -> None:
    token = one.trigger("nul-agent", kind="agent")["token"]
    started = one("POST", "/webhooks/agents/nul-agent", {"message": "a\0b"}, key=token)
    ended = one.ended(started.json["execution_id"])

    assert (ended["status"], ended["output"]) == ("succeeded", "a\0b")


@pytest.mark.parametrize(
    "given",
    [None, 7.5, [], {}, {"message": 5}, {"message": "x", "user_id": "a\0b"}, {"message": "x", "user_id": []}],
)
def test_an_agent_given_anything_over_the_api_is_refused_or_comes_to_an_end(one: World, given: Any) -> None:
    """A start by the management API is not checked by AF-3's rules; the run must end all the same."""
    body = {} if given is None else {"input": given}
    started = one("POST", "/api/v1/agents/support/executions", body)

    assert started.status in (202, 400), started
    if started.status == 202:
        assert one.ended(started.json["execution_id"])["status"] in ("succeeded", "failed")


def test_a_cancelled_run_is_killed_and_tells_so_once(one: World) -> None:
    execution_id = one.start("slow", 30)
    one.in_state(execution_id, "running")
    cancelled = one("POST", f"/api/v1/executions/{execution_id}/cancel")
    ended = one.ended(execution_id, within=8)
    again = one("POST", f"/api/v1/executions/{execution_id}/cancel")

    assert cancelled.status == 202
    assert (ended["status"], ended["error"]["code"]) == ("killed", "KILLED")
    assert (again.status, again.json["status"]) == (202, "killed")
    assert terminal_events(one, execution_id) == ["workflow.execution.failed"]


def test_a_waiting_run_can_be_cancelled(one: World, tmp_path: Path) -> None:
    execution_id = one.start("approval", {"path": str(tmp_path / "notes")})
    one.in_state(execution_id, "waiting")
    one("POST", f"/api/v1/executions/{execution_id}/cancel")
    ended = one.ended(execution_id)
    late = one("POST", f"/api/v1/executions/{execution_id}/resume", {"name": "approval", "data": 1})

    assert ended["status"] == "killed"
    assert late.status == 409, late
    assert terminal_events(one, execution_id) == ["workflow.execution.failed"]


def test_a_wait_and_a_sleep_outlive_a_kill_and_repeat_nothing(one: World, tmp_path: Path) -> None:
    """Issue point 5: waiting, POST …/resume, and a kill -9 of the node in between."""
    waiting, napping, running = (tmp_path / name for name in ("waiting", "napping", "running"))
    wait_id = one.start("approval", {"path": str(waiting)})
    nap_id = one.start("naps", {"path": str(napping), "seconds": 2})
    run_id = one.start("long", {"path": str(running), "steps": 4, "seconds": 0.25})
    one.in_state(wait_id, "waiting")
    one.in_state(nap_id, "waiting")
    finished = until(lambda: finished_steps(one, run_id))
    one.nodes[0].kill()
    one.nodes[0].start()
    still = one.in_state(wait_id, "waiting")
    wrong = one("POST", f"/api/v1/executions/{wait_id}/resume", {"name": "other", "data": 1})
    unnamed = one("POST", f"/api/v1/executions/{wait_id}/resume", {"name": "a\0b", "data": 1})
    resumed = one(
        "POST",
        f"/api/v1/executions/{wait_id}/resume",
        {"name": "approval", "data": {"yes": True, "nul": "\0"}},
    )
    ended = one.ended(wait_id)
    napped = one.ended(nap_id)
    ran = one.ended(run_id)

    assert still["status"] == "waiting"
    assert (still["waits_for"], "waits_for" in ended) == (["approval"], False)
    assert (wrong.status, wrong.json["waits_for"]) == (202, ["approval"]), wrong
    assert unnamed.status == 400, unnamed
    assert resumed.status == 202, resumed
    assert (ended["status"], ended["output"]) == ("succeeded", {"answer": {"yes": True, "nul": "\0"}})
    assert waiting.read_text().split() == ["asked", "acted"]
    assert (napped["status"], napped["output"]) == ("succeeded", "rested")
    assert napping.read_text().split() == ["one", "two"]
    assert ran["status"] == "succeeded", ran
    noted = Counter(f"step{line}" for line in running.read_text().split())
    assert [noted[name] for name in finished] == [1] * len(finished)
    assert set(noted) == {"step0", "step1", "step2", "step3"}
    for id in (wait_id, nap_id, run_id):
        assert terminal_events(one, id) == ["workflow.execution.completed"]


def test_a_wait_may_end_by_its_own_timeout(one: World, tmp_path: Path) -> None:
    execution_id = one.start("approval", {"path": str(tmp_path / "notes"), "timeout_seconds": 0.5})
    began = time.monotonic()
    ended = one.ended(execution_id)

    assert ended["status"] in ("failed", "timed_out", "succeeded"), ended
    assert time.monotonic() - began < 8
    assert len(terminal_events(one, execution_id)) == 1


def test_a_replay_is_a_new_execution_of_the_same_bytes(one: World) -> None:
    first = one.ended(one.start("orders", {"order_id": "nul \0", "amount": 12.0}))
    replayed = one("POST", f"/api/v1/executions/{first['id']}/replay")
    again = one.ended(replayed.json["execution_id"])

    assert replayed.status == 202
    assert again["input"] == first["input"] == {"order_id": "nul \0", "amount": 12.0}
    assert again["id"] != first["id"]
