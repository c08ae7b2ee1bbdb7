"""The ``phantombuster`` dialect: one POST when an agent has ended (SEEDS PB-2 to PB-7, PB-12, PB-X1).

Body: ten keys in the seed's order, no envelope. "finished" only says that the process ran to its end: success is
``finished`` with exit code 0 (PB-6). A run that did not succeed has no result object.

Options: ``result_object`` is ``object`` (the examples of the seed) or ``json-string`` (its table, PB-X1); ``version``
2 adds ``containerId``, the execution's id, where today's product has it (PB-12).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.core.canonical import write
from hookline.core.retry import SCHEDULES
from hookline.dialects.base import BaseDialect, HeaderList, Recipient, option, type_header
from hookline.dialects.ending import Ending, ending_of, stable_number
from hookline.model.states import ExecutionStatus, Kind

if TYPE_CHECKING:
    from hookline.model.events import Event
    from hookline.model.executions import Execution

_BY_SIGKILL: Final = 137
"""What a shell says of a process that kill -9 ended; so end those that are cancelled, run out of time or are lost."""

_TIMEOUTS: Final = {"agent": "agent timeout", "org": "org timeout", "global": "global timeout"}


class PhantomBuster(BaseDialect):
    name = "phantombuster"
    schedule = SCHEDULES["phantombuster"]
    max_redirects = 2
    tells_ends_only = True
    disables_misconfigured = True
    options = {"result_object": ("object", "json-string"), "version": (1, 2)}  # noqa: RUF012 -- never changed

    def body(self, event: Event, to: Recipient, execution: Execution | None = None) -> bytes:
        ending = ending_of(event, execution, to.trim)
        message, code = exit_of(ending)
        result = ending.result
        if result is not None and option(self, to, "result_object") == "json-string":
            result = write(result).decode()
        container = {"containerId": ending.run_id} if option(self, to, "version") == 2 else {}
        return write(
            {
                "agentId": stable_number(ending),
                "agentName": ending.name,
                **container,
                **_script(ending),
                "launchDuration": ending.launch_ms,
                "runDuration": ending.run_ms,
                "resultObject": result,
                "exitMessage": message,
                "exitCode": code,
            }
        )

    def event_headers(self, event: Event) -> HeaderList:
        return [type_header(event)]


def _script(ending: Ending) -> dict[str, Any]:
    """The code that ran: a script's own slug and branch; an automation in Python is its own script."""
    own = ending.subject if ending.is_run and ending.kind != Kind.SCRIPT else None
    return {
        "script": ending.text("script") if ending.kind == Kind.SCRIPT else own,
        "scriptOrg": ending.text("script_org") if ending.kind == Kind.SCRIPT else None,
        "branch": ending.text("branch") if ending.kind == Kind.SCRIPT else None,
    }


def exit_of(ending: Ending) -> tuple[str, int]:
    """``exitMessage`` and ``exitCode`` (PB-5 to PB-7). The code is 0 for success and for nothing else."""
    match ending.status:
        case ExecutionStatus.SUCCEEDED:
            return "finished", 0
        case ExecutionStatus.FAILED:
            return "finished", _code(ending, 1)
        case ExecutionStatus.KILLED:
            return "killed", _code(ending, _BY_SIGKILL)
        case ExecutionStatus.TIMED_OUT:
            return _TIMEOUTS.get(ending.limit or "agent", "agent timeout"), _code(ending, _BY_SIGKILL)
        case _:
            return "unknown", _code(ending, _BY_SIGKILL)


def _code(ending: Ending, default: int) -> int:
    """The exit code that the runner saw, if it saw one that means failure."""
    code = ending.facts.get("exit_code") if ending.is_run else None
    return code if type(code) is int and code != 0 else default
