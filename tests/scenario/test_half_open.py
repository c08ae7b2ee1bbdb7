"""A receiver whose machine is cut off from the network: no FIN, no RST, and packets that nobody answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FAR_MACHINE = Path(__file__).parent.parent / "support" / "far_machine.py"
ALONE = ("unshare", "--net", "--map-root-user")


def _may_have_a_network_of_its_own() -> bool:
    try:
        tried = subprocess.run(
            [*ALONE, "ip", "link", "add", "near", "type", "veth", "peer", "name", "far"],
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        return False
    return tried.returncode == 0


@pytest.mark.skipif(
    not _may_have_a_network_of_its_own(),
    reason="the far machine is a network namespace: needs unshare and ip, and a kernel that lets this user make one",
)
def test_half_open_connections_end_at_the_deadline_and_others_wait_for_none() -> None:
    """P9, P10, PROMISES section 3: kept connections and new ones alike, with nothing simulated."""
    done = subprocess.run(
        [*ALONE, sys.executable, str(FAR_MACHINE)], capture_output=True, text=True, check=True, timeout=90
    )
    found = json.loads(done.stdout.splitlines()[-1])

    assert found["outcomes"] == ["timeout"]
    assert found["ended"] == 20
    assert found["under_way"] > 0, "the healthy one was served while the others were still waited for"
    assert found["longest_ms"] < 1500 + 2000
    assert found["grown_mb"] < 8
