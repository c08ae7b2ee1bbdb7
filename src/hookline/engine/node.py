"""One node: the use cases wired to each other, and what the API may ask of them.

Nothing here knows a concrete store, runner or sender; ``app.py`` hands them in.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from hookline.engine.calls import FlowCalls
from hookline.engine.contexts import Contexts
from hookline.engine.deploy import Deployer
from hookline.engine.explain import Explainer
from hookline.engine.maintain import Maintenance
from hookline.engine.parts import Ground, Limits, Outgoing, Running, reconciler
from hookline.engine.replay import Replayer
from hookline.engine.rerun import Rerun
from hookline.engine.routing import Router
from hookline.engine.shrink import Shrinker
from hookline.engine.signing import check_signatures
from hookline.engine.supervise import Supervisor
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
    from hookline.ports.runner import Runner
    from hookline.ports.sender import Sender

_log = structlog.get_logger("hookline.node")

ROLES: Final = ("receive", "execute", "deliver")
"""What a node may do. Without a role it leaves that work in the table, for the nodes that have it."""

_MAINTAIN_SECONDS: Final = 60.0
_IDLE_SECONDS: Final = 10.0
_REPLAY_SECONDS: Final = 2.0
_ALERT_SECONDS: Final = 2.0
_MAIL_SECONDS: Final = 1.0


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
    ) -> None:
        ground = Ground(name=name, store=store, vault=vault, clock=clock, limits=limits, url=public_url)
        self.store, self.vault, self.clock, self.blobs = store, vault, clock, blobs
        self.lease, self.committer, self.directory = ground.lease, ground.committer, ground.directory
        self.meter = ground.meter
        self._roles = frozenset(roles)
        self._grace = limits.grace_seconds
        self._sender = sender
        self.contexts = Contexts(
            integrations=lambda: runner.integrations,
            directory=ground.directory,
            vault=vault,
            public_url=public_url,
        )
        outgoing = Outgoing(ground, sender, mailer)
        running = Running(ground, outgoing.outbox, runner, private=self.contexts.private_of, blobs=blobs)
        self.deliverer = outgoing.deliverer
        self.payloads = outgoing.payloads
        self.webhooks = outgoing.webhooks
        self.alerts = outgoing.alerts
        self.mails = outgoing.mails
        self.catalogue = running.catalogue
        self.executor = running.executor
        self.endings = running.endings
        self.history = running.history
        self.definitions = running.definitions
        self.artifacts = running.artifacts
        self._batcher = outgoing.batcher
        self._publisher = outgoing.publisher
        self._receiver = running.receiver
        self.conversations = running.conversations
        running.executor.connect(
            FlowCalls(
                contexts=self.contexts,
                directory=ground.directory,
                archive=store,
                clock=clock,
                automation=running.catalogue.of_app,
                start=running.receiver.start,
                resume=running.executor.resume,
            )
        )
        self.router = Router(contexts=self.contexts, directory=ground.directory, runner=runner, clock=clock)
        self.deployer = Deployer(
            store=store,
            runner=runner,
            contexts=self.contexts,
            directory=ground.directory,
            lease=ground.lease,
            clock=clock,
            start=running.receiver.start,
        )
        self.explainer = Explainer(
            store=store,
            directory=ground.directory,
            judge=outgoing.judge,
            wording=outgoing.deliverer.wording,
        )
        self.maintenance = Maintenance(
            store=store,
            committer=ground.committer,
            directory=ground.directory,
            lease=ground.lease,
            clock=clock,
            keep=timedelta(days=limits.retention_days),
            keep_held=timedelta(days=limits.held_retention_days),
            alerts=outgoing.alerts,
            shrinker=Shrinker(
                store=store,
                clock=clock,
                keep=timedelta(days=limits.retention_days),
                keep_payloads=timedelta(days=limits.payload_retention_days),
                most_bytes=limits.retention_max_bytes,
            ),
        )
        self.replayer = Replayer(
            store=store,
            lease=ground.lease,
            clock=clock,
            deliveries=outgoing.redelivery,
            requests=Rerun(store=store, clock=clock, start=running.receiver.start, find=self.find_automation),
        )
        self._supervisor = self._supervise(ground, outgoing, running)
        self.is_ready = False

    def _supervise(self, ground: Ground, outgoing: Outgoing, running: Running) -> Supervisor:
        delivers = "deliver" in self._roles
        rounds = [
            (_MAINTAIN_SECONDS, self.maintenance.sweep),
            (_MAINTAIN_SECONDS, self.artifacts.sweep),
            (_IDLE_SECONDS, self.conversations.close_idle),
            (_ALERT_SECONDS, outgoing.alerts.look),
            (_MAIL_SECONDS, outgoing.mails.look),
        ]
        if delivers:
            rounds.append((_REPLAY_SECONDS, self.replayer.look))
        return Supervisor(
            ground=ground,
            deliverer=outgoing.deliverer,
            executor=running.executor,
            outbox=outgoing.outbox,
            uploads=running.uploads,
            batcher=outgoing.batcher if delivers else None,
            endings=running.endings,
            deployer=self.deployer,
            rounds=rounds,
            reconciler=reconciler(ground, outgoing, running),
        )

    def __repr__(self) -> str:
        return f"Node({self.lease!r}, {self.deliverer!r}, {self.executor!r})"

    # --- life ---

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
        self.is_ready = True

    async def stop(self) -> None:
        """Finish or give back what is under way, within the grace; nothing of it is lost or sent twice."""
        self.is_ready = False
        self.endings.close()
        grace = self._grace
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
