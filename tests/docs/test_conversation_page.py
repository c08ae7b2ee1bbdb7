"""docs/how-to/talk-with-an-agent.md, run as it is printed, with the agent in a process of its own."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from model_server import ModelServer
from pages import follow, json_values

if TYPE_CHECKING:
    from pathlib import Path

    from model_server import Asked

LOOK = """
api "$HOOKLINE_URL/api/v1/conversations/$CONVERSATION"
api "$HOOKLINE_URL/api/v1/conversations/$OTHER"
"""


@pytest.mark.timeout(120)
@pytest.mark.needs("curl")
def test_the_page_works_as_it_is_printed(tmp_path: Path) -> None:
    """AF-3, AF-10: the agent of the second turn sees the first; its resolve ends the conversation. A model's agent
    calls its tool and is heard as it speaks.
    """
    with ModelServer() as model:
        model.answers["gpt"] = _answer
        settings = {"HOOKLINE_OPENAI_BASE_URL": model.url, "HOOKLINE_OPENAI_MODEL": "gpt"}
        followed = follow("how-to/talk-with-an-agent", tmp_path, then=LOOK, settings=settings)

    talk, other = json_values(followed.said["then"])
    assert [turn["output"] for turn in talk["turns"]] == [
        {"you_said": "My invoice is wrong", "before": []},
        {"you_said": "It is number 7", "before": ["My invoice is wrong"]},
        "Goodbye, ada",
    ]
    assert (talk["message_count"], talk["satisfaction_score"]) == (6, 5)
    assert (other["status"], other["resolution"]["tags"]) == ("resolved", ["invoice"])
    assert '"you_said": "Anybody at all?"' in followed.output
    assert 'It says {"number":7,"state":"shipped","customer":"ada"}\n' in followed.output
    assert "\nevent: progress\n" in followed.output


def _answer(asked: Asked) -> None:
    """A model that asks for the order in the message, and then repeats what it is told."""
    last = asked.body["messages"][-1]
    if last["role"] == "tool":
        asked.say("It says ", last["content"])
    else:
        asked.call(("order_status", json.dumps({"number": int(re.sub(r"\D", "", last["content"]))})))
