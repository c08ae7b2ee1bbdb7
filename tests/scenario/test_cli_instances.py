"""``hookline integrations`` and ``hookline instances`` against a real server and a real app."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.scenario.test_cli_commands import Hookline

from hookline.testing.nodes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = Path(__file__).parents[1] / "support" / "world_app.py"


@pytest.fixture(scope="module")
def hookline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hookline]:
    folder = tmp_path_factory.mktemp("instances")
    node = NodeProcess(database=f"sqlite:///{folder}/cli.db", folder=folder, app=APP)
    node.start()
    yield Hookline(node)
    assert node.stop() == 0


def test_an_instance_lives_its_life_from_the_shell(hookline: Hookline) -> None:
    """PR-8: listed, created, shown, configured, disabled, enabled, given a key, deleted."""
    assert "customer_optional" in hookline("integrations", "list")
    assert "secret" in hookline("integrations", "show", "acme")
    config = '{"limit": 3, "token": "s3cret-t0ken"}'
    made = hookline.json("instances", "create", "acme", "--customer", "customer-42", "--config", config)
    id = made["id"]

    assert made["status"] == "active"
    shown = hookline("instances", "show", id)
    assert "customer-42" in shown
    assert "s3cret-t0ken" not in shown
    assert "customer-42" in hookline("instances", "list")
    assert hookline.json("instances", "configure", id, "--config", '{"limit": 4}')["config"] == {"limit": 4}
    assert hookline.json("instances", "disable", id)["status"] == "disabled"
    assert hookline.json("instances", "enable", id)["status"] == "active"
    assert hookline.json("instances", "key", id, "orders")["api_key"].startswith("hwk_")
    assert hookline.json("instances", "deploy", id)["status"] == "active"
    assert "is deleted" in hookline("instances", "delete", id, "--yes")
    assert hookline.json("instances", "list") == []


def test_what_is_wrong_is_said_in_one_line(hookline: Hookline) -> None:
    said = hookline("instances", "create", "acme", "--customer", "c", "--config", '{"limit": "3"}', code=1)

    assert said.startswith("hookline: ")
    assert "config.limit" in said
