"""Receive: a verified request becomes an execution, in one transaction with everything that goes with it.

A 2xx may be said only after ``start`` has returned: trigger request, execution, conversation and first events are
then on disk. Whether the request was allowed to come this far is not decided here.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.turns import Turn
from hookline.dialects import payloads
from hookline.engine.record import execution_event
from hookline.engine.tracing import current_trace
from hookline.errors import ConflictError, StorageError
from hookline.model.executions import Automation, Conversation, Execution, TriggerRequest
from hookline.model.ids import Key, new_key
from hookline.model.states import ExecutionStatus, Kind
from hookline.ports import Accept, Closed, Instead, NewEvent, Once, Repeat, Taken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from hookline.engine.catalogue import Catalogue
    from hookline.engine.commit import Committer
    from hookline.engine.execute import Executor
    from hookline.engine.lease import Lease
    from hookline.engine.publish import Outbox
    from hookline.ports import Clock, ExecutionArchive, Onces


_NO_TURN: Final = Turn()


class ExecutionStart(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that starting an execution needs.

    input: JSON text or None.  trigger: JSON text of what ``ctx.trigger`` shows, or None.  source: ``trigger``,
    ``api`` or ``replay``.  request: kept with the execution; its id and execution_id are filled in here.
    once: makes the start happen once.  id: made beforehand by who registered a waiter for its end, or None.
    is_awaited: somebody on this node waits for its end.  callback_id, callback_url: as the execution keeps them.
    turn: its place among others, or None.  conversation: open, which this is a turn of; its turns have its gate.
    opens: the conversation is new and is stored with this.  reruns: id of a kept request that starts this now,
    instead of ``request``.  trace: the place in a trace that leads to it, as it is stored; None for that of the request
    that is being answered.
    """

    organization_id: Key
    kind: Kind
    automation_id: str
    input: bytes | None = None
    source: str = "api"
    trigger: bytes | None = None
    trigger_id: Key | None = None
    request: TriggerRequest | None = None
    replay_of: Key | None = None
    once: Once | None = None
    id: Key | None = None
    is_awaited: bool = False
    callback_id: Key | None = None
    callback_url: str | None = None
    turn: Turn | None = None
    conversation: Conversation | None = None
    opens: bool = False
    reruns: Key | None = None
    trace: str | None = None


