"""A node that is killed while it deploys an instance: what it began is finished by the next one."""

from __future__ import annotations

import http.client
import threading
from typing import TYPE_CHECKING, Any

import pytest
from world import World, database_of, until, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["sqlite", "postgres"])
def one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world(database_of(request, tmp_path), tmp_path) as found:
        yield found


def test_a_killed_deployment_is_finished_after_the_restart(one: World, tmp_path: Path) -> None:
    """PR-13, P2: kill -9 inside ``on_deploy``: only that handler is called again, and removal has every state."""
    said = tmp_path / "said"
    body = {"integration": "halting", "customer": {"external_id": "c"}, "config": {"path": str(said)}}
    caller = threading.Thread(target=_create_and_be_cut_off, args=(one, body))
    caller.start()
    until(lambda: said.exists() and said.read_text().splitlines() == ["deploying first", "deploying second"])
    one.nodes[0].kill()
    caller.join(10)
    one.nodes[0].start()

    (instance,) = until(
        lambda: one.get("/api/v1/instances")["instances"],
        lambda found: [each["status"] for each in found] == ["active"],
        within=20,
    )
    assert said.read_text().splitlines() == ["deploying first", "deploying second", "deploying second"]
    triggers = one.get("/api/v1/triggers")["triggers"]
    assert len(triggers) == len(instance["webhook_urls"]) == 2
    assert one("DELETE", f"/api/v1/instances/{instance['id']}").status == 204
    assert said.read_text().splitlines()[3:] == ["removing second 3", "removing first 1"]
    assert one.get("/api/v1/triggers")["triggers"] == []


def _create_and_be_cut_off(one: World, body: dict[str, Any]) -> None:
    with pytest.raises((OSError, http.client.HTTPException)):
        one("POST", "/api/v1/instances", body)
