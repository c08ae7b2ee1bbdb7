"""What is said of a script's own end."""

from __future__ import annotations

import msgspec
import pytest

from hookline.model.scripts import ScriptDefinition, ScriptLimits
from hookline.model.states import Kind
from hookline.ports.runner import Failed, RunJob
from hookline.runners.sandbox.cell import End
from hookline.runners.script.outcomes import outcome_of

DEFINITION = ScriptDefinition(slug="a.py", org="", branch="", source="", limits=ScriptLimits())


@pytest.mark.parametrize(
    ("last_words", "network", "is_hinted"),
    [
        (b"socket.gaierror: [Errno -3] Temporary failure in name resolution", False, True),
        (b"[cause]: Error: getaddrinfo EAI_AGAIN example.com", False, True),
        (b"OSError: [Errno 101] Network is unreachable", False, True),
        (b"[cause]: Error: getaddrinfo EAI_AGAIN example.com", True, False),
        (b"KeyError: 'a'", False, False),
    ],
)
def test_a_script_that_misses_a_network_is_told_how_it_gets_one(
    last_words: bytes, network: bool, is_hinted: bool
) -> None:
    definition = msgspec.structs.replace(DEFINITION, network=network)
    job = RunJob(execution_id=bytes(16), kind=Kind.SCRIPT, automation_id="1")
    ended = outcome_of(job, definition, None, End(code=1), has_begun=True, result=None, last_words=last_words)

    assert isinstance(ended, Failed)
    assert ended.failure.message.startswith("The script ended with exit code 1.")
    assert ('"network": true' in ended.failure.message) is is_hinted
