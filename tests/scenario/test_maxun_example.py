"""examples/maxun and the page on robots, typed as they are printed: a robot, its files, its webhook."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pages import follow, json_values
from programs import chromium
from world import until

from hookline.testing.nodes import ADMIN_KEY, NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "maxun"
COMMAND = re.compile(r"^<!-- run: (\w+) -->\n```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def shop() -> Iterator[Any]:
    chromium()
    server = runpy.run_path(str(EXAMPLE / "shop.py"))["Shop"](0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("maxun")
    node = NodeProcess(database=f"sqlite:///{folder}/m.db", folder=folder)
    node.start()
    yield node
    assert node.stop() == 0


def typed(text: str, node: NodeProcess, shop: Any, folder: Path) -> str:
    """Run the commands in one shell, as somebody does who pastes them one after the other."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOOKLINE_URL": f"http://127.0.0.1:{node.port}",
        "HOOKLINE_API_KEY": ADMIN_KEY,
        "SHOP": f"http://127.0.0.1:{shop.server_port}",
    }
    (folder / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run(
        ["sh", "-ec", text],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_stores_and_runs_a_robot_from_the_terminal(
    node: NodeProcess, shop: Any, tmp_path: Path
) -> None:
    """MX-1 to MX-4."""
    (commands,) = (text for _, text in COMMAND.findall((EXAMPLE / "README.md").read_text(encoding="utf-8")))
    shop.taken.clear()

    printed = typed(commands, node, shop, tmp_path)

    assert "succeeded" in printed
    assert "Laptop 12" in printed
    (body, *_) = until(lambda: list(shop.taken))
    assert (body["event_type"], body["data"]["robot_name"]) == ("run_completed", "Laptop prices")
    assert body["data"]["extracted_data"]["captured_lists_count"] == 12


@pytest.mark.timeout(150)
def test_the_page_does_what_it_says(shop: Any, tmp_path: Path) -> None:
    """MX-1 to MX-4: its answers are compared with the printed ones. shop: only to know that there is a browser."""
    waiting = (
        "until hookline deliveries list --state succeeded --json | grep -q run_completed; do sleep 0.2; done"
    )
    followed = follow(
        "how-to/scrape-a-page", tmp_path, then=waiting.replace("run_completed", "robot.run.completed")
    )

    output = json_values(followed.said["run"])[0]["output"]
    assert len(output["captured_lists"]["Laptops"]) == 12
    assert (tmp_path / "last-page.png").read_bytes().startswith(b"\x89PNG")
