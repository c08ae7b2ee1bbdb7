"""One node: the use cases wired to each other, and what the API may ask of them.

Nothing here knows a concrete store, runner or sender; ``app.py`` hands them in.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from hookline.engine.batch import Batcher
from hookline.engine.commit import Committer
from hookline.engine.contexts import Contexts
from hookline.engine.deliver import Deliverer
from hookline.engine.deploy import Deployer
from hookline.engine.directory import Directory
from hookline.engine.endings import Endings
from hookline.engine.execute import Executor
from hookline.engine.explain import Explainer
from hookline.engine.history import RunTimes
from hookline.engine.lease import Lease
from hookline.engine.maintain import Maintenance
from hookline.engine.publish import EventDraft, Outbox, PublishedEvent, Publisher
from hookline.engine.receive import ExecutionStart, Receiver
from hookline.engine.reconcile import Reconciler
from hookline.engine.record import Recorder
from hookline.engine.replay import Replayer
from hookline.engine.routing import Router
from hookline.engine.supervise import Supervisor
from hookline.engine.uploads import Uploads
from hookline.errors import ConflictError, StorageError
from hookline.model.configuration import ApiKey, Organization, Webhook
from hookline.model.ids import Key
from hookline.model.states import DeliveryState, Lane, Origin, WebhookStatus
from hookline.ports import DeliveryFilter, KeepRequest, Once, Reopen, Repeat, Shift

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from hookline.engine.target import Target
    from hookline.engine.vault import Vault
    from hookline.model.configuration import Stored
    from hookline.model.events import Attempt, Delivery
    from hookline.model.executions import Automation, Execution, TriggerRequest
    from hookline.model.states import Kind
    from hookline.ports import Clock, Store
    from hookline.ports.blobs import Blobs
    from hookline.ports.runner import Runner
    from hookline.ports.sender import Sender

_log = structlog.get_logger("hookline.node")

ROLES: Final = ("receive", "execute", "deliver")
"""What a node may do. Without a role it leaves that work in the table, for the nodes that have it."""

_MAINTAIN_SECONDS: Final = 60.0
_REPLAY_SECONDS: Final = 2.0

_TEST_SECONDS: Final = 35.0
"""Longer than any dialect's time-out, so a test tells how its attempt ended."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much this node takes on.

    grace_seconds: how long a stop waits for what is under way.  lease_seconds: without a sign of life for so long,
    the node is dead and its work is others'.  retention_days, held_retention_days: how long what has ended, and what
    is held, is kept.
    """

    max_in_flight: int = 2048
    max_executions: int = 256
    retry_time_scale: float = 1.0
    grace_seconds: float = 20.0
    lease_seconds: float = 10.0
    retention_days: float = 30.0
    held_retention_days: float = 30.0


class TestResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a test delivery went. response_code: None without an answer."""

    __test__ = False

    status: str
    response_code: int | None
    response_time_ms: int | None
    error: str | None
    delivery_id: Key


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
    ) -> None:
        self.blobs = blobs
        self._uploads = Uploads(blobs, clock)
        self._roles = frozenset(roles)
        self.store = store
        self.vault = vault
        self.clock = clock
        self._limits = limits
        self._sender = sender
        self.lease = Lease(store, clock, node_name=name, length=timedelta(seconds=limits.lease_seconds))
        self.committer = Committer(store)
        self.directory = Directory(store, vault, base_url=public_url)
        self.history = RunTimes(store)
        self.contexts = Contexts(
            integrations=lambda: runner.integrations,
            directory=self.directory,
            vault=vault,
            public_url=public_url,
        )
        self.endings = Endings(archive=store, committer=self.committer, lease=self.lease, clock=clock)
        self.deliverer = Deliverer(
            committer=self.committer,
            archive=store,
            directory=self.directory,
            sender=sender,
            lease=self.lease,
            clock=clock,
            max_in_flight=limits.max_in_flight,
            retry_time_scale=limits.retry_time_scale,
            on_webhook_gone=self._disable,
        )
        self._batcher = Batcher(
            committer=self.committer,
            archive=store,
            directory=self.directory,
            deliverer=self.deliverer,
            lease=self.lease,
            clock=clock,
        )
        self._outbox = Outbox(
            directory=self.directory,
            archive=store,
            deliverer=self.deliverer,
            batcher=self._batcher,
            lease=self.lease,
            clock=clock,
        )
        self._publisher = Publisher(self._outbox, self.committer, self.lease, clock)
        self.executor = Executor(
            runner=runner,
            committer=self.committer,
            archive=store,
            recorder=Recorder(
                committer=self.committer,
                archive=store,
                outbox=self._outbox,
                endings=self.endings,
                clock=clock,
            ),
            lease=self.lease,
            clock=clock,
            history=self.history,
            private=self.contexts.private_of,
            max_running=limits.max_executions,
            uploads=self._uploads,
        )
        self._receiver = Receiver(
            outbox=self._outbox,
            executor=self.executor,
            committer=self.committer,
            archive=store,
            onces=store,
            lease=self.lease,
            clock=clock,
        )
        self.router = Router(contexts=self.contexts, directory=self.directory, runner=runner, clock=clock)
        self.deployer = Deployer(
            store=store,
            runner=runner,
            contexts=self.contexts,
            directory=self.directory,
            lease=self.lease,
            clock=clock,
            start=self._receiver.start,
        )
        self.explainer = Explainer(store=store, directory=self.directory, wording=self.deliverer.wording)
        self.maintenance = Maintenance(
            store=store,
            committer=self.committer,
            lease=self.lease,
            clock=clock,
            keep=timedelta(days=limits.retention_days),
            keep_held=timedelta(days=limits.held_retention_days),
        )
        self.replayer = Replayer(
            store=store,
            committer=self.committer,
            directory=self.directory,
            deliverer=self.deliverer,
            lease=self.lease,
            clock=clock,
            hold=self._hold,
        )
        self._supervisor = Supervisor(
            store=store,
            lease=self.lease,
            directory=self.directory,
            deliverer=self.deliverer,
            executor=self.executor,
            outbox=self._outbox,
            uploads=self._uploads,
            batcher=self._batcher if "deliver" in self._roles else None,
            endings=self.endings,
            deployer=self.deployer,
            rounds=(
                (_MAINTAIN_SECONDS, self.maintenance.sweep),
                *(((_REPLAY_SECONDS, self.replayer.look),) if "deliver" in self._roles else ()),
            ),
            reconciler=Reconciler(
                archive=store,
                committer=self.committer,
                deliverer=self.deliverer,
                executor=self.executor,
                lease=self.lease,
            ),
        )
        self.is_ready = False

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
        self._supervisor.start()
        self.is_ready = True

    async def stop(self) -> None:
        """Finish or give back what is under way, within the grace; nothing of it is lost or sent twice."""
        self.is_ready = False
        self.endings.close()
        grace = self._limits.grace_seconds
        await self.replayer.close()
        await self.deployer.close(grace)
        await self.executor.close(grace)
        if "deliver" in self._roles:
            await self._batcher.close(grace)
        await self.deliverer.close(grace)
        await self._supervisor.close()
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
        return self.executor.automation(kind, automation_id)

    @property
    def automations(self) -> tuple[Automation, ...]:
        return self.executor.automations

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

    # --- deliveries ---

    async def reopen(self, organization_id: Key, delivery_id: Key) -> Delivery | None:
        """Make one delivery due now. None when there is none in that organization.

        Raises ConflictError when its webhook is deleted: nobody would ever send it.
        """
        known = await self.store.delivery(delivery_id, organization_id=organization_id)
        if known is None:
            return None
        if await self.store.get(Webhook, known.webhook_id, organization_id=organization_id) is None:
            raise ConflictError("Its webhook is deleted; publish the event again.", code="WEBHOOK_DELETED")
        now = self.clock.now()
        result = await self.committer.commit(
            Reopen(organization_id=organization_id, delivery_id=delivery_id, lane=Lane.RETRY, at=now)
        )
        if result is None:
            return None
        delivery: Delivery = result  # type: ignore[assignment]
        if delivery.state is DeliveryState.PENDING:
            self.deliverer.expect(delivery.webhook_id, delivery.lane, now)
        return delivery

    async def shift_webhook(self, webhook: Stored[Webhook], to: DeliveryState) -> int:
        """Hold, drain or cancel what waits for a webhook, in bounded steps. Returns how many moved."""
        sources = {
            DeliveryState.HELD: (DeliveryState.PENDING,),
            DeliveryState.PENDING: (DeliveryState.HELD,),
            DeliveryState.CANCELLED: (DeliveryState.PENDING, DeliveryState.HELD),
        }[to]
        reason = {
            DeliveryState.HELD: f"webhook_{webhook.document.status}",
            DeliveryState.CANCELLED: "webhook_deleted",
        }.get(to)
        total = 0
        while True:
            now = self.clock.now()
            moved = await self.committer.commit(
                Shift(
                    webhook_id=webhook.id,
                    sources=sources,
                    to=to,
                    reason=reason,
                    next_attempt_at=now if to is DeliveryState.PENDING else None,
                    at=now,
                )
            )
            assert isinstance(moved, int)
            total += moved
            if moved == 0:
                break
            await asyncio.sleep(0)
        if to is DeliveryState.PENDING:
            self.deliverer.rescan()
        return total

    async def _hold(self, target: Target) -> None:
        await self.shift_webhook(target.stored, DeliveryState.HELD)

    async def send_test(
        self, organization_id: Key, webhook_id: Key, event_type: str, data: bytes
    ) -> TestResult | None:
        """Send one event to one webhook through the live path and wait for its first attempt.

        Returns None when there is no such webhook.
        """
        published = await self._publisher.publish(
            organization_id, [EventDraft(type=event_type, data=data)], target_id=webhook_id
        )
        assert isinstance(published, list)
        event = await self.store.event(organization_id, published[0].public_id)
        assert event is not None
        deadline = self.clock.elapsed() + _TEST_SECONDS
        while True:
            found = await self.store.deliveries(
                organization_id, DeliveryFilter(event_key=event.key), before=None, limit=1
            )
            if not found:
                return None
            attempts = await self.store.attempts(found[0].id)
            result = _test_result(found[0], attempts)
            if result.status != "pending" or self.clock.elapsed() > deadline:
                return result
            await asyncio.sleep(0.02)

    async def _disable(self, target: Target, reason: str) -> None:
        """Take a webhook out of service because its receiver said so; its events are held, not dropped."""
        try:
            stored = await self.store.get(Webhook, target.id, organization_id=None)
            if stored is None or stored.document.status is not WebhookStatus.ACTIVE:
                return
            if stored.document.origin is Origin.CALLBACK:
                return  # one address says nothing of the others behind it
            disabled = msgspec.structs.replace(
                stored.document,
                status=WebhookStatus.DISABLED,
                status_reason=reason,
                status_changed_at=self.clock.now(),
            )
            stored = await self.store.put(
                msgspec.structs.replace(stored, document=disabled), at=self.clock.now()
            )
            await self.directory.refresh()
            await self.shift_webhook(stored, DeliveryState.HELD)
        except (ConflictError, StorageError) as exc:
            _log.warning("webhook_not_disabled", webhook=target.public_id, reason=exc.message)


def _test_result(delivery: Delivery, attempts: Sequence[Attempt]) -> TestResult:
    if not attempts:
        is_held = delivery.state is DeliveryState.HELD
        return TestResult(
            status="held" if is_held else "pending",
            response_code=None,
            response_time_ms=None,
            error=delivery.state_reason if is_held else "no attempt has ended yet",
            delivery_id=delivery.id,
        )
    return TestResult(
        status="success" if delivery.state is DeliveryState.SUCCEEDED else "failed",
        response_code=attempts[-1].status,
        response_time_ms=attempts[-1].duration_ms,
        error=attempts[-1].error,
        delivery_id=delivery.id,
    )
