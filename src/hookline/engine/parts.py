"""Parts: the use cases that belong together, wired to each other. ``node.py`` puts the groups together.

A group is made whole by its constructor and then only read; each part is built once and knows nothing of groups.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from hookline.engine.alert import Alerts
from hookline.engine.artifacts import ArtifactKeeper
from hookline.engine.batch import Batcher
from hookline.engine.catalogue import Catalogue
from hookline.engine.commit import Committer
from hookline.engine.conversations import Conversations
from hookline.engine.definitions import Definitions
from hookline.engine.deliver import Deliverer
from hookline.engine.directory import Directory
from hookline.engine.endings import Endings
from hookline.engine.execute import Executor
from hookline.engine.history import RunTimes
from hookline.engine.judge import Judge
from hookline.engine.lease import Lease
from hookline.engine.load_run import RunLoader
from hookline.engine.mails import Mails
from hookline.engine.meter import Meter
from hookline.engine.movies import Movies
from hookline.engine.payloads import PayloadLinks
from hookline.engine.publish import Outbox, Publisher
from hookline.engine.receive import Receiver
from hookline.engine.reconcile import Reconciler
from hookline.engine.record import Recorder
from hookline.engine.redeliver import Redelivery
from hookline.engine.robots import Robots
from hookline.engine.run_limits import RunLimits
from hookline.engine.run_queue import Room
from hookline.engine.scripts import ScriptAgents
from hookline.engine.telling import Teller
from hookline.engine.uploads import Uploads
from hookline.engine.watch import LoggedAttempts, Watch
from hookline.engine.webhooks import Webhooks
from hookline.model.states import Kind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookline.engine.definitions import DataKind
    from hookline.engine.vault import Vault
    from hookline.model.executions import Execution
    from hookline.ports import Clock, Mailer, Store
    from hookline.ports.blobs import Blobs
    from hookline.ports.runner import Runner
    from hookline.ports.sender import Sender


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much this node takes on.

    max_executions_per_organization: None for as many as the node takes.  unsafe_scripts: scripts of several
    organizations run also where the machine cannot isolate them.  max_run_seconds: of one process of one execution.
    grace_seconds: how long a stop waits for what is under way.  lease_seconds: without a sign of life for so long,
    the node is dead and its work is others'.  retention_days, held_retention_days: how long what has ended, and what
    is held, is kept.  conversation_idle_seconds: silence that ends a conversation.
    payload_retention_days: how long payloads of what has ended are.  retention_max_bytes: what is
    stored is kept about below this, 0 for no bound.  disable_after_days: of only failures a webhook is disabled.
    """

    max_in_flight: int = 2048
    max_executions: int = 256
    max_executions_per_organization: int | None = None
    unsafe_scripts: bool = False
    max_run_seconds: float = 86_400.0
    retry_time_scale: float = 1.0
    grace_seconds: float = 20.0
    lease_seconds: float = 10.0
    retention_days: float = 30.0
    held_retention_days: float = 30.0
    conversation_idle_seconds: float = 86_400.0
    disable_after_days: float = 5.0
    payload_retention_days: float = 30.0
    retention_max_bytes: int = 0
    log_attempts: LoggedAttempts = LoggedAttempts.FAILED


class Ground:
    """What every part stands on: the store and its one writer, the node's lease, the configuration, the clock."""

    def __init__(
        self, *, name: str, store: Store, vault: Vault, clock: Clock, limits: Limits, url: str
    ) -> None:
        self.store = store
        self.vault = vault
        self.clock = clock
        self.limits = limits
        self.url = url
        self.lease = Lease(store, clock, node_name=name, length=timedelta(seconds=limits.lease_seconds))
        self.meter = Meter()
        self.committer = Committer(store, self.meter)
        self.directory = Directory(store, vault, base_url=url)

    def __repr__(self) -> str:
        return f"Ground({self.lease!r})"


