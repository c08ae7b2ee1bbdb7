"""How one run ended: the one record from which the dialects that only speak of ends are worded.

``ending_of`` reads the stored event and the stored execution, which never changes once it has ended. An event
without a run (published, emitted under a type of its own, a test) is told as a success with its data as the result
(CONTRACT section 5). Facts that do not exist are None. What a webhook's filter takes away from ``data`` is gone
here too: results and error texts are read from what the filter leaves.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.canonical import parse
from hookline.core.event_types import CONVERSATION_ENDED, KIND_ENDED_BY
from hookline.core.times import parse_rfc3339
from hookline.errors import InputError
from hookline.model.ids import Key, bare
from hookline.model.states import ExecutionStatus, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.model.events import Event
    from hookline.model.executions import Execution

JsonObject = dict[str, Any]

_NUMBER: Final = re.compile(r"[1-9][0-9]{15}", re.ASCII)

_EVENT: Final = "event"
"""What stands for the kind of automation where there is none."""

_STATUS_BY_CODE: Final = {
    "KILLED": ExecutionStatus.KILLED,
    "TIMED_OUT": ExecutionStatus.TIMED_OUT,
    "LOST": ExecutionStatus.LOST,
}


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """One run that ended, or a published event told as one.

    organization_id, kind, subject: whose run; for a published event the kind is ``event`` and the subject its type.
    name: of the automation, or the event's type.  run_id: bare UUID of the execution, else of the event, so that
    receivers who dedupe by it keep every event.  is_run: False for a published event.
    launch_ms: accepted to process start.  run_ms: process start to end.  limit: for ``TIMED_OUT``, whose.
    result: decoded and filtered, None when there is none.  error: ``code``, ``message``, ``type``, ``stack``, None on
    success.  facts: the event's data as an object, unfiltered, for what only one kind knows; ``{}`` for other data.
    is_test: made by the webhook's test route.
    """

    organization_id: Key
    kind: str
    subject: str
    name: str
    run_id: str
    execution_id: Key | None = None
    is_run: bool = True
    is_test: bool = False
    status: ExecutionStatus = ExecutionStatus.SUCCEEDED
    limit: str | None = None
    launch_ms: int | None = None
    run_ms: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    credits_used: float | None = None
    result: Any = None
    error: JsonObject | None = None
    facts: JsonObject = {}

    @property
    def is_success(self) -> bool:
        return self.status is ExecutionStatus.SUCCEEDED

    def text(self, name: str) -> str | None:
        """A fact, if it is a text."""
        value = self.facts.get(name)
        return value if isinstance(value, str) else None


def stable_number(ending: Ending) -> str:
    """A stable number of 16 digits for the automation, below 2^53: PB-4 has it as text, and people parse it.

    The id of a script agent is one already.
    """
    if ending.is_run and ending.kind == Kind.SCRIPT and _NUMBER.fullmatch(ending.subject) is not None:
        return ending.subject
    digest = hashlib.sha256(_identity(ending)).digest()
    return str(10**15 + int.from_bytes(digest[:16]) % (2**53 - 10**15))


def stable_uuid(ending: Ending) -> str:
    """A stable UUID for the automation (MX-3)."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, _identity(ending).hex()))


def _identity(ending: Ending) -> bytes:
    return b"%b\0%b\0%b" % (ending.organization_id, ending.kind.encode(), ending.subject.encode())


def is_end(event: Event, execution: Execution | None) -> bool:
    """Say whether this event is the terminal one of its execution, and no namesake that was published or emitted.

    execution: as stored now; None when it was deleted since, then the type decides.
    """
    if event.sequence == 0 or event.type not in KIND_ENDED_BY:
        return False
    if execution is None:
        return True
    # The last event, but for that of the conversation which a turn may end with.
    is_last = event.sequence >= execution.event_sequence - 1
    return execution.status.is_terminal and is_last and KIND_ENDED_BY[event.type] is execution.kind


