"""Deploy, disable and remove instances: see that each change is carried out by one node, and to its end.

Every change is noted first (a ``Deployment``) and the note is deleted last; a reservation by this node's epoch keeps
others from doing the same work. Whoever finds a note whose node is dead goes on: the steps, in
``change_instance.py``, may be done again.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from hookline.engine.change_instance import InstanceChanger
from hookline.errors import ConflictError, HooklineError, MissingError, StorageError
from hookline.model.ids import new_key, public
from hookline.model.integrations import Deployment, Instance
from hookline.ports import Once

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookline.engine.contexts import Contexts
    from hookline.engine.directory import Directory
    from hookline.engine.lease import Lease
    from hookline.engine.manage.instances import Write
    from hookline.engine.receive import ExecutionStart
    from hookline.model.configuration import Stored
    from hookline.model.ids import Key
    from hookline.ports import Clock, Onces, Store
    from hookline.ports.runner import Runner

_log = structlog.get_logger("hookline.deploy")

_LOCK: Final = "deployment"
_LOCK_TIME: Final = timedelta(days=1)
"""A reservation outlives any deployment: 60 s a flow. It ends with the deployment or with its node's lease."""

_YOUNG: Final = timedelta(minutes=1)
"""A note this young whose instance is not there yet may belong to a node that is about to store it."""


class Deployer:
    """One per node. start: stores an execution that will run."""

    def __init__(
        self,
        *,
        store: Store,
        onces: Onces,
        runner: Runner,
        contexts: Contexts,
        directory: Directory,
        lease: Lease,
        clock: Clock,
        start: Callable[[ExecutionStart], Awaitable[object]],
    ) -> None:
        self._store = store
        self._onces = onces
        self._directory = directory
        self._lease = lease
        self._clock = clock
        self._changer = InstanceChanger(
            store=store, runner=runner, contexts=contexts, directory=directory, clock=clock, start=start
        )
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._is_open = True

    def __repr__(self) -> str:
        return f"Deployer(under_way={len(self._tasks)})"

    # --- life ---

    async def close(self, grace: float) -> None:
        """Give what is under way ``grace`` seconds, then leave it to whoever finds its note."""
        self._is_open = False
        self._changer.close()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=grace)
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def look(self) -> None:
        """Go on with what dead nodes left behind."""
        for note in await self._store.list(Deployment, organization_id=None):
            if note.document.instance_id not in self._tasks and self._is_open:
                await self._take_over(note)

    async def _take_over(self, note: Stored[Deployment]) -> None:
        instance_id = note.document.instance_id
        lock, epoch = self._lock(instance_id), self._lease.epoch
        if await self._onces.reserve(lock, epoch) is not True:
            return
        instance = await self._store.get(Instance, instance_id, organization_id=None)
        is_young = self._clock.now() - note.created_at < _YOUNG
        if instance is None and note.document.is_creation and is_young:
            await self._onces.forget(lock, epoch)
            return
        _log.info("deployment_resumed", instance=public("instance", instance_id))
        self._begin(note, lock, epoch)

    # --- beginning ---

    async def begin(
        self,
        organization_id: Key,
        instance_id: Key,
        write: Write,
        *,
        is_creation: bool = False,
        skips_handlers: bool = False,
    ) -> Stored[Instance]:
        """Store a change of an instance's status and begin to carry it out. write: stores it; what it raises is
        passed on.  is_creation, skips_handlers: see ``Deployment``.

        Raises ConflictError while another change is under way.
        """
        lock, epoch = self._lock(instance_id), self._lease.epoch
        if await self._onces.reserve(lock, epoch) is not True:
            raise ConflictError(
                "This instance is being changed; try again when that is done.", code="DEPLOYMENT_UNDER_WAY"
            )
        note = None
        try:
            note = await self._store.add(
                Deployment,
                id=new_key(),
                organization_id=organization_id,
                document=Deployment(
                    instance_id=instance_id, is_creation=is_creation, skips_handlers=skips_handlers
                ),
                names=(),
                at=self._clock.now(),
            )
            stored = await write()
        except HooklineError:
            await self._give_up(note, lock, epoch)
            raise
        await self._directory.refresh()
        self._begin(note, lock, epoch)
        return stored

    async def _give_up(self, note: Stored[Deployment] | None, lock: Once, epoch: int) -> None:
        """Nothing was stored, or it is unknown; in doubt the note stays and is looked at later."""
        try:
            if note is not None:
                found = await self._store.get(
                    Instance, note.document.instance_id, organization_id=note.organization_id
                )
                if found is None or not found.document.status.is_under_way:
                    await self._delete_note(note)
            await self._onces.forget(lock, epoch)
        except StorageError as exc:
            _log.warning("deployment_not_given_up", reason=exc.message)

    async def wait(self, instance_id: Key, seconds: float) -> None:
        """Wait until a change under way here is done, at most so long."""
        task = self._tasks.get(instance_id)
        if task is not None:
            await asyncio.wait([task], timeout=seconds)

    def _begin(self, note: Stored[Deployment], lock: Once, epoch: int) -> None:
        instance_id = note.document.instance_id
        task = asyncio.create_task(self._work(note, lock, epoch), name=f"deploy-{instance_id.hex()}")
        self._tasks[instance_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(instance_id, None))

    def _lock(self, instance_id: Key) -> Once:
        expires_at = self._clock.now() + _LOCK_TIME
        return Once(scope=instance_id, name=_LOCK, digest=b"", answer=b"", expires_at=expires_at)

    async def _delete_note(self, note: Stored[Deployment]) -> None:
        await self._store.delete(
            Deployment, note.id, organization_id=note.organization_id, at=self._clock.now()
        )

    # --- the work ---

    async def _work(self, note: Stored[Deployment], lock: Once, epoch: int) -> None:
        try:
            await self._changer.carry_out(note.document)
            await self._delete_note(note)
        except (StorageError, ConflictError, MissingError) as exc:
            _log.warning("deployment_interrupted", reason=exc.message)
        except Exception:  # noqa: BLE001 -- a defect of ours leaves the note, and with it a next try
            _log.exception("deployment_crashed")
        finally:
            try:
                await self._onces.forget(lock, epoch)
                await self._directory.refresh()
            except StorageError as exc:
                _log.warning("reservation_not_given_back", reason=exc.message)