class Outgoing:
    """The way out: from an event to attempts, and what people may ask of that."""

    def __init__(self, ground: Ground, sender: Sender, mailer: Mailer | None) -> None:
        store, committer, directory = ground.store, ground.committer, ground.directory
        lease, clock, limits = ground.lease, ground.clock, ground.limits
        teller = Teller(
            disable_after=timedelta(days=limits.disable_after_days),
            keep_held=timedelta(days=limits.held_retention_days),
            sends_mails=mailer is not None,
            public_url=ground.url,
        )
        self.alerts = Alerts(
            records=store,
            figures=store,
            committer=committer,
            directory=directory,
            lease=lease,
            clock=clock,
            teller=teller,
            disable_after=timedelta(days=limits.disable_after_days),
        )
        self.mails = Mails(store=store, committer=committer, lease=lease, clock=clock, mailer=mailer)
        self.payloads = PayloadLinks(vault=ground.vault, clock=clock, url=ground.url)
        self.deliverer = Deliverer(
            committer=committer,
            archive=store,
            leases=store,
            directory=directory,
            sender=sender,
            lease=lease,
            clock=clock,
            max_in_flight=limits.max_in_flight,
            retry_time_scale=limits.retry_time_scale,
            alerts=self.alerts,
            watch=Watch(ground.meter, limits.log_attempts),
            payloads=self.payloads,
        )
        self.batcher = Batcher(
            committer=committer,
            archive=store,
            directory=directory,
            deliverer=self.deliverer,
            lease=lease,
            clock=clock,
        )
        self.outbox = Outbox(
            directory=directory,
            archive=store,
            deliverer=self.deliverer,
            batcher=self.batcher,
            lease=lease,
            clock=clock,
        )
        self.publisher = Publisher(self.outbox, committer, lease, clock)
        self.webhooks = Webhooks(
            store=store,
            committer=committer,
            directory=directory,
            deliverer=self.deliverer,
            publisher=self.publisher,
            clock=clock,
        )
        self.judge = Judge(store, directory)
        self.alerts.connect(self.outbox, self.webhooks.hold)
        self.redelivery = Redelivery(
            store=store,
            committer=committer,
            directory=directory,
            deliverer=self.deliverer,
            batcher=self.batcher,
            lease=lease,
            clock=clock,
            judge=self.judge,
            hold=self.webhooks.hold,
        )

    def __repr__(self) -> str:
        return f"Outgoing({self.deliverer!r})"


class Running:
    """The work itself: from a request that was accepted to the end of its execution."""

    def __init__(
        self,
        ground: Ground,
        outbox: Outbox,
        runner: Runner,
        *,
        private: Callable[[Execution], Awaitable[bytes | None]],
        blobs: Blobs | None,
    ) -> None:
        store, committer, lease, clock = ground.store, ground.committer, ground.lease, ground.clock
        self.history = RunTimes(store)
        self.endings = Endings(archive=store, committer=committer, lease=lease, clock=clock)
        self.uploads = Uploads(blobs, clock, keep=timedelta(days=ground.limits.retention_days))
        self.artifacts = ArtifactKeeper(
            blobs=blobs,
            store=store,
            committer=committer,
            vault=ground.vault,
            clock=clock,
            url=ground.url,
        )
        self.definitions = Definitions(data_kinds(ground))
        self.catalogue = Catalogue(self.definitions)

        async def seen(execution: Execution) -> bytes | None:
            said = await self.conversations.history(execution)
            return await private(execution) if said is None else b'{"history":%b}' % said

        self.executor = Executor(
            runner=runner,
            catalogue=self.catalogue,
            loader=RunLoader(
                archive=store,
                catalogue=self.catalogue,
                definitions=self.definitions,
                run_limits=RunLimits(
                    directory=ground.directory,
                    archive=store,
                    clock=clock,
                    most_seconds=ground.limits.max_run_seconds,
                ),
                private=seen,
            ),
            committer=committer,
            archive=store,
            recorder=Recorder(
                committer=committer,
                archive=store,
                outbox=outbox,
                endings=self.endings,
                artifacts=self.artifacts,
                definitions=self.definitions,
                clock=clock,
                meter=ground.meter,
            ),
            lease=lease,
            clock=clock,
            history=self.history,
            room=Room(
                most=ground.limits.max_executions,
                of_organization=ground.limits.max_executions_per_organization,
            ),
            uploads=self.uploads,
        )
        self.receiver = Receiver(
            outbox=outbox,
            catalogue=self.catalogue,
            executor=self.executor,
            committer=committer,
            archive=store,
            onces=store,
            lease=lease,
            clock=clock,
        )
        self.conversations = Conversations(
            outbox=outbox,
            committer=committer,
            archive=store,
            onces=store,
            lease=lease,
            clock=clock,
            start=self.receiver.start,
            idle=timedelta(seconds=ground.limits.conversation_idle_seconds),
        )

    def __repr__(self) -> str:
        return f"Running({self.executor!r})"


def data_kinds(ground: Ground) -> dict[Kind, DataKind]:
    """Every kind of work that is set up as data."""
    directory, store = ground.directory, ground.store
    return {
        Kind.RENDER: Movies(),
        Kind.ROBOT: Robots(directory, store),
        Kind.SCRIPT: ScriptAgents(directory, store, allows_unsafe=ground.limits.unsafe_scripts),
    }


def reconciler(ground: Ground, outgoing: Outgoing, running: Running) -> Reconciler:
    """What compares memory and table until they agree."""
    return Reconciler(
        archive=ground.store,
        committer=ground.committer,
        deliverer=outgoing.deliverer,
        executor=running.executor,
        lease=ground.lease,
    )
