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
from hookline.engine.publish import EventDraft
from hookline.engine.tracing import trace_in_message
from hookline.errors import HooklineError, InputError, MissingError, StorageError
from hookline.ports.broker import BrokerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hookline.engine.directory import Directory
    from hookline.engine.meter import Meter
    from hookline.model.ids import Key
    from hookline.ports.broker import Arrival, Broker

_log = structlog.get_logger("hookline.intake")

_AT_ONCE: Final = 256
"""Messages that share a commit."""

_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 15.0

TYPE: Final = "hookline-type"
ID: Final = "nats-msg-id"
ORDERING_KEY: Final = "hookline-ordering-key"
ORGANIZATION: Final = "hookline-organization"


class Intake:
    """One per node that receives.

    publish: stores drafts of one organization.  default_organization: whose events are that name none.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        publish: Callable[[Key, Sequence[EventDraft]], Awaitable[object]],
        default_organization: Callable[[], Awaitable[Key | None]],
        directory: Directory,
        meter: Meter,
    ) -> None:
        self._broker = broker
        self._publish = publish
        self._default_organization = default_organization
        self._directory = directory
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
        for place, arrival in enumerate(arrivals):
            try:
                organization_id = await self._organization(arrival)
                found.setdefault(organization_id, []).append((arrival, _draft(arrival)))
            except (InputError, MissingError) as exc:
                await self._refuse(arrival, exc)
            except StorageError as exc:
                await self._wait_for_store(arrivals[place:], exc)
                break
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
        """It stays in the broker for people to look at, as long as that keeps it."""
        self._meter.brokered["refused"] += 1
        _log.warning("message_refused", message=arrival.name, field=error.field, reason=error.message)
        await self._broker.refuse(arrival)

    async def _wait_for_store(self, arrivals: Sequence[Arrival], error: StorageError) -> None:
        self._meter.brokered["put_back"] += len(arrivals)
        _log.warning("messages_put_back", count=len(arrivals), reason=error.message)
        await self._broker.put_back(arrivals, seconds=_PAUSE_SECONDS)
        await asyncio.sleep(_PAUSE_SECONDS)


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
