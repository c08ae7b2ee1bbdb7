"""docs/how-to/write-a-durable-workflow.md, run as it is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hookline.testing.nodes import ADMIN_KEY, NodeProcess

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-durable-workflow.md"


@pytest.mark.timeout(120)
@pytest.mark.needs("curl")
def test_the_page_works_as_it_is_printed(tmp_path: Path) -> None:
    """Issue 5, point 5: steps that are tried again, side by side and for a limited time; a child, a wait, a cancel."""
    text = PAGE.read_text(encoding="utf-8")
    ((name, source),) = re.findall(
        r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL
    )
    commands = re.findall(r"^<!-- run -->\n```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    app = tmp_path / name
    app.write_text(source, encoding="utf-8")
    node = NodeProcess(database=f"sqlite:///{tmp_path}/page.db", folder=tmp_path, app=app)
    node.start()
    try:
        done = subprocess.run(
            ["bash", "-euc", "\n".join(commands)],
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOOKLINE_URL": f"http://127.0.0.1:{node.port}",
                "HOOKLINE_API_KEY": ADMIN_KEY,
                "no_proxy": "*",
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        runs = node.api.call("GET", "/api/v1/executions")["executions"]
        first = [run for run in runs if run["automation"]["id"] == "order"][-1]
        ended = node.api.call("GET", f"/api/v1/executions/{first['id']}")
        of_child = [run for run in runs if run["automation"]["id"] == "ship"]
        failed = node.api.call("GET", f"/api/v1/executions/{of_child[-1]['id']}/steps")["unfinished"]
    finally:
        assert node.stop() == 0

    assert done.returncode == 0, done.stdout + done.stderr
    assert ended["output"] == {"state": "delivered", "parcel": {"carrier": "our own van"}, "by": "Ada"}
    assert '"name":"stock of pen"' in done.stdout
    assert [(step["name"], step["status"], len(step["failed_tries"])) for step in failed] == [
        ("book the carrier", "failed", 2)
    ]
    assert sorted(run["status"] for run in of_child) == ["killed", "succeeded"]
