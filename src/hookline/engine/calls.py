"""Calls from one run to another, of a flow or a workflow: start what is called, once, and end it with its caller.

The called execution is stored before its caller's journal says that it was called, so a process or node that dies in
between calls again and meets the first one. Its end and the answer to a caller that waits are one transaction
(``Finish.answers``).
"""

from __future__ import annotations

import asyncio
import itertools
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.bodies import carried
from hookline.core.calling import (
    FLOW,
    OPS,
    SOURCES,
    WORKFLOW,
    Call,
    CallAnswer,
    Made,
    awaited,
    caller_of,
    made_of,
)
from hookline.core.hops import hops_of, shown
from hookline.core.octets import wrapped
from hookline.core.times import rfc3339
from hookline.core.turns import digest, turn_of
from hookline.engine.contexts import WHOLE
from hookline.engine.receive import ExecutionStart
from hookline.engine.tracing import trace_of_call
from hookline.errors import StorageError
from hookline.model.ids import parse, public
from hookline.model.integrations import Instance
from hookline.model.states import Kind
from hookline.ports import Once, Repeat

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import datetime

    from hookline.core.turns import Turn
    from hookline.engine.contexts import Contexts
    from hookline.engine.directory import Directory
    from hookline.model.configuration import Stored
    from hookline.model.executions import Automation, Execution, JournalEntry
    from hookline.model.ids import Key
    from hookline.model.integrations import Flow, Integration
    from hookline.ports import Clock, ExecutionArchive

_MARKED_FOR: Final = timedelta(days=100 * 366)
"""Longer than any caller waits: the mark of what it called is deleted with its record."""

_JSON: Final = "application/json"
_LONGEST_PAUSE_SECONDS: Final = 5.0
_GONE: Final = CallAnswer("not_started", code="NOT_FOUND", message="what is called is gone")
_WAITS_FOR_ITSELF: Final = CallAnswer(
    "not_started",
    code="WAITS_FOR_ITSELF",
    message="it could begin only when those that wait for it have ended",
)


class _Named(msgspec.Struct):
    id: str


class _Of(msgspec.Struct):
    """The part of a stored trigger that names its instance."""

    instance: _Named | None = None


class FlowCalls:
    """One per node.

    automation: finds what runs.  start: stores an execution.  resume: answers a wait of one.  cancel: asks one to end.
    """

    def __init__(
        self,
        *,
        contexts: Contexts,
        directory: Directory,
        archive: ExecutionArchive,
        clock: Clock,
        automation: Callable[[Kind, str], Automation | None],
        start: Callable[..., Awaitable[Execution | Repeat]],
        resume: Callable[[Key, Key, str, bytes], Awaitable[str]],
        cancel: Callable[[Key, Key], Awaitable[object]],
    ) -> None:
        self._contexts = contexts
        self._directory = directory
        self._archive = archive
        self._clock = clock
        self._automation = automation
        self._start = start
        self._resume = resume
        self._cancel = cancel

    def __repr__(self) -> str:
        return f"FlowCalls({self._contexts!r})"

    async def make(self, caller: Execution, entries: Sequence[JournalEntry]) -> list[JournalEntry]:
        """Start what these entries of a running execution call; return them as they are kept. Raises StorageError."""
        return [await self._made(caller, entry) if entry.op in OPS else entry for entry in entries]

    async def _made(self, caller: Execution, entry: JournalEntry) -> JournalEntry:
        call = msgspec.json.decode(entry.value or b"", type=Call)
        waits_for = awaited(entry.op, entry.name, entry.occurrence) if call.is_awaited else None
        start = await self._start_of(caller, entry, bytes(call.data), waits_for)
        if isinstance(start, CallAnswer):
            if waits_for is not None:
                await self._resume(caller.organization_id, caller.id, waits_for, msgspec.json.encode(start))
            return _kept(entry, Made(None, call.is_awaited))
        started = await self._start(start, answer=lambda execution: execution.id)
        id_ = started.answer if isinstance(started, Repeat) else started.id
        return _kept(entry, Made(public("execution", id_), call.is_awaited))

    async def _start_of(
        self, caller: Execution, entry: JournalEntry, data: bytes, waits_for: str | None
    ) -> ExecutionStart | CallAnswer:
        """Return what is to be started, or why it cannot be."""
        now = self._clock.now()
        once = Once(
            scope=caller.id,
            name=f"{entry.op} {entry.occurrence} {entry.name}",
            digest=b"",
            answer=b"",
            expires_at=now + _MARKED_FOR,
        )
        if entry.op == FLOW:
            return await self._flow_start(caller, entry, data, waits_for, once)
        if self._automation(Kind.WORKFLOW, entry.name) is None:
            return _GONE
        shown_ = {**shown(hops_of(caller.trigger) + 1), "started_at": rfc3339(now)}
        return ExecutionStart(
            organization_id=caller.organization_id,
            kind=Kind.WORKFLOW,
            automation_id=entry.name,
            input=data,
            source=SOURCES[WORKFLOW],
            trigger=msgspec.json.encode(shown_ | _called_by(caller, waits_for)),
            once=once,
            trace=trace_of_call(caller),
        )

    async def _flow_start(
        self, caller: Execution, entry: JournalEntry, data: bytes, waits_for: str | None, once: Once
    ) -> ExecutionStart | CallAnswer:
        place = await self._sibling(caller, entry.name)
        if place is None:
            return _GONE
        stored, integration, flow = place
        automation = self._automation(Kind.WORKFLOW, flow.automation_id)
        turn = None if automation is None else _turn(stored, flow, automation, data)
        if waits_for is not None and turn is not None and await self._is_held_up_by(caller, turn):
            return _WAITS_FOR_ITSELF
        shown_ = self._contexts.shown(stored, integration, flow)
        return ExecutionStart(
            organization_id=caller.organization_id,
            kind=Kind.WORKFLOW,
            automation_id=flow.automation_id,
            input=data,
            source=SOURCES[FLOW],
            trigger=_trigger(caller, data, shown_, waits_for, self._clock.now()),
            # Who waits is told of the first failure: the flow's own retries could take hours.
            trigger_id=None if waits_for is not None else _url_of(stored.document, flow),
            once=once,
            turn=turn,
            trace=trace_of_call(caller),
        )

    async def _is_held_up_by(self, caller: Execution, turn: Turn) -> bool:
        """Say whether those that wait for a call hold all the places that it would need one of."""
        held = 0
        waiting: Execution | None = caller
        while waiting is not None and turn.gate is not None:
            held += waiting.gate == turn.gate
            if held >= turn.limit:
                return True
            waiting = await self._waits_for(waiting)
        return False

    async def _waits_for(self, called: Execution) -> Execution | None:
        """Return the run that called this one and still waits for it, None when there is none."""
        by = caller_of(called)
        id_ = None if by is None or by.waits_for is None else parse("execution", by.execution_id)
        if by is None or id_ is None:
            return None
        journal = await self._archive.journal(id_)
        if any(entry.op == "wait" and entry.name == by.waits_for and entry.value for entry in journal):
            return None
        return await self._archive.execution(id_, organization_id=called.organization_id)

    async def _sibling(
        self, caller: Execution, name: str
    ) -> tuple[Stored[Instance], Integration, Flow] | None:
        """Return the flow of this name in the caller's own instance, None when it is gone."""
        named = msgspec.json.decode(caller.trigger or b"{}", type=_Of).instance
        id_ = None if named is None else parse("instance", named.id)
        stored = None if id_ is None else await self._directory.get(Instance, id_)
        if stored is None or stored.organization_id != caller.organization_id:
            return None
        integration = self._contexts.integration(stored.document.integration_id)
        flow = None if integration is None else integration.flow(name)
        return None if integration is None or flow is None else (stored, integration, flow)

    async def is_left_behind(self, called: Execution) -> bool:
        """Say whether a workflow outlived the run that runs it: when that one's node died before it had written down
        what it runs, nobody else ends it. Raises StorageError.
        """
        by = caller_of(called)
        id_ = None if by is None or by.waits_for is None else parse("execution", by.execution_id)
        if id_ is None or called.source != SOURCES[WORKFLOW]:
            return False
        caller = await self._archive.execution(id_, organization_id=called.organization_id)
        return caller is None or caller.status.is_terminal

    async def release(self, caller: Execution) -> None:
        """Cancel the workflows that an execution runs, since it ends. Tried until it is stored: before its own end is,
        so that a node that dies in between leaves it to who takes over.
        """
        if not caller.attempt:
            return
        for tries in itertools.count():
            try:
                for id_ in _unanswered(await self._archive.journal(caller.id)):
                    await self._cancel(caller.organization_id, id_)
            except StorageError:
                await asyncio.sleep(min(0.1 * 2**tries, _LONGEST_PAUSE_SECONDS))
            else:
                return


