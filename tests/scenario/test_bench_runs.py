"""A benchmark of tiny counts: it runs to its end and prints what the contract names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hookline.testing.bench import main_bench, scenarios
from hookline.testing.bench.run import run_scenario
from hookline.testing.bench.scenarios import SCENARIOS, Sizes
from hookline.testing.nodes import Api, NodeProcess

if TYPE_CHECKING:
    from pytest import CaptureFixture  # noqa: PT013 -- the type's home

KEYS = [
    "scenario",
    "store",
    "throughput_per_s",
    "relay_per_s",
    "ratio",
    "ack_p50_ms",
    "ack_p99_ms",
    "e2e_p50_ms",
    "e2e_p99_ms",
    "cpu_s_per_1000",
    "peak_rss_mb",
]


def ignore(words: str, is_step: bool) -> None:
    """Progress that nobody looks at."""


SHORT = ("deliver", "executions", "trigger-only")
"""Run each time; the others are loads of the same making."""

TINY = Sizes(events=200, seconds=0.3, runs=1, waiting=2000, webhooks=30, fair=20)


def test_it_prints_one_object_with_the_keys_of_the_contract(capsys: CaptureFixture[str]) -> None:
    code = main_bench(scenario="deliver", json=True, seconds=0.3, runs=1, events=200)
    line = capsys.readouterr().out.strip()

    assert code == 0
    assert list(json.loads(line)) == KEYS


@pytest.mark.parametrize(
    "scenario",
    [name if name in SHORT else pytest.param(name, marks=pytest.mark.long) for name in SCENARIOS],
)
def test_every_scenario_delivers_all_of_its_load(scenario: str) -> None:
    figures = run_scenario(scenario, database=None, sizes=TINY, told=ignore)

    assert figures.scenario == scenario
    assert figures.throughput_per_s > 0
    assert figures.ratio > 0


@pytest.mark.parametrize(
    ("module", "is_kept"), [("hookline", True), ("hookline.testing.bench.unstored", False)]
)
def test_what_trigger_only_is_compared_with_answers_the_same_and_stores_nothing(
    module: str, is_kept: bool, tmp_path: Path
) -> None:
    """Issue 3, point 9: one server keeps what it accepted, the other does not; nothing else differs."""
    folder = tmp_path / "hookline-bench"
    folder.mkdir()
    app = Path(scenarios.__file__).with_name("bench_app.py")
    url = f"sqlite:///{folder / 'one.db'}"
    node = NodeProcess(database=url, folder=folder, app=app, module=(module,))
    try:
        node.start()
        new = {"automation": {"kind": "workflow", "id": "stay"}, "auth": {"type": "token"}}
        trigger = node.api.call("POST", "/api/v1/triggers", new)
        caller = Api(node.port, key=trigger["token"])
        accepted = [caller.call("POST", "/webhooks/workflows/stay", {"input_data": {}}) for _ in range(3)]
        caller.close()
        kept = node.api.call("GET", "/api/v1/executions")["executions"]
    finally:
        node.kill()

    assert [answer["status"] for answer in accepted] == ["queued"] * 3
    assert len(kept) == (3 if is_kept else 0)
    assert [one["status"] for one in kept].count("queued") >= min(len(kept), 2), "all but the first wait"
