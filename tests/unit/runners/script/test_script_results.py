"""What a script tells about itself: results in every shape, and what cannot be one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from script_bed import launch, no_way_out

from hookline.model.executions import ScriptFacts
from hookline.ports.runner import Failed, Succeeded
from hookline.runners.script.runner import ScriptRunner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


@pytest_asyncio.fixture
async def runner() -> AsyncIterator[ScriptRunner]:
    runner = ScriptRunner(no_way_out)
    yield runner
    await runner.close(0)


async def test_what_is_written_to_the_channel_by_hand_does_no_harm(runner: ScriptRunner) -> None:
    """A script may write anything there: what is no line of ours is dropped."""
    source = """
import os
fd = int(os.environ["HOOKLINE_CHANNEL"])
for line in (b"\\xff\\x00", b"[" * 100000, b'{"result":', b'{"progress":{"percent":"x"}}', b"null", b'{"result":2}'):
    os.write(fd, line + b"\\n")
"""
    run = launch(runner, source)
    facts = ScriptFacts(script="script.py", script_org="acme", branch="main", exit_code=0)

    assert await run.ended() == Succeeded(output=b"2", facts=facts)
    assert run.listener.texts("log") == [
        "The script told something about itself that cannot be read: it was dropped."
    ]


@pytest.mark.parametrize(
    ("slug", "set_it"),
    [
        ("a.py", "from hookline_agent import *\nset_result_object({'n': ['\\ud83d']})"),
        ("a.js", "require('hookline_agent').setResultObject({ n: ['\\\\', '\\ud83d'] })"),
    ],
)
async def test_a_result_that_no_receiver_could_read_is_the_scripts_error(
    runner: ScriptRunner, slug: str, set_it: str
) -> None:
    """CONTRACT section 2: lone surrogates are no JSON text here; the result is never dropped in silence."""
    outcome = await launch(runner, set_it, slug=slug).ended()

    assert isinstance(outcome, Failed)
    assert "Error" in (outcome.failure.stack or "")


async def test_any_other_result_arrives_as_it_was_set(runner: ScriptRunner) -> None:
    python = "from hookline_agent import *\nprogress_hint(float('nan'), 'x\\ud800')\n"
    python += "set_result_object({'big': 10**30, 'small': 1e-7, 'nul': '\\0', "
    python += "'pair': '\\U0001f600', 'slash': '\\\\ud800'})"
    node = "require('hookline_agent').setResultObject({ pair: '\\u{1f600}', slash: '\\\\ud800', nul: '\\0' })"
    ran = launch(runner, python)
    ends = [await ran.ended(), await launch(runner, node, slug="a.js").ended()]

    assert all(isinstance(end, Succeeded) for end in ends), ends
    first, second = (json.loads(end.output) for end in ends if isinstance(end, Succeeded))
    assert first == {"big": 10**30, "small": 1e-7, "nul": "\0", "pair": "\U0001f600", "slash": "\\ud800"}
    assert second == {"pair": "\U0001f600", "slash": "\\ud800", "nul": "\0"}
    assert ran.listener.progress == [{"percent": 0.0, "label": "x?"}]
