"""How a run of a script ended, in the engine's words (PB-5 to PB-7).

"finished" is any end of the program's own, whatever its exit code; an end by the API, by a limit of time or by the loss
of its process is an outcome of its own. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.model.executions import Failure, ScriptFacts
from hookline.ports.runner import Failed, Killed, Lost, Succeeded, TimedOut
from hookline.runners.run import Verdict
from hookline.runners.time_limits import too_long

if TYPE_CHECKING:
    from hookline.model.scripts import ScriptDefinition
    from hookline.ports.runner import Outcome, RunJob
    from hookline.runners.sandbox.cell import End

STOPPED: Final = Failure(code="LOST", message="The execution was lost: the node was stopped.")
_ENDED_OUTSIDE: Final = Failure(
    code="LOST", message="The execution was lost: its process was ended from outside."
)
_UNREACHED: Final = (
    b"name resolution",
    b"Name or service not known",
    b"getaddrinfo",
    b"Network is unreachable",
    b"ENETUNREACH",
)
"""What Python and Node.js say of a name or an address that is not reached, for want of a network."""


def outcome_of(
    job: RunJob,
    definition: ScriptDefinition,
    verdict: Verdict | None,
    end: End | None,
    *,
    has_begun: bool,
    result: bytes | None,
    last_words: bytes,
) -> Outcome:
    """Say how it ended. verdict: what ended it early, None for itself.  end: None for one that never began.

    result: JSON text that the script set.  last_words: of its stderr.
    """
    facts = _facts(definition, None if end is None else end.code)
    match verdict:
        case Verdict.KILLED:
            failure = Failure(code="KILLED", message="The execution was cancelled.")
            return Killed(failure=failure, facts=facts)
        case Verdict.TIMED_OUT:
            return TimedOut(failure=too_long("The script", job.timeout_ms or 0, job.limit), facts=facts)
        case Verdict.STOPPED:
            return Lost(failure=STOPPED, has_started=has_begun, facts=facts)
        case None:
            return _own_end(definition, end, facts, result=result, last_words=last_words)


def not_started(definition: ScriptDefinition, message: str) -> Failed:
    """The outcome of a script that this machine cannot run."""
    return Failed(failure=Failure(code="RUNNER_UNAVAILABLE", message=message), facts=_facts(definition, None))


def _own_end(
    definition: ScriptDefinition,
    end: End | None,
    facts: ScriptFacts,
    *,
    result: bytes | None,
    last_words: bytes,
) -> Outcome:
    if end is not None and end.error is not None:
        return not_started(definition, _why_not(end))
    if end is None or end.code is None:
        return Lost(failure=_ENDED_OUTSIDE, facts=facts)
    if end.code == 0:
        return Succeeded(output=result or b"null", facts=facts)
    message = f"The script ended with exit code {end.code}."
    if end.is_out_of_memory:
        message = f"The script used more than its {definition.limits.memory_mb} MiB of memory."
    elif not definition.network and any(word in last_words for word in _UNREACHED):
        message += ' It has no network: give its script agent `"network": true` if it needs one.'
    stack = last_words.decode("utf-8", "replace") or None
    return Failed(failure=Failure(code="FAILED", message=message, stack=stack), facts=facts)


def _facts(definition: ScriptDefinition, code: int | None) -> ScriptFacts:
    return ScriptFacts(
        script=definition.slug, script_org=definition.org, branch=definition.branch, exit_code=code
    )


def _why_not(end: End) -> str:
    if end.is_refused:
        return (
            f"Scripts are refused here: {end.error}, and this server has more than one organization. "
            "See `hookline doctor`, or set HOOKLINE_UNSAFE_SCRIPTS=true to run them all the same."
        )
    return f"The script was not started: {end.error}."
