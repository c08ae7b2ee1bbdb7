"""docs/how-to/answer-synchronously.md, followed word by word: what a command prints is what the page says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hookline.testing.nodes import ADMIN_KEY, NodeProcess

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "answer-synchronously.md").read_text(encoding="utf-8")
(APP,) = re.findall(r"^<!-- file: app.py -->\n```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
STEPS = re.findall(
    r"^<!-- run: (\w+) -->\n```sh\n(.*?)^```\n(?:\n```\w+\n(.*?)^```)?", PAGE, re.MULTILINE | re.DOTALL
)
KEPT = re.findall(r"^<!-- keep: \w+ -->\n```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = {name: command for name, command, _ in STEPS}
PRINTED = {name: shown for name, _, shown in STEPS if shown}


class Shell:
    """Somebody who types the page's commands. kept: those that note something for later ones."""

    def __init__(self, port: int, folder: Path) -> None:
        self.known = {"HOOKLINE_URL": f"http://127.0.0.1:{port}", "HOOKLINE_API_KEY": ADMIN_KEY}
        self.folder = folder
        self.kept: list[str] = []

    def type(self, command: str) -> str:
        done = subprocess.run(
            ["sh", "-ec", "\n".join([*self.kept, command])],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **self.known},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def as_printed(text: str) -> str:
    """Replace what differs each time by the page's ellipsis."""
    text = re.sub(r'"exec_[0-9a-f-]{36}"', '"exec_…"', text)
    return re.sub(r'"result_url":"http[^"]+"', '"result_url":"…"', text).rstrip("\n")


@pytest.fixture
def node(tmp_path: Path) -> NodeProcess:
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    return NodeProcess(database=f"sqlite:///{tmp_path}/hookline.db", folder=tmp_path, app=tmp_path / "app.py")


def test_every_command_of_the_page_prints_what_the_page_says(node: NodeProcess, tmp_path: Path) -> None:
    node.start()
    try:
        shell = Shell(node.port, tmp_path)
        assert json.loads(shell.type(COMMANDS["trigger"]))["token"]
        shell.kept = KEPT
        printed = {name: shell.type(COMMANDS[name]) for name in ("price", "failing", "waiting", "prismatic")}
        result_url = json.loads(printed["waiting"])["result_url"]
        printed["result"] = shell.type(COMMANDS["result"].replace("=…", f"={result_url!r}"))
    finally:
        assert node.stop() == 0

    assert {name: as_printed(text) for name, text in printed.items()} == {
        name: text.rstrip("\n") for name, text in PRINTED.items()
    }
    assert COMMANDS.keys() - printed.keys() == {"trigger"}
