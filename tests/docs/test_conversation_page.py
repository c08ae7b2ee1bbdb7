"""docs/how-to/talk-with-an-agent.md, run as it is printed, with the agent in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hookline.testing.nodes import ADMIN_KEY, NodeProcess

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "talk-with-an-agent.md"


@pytest.mark.timeout(120)
@pytest.mark.needs("curl")
def test_the_page_works_as_it_is_printed(tmp_path: Path) -> None:
    """AF-3, AF-10: the agent of the second turn sees the first; its resolve ends the conversation."""
    text = PAGE.read_text(encoding="utf-8")
    ((name, source),) = re.findall(
        r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL
    )
    (tmp_path / name).write_text(source, encoding="utf-8")
    commands = re.findall(r"^<!-- run -->\n```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    commands.append('api "$HOOKLINE_URL/api/v1/conversations/$CONVERSATION" > talk.json')
    commands.append('api "$HOOKLINE_URL/api/v1/conversations/$OTHER" > other.json')
    node = NodeProcess(database=f"sqlite:///{tmp_path}/page.db", folder=tmp_path, app=tmp_path / name)
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
    finally:
        assert node.stop() == 0

    assert done.returncode == 0, done.stdout + done.stderr
    talk = json.loads((tmp_path / "talk.json").read_bytes())
    other = json.loads((tmp_path / "other.json").read_bytes())
    assert [turn["output"] for turn in talk["turns"]] == [
        {"you_said": "My invoice is wrong", "before": []},
        {"you_said": "It is number 7", "before": ["My invoice is wrong"]},
        "Goodbye, ada",
    ]
    assert (talk["message_count"], talk["satisfaction_score"]) == (6, 5)
    assert (other["status"], other["resolution"]["tags"]) == ("resolved", ["invoice"])
