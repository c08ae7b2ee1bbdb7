"""docs/how-to/talk-with-an-agent.md, run as it is printed, with the agent in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from model_server import ModelServer

from hookline.testing.nodes import ADMIN_KEY, NodeProcess

if TYPE_CHECKING:
    from model_server import Asked

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "talk-with-an-agent.md"


@pytest.mark.timeout(120)
@pytest.mark.needs("curl")
def test_the_page_works_as_it_is_printed(tmp_path: Path) -> None:
    """AF-3, AF-10: the agent of the second turn sees the first; its resolve ends the conversation. A model's agent
    calls its tool and is heard as it speaks.
    """
    text = PAGE.read_text(encoding="utf-8")
    ((name, source),) = re.findall(
        r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL
    )
    (tmp_path / name).write_text(source, encoding="utf-8")
    commands = re.findall(r"^<!-- run -->\n```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    commands.append('api "$HOOKLINE_URL/api/v1/conversations/$CONVERSATION" > talk.json')
    commands.append('api "$HOOKLINE_URL/api/v1/conversations/$OTHER" > other.json')
    with ModelServer() as model:
        model.answers["gpt"] = _answer
        done = _run(commands, model.url, tmp_path, tmp_path / name)

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
    assert '"you_said": "Anybody at all?"' in done.stdout
    assert 'It says {"number":7,"state":"shipped","customer":"ada"}\n' in done.stdout
    assert "\nevent: progress\n" in done.stdout


def _answer(asked: Asked) -> None:
    """A model that asks for the order in the message, and then repeats what it is told."""
    last = asked.body["messages"][-1]
    if last["role"] == "tool":
        asked.say("It says ", last["content"])
    else:
        asked.call(("order_status", json.dumps({"number": int(re.sub(r"\D", "", last["content"]))})))


def _run(commands: list[str], model: str, folder: Path, app: Path) -> subprocess.CompletedProcess[str]:
    settings = {"HOOKLINE_OPENAI_BASE_URL": model, "HOOKLINE_OPENAI_MODEL": "gpt"}
    node = NodeProcess(database=f"sqlite:///{folder}/page.db", folder=folder, app=app, settings=settings)
    node.start()
    try:
        return subprocess.run(
            ["bash", "-euc", "\n".join(commands)],
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOOKLINE_URL": f"http://127.0.0.1:{node.port}",
                "HOOKLINE_API_KEY": ADMIN_KEY,
                "no_proxy": "*",
            },
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
    finally:
        assert node.stop() == 0
