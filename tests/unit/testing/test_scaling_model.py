"""The model of docs/scaling.md: it finds the bound that arithmetic finds, and the page shows what it prints."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def model() -> Any:
    path = ROOT / "scripts" / "simulate_scaling.py"
    spec = spec_from_file_location("simulate_scaling", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_slots_bound_in_proportion_to_nodes(model: Any) -> None:
    """Issue 6, point 5: eight sends at once of 20 ms are 400 a second and node."""
    one, two = (
        model.simulate(model.Machine(nodes=nodes, slots=8), seconds=2.0)["per_second"] for nodes in (1, 2)
    )

    assert one == pytest.approx(400, rel=0.05)
    assert two / one == pytest.approx(2.0, rel=0.05)


def test_a_nodes_processor_and_then_the_databases_is_the_bound(model: Any) -> None:
    machine = model.Machine(database_processors=1)
    alone = model.simulate(machine, seconds=0.5)
    many = model.simulate(replace(machine, nodes=6), seconds=0.5)

    assert alone["bound"] == "node"
    assert alone["per_second"] == pytest.approx(1 / (machine.receive + machine.deliver), rel=0.1)
    assert many["bound"] == "database"
    assert many["per_second"] == pytest.approx(1 / (2 * machine.database), rel=0.15)


def test_signals_are_committed_one_at_a_time(model: Any) -> None:
    """A slow disk bounds only those who signal, because only they wait for one another."""
    slow = model.Machine(nodes=8, fixed=0.01)
    silent = model.simulate(slow, seconds=1.0)
    telling = model.simulate(replace(slow, is_signalled=True), seconds=1.0)

    assert telling["bound"] == "signals"
    assert telling["per_second"] < silent["per_second"] / 2


def test_databases_carry_less_the_more_one_organization_sends(model: Any) -> None:
    even, skewed = (model.sharded(4, skew=skew)["typical"] for skew in (0.0, 1.0))

    assert 3.5 < even < 4
    assert 1 < skewed < even
    assert model.sharded(1, skew=1.0)["typical"] == 1.0


def test_the_constants_are_of_the_size_that_was_measured(model: Any) -> None:
    """Each within a factor of two of docs/scaling.json, which ``measure_scaling.py --save`` wrote."""
    parts = json.loads((ROOT / "docs" / "scaling.json").read_text(encoding="utf-8"))["parts"]
    machine = model.Machine()
    node = parts["deliver"]["figures"]["cpu_s_per_1000"] / 1000
    database = parts["store"]["figures"]["publish"]["16"]["database_cpu_ms"] / 1000

    assert 0.5 <= (machine.receive + machine.deliver) / node <= 2
    assert 0.5 <= machine.database / database <= 2


@pytest.mark.parametrize(
    "title",
    ["8 sends at once on a node, receivers of 20 ms", "Several databases, as multiples of one"],
)
def test_the_page_shows_what_the_script_prints(model: Any, title: str) -> None:
    """The tables that take longest are made by the same command."""
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert f"**{title}**\n\n{model.as_markdown(model.tables()[title](model.SECONDS))}\n" in page
    assert all(f"**{other}**" in page for other in model.tables())
