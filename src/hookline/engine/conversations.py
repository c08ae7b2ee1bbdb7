"""Conversations that are kept open: begun over the API, taken turns in, ended by a caller, their agent or by silence.

Turns of one conversation share a gate, so they run one at a time in the order in which their messages came.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.event_types import CONVERSATION_ENDED, STARTED
from hookline.core.turns import Turn, conversation_gate
from hookline.dialects import payloads
from hookline.engine.alone import alone
from hookline.engine.receive import ExecutionStart
from hookline.errors import ConflictError, StorageError
from hookline.model.events import Event
from hookline.model.executions import Conversation, Execution
from hookline.model.ids import Key, new_key
from hookline.model.states import Kind
from hookline.ports import CloseConversation, ExecutionFilter, OpenConversation, Repeat

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from hookline.engine.commit import Committer
    from hookline.engine.lease import Lease
    from hookline.engine.publish import Outbox
    from hookline.ports import Archive, Clock, Epoch, NewEvent, Onces

_AT_ONCE: Final = 100
_MOST_TURNS: Final = 100
"""Earlier turns that an agent is shown, the latest ones."""
_MOST_TRIES: Final = 3
_MS: Final = timedelta(milliseconds=1)
_SILENCE: Final[dict[str, Any]] = {"type": "timeout", "category": None, "tags": []}


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What a conversation begins with. input: the body of its first message (AF-3) as JSON text, or None.

    metadata, context: JSON text or None.  idle_ms: as the agent has it, None for the server's own.
    """

    organization_id: Key
    agent_id: str
    user_id: str | None = None
    input: bytes | None = None
    metadata: bytes | None = None
    context: bytes | None = None
    idle_ms: int | None = None


class Conversations:
    """One per node.  idle: silence after which a conversation ends whose agent has no limit of its own."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        committer: Committer,
        archive: Archive,
        onces: Onces,
        lease: Lease,
        clock: Clock,
        start: Callable[[ExecutionStart], Awaitable[Execution | Repeat]],
        idle: timedelta,
    ) -> None:
        self._outbox = outbox
        self._committer = committer
        self._archive = archive
        self._onces = onces
        self._lease = lease
        self._clock = clock
        self._start = start
        self._idle = idle

    def __repr__(self) -> str:
        return f"Conversations(idle={self._idle})"

    async def open(self, opening: Opening) -> tuple[Conversation, Execution | None]:
        """Begin a conversation, with its first turn when there is a message; durable when it returns.

        Raises StorageError.
        """
        now = self._clock.now()
        conversation = Conversation(
            id=new_key(),
            organization_id=opening.organization_id,
            agent_id=opening.agent_id,
            user_id=opening.user_id,
            status="open",
            started_at=now,
            idle_ms=opening.idle_ms,
        )
        if opening.input is not None:
            return conversation, await self._turn(conversation, opening.input, opens=True)
        data = payloads.opened(conversation, metadata=opening.metadata, context=opening.context)
        events, epoch = await self._owed(conversation, STARTED[Kind.AGENT], data, now)
        write = OpenConversation(epoch=epoch, conversation=conversation, events=events)
        await self._committer.commit(write, after=lambda result: self._outbox.conclude(events, epoch, result))
        return conversation, None

    async def say(self, conversation: Conversation, input_: bytes) -> Execution:
        """Take a message, as an AF-3 body in JSON text. Raises ConflictError when the conversation has ended."""
        return await self._turn(conversation, input_, opens=False)

    async def complete(
        self, conversation: Conversation, resolution: dict[str, Any], satisfaction_score: float | None
    ) -> Conversation:
        """End a conversation. Raises ConflictError when it has ended or a message of it is not answered yet."""
        for _ in range(_MOST_TRIES):
            now = self._clock.now()
            closed = payloads.closed(conversation, resolution, satisfaction_score=satisfaction_score, now=now)
            if await self._close(closed, now):
                return closed
            latest = await self._archive.conversation(
                conversation.id, organization_id=conversation.organization_id
            )
            if latest is None or latest.completed_at is not None:
                raise ConflictError("This conversation has ended.", code="CONVERSATION_ENDED")
            if latest.message_count == conversation.message_count:
                break
            conversation = latest  # a turn ended meanwhile: its messages count
        raise ConflictError(
            "A message of this conversation is not answered yet: wait for its turn, or cancel that execution.",
            code="CONVERSATION_BUSY",
        )

    async def close_idle(self) -> None:
        """End the conversations in which nothing was said for long, unless another node is at it.

        Raises StorageError.
        """
        async with alone("conversations", onces=self._onces, lease=self._lease, clock=self._clock) as epoch:
            while epoch is not None and self._lease.is_held() and self._lease.epoch == epoch:
                asked_at = self._clock.now()
                found = await self._archive.idle_conversations(
                    now=asked_at, idle_ms=self._idle // _MS, limit=_AT_ONCE
                )
                ended = 0
                for conversation in found:
                    now = self._clock.now()
                    closed = payloads.closed(conversation, _SILENCE, satisfaction_score=None, now=now)
                    ended += await self._close(closed, now, idle_since=asked_at - self._idle_of(conversation))
                if not ended or len(found) < _AT_ONCE:
                    return

    def _idle_of(self, conversation: Conversation) -> timedelta:
        own = conversation.idle_ms
        return self._idle if own is None else own * _MS

    async def history(self, turn: Execution) -> bytes | None:
        """What was said in a turn's conversation before it, as JSON text: the latest turns that have ended, oldest
        first. None when its conversation is not kept open.
        """
        id_ = turn.conversation_id
        if id_ is None or turn.gate != conversation_gate(id_):
            return None
        earlier = await self._archive.executions(
            turn.organization_id, ExecutionFilter(conversation_id=id_), before=turn.id, limit=_MOST_TURNS
        )
        said = [payloads.exchange(one) for one in reversed(earlier) if one.completed_at is not None]
        return msgspec.json.encode(said)

    async def _turn(self, conversation: Conversation, input_: bytes, *, opens: bool) -> Execution:
        start = ExecutionStart(
            organization_id=conversation.organization_id,
            kind=Kind.AGENT,
            automation_id=conversation.agent_id,
            input=input_,
            conversation=conversation,
            opens=opens,
            turn=Turn(gate=conversation_gate(conversation.id)),
        )
        execution = await self._start(start)
        if isinstance(execution, Repeat):
            raise StorageError("The turn was started once already.")
        return execution

    async def _close(
        self, closed: Conversation, now: datetime, *, idle_since: datetime | None = None
    ) -> bool:
        data = payloads.conversation_completed(closed)
        events, epoch = await self._owed(closed, CONVERSATION_ENDED, data, now)
        write = CloseConversation(
            epoch=epoch,
            conversation=closed,
            gate=conversation_gate(closed.id),
            idle_since=idle_since,
            events=events,
        )
        result = await self._committer.commit(
            write, after=lambda result: self._outbox.conclude(events, epoch, result)
        )
        return result is True

    async def _owed(
        self, conversation: Conversation, type_: str, data: bytes, now: datetime
    ) -> tuple[tuple[NewEvent, ...], Epoch]:
        """An event of a conversation outside of its turns."""
        await self._outbox.ready(conversation.organization_id)
        event = Event(
            key=new_key(),
            organization_id=conversation.organization_id,
            type=type_,
            data=data,
            occurred_at=now,
            received_at=now,
        )
        return (self._outbox.owe(event, (Kind.AGENT, conversation.agent_id)),), self._lease.epoch
