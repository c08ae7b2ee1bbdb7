"""One node: the use cases wired to each other, and what the API may ask of them.

Nothing here knows a concrete store, runner or sender; ``app.py`` hands them in.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from hookline.engine.intake import Intake
from hookline.engine.manage.start import default_organization
from hookline.engine.parts import Ground, Instances, Limits, Outgoing, Running, Upkeep
from hookline.engine.parts.instances import contexts_of
from hookline.engine.signing import check_signatures
from hookline.engine.tracing import Tracing
from hookline.errors import StorageError
from hookline.model.configuration import ApiKey, Organization
from hookline.ports import Attribute, KeepRequest, Once, Repeat

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from hookline.engine.publish import EventDraft, PublishedEvent
    from hookline.engine.receive import ExecutionStart
    from hookline.engine.vault import Vault
    from hookline.model.configuration import Stored
    from hookline.model.executions import Automation, Execution, TriggerRequest
    from hookline.model.ids import Key
    from hookline.model.states import Kind
    from hookline.ports import Clock, Mailer, Store
    from hookline.ports.blobs import Blobs
    from hookline.ports.broker import Broker
    from hookline.ports.runner import Runner
    from hookline.ports.sender import Sender

_log = structlog.get_logger("hookline.node")

ROLES: Final = ("receive", "execute", "deliver")
"""What a node may do. Without a role it leaves that work in the table, for the nodes that have it."""


class Node:
    """One per process."""

    def __init__(
        self,
        *,
        name: str,
        store: Store,
        runner: Runner,
        sender: Sender,
        vault: Vault,
        clock: Clock,
        limits: Limits,
        roles: Collection[str] = ROLES,
        public_url: str = "",
        blobs: Blobs | None = None,
        mailer: Mailer | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.tracing = tracing if tracing is not None else Tracing()
        ground = Ground(
            name=name,
            store=store,
            vault=vault,
            clock=clock,
            limits=limits,
            url=public_url,
            tracing=self.tracing,
        )
        self.store, self.vault, self.clock, self.blobs = store, vault, clock, blobs
        self.lease, self.committer, self.directory = ground.lease, ground.committer, ground.directory
        self.meter, self.onces = ground.meter, ground.reservations
        self._roles = frozenset(roles)
        self._grace = limits.grace_seconds
        self._sender = sender
        outgoing = Outgoing(ground, sender, mailer)
        self.contexts = contexts_of(ground, runner)
        running = Running(ground, outgoing.outbox, runner, private=self.contexts.private_of, blobs=blobs)
        instances = Instances(ground, running, runner, self.contexts)
        upkeep = Upkeep(ground, outgoing, running, instances, delivers="deliver" in self._roles)
        self.deliverer, self.payloads, self.webhooks = (
            outgoing.deliverer,
            outgoing.payloads,
            outgoing.webhooks,
        )
        self.alerts, self.mails = outgoing.alerts, outgoing.mails
        self._batcher, self._publisher = outgoing.batcher, outgoing.publisher
        self.catalogue, self.executor, self._receiver = running.catalogue, running.executor, running.receiver
        self.conversations, self.artifacts = running.conversations, running.artifacts
        self.definitions, self.endings, self.history = running.definitions, running.endings, running.history
        self.router, self.deployer = instances.router, instances.deployer
        self.explainer, self.maintenance, self.replayer = (
            upkeep.explainer,
            upkeep.maintenance,
            upkeep.replayer,
        )
        self._supervisor = upkeep.supervisor
        self._intake: Intake | None = None
        self.is_ready = False

    def __repr__(self) -> str:
        return f"Node({self.lease!r}, {self.deliverer!r}, {self.executor!r})"

    # --- life ---

    def take_from(self, broker: Broker) -> None:
        """Say what brings events in beside the API; before the start."""
        if "receive" in self._roles:
            self._intake = Intake(
                broker,
                publish=self._publisher.publish,
                default_organization=lambda: default_organization(self.store),
                keep=partial(self.keep_request, is_owed=True),
                directory=self.directory,
                clock=self.clock,
                meter=self.meter,
            )

    async def start(self) -> None:
        """Take the lease, load what is configured, start every part. The store is open already."""
        await self.lease.open()
        await self.directory.open()
        self.committer.start()
        if "deliver" in self._roles:
            self.deliverer.start()
        await self.executor.start(takes_work="execute" in self._roles)
        check_signatures(self.contexts.integrations)
        self._supervisor.start()
        if self._intake is not None:
            self._intake.start()
        self.is_ready = True

    async def stop(self) -> None:
        """Finish or give back what is under way, within the grace; nothing of it is lost or sent twice."""
        self.is_ready = False
        self.endings.close()
        grace = self._grace
        if self._intake is not None:
            await self._intake.close(grace)
        await self.replayer.close()
        await self.deployer.close(grace)
        await self.executor.close(grace)
        if "deliver" in self._roles:
            await self._batcher.close(grace)
        await self.deliverer.close(grace)
        await self._supervisor.close()
        self.alerts.close()
        await self.committer.close()
        try:
            await self.lease.close()
        except StorageError as exc:
            _log.warning("lease_not_given_up", reason=exc.message)
        self.mails.close()
        await self._sender.close()

    @property
    def epoch(self) -> int:
        return self.lease.epoch

    # --- configuration, through the cache ---

    async def api_key(self, digest: bytes) -> Stored[ApiKey] | None:
        """A key by the SHA-256 of its text; revoked and expired ones are returned too."""
        return await self.directory.find(ApiKey, "digest", digest.hex())

    async def organization(self, id: Key) -> Stored[Organization] | None:
        return await self.directory.get(Organization, id)

    # --- events and executions ---

    async def publish(
        self,
        organization_id: Key,
        drafts: Sequence[EventDraft],
        *,
        once: Once | None = None,
        answer: Callable[[Sequence[PublishedEvent]], bytes] | None = None,
    ) -> Repeat | list[PublishedEvent]:
        """Store events with all they owe; durable when it returns. Raises StorageError."""
        return await self._publisher.publish(organization_id, drafts, once=once, answer=answer)

    def automation(self, kind: Kind, automation_id: str) -> Automation | None:
        return self.catalogue.of_app(kind, automation_id)

    async def find_automation(
        self, organization_id: Key, kind: Kind, automation_id: str
    ) -> Automation | None:
        return await self.catalogue.find(organization_id, kind, automation_id)

    async def automations_of(self, organization_id: Key) -> list[Automation]:
        return await self.catalogue.all_of(organization_id)

    async def start_execution(
        self, start: ExecutionStart, *, answer: Callable[[Execution], bytes] | None = None
    ) -> Execution | Repeat:
        """Store an execution that will run; durable when it returns. Raises StorageError."""
        return await self._receiver.start(start, answer=answer)

    async def estimated_completion(self, kind: Kind, automation_id: str) -> datetime:
        return await self.history.estimate(kind, automation_id, at=self.clock.now())

    async def cancel(self, organization_id: Key, execution_id: Key) -> Execution | None:
        return await self.executor.cancel(organization_id, execution_id)

    async def resume(self, organization_id: Key, execution_id: Key, name: str, value: bytes) -> str:
        return await self.executor.resume(organization_id, execution_id, name, value)

    async def keep_request(self, request: TriggerRequest, *, is_owed: bool = False) -> None:
        """Keep a refused request; a store that is away must not turn a 401 into a 503.

        is_owed: its sender is told that it is kept, so a store that is away raises StorageError.
        """
        try:
            await self.committer.commit(KeepRequest(request=request))
        except StorageError as exc:
            if is_owed:
                raise
            _log.warning("refused_request_not_kept", reason=exc.message)

    async def attribute(self, organization_id: Key, request_id: Key, execution_id: Key) -> bool:
        """Say which execution stands for a kept request that started nothing itself. False when it has one."""
        write = Attribute(organization_id=organization_id, request_id=request_id, execution_id=execution_id)
        return await self.committer.commit(write) is True
