"""A node that is killed while it runs kept requests again: asked once more, each has run exactly once (P2, P5)."""

from __future__ import annotations

import http.client
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from world import World, call, until, world

from hookline.core.inbound import PRESETS, sign
from hookline.engine.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hookline.testing.postgres import PostgresServer

COUNT = 8
LONG_AGO = "2020-01-01T00:00:00Z"


@pytest.fixture(params=["sqlite", "postgres"])
def one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    database = f"sqlite:///{tmp_path}/hookline_crashtest.db"
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        database = server.fresh_database("hookline_crashtest")
    with world(database, tmp_path) as found:
        yield found


def test_a_killed_node_has_run_each_request_once_when_it_is_back(one: World) -> None:
    """K1, K3: killed after the COMMIT of some start while refused requests are checked again, and before that of
    another while what ran is run again.
    """
    made = one.trigger(
        "orders", profile="native", auth={"type": "signature", "preset": "github", "secret": "old"}
    )
    for number in range(COUNT):
        _send(one, made["url"].partition("/trigger/")[2], number)
    path = f"/api/v1/triggers/{made['id']}"
    assert one("POST", f"{path}/rotate", {"secret": "new"}).status == 200
    _killed(one, "after_commit:kill@6", f"{path}/reverify", {})
    told = one("POST", f"{path}/reverify", {})
    firsts = [run["id"] for run in _runs(one)]
    _killed(one, "before_commit:kill@6", f"{path}/replay", {"since": LONG_AGO, "rate_per_second": 1000})
    jobs = one.get("/api/v1/replays")["replays"] or [
        one("POST", f"{path}/replay", {"since": LONG_AGO, "rate_per_second": 1000}).json
    ]
    until(
        lambda: one.get(f"/api/v1/replays/{jobs[0]['id']}"),
        lambda job: job["status"] == "completed",
        within=20,
    )
    again = Counter(run["trigger"]["replay_of"] for run in _runs(one) if run["trigger"]["replay_of"])

    assert told.status == 200
    assert len(firsts) == COUNT
    assert again == Counter(firsts)


def _send(one: World, path_id: str, number: int) -> None:
    request = sign(
        PRESETS["github"],
        "new",
        now=SystemClock().now(),
        body=b'{"amount": %d}' % number,
        headers={"content-type": "application/json"},
        message_id=f"delivery-{number}",
    )
    port = one.nodes[0].port
    headers: dict[str, Any] = dict(request.headers)
    answer = call(port, "POST", f"/trigger/{path_id}", request.body, key=None, **headers)
    assert answer.status == 401, answer


def _killed(one: World, point: str, path: str, body: dict[str, Any]) -> None:
    """Ask a node that dies at this point, and start it again."""
    node = one.nodes[0]
    assert node.stop() == 0
    node.start(failpoints=point)
    try:
        one("POST", path, body)
        assert node.process is not None
        until(lambda: node.process is None or node.process.exit_code is not None)
    except (OSError, http.client.HTTPException):
        pass  # it died before it answered
    node.kill()
    node.start()  # taking the file's lock, or three seconds of silence, says that the other one is dead


def _runs(one: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = one.get("/api/v1/executions?limit=500")["executions"]
    return found
