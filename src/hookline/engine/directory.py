"""What is configured, decoded and at hand: the one cache in front of the registry.

It is never the truth: it follows the registry's change feed, at once for changes made here, on a wake-up for
those of other nodes, and by asking every second in case a wake-up was lost. A name that is not cached is looked up,
so what was just created is found by the very next request on any node.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import structlog

from hookline.core.event_types import OPERATIONAL
from hookline.core.matching import Mismatch
from hookline.core.operations import plain_url, subject_of
from hookline.core.retry import POLICY_MAX_RETRIES
from hookline.engine.target import Target, parsed
from hookline.model.configuration import ApiKey, Document, Organization, Stored, Trigger, Webhook
from hookline.model.ids import parse
from hookline.model.integrations import Instance
from hookline.model.robots import Robot
from hookline.model.scripts import Script, ScriptAgent
from hookline.model.states import Origin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookline.engine.vault import Vault
    from hookline.model.events import Event
    from hookline.model.ids import Key
    from hookline.model.states import Kind
    from hookline.ports import Change, Registry

_log = structlog.get_logger("hookline.directory")

D = TypeVar("D", bound=Document)

_MOST_NAMES: Final = 10_000
"""Cached names and documents of each kind; past this the cache starts anew, which costs a look-up each."""

_MOST_TYPES: Final = 2_000
"""Event types remembered per organization: publishers may invent types without end."""

_CACHED: Final = {
    kind.kind: kind for kind in (ApiKey, Trigger, Organization, Instance, Robot, Script, ScriptAgent)
}


class _Webhooks:
    """An organization's webhooks, and for each event type those that want it, in order of id."""

    def __init__(self) -> None:
        self.targets: dict[Key, Target] = {}
        self._by_type: dict[tuple[str, bool], tuple[Target, ...]] = {}

    def put(self, target: Target) -> None:
        self.targets[target.id] = target
        self._by_type.clear()

    def drop(self, id: Key) -> None:
        self.targets.pop(id, None)
        self._by_type.clear()

    def wanting(self, event_type: str, *, is_of_execution: bool) -> tuple[Target, ...]:
        found = self._by_type.get((event_type, is_of_execution))
        if found is None:
            if len(self._by_type) >= _MOST_TYPES:
                self._by_type.clear()
            found = self._by_type[event_type, is_of_execution] = tuple(
                target
                for _, target in sorted(self.targets.items())
                if target.webhook.origin is Origin.REGISTERED
                and target.refuses_type(event_type, is_of_execution=is_of_execution) is None
            )
        return found