def _unanswered(journal: Iterable[JournalEntry]) -> list[Key]:
    """Return the workflows that are run here and have not answered."""
    journal = tuple(journal)
    answered = {entry.name for entry in journal if entry.op == "wait" and entry.value not in {None, b"null"}}
    found = []
    for entry in journal:
        if entry.op != WORKFLOW or awaited(entry.op, entry.name, entry.occurrence) in answered:
            continue
        made = made_of(entry.value)
        id_ = parse("execution", made.execution_id or "")
        if made.is_awaited and id_ is not None:
            found.append(id_)
    return found


def _kept(entry: JournalEntry, made: Made) -> JournalEntry:
    """Return a call as the journal keeps it: what it was called with is the called execution's input."""
    return msgspec.structs.replace(entry, value=msgspec.json.encode(made))


def _called_by(caller: Execution, waits_for: str | None) -> dict[str, Any]:
    return {"called_by": {"execution_id": public("execution", caller.id), "waits_for": waits_for}}


def _trigger(
    caller: Execution, data: bytes, shown_: dict[str, Any], waits_for: str | None, now: datetime
) -> bytes:
    """Return what ``ctx.trigger`` shows of a call: a request with a JSON body that came from no URL."""
    text = carried(data, json.loads(data))  # not msgspec: integers have no bounds here
    return msgspec.json.encode(
        {
            **shown(hops_of(caller.trigger) + 1),
            "headers": {"content-type": _JSON},
            "query_parameters": {},
            "path_fragment": "",
            "raw_body": {"data": wrapped(data), "content_type": _JSON},
            "body": {"content_type": _JSON, "data": msgspec.Raw(text)},
            "input": "body",
            "started_at": rfc3339(now),
            **shown_,
            **_called_by(caller, waits_for),
        }
    )


def _url_of(instance: Instance, flow: Flow) -> Key | None:
    """Return the trigger of the flow's own URL, or of the one that it shares."""
    place = instance.places.get(flow.name) or instance.places.get(WHOLE)
    return None if place is None else place.trigger_id


def _turn(stored: Stored[Instance], flow: Flow, automation: Automation, data: bytes) -> Turn | None:
    """Return the call's place in the flow's queue (PR-19), where requests from outside stand, too."""

    def payload() -> dict[str, Any]:
        body = {"data": json.loads(data)}
        return {"headers": {}, "query_parameters": {}, "path_fragment": "", "body": body}

    return turn_of(digest(stored.id, flow.name), {}, automation, payload)
