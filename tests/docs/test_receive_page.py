"""docs/how-to/receive.md: its calls start executions of the apps that are printed, with the tokens that it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hookline.testing.nodes import ADMIN_KEY, NodeProcess

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
PAGE = (HOW_TO / "receive.md").read_text(encoding="utf-8")
TUTORIAL = (HOW_TO / "getting-started.md").read_text(encoding="utf-8")


def printed(page: str, mark: str) -> str:
    """Return the one snippet of a page with that mark."""
    (found,) = re.findall(rf"^<!-- {re.escape(mark)} -->\n```\w+\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return str(found)


def typed(commands: list[str], folder: Path, **names: str) -> list[dict[str, str]]:
    """Type snippets into one shell; return each JSON object that is printed."""
    done = subprocess.run(
        ["bash", "-ec", "\n".join(commands)],
        env={**names, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "no_proxy": "*"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(text) for text in done.stdout.replace("}{", "}\n{").splitlines()]


@pytest.mark.needs("curl")
def test_the_printed_calls_start_executions(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(printed(TUTORIAL, "file: app.py") + "\n\n" + printed(PAGE, "file: agent"))
    node = NodeProcess(database=f"sqlite:///{tmp_path}/page.db", folder=tmp_path, app=app)
    node.start()
    where = {"HOOKLINE_URL": f"http://127.0.0.1:{node.port}", "HOOKLINE_API_KEY": ADMIN_KEY}
    try:
        marks = ("run: trigger", "keep: workflow", "call: workflow", "make: agent", "call: agent")
        made, *answers = typed([printed(PAGE, mark) for mark in marks], tmp_path, **where)
    finally:
        assert node.stop() == 0

    assert made["token"]
    assert [answer.get("status") for answer in answers] == ["queued"] * 3