class Receiver:
    """One per node."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        catalogue: Catalogue,
        executor: Executor,
        committer: Committer,
        archive: ExecutionArchive,
        onces: Onces,
        lease: Lease,
        clock: Clock,
    ) -> None:
        self._outbox = outbox
        self._catalogue = catalogue
        self._executor = executor
        self._committer = committer
        self._archive = archive
        self._onces = onces
        self._lease = lease
        self._clock = clock

    async def start(
        self, start: ExecutionStart, *, answer: Callable[[Execution], bytes] | None = None
    ) -> Execution | Repeat:
        """Store the execution; durable when it returns. Returns Repeat when ``start.once`` was there before, and an
        earlier execution when that one stands for it (``start.turn``).

        answer: words the answer that a repeat will get, since it names the execution. Raises StorageError, and
        ConflictError when ``start.reruns`` started something before, or ``start.conversation`` has ended.
        """
        await self._outbox.ready(start.organization_id)
        now = self._clock.now()
        turn = start.turn or _NO_TURN
        automation = await self._catalogue.find(start.organization_id, start.kind, start.automation_id)
        # Whose turn it is the store decides: it is claimed like one of another node.
        is_claimed = start.turn is None and self._executor.reserve(automation)
        execution, conversation, events = self._prepare(start, automation, now)
        once = start.once
        if once is not None and answer is not None:
            once = msgspec.structs.replace(once, answer=answer(execution))
        epoch = self._lease.epoch
        accept = Accept(
            epoch=epoch,
            execution=execution,
            request=_with_execution(start.request, execution),
            is_claimed=is_claimed,
            is_awaited=start.is_awaited,
            conversation=conversation,
            joins=_joined(start),
            events=events,
            once=once,
            when_full=turn.when_full,
            same_mark=turn.same_mark,
            merge_within_ms=0 if turn.most_delay is None else turn.most_delay // timedelta(milliseconds=1),
            reruns=start.reruns,
        )

        def concluded(result: object) -> None:
            self._outbox.conclude(events, epoch, result)
            if is_claimed:
                self._executor.conclude(execution, epoch, is_stored=result is True)
            elif result is True:
                self._executor.expect()

        result = await self._committer.commit(accept, after=concluded)
        _raise_refusal(result)
        if result is True and turn.when_full == "replace":
            # It is stored; the others learn at the next look what they were asked.
            with suppress(StorageError):
                await self._executor.cancel_requested_elsewhere()
        if isinstance(result, Instead):
            earlier = await self._stand_in(result.execution_id, start.organization_id)
            if result.reason == "merged" and start.once is not None and answer is not None:
                # That a repeat means the other one is stored already; the very words of this answer are a courtesy.
                with suppress(StorageError):
                    await self._onces.finish(
                        msgspec.structs.replace(start.once, answer=answer(earlier)), epoch
                    )
            return earlier
        if isinstance(result, Repeat):
            return await self._worded(result, start.organization_id, answer)
        return execution

    async def _worded(
        self, repeat: Repeat, organization_id: Key, answer: Callable[[Execution], bytes] | None
    ) -> Repeat:
        """Return a repeat with an answer, also when that of the first one was never stored."""
        if repeat.instead is None or answer is None:
            return repeat
        earlier = await self._stand_in(repeat.instead, organization_id)
        return msgspec.structs.replace(repeat, answer=answer(earlier), instead=None)

    async def _stand_in(self, execution_id: Key, organization_id: Key) -> Execution:
        earlier = await self._archive.execution(execution_id, organization_id=organization_id)
        if earlier is None:
            raise StorageError("The execution that stands for this one is gone.")
        return earlier

    def _prepare(
        self, start: ExecutionStart, automation: Automation | None, now: datetime
    ) -> tuple[Execution, Conversation | None, tuple[NewEvent, ...]]:
        execution = Execution(
            id=start.id if start.id is not None else new_key(),
            organization_id=start.organization_id,
            kind=start.kind,
            automation_id=start.automation_id,
            automation_name=automation.name if automation is not None else start.automation_id,
            source=start.source,
            trigger_id=start.trigger_id,
            request_id=start.request.id if start.request is not None else start.reruns,
            replay_of=start.replay_of,
            callback_id=start.callback_id,
            callback_url=start.callback_url,
            input=start.input,
            trigger=start.trigger,
            created_at=now,
            trace=start.trace if start.trace is not None else current_trace(),
        )
        if start.turn is not None:
            execution = _in_turn(execution, start.turn)
        if start.kind is not Kind.AGENT:
            return execution, None, ()
        if start.conversation is not None and not start.opens:
            joined = msgspec.structs.replace(execution, conversation_id=start.conversation.id)
            told = [("agent.message.received", payloads.message_received(start.conversation, joined))]
            joined, events = self._told(joined, told, now)
            return joined, None, events
        return self._open_conversation(execution, start.conversation, now)

    def _open_conversation(
        self, execution: Execution, conversation: Conversation | None, now: datetime
    ) -> tuple[Execution, Conversation, tuple[NewEvent, ...]]:
        """An agent's turn opens its conversation: started, then message received."""
        if conversation is None:
            conversation = payloads.new_conversation(execution, id=new_key(), now=now)
        execution = msgspec.structs.replace(execution, conversation_id=conversation.id)
        facts = (
            ("agent.conversation.started", payloads.conversation_started(conversation, execution)),
            ("agent.message.received", payloads.message_received(conversation, execution)),
        )
        execution, events = self._told(execution, facts, now)
        return execution, conversation, events

    def _told(
        self, execution: Execution, facts: Sequence[tuple[str, bytes]], now: datetime
    ) -> tuple[Execution, tuple[NewEvent, ...]]:
        """The first events of an execution, and the execution that has them."""
        automation = (execution.kind, execution.automation_id)
        events = tuple(
            [
                self._outbox.owe(execution_event(execution, type_, data, sequence, now), automation)
                for sequence, (type_, data) in enumerate(facts, start=1)
            ]
        )
        return msgspec.structs.replace(execution, event_sequence=len(events)), events


def _raise_refusal(result: object) -> None:
    if isinstance(result, Closed):
        raise ConflictError("This conversation has ended: begin another.", code="CONVERSATION_ENDED")
    if isinstance(result, Taken):
        raise ConflictError("This request started an execution before.", code="ALREADY_RAN")


def _joined(start: ExecutionStart) -> Key | None:
    return None if start.conversation is None or start.opens else start.conversation.id


def _in_turn(execution: Execution, turn: Turn) -> Execution:
    execution = msgspec.structs.replace(
        execution, gate=turn.gate, gate_limit=0 if turn.gate is None else turn.limit, mark=turn.mark
    )
    if turn.delay is None:
        return execution
    wake_at = execution.created_at + turn.delay
    return msgspec.structs.replace(execution, status=ExecutionStatus.WAITING, wake_at=wake_at)


def _with_execution(request: TriggerRequest | None, execution: Execution) -> TriggerRequest | None:
    return None if request is None else msgspec.structs.replace(request, execution_id=execution.id)
