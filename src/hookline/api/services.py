"""What the HTTP API asks of the engine: one Protocol, which ``engine.node.Node`` satisfies.

All access to the engine from this package goes through here; nothing in it knows how a node is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from hookline.core.forwarded import Network
from hookline.core.retry import POLICY_MAX_RETRIES
from hookline.model.configuration import Document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from hookline.engine.alert import Alerts
    from hookline.engine.artifacts import ArtifactKeeper
    from hookline.engine.contexts import Contexts
    from hookline.engine.conversations import Conversations
    from hookline.engine.deploy import Deployer
    from hookline.engine.endings import Endings
    from hookline.engine.execute import Executor
    from hookline.engine.explain import Explainer
    from hookline.engine.mails import Mails
    from hookline.engine.maintain import Maintenance
    from hookline.engine.meter import Meter
    from hookline.engine.payloads import PayloadLinks
    from hookline.engine.publish import EventDraft, PublishedEvent
    from hookline.engine.receive import ExecutionStart
    from hookline.engine.replay import Replayer
    from hookline.engine.routing import Router
    from hookline.engine.tracing import Tracing
    from hookline.engine.vault import Vault
    from hookline.engine.webhooks import Webhooks
    from hookline.model.configuration import ApiKey, Organization, Stored
    from hookline.model.executions import Automation, Execution, TriggerRequest
    from hookline.model.ids import Key
    from hookline.model.states import Kind
    from hookline.ports import Clock, Epoch, Once, Onces, Repeat, Store
    from hookline.ports.blobs import Blobs

D = TypeVar("D", bound=Document)


class Upkeep(msgspec.Struct, frozen=True, kw_only=True):
    """How long what is stored is kept and when its owners are told, as the operator set it. Shown, not used, here.

    retention_max_bytes: 0 for no bound.  mail: whether there is a mail server.
    """

    retention_days: float = 30.0
    payload_retention_days: float = 30.0
    held_retention_days: float = 30.0
    retention_max_bytes: int = 0
    disable_after_days: float = 5.0
    mail: bool = False


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the API needs of the settings.

    public_url: where callers reach this server, without a final slash.  admin_key: only whether one is fixed matters
    here; it is stored as a key at the first start.  retry_time_scale: shown when it is not 1.  max_retries: most that a
    webhook's own policy may ask for.  trusted_proxies: whose X-Forwarded-For is believed.
    """

    version: str
    public_url: str
    admin_key: str | None = None
    source_ips: tuple[str, ...] = ()
    retry_time_scale: float = 1.0
    max_retries: int = POLICY_MAX_RETRIES
    max_body_bytes: int = 1 << 20
    trusted_proxies: tuple[Network, ...] = ()
    upkeep: Upkeep = Upkeep()

    def __repr__(self) -> str:
        return f"ApiSettings({self.public_url!r}, version={self.version!r})"


class Addresses(Protocol):
    """Says which addresses may be dialled; ``core.addresses.AddressPolicy`` is one."""

    def check(self, ip: str, /) -> str | None:
        """Return why the address is refused, or None when it is allowed."""


class Directory(Protocol):
    """What is configured, through the engine's cache."""

    async def refresh(self) -> None:
        """Take in what was just written, so that the next request of this node sees it."""

    async def find(self, kind: type[D], space: str, value: str) -> Stored[D] | None: ...

    async def get(self, kind: type[D], id: Key, /) -> Stored[D] | None: ...

    async def organization(self, named: str, /) -> Stored[Organization] | None:
        """One by our id or by its ``external_id``."""

    async def webhook_names(self, organization_id: Key, /) -> Mapping[Key, str]:
        """What people call an organization's registered webhooks: the name, or the URL of those without."""


class Commits(Protocol):
    """How many commits this node made, and how many writes they carried."""

    commits: int
    writes: int


