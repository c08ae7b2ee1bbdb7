"""A whole API over a fake engine: the registry and the archive in memory, the clock moved by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from asgi import Client

from hookline.api.front import Front
from hookline.api.hot import hot_routes
from hookline.api.services import ApiSettings, Site
from hookline.core.addresses import AddressPolicy
from hookline.engine.manage.keys import DIGESTS
from hookline.engine.publish import PublishedEvent
from hookline.engine.vault import Vault, token_digest
from hookline.errors import ConflictError
from hookline.model.configuration import ApiKey, Organization, Stored
from hookline.model.executions import Automation, Execution
from hookline.model.ids import new_key, public
from hookline.model.states import Kind, Scope
from hookline.ports import Repeat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hookline.engine.publish import EventDraft
    from hookline.engine.receive import ExecutionStart
    from hookline.model.executions import TriggerRequest
    from hookline.ports import Once

START = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def elapsed(self) -> float:
        return self.seconds


class FakeRegistry:
    """Documents in a dict, unique names, as ``ports.Registry`` says; and what else the hot routes read."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, bytes], Stored[Any]] = {}
        self.names: dict[tuple[str, str, str], bytes] = {}
        self.executions: dict[bytes, Execution] = {}
        self.metas: dict[str, bytes] = {}

    async def add(
        self, kind: Any, *, id: bytes, organization_id: bytes, document: Any, names: Any, at: Any
    ) -> Any:
        if any((kind.kind, *name) in self.names for name in names):
            raise ConflictError("taken")
        for name in names:
            self.names[kind.kind, *name] = id
        stored = Stored(
            id=id,
            organization_id=organization_id,
            revision=1,
            created_at=at,
            updated_at=at,
            document=document,
        )
        self.documents[kind.kind, id] = stored
        return stored

    async def get(self, kind: Any, id: bytes, *, organization_id: bytes | None) -> Any:
        stored = self.documents.get((kind.kind, id))
        if stored is None or organization_id not in (None, stored.organization_id):
            return None
        return stored

    async def find(self, kind: Any, space: str, value: str) -> Any:
        id = self.names.get((kind.kind, space, value))
        return None if id is None else self.documents.get((kind.kind, id))

    async def list(
        self,
        kind: Any,
        *,
        organization_id: bytes | None,
        before: bytes | None = None,
        limit: int | None = None,
    ) -> Any:
        found = [
            stored
            for (word, id), stored in sorted(self.documents.items(), reverse=True)
            if word == kind.kind
            and organization_id in (None, stored.organization_id)
            and (before is None or id < before)
        ]
        return found[:limit]

    async def put(self, stored: Any, *, names: Any = None, at: Any) -> Any:
        place = (stored.document.kind, stored.id)
        if self.documents[place].revision != stored.revision:
            raise ConflictError("stale")
        if names is not None:
            self.names = {name: id for name, id in self.names.items() if id != stored.id}
            for name in names:
                self.names[stored.document.kind, *name] = stored.id
        stored = msgspec.structs.replace(stored, revision=stored.revision + 1, updated_at=at)
        self.documents[place] = stored
        return stored

    async def meta(self, name: str) -> bytes | None:
        return self.metas.get(name)

    async def set_meta(self, name: str, value: bytes) -> None:
        self.metas[name] = value

    async def execution(self, id: bytes, *, organization_id: bytes | None) -> Execution | None:
        execution = self.executions.get(id)
        return execution if execution is not None and execution.organization_id == organization_id else None


class FakeDirectory:
    def __init__(self, registry: FakeRegistry) -> None:
        self._registry = registry

    async def refresh(self) -> None:
        pass

    async def find(self, kind: Any, space: str, value: str) -> Any:
        return await self._registry.find(kind, space, value)

    async def get(self, kind: Any, id: bytes) -> Any:
        return await self._registry.get(kind, id, organization_id=None)