def ending_of(event: Event, execution: Execution | None, trim: Callable[[Any], Any] | None) -> Ending:
    """Derive the record. execution: that of the event, or None.  trim: the webhook's filter, or None."""
    data = parse(event.data)
    if not is_end(event, execution):
        return _published(event, data if trim is None else trim(data), data)
    facts = data if isinstance(data, dict) else {}
    if execution is not None and execution.error is not None:
        # Part of the data for the filter's sake: whoever excludes "error" does not get the stack either.
        facts = {**facts, "error": msgspec.structs.asdict(execution.error)}
    left = facts if trim is None else trim(facts)
    shown = left if isinstance(left, dict) else {}
    ending = _of_data(event, facts, shown)
    return ending if execution is None else _with_execution(ending, execution)


def _published(event: Event, result: Any, data: Any) -> Ending:
    return Ending(
        organization_id=event.organization_id,
        kind=_EVENT,
        subject=event.type,
        name=event.type,
        run_id=bare(event.key),
        is_run=False,
        is_test=event.is_test,
        ended_at=event.occurred_at,
        result=result,
        facts=data if isinstance(data, dict) else {},
    )


def _of_data(event: Event, facts: JsonObject, shown: JsonObject) -> Ending:
    """What the event itself says."""
    kind = KIND_ENDED_BY[event.type]
    error = facts.get("error") if isinstance(facts.get("error"), dict) else None
    status = ExecutionStatus.SUCCEEDED
    if error is not None or facts.get("status") == "failed":
        status = _STATUS_BY_CODE.get(str((error or {}).get("code")), ExecutionStatus.FAILED)
    subject = str(facts.get(f"{kind}_id", ""))
    is_success = status is ExecutionStatus.SUCCEEDED
    return Ending(
        organization_id=event.organization_id,
        kind=kind,
        subject=subject,
        name=subject,
        run_id=bare(event.execution_id or event.key),
        execution_id=event.execution_id,
        status=status,
        limit=(error or {}).get("limit"),
        run_ms=_milliseconds(facts.get("duration_seconds")),
        started_at=_instant(facts.get("started_at")),
        ended_at=event.occurred_at,
        credits_used=_float(facts.get("credits_used")),
        result=_result(event.type, shown) if is_success else None,
        error=None if is_success else _error(error or {}, shown.get("error")),
        facts=facts,
    )


def _result(event_type: str, shown: JsonObject) -> Any:
    """A run's output, a turn's message, or the whole of a conversation."""
    if event_type == CONVERSATION_ENDED:
        return shown
    is_turn = KIND_ENDED_BY[event_type] is Kind.AGENT and "output_data" not in shown
    return shown.get("message" if is_turn else "output_data")


def _with_execution(ending: Ending, execution: Execution) -> Ending:
    """The same with what only the execution knows."""
    return msgspec.structs.replace(
        ending,
        kind=execution.kind,
        subject=execution.automation_id,
        name=execution.automation_name or execution.automation_id,
        status=execution.status,
        limit=execution.error.limit if execution.error is not None else None,
        launch_ms=execution.launch_ms,
        run_ms=execution.run_ms if execution.run_ms is not None else ending.run_ms,
        started_at=execution.started_at,
        ended_at=execution.completed_at,
        credits_used=execution.credits_used,
    )


def _error(error: JsonObject, left: Any) -> JsonObject:
    """The error's code, and of its texts what the filter leaves."""
    shown = left if isinstance(left, dict) else {}
    return {"code": error.get("code", "FAILED")} | {
        name: shown.get(name) for name in ("message", "type", "stack")
    }


def _float(value: Any) -> float | None:
    if type(value) is msgspec.Raw:
        return float(bytes(value))
    return float(value) if type(value) is int else None


def _milliseconds(seconds: Any) -> int | None:
    number = _float(seconds)
    return None if number is None else round(number * 1000)


def _instant(text: Any) -> datetime | None:
    try:
        return parse_rfc3339(text) if isinstance(text, str) else None
    except InputError:
        return None
