"""Intake: events that come by a message broker are stored like those that come over HTTP.

A message is acknowledged after the commit, never before; what a crash leaves between the two comes again and is known
by its id. The broker owns nothing: what is taken from it is in the database.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from hookline.core.canonical import decode
from hookline.core.own_events import check_own_event
from hookline.core.redact import redact_headers
from hookline.engine.publish import EventDraft
from hookline.engine.tracing import trace_in_message
from hookline.errors import HooklineError, InputError, MissingError, StorageError
from hookline.model.executions import MESSAGE, TriggerRequest
from hookline.model.ids import new_key
from hookline.ports.broker import BrokerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from hookline.engine.directory import Directory
    from hookline.engine.meter import Meter
    from hookline.model.ids import Key
    from hookline.ports import Clock
    from hookline.ports.broker import Arrival, Broker

_log = structlog.get_logger("hookline.intake")

_AT_ONCE: Final = 256
"""Messages that share a commit."""

_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 15.0

_MOST_SUBJECT: Final = 2_000
_MOST_KEPT_BYTES: Final = 65_536
"""Of the body of a message that is refused: enough to see what is wrong with it."""

TYPE: Final = "hookline-type"
ID: Final = "nats-msg-id"
ORDERING_KEY: Final = "hookline-ordering-key"
ORGANIZATION: Final = "hookline-organization"


class Intake:
    """One per node that receives.

    publish: stores drafts of one organization.  default_organization: whose events are that name none.  keep: stores
    what is refused, for people to look at; raises StorageError.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        publish: Callable[[Key, Sequence[EventDraft]], Awaitable[object]],
        default_organization: Callable[[], Awaitable[Key | None]],
        keep: Callable[[TriggerRequest], Awaitable[None]],
        directory: Directory,
        clock: Clock,
        meter: Meter,
    ) -> None:
        self._broker = broker
        self._publish = publish
        self._default_organization = default_organization
        self._keep = keep
        self._directory = directory
        self._clock = clock
        self._meter = meter
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False

    def __repr__(self) -> str:
        return f"Intake({self._broker!r})"

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="intake")

    async def close(self, grace: float) -> None:
        """Finish what is being stored, take nothing more."""
        self._is_closing = True
        if self._task is not None:
            await asyncio.wait([self._task], timeout=grace)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._broker.close()

    async def _run(self) -> None:
        pause = _PAUSE_SECONDS
        while not self._is_closing:
            try:
                arrivals = await self._broker.fetch(_AT_ONCE)
            except BrokerError as exc:
                _log.warning("broker_away", reason=exc.message, seconds=pause)
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE_SECONDS, 2 * pause)
                continue
            pause = _PAUSE_SECONDS
            try:
                await self._take(arrivals)
            except Exception:  # noqa: BLE001 -- a defect of ours must not stop all that comes after
                _log.exception("intake_failed", messages=[arrival.name for arrival in arrivals])
                await self._broker.put_back(arrivals, seconds=_LONGEST_PAUSE_SECONDS)

    async def _take(self, arrivals: Sequence[Arrival]) -> None:
        """Store what fits, each organization's in one commit; refuse what never will."""
        found: dict[Key, list[tuple[Arrival, EventDraft]]] = {}
        refused: list[tuple[Arrival, HooklineError]] = []
        for place, arrival in enumerate(arrivals):
            try:
                organization_id = await self._organization(arrival)
                found.setdefault(organization_id, []).append((arrival, _draft(arrival)))
            except (InputError, MissingError) as exc:
                refused.append((arrival, exc))
            except StorageError as exc:
                await self._wait_for_store(arrivals[place:], exc)
                break
        await asyncio.gather(*[self._refuse(arrival, error) for arrival, error in refused])
        for organization_id, owned in found.items():
            brought = [arrival for arrival, _ in owned]
            try:
                await self._publish(organization_id, [draft for _, draft in owned])
            except StorageError as exc:
                await self._wait_for_store(brought, exc)
            else:
                self._meter.brokered["taken"] += len(brought)
                await self._broker.taken(brought)

    async def _organization(self, arrival: Arrival) -> Key:
        """Whose event it is. Raises InputError, MissingError or StorageError."""
        wanted = arrival.headers.get(ORGANIZATION)
        if wanted is None:
            found = await self._default_organization()
            if found is None:
                raise MissingError("There is no organization yet.")
            return found
        stored = await self._directory.organization(wanted)
        if stored is None:
            raise MissingError("There is no such organization.", field="Hookline-Organization")
        return stored.id

    async def _refuse(self, arrival: Arrival, error: HooklineError) -> None:
        """Keep it as a refused request, with the reason, and have it brought no more. Of an organization that is not
        there the first one's people see it: they run this server.
        """
        try:
            owner = await self._owner(arrival)
            if owner is not None:
                await self._keep(_kept(arrival, owner, error, self._clock.now()))
        except StorageError as exc:
            await self._wait_for_store([arrival], exc)
            return
        self._meter.brokered["refused"] += 1
        _log.warning("message_refused", message=arrival.name, field=error.field, reason=error.message)
        await self._broker.refuse(arrival)

    async def _owner(self, arrival: Arrival) -> Key | None:
        try:
            return await self._organization(arrival)
        except MissingError:
            return await self._default_organization()

    async def _wait_for_store(self, arrivals: Sequence[Arrival], error: StorageError) -> None:
        self._meter.brokered["put_back"] += len(arrivals)
        _log.warning("messages_put_back", count=len(arrivals), reason=error.message)
        await self._broker.put_back(arrivals, seconds=_PAUSE_SECONDS)
        await asyncio.sleep(_PAUSE_SECONDS)


def _kept(arrival: Arrival, organization_id: Key, error: HooklineError, now: datetime) -> TriggerRequest:
    """A message as a refused request. A NUL, which text in PostgreSQL cannot hold, is shown as its escape."""
    return TriggerRequest(
        id=new_key(),
        organization_id=organization_id,
        trigger_id=None,
        execution_id=None,
        received_at=now,
        method=MESSAGE,
        path=arrival.subject.replace("\0", "\\0")[:_MOST_SUBJECT],
        query="",
        headers=redact_headers(tuple(arrival.headers.items())),
        body=arrival.data[:_MOST_KEPT_BYTES],
        body_size=len(arrival.data),
        remote_address=arrival.name,
        status=404 if isinstance(error, MissingError) else 400,
        reason=f"{error.code}: {error.message}",
    )


def _draft(arrival: Arrival) -> EventDraft:
    """Return the event of a message: its subject is the type and its payload the data. Raises InputError."""
    headers = arrival.headers
    type_ = headers.get(TYPE, arrival.subject)
    own_id, ordering_key = headers.get(ID, arrival.id), headers.get(ORDERING_KEY)
    check_own_event(type_, id=own_id, ordering_key=ordering_key)
    decode(arrival.data, field="data")
    return EventDraft(
        type=type_,
        data=arrival.data,
        own_id=own_id,
        ordering_key=ordering_key,
        trace=trace_in_message(headers),
    )
