"""Running: the work itself, from a request that was accepted to the end of its execution."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from hookline.engine.artifacts import ArtifactKeeper
from hookline.engine.catalogue import Catalogue
from hookline.engine.conversations import Conversations
from hookline.engine.definitions import Definitions
from hookline.engine.endings import Endings
from hookline.engine.execute import Executor
from hookline.engine.history import RunTimes
from hookline.engine.load_run import RunLoader
from hookline.engine.movies import Movies
from hookline.engine.receive import Receiver
from hookline.engine.record import Recorder
from hookline.engine.robots import Robots
from hookline.engine.run_limits import RunLimits
from hookline.engine.run_queue import Room
from hookline.engine.scripts import ScriptAgents
from hookline.engine.uploads import Uploads
from hookline.model.executions import Execution
from hookline.model.states import Kind

if TYPE_CHECKING:
    from hookline.engine.definitions import DataKind
    from hookline.engine.parts.ground import Ground
    from hookline.engine.publish import Outbox
    from hookline.ports.blobs import Blobs
    from hookline.ports.runner import Runner

Private = Callable[[Execution], Awaitable[bytes | None]]
"""What only the process of an execution is told, JSON text, or None."""


class Running:
    """The work itself: from a request that was accepted to the end of its execution."""

    def __init__(
        self,
        ground: Ground,
        outbox: Outbox,
        runner: Runner,
        *,
        private: Private,
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

        self.executor = Executor(
            runner=runner,
            catalogue=self.catalogue,
            loader=self._loader(ground, private),
            committer=committer,
            archive=store,
            recorder=self._recorder(ground, outbox),
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
            onces=ground.reservations,
            lease=lease,
            clock=clock,
        )
        self.conversations = Conversations(
            outbox=outbox,
            committer=committer,
            archive=store,
            onces=ground.reservations,
            lease=lease,
            clock=clock,
            start=self.receiver.start,
            idle=timedelta(seconds=ground.limits.conversation_idle_seconds),
        )

    def __repr__(self) -> str:
        return f"Running({self.executor!r})"

    def _recorder(self, ground: Ground, outbox: Outbox) -> Recorder:
        return Recorder(
            committer=ground.committer,
            archive=ground.store,
            outbox=outbox,
            endings=self.endings,
            artifacts=self.artifacts,
            definitions=self.definitions,
            clock=ground.clock,
            meter=ground.meter,
            tracing=ground.tracing,
        )

    def _loader(self, ground: Ground, private: Private) -> RunLoader:
        async def seen(execution: Execution) -> bytes | None:
            said = await self.conversations.history(execution)
            return await private(execution) if said is None else b'{"history":%b}' % said

        return RunLoader(
            archive=ground.store,
            tracing=ground.tracing,
            catalogue=self.catalogue,
            definitions=self.definitions,
            run_limits=RunLimits(
                directory=ground.directory,
                archive=ground.store,
                clock=ground.clock,
                most_seconds=ground.limits.max_run_seconds,
            ),
            private=seen,
        )


def data_kinds(ground: Ground) -> dict[Kind, DataKind]:
    """Every kind of work that is set up as data."""
    directory, store = ground.directory, ground.store
    return {
        Kind.RENDER: Movies(),
        Kind.ROBOT: Robots(directory, store),
        Kind.SCRIPT: ScriptAgents(directory, store, allows_unsafe=ground.limits.unsafe_scripts),
    }
