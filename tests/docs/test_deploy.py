"""What deployments are made from names settings, figures and options that exist."""

from __future__ import annotations

import json
import re
from configparser import ConfigParser
from pathlib import Path

import pytest

from hookline.api.metrics import FIGURES
from hookline.config import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FIGURE = re.compile(r"\bhookline_[a-z_]+")
SETTING = re.compile(r"\bHOOKLINE_([A-Z_]+)\b")


@pytest.fixture(scope="module")
def figures() -> set[str]:
    """Every name that a scrape may show."""
    return {
        f"{figure.name}{end}"
        for figure in FIGURES
        for end in {"counter": ["_total"], "histogram": ["", "_bucket", "_sum", "_count"]}.get(
            figure.kind, [""]
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