class Services(Protocol):
    """One node, as the API sees it. Every method that writes is durable when it returns, or raises StorageError."""

    store: Store
    clock: Clock
    vault: Vault
    is_ready: bool
    blobs: Blobs | None

    @property
    def directory(self) -> Directory: ...

    @property
    def committer(self) -> Commits: ...

    @property
    def onces(self) -> Onces:
        """Reservations of answers that must not be given twice."""

    @property
    def endings(self) -> Endings:
        """Who waits for the end of an execution."""

    @property
    def contexts(self) -> Contexts:
        """What the app declares of integrations, and what is told of their instances."""

    @property
    def artifacts(self) -> ArtifactKeeper:
        """Keeps the files that executions make, and makes links to them."""

    @property
    def conversations(self) -> Conversations:
        """Begins conversations that are kept open, takes messages, ends them."""

    @property
    def payloads(self) -> PayloadLinks:
        """Makes and opens links to bodies that are too large to push."""

    @property
    def router(self) -> Router:
        """Decides which flow of which instance a request is for."""

    @property
    def deployer(self) -> Deployer:
        """Carries out deployments."""

    @property
    def explainer(self) -> Explainer:
        """Says which webhooks an event is for, and why not the others."""

    @property
    def maintenance(self) -> Maintenance:
        """Deletes what is old and ended."""

    @property
    def alerts(self) -> Alerts:
        """Knows how webhooks fare, and tells their owners."""

    @property
    def mails(self) -> Mails:
        """Sends the mails that are owed."""

    @property
    def replayer(self) -> Replayer:
        """Sends deliveries again, paced."""

    @property
    def webhooks(self) -> Webhooks:
        """Holds, drains, tries and sends again."""

    @property
    def meter(self) -> Meter:
        """What this node has done."""

    @property
    def tracing(self) -> Tracing:
        """Carries traces on, and tells of this node's spans."""

    @property
    def executor(self) -> Executor: ...

    @property
    def epoch(self) -> Epoch: ...

    async def automations_of(self, organization_id: Key, /) -> Sequence[Automation]:
        """All that an organization can run: the app's, and its own."""

    async def api_key(self, digest: bytes) -> Stored[ApiKey] | None:
        """A key by the SHA-256 of its text, revoked and expired ones too; at most a second old."""

    async def organization(self, id: Key, /) -> Stored[Organization] | None: ...

    async def publish(
        self,
        organization_id: Key,
        drafts: Sequence[EventDraft],
        *,
        once: Once | None = None,
        answer: Callable[[Sequence[PublishedEvent]], bytes] | None = None,
    ) -> Repeat | list[PublishedEvent]:
        """Store events with all they owe. answer: words what a repeat of ``once`` is answered with."""

    async def start_execution(
        self, start: ExecutionStart, *, answer: Callable[[Execution], bytes] | None = None
    ) -> Execution | Repeat:
        """Store an execution that will run. answer: words what a repeat of ``start.once`` is answered with."""

    def automation(self, kind: Kind, automation_id: str, /) -> Automation | None:
        """A workflow or an agent of the app."""

    async def find_automation(
        self, organization_id: Key, kind: Kind, automation_id: str, /
    ) -> Automation | None:
        """One of the app, or of that organization."""

    async def estimated_completion(self, kind: Kind, automation_id: str, /) -> datetime: ...

    async def cancel(self, organization_id: Key, execution_id: Key, /) -> Execution | None: ...

    async def resume(self, organization_id: Key, execution_id: Key, name: str, value: bytes, /) -> str:
        """``resumed``, ``stored``, ``conflict`` or ``missing``."""

    async def keep_request(self, request: TriggerRequest, /, *, is_owed: bool = False) -> None:
        """Keep a refused request; raises because the store is away only when it is owed."""

    async def attribute(self, organization_id: Key, request_id: Key, execution_id: Key, /) -> bool:
        """Say which execution stands for a kept request that started nothing itself. False when it has one."""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that handlers are given."""

    services: Services
    settings: ApiSettings
    addresses: Addresses