class FakeServices:
    """An engine that remembers what it was asked.

    failure: raised by every write when set.
    """

    def __init__(self) -> None:
        self.store: Any = FakeRegistry()
        self.clock = FakeClock()
        self.vault = Vault("a secret key of the tests")
        self.directory = FakeDirectory(self.store)
        self.is_ready = True
        self.epoch = 1
        self.committer: Any = None
        self.automations = (
            Automation(kind=Kind.AGENT, id="support", name="Support"),
            Automation(kind=Kind.WORKFLOW, id="orders", name="Orders"),
        )
        self.published: list[EventDraft] = []
        self.started: list[ExecutionStart] = []
        self.kept: list[TriggerRequest] = []
        self.failure: Exception | None = None
        self._onces: dict[tuple[bytes, str], Once] = {}

    async def api_key(self, digest: bytes) -> Any:
        return await self.store.find(ApiKey, DIGESTS, digest.hex())

    async def organization(self, id: bytes) -> Any:
        return await self.store.get(Organization, id, organization_id=None)

    def automation(self, kind: Kind, automation_id: str) -> Automation | None:
        return next((one for one in self.automations if (one.kind, one.id) == (kind, automation_id)), None)

    async def estimated_completion(self, _: Kind, __: str) -> datetime:
        return self.clock.now() + timedelta(seconds=2)

    async def publish(
        self,
        _: bytes,
        drafts: Sequence[EventDraft],
        *,
        once: Once | None = None,
        answer: Callable[[Sequence[PublishedEvent]], bytes] | None = None,
    ) -> Repeat | list[PublishedEvent]:
        if self.failure is not None:
            raise self.failure
        seen = {draft.own_id for draft in self.published if draft.own_id is not None}
        events = [
            PublishedEvent(
                public_id=draft.own_id or public("event", new_key()), is_new=draft.own_id not in seen
            )
            for draft in drafts
        ]
        repeat = self._repeat(once, answer(events) if answer is not None else b"")
        if repeat is not None:
            return repeat
        self.published += drafts
        return events

    async def start_execution(
        self, start: ExecutionStart, *, answer: Callable[[Execution], bytes] | None = None
    ) -> Execution | Repeat:
        if self.failure is not None:
            raise self.failure
        execution = Execution(
            id=new_key(),
            organization_id=start.organization_id,
            kind=start.kind,
            automation_id=start.automation_id,
            automation_name=start.automation_id,
            input=start.input,
            created_at=self.clock.now(),
        )
        repeat = self._repeat(start.once, answer(execution) if answer is not None else b"")
        if repeat is not None:
            return repeat
        self.started.append(start)
        return execution

    def _repeat(self, once: Once | None, answer: bytes) -> Repeat | None:
        if once is None:
            return None
        known = self._onces.get((once.scope, once.name))
        if known is not None:
            return Repeat(answer=known.answer, is_same=known.digest == once.digest)
        self._onces[once.scope, once.name] = msgspec.structs.replace(once, answer=answer)
        return None

    async def keep_request(self, request: TriggerRequest) -> None:
        self.kept.append(request)


class World:
    """One organization with a key of each scope, and a way to call the API."""

    def __init__(self, max_body_bytes: int = 65_536) -> None:
        self.services = FakeServices()
        self.settings = ApiSettings(
            version="0", public_url="https://hooks.example.com", max_body_bytes=max_body_bytes
        )
        services: Any = self.services  # as much of it as the hot routes need
        self.site = Site(services=services, settings=self.settings, addresses=AddressPolicy())
        self.front = Front(_no_app, hot_routes(self.site))
        self.call = Client(self.front)
        self.organization_id = new_key()

    async def key(self, *scopes: Scope, organization_id: bytes | None = None, **more: Any) -> dict[str, str]:
        """Make a key; returns the header that carries it."""
        text = f"hlk_{new_key().hex()}"
        digest = token_digest(text)
        await self.services.store.add(
            ApiKey,
            id=new_key(),
            organization_id=organization_id or self.organization_id,
            document=ApiKey(name="test", digest=digest, hint="", scopes=scopes, **more),
            names=[(DIGESTS, digest.hex())],
            at=START,
        )
        return {"Authorization": f"Bearer {text}"}


async def _no_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def roomy_world() -> World:
    """One that takes bodies of a megabyte."""
    return World(max_body_bytes=1 << 20)