class Directory:
    """One per node."""

    def __init__(
        self,
        registry: Registry,
        vault: Vault,
        *,
        base_url: str = "",
        most_retries: int = POLICY_MAX_RETRIES,
    ) -> None:
        self._registry = registry
        self._vault = vault
        self._base_url = base_url
        self._most_retries = most_retries
        self._version = 0
        self._organizations: dict[Key, _Webhooks] = {}
        self._loading: dict[Key, asyncio.Lock] = {}
        self._names: dict[str, dict[tuple[str, str] | Key, Stored[Any]]] = {kind: {} for kind in _CACHED}
        self._refreshing = asyncio.Lock()
        self._follower: Callable[[Key], None] | None = None

    def __repr__(self) -> str:
        return f"Directory(version={self._version}, organizations={len(self._organizations)})"

    def tell(self, follower: Callable[[Key], None]) -> None:
        """Have ``follower`` called with the id of each webhook that changed or is gone, once that is known here."""
        self._follower = follower

    async def open(self) -> None:
        self._version = await self._registry.version()

    # --- following the registry ---

    async def refresh(self) -> None:
        """Take in what changed since the last time."""
        async with self._refreshing:
            while changes := await self._registry.changes(self._version):
                for change in changes:
                    await self._take_in(change)
                self._version = changes[-1].version

    async def _take_in(self, change: Change) -> None:
        if change.kind in self._names:
            self._names[change.kind].clear()
        elif change.kind == Webhook.kind:
            webhooks = self._organizations.get(change.organization_id)
            if webhooks is None:
                return
            stored = await self._registry.get(Webhook, change.id, organization_id=None)
            if stored is None:
                webhooks.drop(change.id)
            else:
                webhooks.put(self._taken(stored))
            if self._follower is not None:
                self._follower(change.id)

    def _taken(self, stored: Stored[Webhook]) -> Target:
        target = self.target_of(stored)
        if not target.is_readable:
            _log.warning("condition_unreadable", webhook=target.public_id)
        return target

    # --- webhooks ---

    async def load(self, organization_id: Key) -> None:
        """Have an organization's webhooks at hand. Cheap when they are."""
        if organization_id in self._organizations:
            return
        async with self._loading.setdefault(organization_id, asyncio.Lock()):
            if organization_id in self._organizations:
                return
            async with self._refreshing:
                webhooks = _Webhooks()
                for stored in await self._registry.list(Webhook, organization_id=organization_id):
                    webhooks.put(self._taken(stored))
                self._organizations[organization_id] = webhooks
        self._loading.pop(organization_id, None)

    def matches(self, event: Event, automation: tuple[Kind, str] | None) -> list[Target]:
        """The targets that are owed this event, in order of id. The organization must have been loaded.

        This one function decides for live events, dry runs and explanations alike.
        """
        webhooks = self._organizations[event.organization_id]
        if event.target_id is not None:
            target = webhooks.targets.get(event.target_id)
            return [] if target is None else [target]
        wanting = webhooks.wanting(event.type, is_of_execution=event.sequence > 0)
        if not wanting:
            return []
        if event.type in OPERATIONAL:
            subject = subject_of(event.data)
            wanting = tuple([target for target in wanting if target.public_id != subject])
        data = parsed(event.data) if any(target.has_condition for target in wanting) else None
        return [target for target in wanting if target.refuses(automation, data) is None]

    def mismatch(self, target: Target, event: Event, automation: tuple[Kind, str] | None) -> Mismatch | None:
        """Say which rule keeps an event from a webhook, None if it is owed: ``matches`` for one webhook, explained.

        target: of any revision, so that what was decided then can be told now.
        """
        if event.target_id is not None:
            return None if event.target_id == target.id else Mismatch.TARGET
        if target.webhook.origin is not Origin.REGISTERED:
            return Mismatch.TARGET
        by_type = target.refuses_type(event.type, is_of_execution=event.sequence > 0)
        if by_type is not None:
            return by_type
        if event.type in OPERATIONAL and subject_of(event.data) == target.public_id:
            return Mismatch.SUBJECT
        return target.refuses(automation, parsed(event.data) if target.has_condition else None)

    def known_target(self, organization_id: Key, webhook_id: Key) -> Target | None:
        """The newest revision of a webhook, or None when it is gone (or its organization not loaded)."""
        webhooks = self._organizations.get(organization_id)
        return None if webhooks is None else webhooks.targets.get(webhook_id)

    async def webhook_names(self, organization_id: Key) -> dict[Key, str]:
        """What people call an organization's registered webhooks: the name, or the URL of those without."""
        await self.load(organization_id)
        return {
            id_: target.webhook.name or plain_url(target.webhook.url)
            for id_, target in self._organizations[organization_id].targets.items()
            if target.webhook.origin is Origin.REGISTERED
        }

    async def target(self, webhook_id: Key) -> Target | None:
        """The newest revision of a webhook of whatever organization, or None when it is gone."""
        stored = await self._registry.get(Webhook, webhook_id, organization_id=None)
        if stored is None:
            return None
        await self.load(stored.organization_id)
        return self.known_target(stored.organization_id, webhook_id)

    async def target_at(self, current: Target, revision: int) -> Target:
        """The webhook as it was at a revision; the current one if that is no longer known."""
        webhook = await self._registry.get_revision(Webhook, current.id, revision)
        if webhook is None:
            return current
        old = msgspec.structs.replace(current.stored, revision=revision, document=webhook)
        return self.target_of(old)

    def target_of(self, stored: Stored[Webhook]) -> Target:
        """What a webhook would be with this definition, stored or not."""
        return Target(stored, self._vault, self._base_url, self._most_retries)

    # --- keys, triggers, organizations ---

    async def find(self, kind: type[D], space: str, value: str) -> Stored[D] | None:
        """A document by unique name, through the cache."""
        name = (space, value)
        known = self._names[kind.kind].get(name)
        return known or await self._look_up(kind, name, self._registry.find(kind, space, value))

    async def get(self, kind: type[D], id: Key) -> Stored[D] | None:
        """A document by id, of whatever organization, through the cache."""
        known = self._names[kind.kind].get(id)
        return known or await self._look_up(kind, id, self._registry.get(kind, id, organization_id=None))

    async def organization(self, named: str) -> Stored[Organization] | None:
        """One by our id or by its ``external_id``."""
        id = parse("organization", named)
        if id is not None:
            return await self.get(Organization, id)
        return await self.find(Organization, "external_id", named)

    async def _look_up(
        self, kind: type[D], name: tuple[str, str] | Key, asked: Awaitable[Stored[D] | None]
    ) -> Stored[D] | None:
        """Ask the registry, and remember the answer unless something changed meanwhile."""
        names = self._names[kind.kind]
        version = self._version
        found = await asked
        if found is not None and version == self._version:
            if len(names) >= _MOST_NAMES:
                names.clear()
            names[name] = found
        return found
