"""A benchmark of tiny counts: it runs to its end and prints what the contract names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hookline.testing.bench import main_bench
from hookline.testing.bench.run import run_scenario
from hookline.testing.bench.scenarios import SCENARIOS, Sizes

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


TINY = Sizes(events=200, seconds=0.3, runs=1, waiting=2000, webhooks=30, fair=20)


def test_it_prints_one_object_with_the_keys_of_the_contract(capsys: CaptureFixture[str]) -> None:
    code = main_bench(scenario="deliver", json=True, seconds=0.3, runs=1, events=200)
    line = capsys.readouterr().out.strip()

    assert code == 0
    assert list(json.loads(line)) == KEYS


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_delivers_all_of_its_load(scenario: str) -> None:
    figures = run_scenario(scenario, database=None, sizes=TINY, told=ignore)

    assert figures.scenario == scenario
    assert figures.throughput_per_s > 0
    assert figures.ratio > 0
