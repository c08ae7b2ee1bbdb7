"""docs/how-to/run-a-script-agent.md and follow-a-run.md, run; docs/reference/scripts.md, compared with the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hookline.engine.manage.scripts import LIMITS
from hookline.model.scripts import ScriptLimits
from hookline.testing.nodes import ADMIN_KEY, NodeProcess

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "how-to" / "run-a-script-agent.md").read_text(encoding="utf-8")
FOLLOWING = (DOCS / "how-to" / "follow-a-run.md").read_text(encoding="utf-8")
LAUNCHED = """
hookline script-agents launch "$AGENT" --data '["Zoë", "Ada"]' --json > run.json
export RUN=$(python -c 'import json; print(json.load(open("run.json"))["execution_id"])')
hookline executions logs "$RUN" --follow
hookline executions files "$RUN" --save files
echo launched
"""
REFERENCE = (DOCS / "reference" / "scripts.md").read_text(encoding="utf-8")


@pytest.mark.timeout(120)
@pytest.mark.needs("curl")
def test_the_tutorial_works_as_it_is_printed(tmp_path: Path) -> None:
    ((name, source),) = re.findall(
        r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL
    )
    (tmp_path / name).write_text(source, encoding="utf-8")
    commands = re.findall(r"^<!-- run -->\n```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    commands += [
        LAUNCHED,
        *re.findall(r"^<!-- run -->\n```sh\n(.*?)^```", FOLLOWING, re.MULTILINE | re.DOTALL),
    ]
    node = NodeProcess(database=f"sqlite:///{tmp_path}/page.db", folder=tmp_path, app=None)
    node.start()
    try:
        done = subprocess.run(
            ["bash", "-euc", "\n".join(commands)],
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOOKLINE_URL": f"http://127.0.0.1:{node.port}",
                "HOOKLINE_API_KEY": ADMIN_KEY,
                "NO_COLOR": "1",
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
    assert '{"greeted": 2}' in done.stdout
    before, _, after = done.stdout.partition("launched\n")
    _, answered, by_command = before.rpartition('{"greeted": 1}')
    assert answered
    # Of progress that comes faster than four times a second only the last is sure to be kept.
    told = ["good morning Zoë", "good morning Ada", "100.0 %, Ada"]
    assert [text for text in told if text in by_command] == told
    whole, rest, files = after.split('event: end\ndata: {"status":"succeeded"}\n')
    assert whole.count("event: stdout") == rest.count("event: stdout") + 1 == 2
    assert files.strip() == '{"artifacts":[]}'


@pytest.mark.parametrize("name", LIMITS)
def test_the_limits_are_those_of_the_code(name: str) -> None:
    row = next(line for line in REFERENCE.splitlines() if line.startswith(f"| `{name}`"))
    _, _, default, lowest, highest, *_ = (cell.strip() for cell in row.split("|"))

    assert (int(lowest), int(highest)) == LIMITS[name]
    assert int(default) == getattr(ScriptLimits(), name)
