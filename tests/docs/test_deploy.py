"""What deployments are made from names settings, figures and options that exist."""

from __future__ import annotations

import json
import re
from configparser import ConfigParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from hookline.api.metrics import _Figures
from hookline.config import Settings
from hookline.engine.meter import Meter
from hookline.ports import Backlog

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FIGURE = re.compile(r"\bhookline_[a-z_]+")
SETTING = re.compile(r"\bHOOKLINE_([A-Z_]+)\b")


@pytest.fixture(scope="module")
def figures() -> set[str]:
    """Every name that a scrape may show."""
    zero = SimpleNamespace(commits=0, writes=0, rows_pruned=0, held_expired=0, is_ready=True, census=dict)
    services: Any = SimpleNamespace(
        is_ready=True, meter=Meter(), executor=zero, committer=zero, maintenance=zero, clock=None
    )
    backlog = Backlog(
        pending=0,
        in_flight=0,
        held=0,
        oldest_due_at=None,
        executions_queued=0,
        executions_running=0,
        executions_waiting=0,
    )
    site: Any = SimpleNamespace(services=services)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(site, backlog))
    return {
        f"{family.name}{end}"
        for family in registry.collect()
        for end in {"counter": ["_total"], "histogram": ["", "_bucket", "_sum", "_count"]}.get(
            family.type, [""]
        )
    }


def test_every_figure_is_documented_and_no_other(figures: set[str]) -> None:
    page = (ROOT / "docs/how-to/monitor.md").read_text()
    told = set(FIGURE.findall(page))
    plain = {name for name in figures if not name.endswith(("_bucket", "_sum", "_count"))}
    assert told <= figures
    # Sums of older figures stand beside the histograms that replace them.
    assert plain - told <= {
        "hookline_commits_total",
        "hookline_writes_total",
        "hookline_pruned_rows_total",
        "hookline_held_expired_total",
        "hookline_executions",
    }


def test_the_dashboard_asks_for_figures_that_exist(figures: set[str]) -> None:
    board = json.loads((DEPLOY / "grafana.json").read_text())
    asked = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in FIGURE.findall(target["expr"])
    }
    assert asked
    assert asked <= figures


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_settings_in_deployments_exist(path: Path) -> None:
    named = {name.lower() for name in SETTING.findall(path.read_text())} - {"name"}
    assert named <= set(Settings.model_fields)


def test_the_unit_gives_a_stop_its_grace() -> None:
    """systemd kills later than a node gives back what it holds."""
    unit = ConfigParser(strict=False, interpolation=None)
    unit.read(DEPLOY / "hookline.service")
    grace = Settings.model_fields["grace_seconds"].default
    assert float(unit["Service"]["timeoutstopsec"]) > 2 * grace
    assert unit["Service"]["execstart"].split()[1] == "serve"
