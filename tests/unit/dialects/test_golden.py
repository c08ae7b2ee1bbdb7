"""A golden file per dialect and case: the bytes that receivers have learned to read.

To change one on purpose run ``python tests/support/golden.py`` and read the difference.
"""

from __future__ import annotations

import json

import golden
import pytest
from golden import FOLDER, TYPED

BODIES = golden.bodies()


@pytest.mark.parametrize("place", BODIES)
def test_a_body_is_what_its_golden_file_says(place: str) -> None:
    """CONTRACT section 5: byte for byte."""
    assert BODIES[place] + b"\n" == (FOLDER / place).read_bytes()


def test_every_golden_file_has_its_case() -> None:
    assert {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.*")} == set(BODIES)


@pytest.mark.parametrize(
    "place", [place for place in BODIES if not place.startswith("raw/") and place.endswith(".json")]
)
def test_a_golden_body_survives_being_parsed_and_written_again(place: str) -> None:
    """AF-X1 for every dialect whose body is ours: JSON without spaces, ECMAScript's numbers."""
    text = (FOLDER / place).read_text(encoding="utf-8").removesuffix("\n")

    assert json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False) == text


def test_agenticflows_eight_events_and_ours_are_all_worded() -> None:
    """AF-6."""
    eight = {
        "agent.conversation.started",
        "agent.conversation.completed",
        "agent.message.received",
        "agent.message.sent",
        "workflow.execution.started",
        "workflow.execution.completed",
        "workflow.execution.failed",
        "workflow.step.completed",
    }

    assert eight <= set(TYPED)
    for name in eight:
        worded = json.loads(BODIES[f"agenticflow/{name}.json"])
        assert list(worded) == ["event", "timestamp", "webhook_id", "data"]
        assert worded["event"] == name
