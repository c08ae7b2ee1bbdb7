"""Callers that wait, over real processes: a node that stops answers them, one that dies loses nothing (P20, K11)."""

from __future__ import annotations

import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from world import call, until, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from world import Answer, World

    from hookline.testing.postgres import PostgresServer


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/hookline.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.fresh_database()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def wait_for(world: World, execution_id: str, seconds: int) -> Answer:
    return call(
        world.nodes[0].port,
        "GET",
        f"/api/v1/executions/{execution_id}",
        seconds=60,
        Prefer=f"wait={seconds}",
    )


def test_a_node_that_stops_answers_who_waits_with_what_it_knows(
    place: str, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    """P17, P20: nobody is cut off; the run that does not end in the grace is given back."""
    with world(place, tmp_path, HOOKLINE_GRACE_SECONDS="4") as one:
        execution_id = one.start("slow", 30)
        one.in_state(execution_id, "running")
        waiting = pool.submit(wait_for, one, execution_id, 50)
        time.sleep(0.3)
        began = time.monotonic()
        stopping = pool.submit(one.nodes[0].stop)
        answer = waiting.result(20)
        took = time.monotonic() - began
        code = stopping.result(20)

    assert (answer.status, answer.json["status"]) == (200, "running")
    assert took < 4.0, "before the grace was over"
    assert code == 0


def test_a_node_killed_mid_wait_loses_no_result(place: str, tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """K11: the execution is durable, and its result is retrievable by id."""
    with world(place, tmp_path) as one:
        path = str(tmp_path / "steps.txt")
        execution_id = one.start("long", {"steps": 4, "seconds": 0.3, "path": path})
        one.in_state(execution_id, "running")
        waiting = pool.submit(wait_for, one, execution_id, 50)
        time.sleep(0.3)
        one.nodes[0].kill()
        broken = waiting.exception(20)
        one.nodes[0].start()
        answer = wait_for(one, execution_id, 50)

    assert broken is not None, "its connection ended with the node"
    assert answer.json["status"] == "succeeded"
    assert answer.json["output"] == {"attempt": answer.json["attempt"]}
    assert answer.json["attempt"] > 1


def test_a_caller_killed_mid_wait_cancels_nothing(place: str, tmp_path: Path) -> None:
    """P20: its connection is gone, the execution is durable and ends as it would have."""
    with world(place, tmp_path) as one:
        trigger = one.trigger("slow", profile="native", synchronous=True)
        request = (
            f"POST {urlsplit(trigger['url']).path} HTTP/1.1\r\nHost: a\r\n"
            f"Authorization: Bearer {trigger['token']}\r\n"
            "Content-Type: application/json\r\nContent-Length: 3\r\n\r\n1.5"
        )
        with socket.create_connection(("127.0.0.1", one.nodes[0].port)) as caller:
            caller.sendall(request.encode())
            (started,) = until(lambda: one.get("/api/v1/executions")["executions"])
            one.in_state(started["id"], "running")
            # An abrupt end, as of a process that was killed: a reset, not a goodbye.
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ended = one.ended(started["id"])
        again = call(
            one.nodes[0].port, "POST", urlsplit(trigger["url"]).path, 0.01, key=trigger["token"], seconds=20
        )

    assert (ended["status"], ended["output"]) == ("succeeded", "done")
    assert (again.status, again.json) == (200, "done")
