"""docs/how-to/run-a-script-agent.md and follow-a-run.md, run; docs/reference/scripts.md, compared with the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pages import follow, source

from hookline.engine.manage.scripts import LIMITS
from hookline.model.scripts import ScriptLimits

if TYPE_CHECKING:
    from pathlib import Path

REFERENCE = source("reference/scripts")


@pytest.mark.timeout(120)
@pytest.mark.needs("curl")
def test_the_page_on_scripts_works_as_it_is_printed(tmp_path: Path) -> None:
    output = follow("how-to/run-a-script-agent", tmp_path).output

    assert '{"greeted": 2}' in output
    assert '{"greeted": 1}' in output


@pytest.mark.timeout(120)
@pytest.mark.needs("curl")
def test_a_run_is_followed_as_it_is_printed(tmp_path: Path) -> None:
    said = follow("how-to/follow-a-run", tmp_path).said

    # Of progress that comes faster than four times a second only the last is sure to be kept.
    told = ["hello Zoë", "hello Ada", "100.0 %, Ada"]
    assert [text for text in told if text in said["command"]] == told
    assert said["whole"].endswith('event: end\ndata: {"status":"succeeded"}\n\n')
    assert said["whole"].count("event: stdout") == said["rest"].count("event: stdout") + 1 == 2
    assert said["files"].strip() == '{"artifacts":[]}'


@pytest.mark.parametrize("name", LIMITS)
def test_the_limits_are_those_of_the_code(name: str) -> None:
    row = next(line for line in REFERENCE.splitlines() if line.startswith(f"| `{name}`"))
    _, _, default, lowest, highest, *_ = (cell.strip() for cell in row.split("|"))

    assert (int(lowest), int(highest)) == LIMITS[name]
    assert int(default) == getattr(ScriptLimits(), name)
