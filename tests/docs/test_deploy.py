"""What deployments are made from names settings, figures and options that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from hookline.api.metrics import FIGURES
from hookline.config import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SYSTEMD = shutil.which("systemd-analyze")
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


@pytest.mark.skipif(
    SYSTEMD is None,
    reason="systemd-analyze judges the unit, and this machine runs without systemd",
)
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Issue 6, item 6. Only the program's place is another one: it is looked for there."""
    unit = tmp_path / "hookline.service"
    unit.write_text(
        re.sub(r"/opt/hookline/bin/hookline", sys.executable, (DEPLOY / "hookline.service").read_text())
    )
    command = [str(SYSTEMD), "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert [line for line in done.stderr.splitlines() if unit.name in line] == []
    assert done.returncode == 0, done.stderr


def test_the_compose_file_is_one_by_its_specification() -> None:
    """Issue 6, item 6: against the schema of the Compose Specification, which knows every word."""
    checker = Path(sys.executable).parent / "check-jsonschema"
    command = [str(checker), "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_the_compose_file_means_what_is_there() -> None:
    """What a schema cannot see: services and volumes by name, the build's files, the variables that must be set."""
    compose = YAML(typ="safe").load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    nodes = [service for service in services.values() if "build" in service]
    named = {mount.split(":")[0] for service in services.values() for mount in service.get("volumes", ())}

    assert len(nodes) == 2
    assert named == compose["volumes"].keys()
    for node in nodes:
        assert node["depends_on"].keys() <= services.keys()
        assert (DEPLOY / node["build"]["context"] / node["build"]["dockerfile"]).is_file()
        assert all(port.endswith(":8700") for port in node["ports"])
    assert ":?" in nodes[0]["environment"]["HOOKLINE_SECRET_KEY"]
