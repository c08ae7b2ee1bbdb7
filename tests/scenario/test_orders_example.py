"""examples/orders, typed as its README prints it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hookline.testing.nodes import ADMIN_KEY, NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "orders"
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
COMMANDS = dict(re.findall(r"^<!-- run: (\w+) -->\n```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("orders")
    node = NodeProcess(database=f"sqlite:///{folder}/o.db", folder=folder, app=EXAMPLE / "app.py")
    node.start()
    yield node
    assert node.stop() == 0


def typed(name: str, node: NodeProcess) -> str:
    """Run one of the README's snippets; return what it printed."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOOKLINE_URL": f"http://127.0.0.1:{node.port}",
        "HOOKLINE_API_KEY": ADMIN_KEY,
    }
    done = subprocess.run(
        ["sh", "-ec", COMMANDS[name]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_does_what_it_says(node: NodeProcess) -> None:
    """Issue 5, item 7: an order is paid, one waits for its approval, and a talk ends with thanks."""
    paid, told = typed("order", node), typed("own", node)
    approved, talk = typed("approval", node), typed("talk", node)

    assert '"charge_id": "ch_A-1001"' in paid
    assert '"order_id":"A-1001"' in told.replace(" ", "")
    assert "approved" in approved
    assert ("You are welcome!" in talk, "resolved" in talk) == (True, True)


def test_every_example_says_how_it_is_run() -> None:
    """Issue 5, item 7: each has a README, and a test that is named after it."""
    examples = [folder.name for folder in (ROOT / "examples").iterdir() if folder.is_dir()]

    assert len(examples) >= 6
    for name in examples:
        assert (ROOT / "examples" / name / "README.md").is_file(), name
        assert Path(__file__).with_name(f"test_{name}_example.py").is_file(), name
