"""Execute: claim executions, hand them to the runner, and see that each ends exactly once.

States move only by guarded writes that carry this node's epoch (record.py), so a node that lost its lease changes
nothing. Here is decided what runs when, and what becomes of a run whose process, node or database died.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from hookline import failpoints
from hookline.engine.claim_runs import RunClaimer
from hookline.engine.record import KILLED, ClaimGoneError, Run
from hookline.engine.run_limits import USED_UP
from hookline.errors import MissingError, StorageError
from hookline.model.executions import Automation, Execution, Failure
from hookline.model.states import ExecutionStatus, Kind
from hookline.ports import AdoptExecutions, Cancel, Cancelling, Requeue, Resume, Suspend
from hookline.ports.runner import Failed, Lost, RunJob, Suspended, TimedOut

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hookline.engine.calls import FlowCalls
    from hookline.engine.commit import Committer
    from hookline.engine.definitions import Definitions
    from hookline.engine.history import RunTimes
    from hookline.engine.lease import Lease
    from hookline.engine.record import Recorder
    from hookline.engine.run_limits import RunLimits
    from hookline.engine.uploads import Uploads
    from hookline.model.executions import JournalEntry
    from hookline.model.ids import Key
    from hookline.ports import Archive, Clock, Epoch, Write
    from hookline.ports.runner import Outcome, Runner

_log = structlog.get_logger("hookline.execute")

_MOST_WAITING: Final = 1_024
"""Claimed executions in memory that wait for their turn; the rest stays in the table."""

Place = tuple["Key | None", Kind, str]
"""An automation: of an organization, or (None) of the app, which all of them share."""


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """How many executions run at once on a node. of_organization: of one of them, None for as many as there is room."""

    most: int
    of_organization: int | None = None


class Executor:
    """One per node."""

    def __init__(
        self,
        *,
        runner: Runner,
        definitions: Definitions,
        run_limits: RunLimits,
        committer: Committer,
        archive: Archive,
        recorder: Recorder,
        lease: Lease,
        clock: Clock,
        history: RunTimes,
        private: Callable[[Execution], Awaitable[bytes | None]],
        room: Room,
        uploads: Uploads,
    ) -> None:
        self._runner = runner
        self._definitions = definitions
        self._run_limits = run_limits
        self._committer = committer
        self._archive = archive
        self._recorder = recorder
        self._lease = lease
        self._clock = clock
        self._history = history
        self._private = private
        self._max_running = room.most
        self._max_of_organization = room.most if room.of_organization is None else room.of_organization
        self._uploads = uploads
        self._automations: dict[tuple[Kind, str], Automation] = {}
        self._queues: dict[Place, deque[tuple[Execution, Epoch]]] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._running_of: dict[Place | Key, int] = {}
        self._waiting = 0
        self._claims = RunClaimer(
            committer=committer,
            archive=archive,
            lease=lease,
            clock=clock,
            room=lambda: _MOST_WAITING - self._waiting,
            kinds=self._kinds,
            take=self._take,
        )
        self._is_open = False
        self._calls: FlowCalls | None = None

    def __repr__(self) -> str:
        return f"Executor(running={len(self._running)}, waiting={self._waiting})"

    def connect(self, calls: FlowCalls) -> None:
        """Say who starts the flows that running ones call, and tells those of the ends."""
        self._calls = calls

    # --- life ---

    async def start(self, *, takes_work: bool = True) -> None:
        """Start the runner and the claimer. Raises SettingError when the user's code cannot be loaded.

        takes_work: False for a node that only needs to know what can run.
        """
        await self._runner.start()
        self._automations = {(one.kind, one.id): one for one in self._runner.automations}
        if takes_work:
            self._is_open = True
            self._claims.start()

    async def close(self, grace: float) -> None:
        """Take nothing new, let what runs end within ``grace`` seconds, give the rest back to the queue."""
        self._is_open = False
        self._claims.close()
        for queue in list(self._queues.values()):
            for execution, epoch in queue:
                await self._try(Requeue(epoch=epoch, execution_id=execution.id))
            queue.clear()
        await self._runner.close(grace)
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=5)

    def forget(self) -> None:
        """The lease is lost: end what runs here, others have taken it over."""
        self._waiting -= sum(len(queue) for queue in self._queues.values())
        self._queues.clear()
        for execution_id in self._running:
            self._runner.cancel(execution_id)

    # --- what can run ---

    def census(self) -> Counter[tuple[Kind, str]]:
        """How many executions this node has in its hands, by kind and ``running`` or ``waiting``."""
        found: Counter[tuple[Kind, str]] = Counter()
        for (_, kind, _id), queue in self._queues.items():
            found[kind, "waiting"] += len(queue)
        for whose, count in self._running_of.items():
            if isinstance(whose, tuple):  # else an organization's sum
                found[whose[1], "running"] += count
        return found

    @property
    def automations(self) -> tuple[Automation, ...]:
        return tuple(self._automations.values())

    def automation(self, kind: Kind, automation_id: str) -> Automation | None:
        """An automation of the app."""
        return self._automations.get((kind, automation_id))

    def _kinds(self) -> tuple[Kind, ...] | None:
        """What this node may take from the table: without an app, no code of it. None for everything."""
        return None if self._automations else self._definitions.kinds

    async def find(self, organization_id: Key, kind: Kind, automation_id: str) -> Automation | None:
        """An automation of the app or of an organization's own. Raises StorageError."""
        found = self._automations.get((kind, automation_id))
        return found or await self._definitions.automation(organization_id, kind, automation_id)

    async def automations_of(self, organization_id: Key) -> list[Automation]:
        """All that an organization can run. Raises StorageError."""
        return [*self._automations.values(), *await self._definitions.automations(organization_id)]

    def _known(self, execution: Execution) -> Automation | None:
        """The automation of an execution that this node has taken, as it last was."""
        return self._automations.get((execution.kind, execution.automation_id)) or self._definitions.known(
            execution.organization_id, execution.kind, execution.automation_id
        )

    def _place(self, execution: Execution) -> Place:
        is_shared = (execution.kind, execution.automation_id) in self._automations
        organization_id = None if is_shared else execution.organization_id
        return organization_id, execution.kind, execution.automation_id

    # --- room ---

    def reserve(self, automation: Automation | None) -> bool:
        """Promise room for an execution that is about to be committed as claimed by this node.

        automation: as ``find`` returned it.
        """
        if automation is None or not self._is_open or self._waiting >= _MOST_WAITING:
            return False
        if not self._lease.is_held():
            return False
        self._waiting += 1
        return True

    def conclude(self, execution: Execution, epoch: Epoch, *, is_stored: bool) -> None:
        """Take a reserved execution that is now stored, or free its room."""
        self._waiting -= 1
        if is_stored:
            self._enqueue(execution, epoch)

    def expect(self) -> None:
        """The table holds something to run: look soon."""
        self._claims.look()

    def holds(self, execution_id: Key) -> bool:
        """Say whether an execution runs here or waits here for its turn."""
        return execution_id in self._running or any(
            execution.id == execution_id for queue in self._queues.values() for execution, _ in queue
        )

    async def release(self, execution_id: Key, epoch: Epoch) -> None:
        """Settle an execution that the table says we hold and we do not."""
        execution = await self._archive.execution(execution_id, organization_id=None)
        if execution is not None and not execution.status.is_terminal:
            await self._settle_adopted(execution, epoch)

    def _enqueue(self, execution: Execution, epoch: Epoch) -> None:
        place = self._place(execution)
        self._queues.setdefault(place, deque()).append((execution, epoch))
        self._waiting += 1
        self._pump(place)

    def _pump(self, place: Place) -> None:
        """Start what may run now: within the limits of the node, the automation and the organization."""
        queue = self._queues.get(place)
        while queue and self._is_open and len(self._running) < self._max_running:
            automation = self._known(queue[0][0])
            limit = automation.concurrency if automation is not None else None
            if limit is not None and self._running_of.get(place, 0) >= limit:
                return
            item = self._next_of(queue)
            if item is None:
                return
            self._waiting -= 1
            self._begin(place, *item)
        if not queue:
            self._queues.pop(place, None)

    def _next_of(self, queue: deque[tuple[Execution, Epoch]]) -> tuple[Execution, Epoch] | None:
        """Take the first whose organization has room: one that has none must not hold up the others."""
        for place, (execution, _) in enumerate(queue):
            if self._running_of.get(execution.organization_id, 0) < self._max_of_organization:
                item = queue[place]
                del queue[place]
                return item
        return None

    def _begin(self, place: Place, execution: Execution, epoch: Epoch) -> None:
        for whose in (place, execution.organization_id):
            self._running_of[whose] = self._running_of.get(whose, 0) + 1
        task = asyncio.create_task(self._run(execution, epoch))
        self._running[execution.id] = task
        task.add_done_callback(partial(self._ended, execution, place))

    def _ended(self, execution: Execution, place: Place, _: asyncio.Task[None]) -> None:
        self._running.pop(execution.id, None)
        was_full = self._running_of[execution.organization_id] == self._max_of_organization
        for whose in (place, execution.organization_id):
            self._running_of[whose] -= 1
            if not self._running_of[whose]:
                del self._running_of[whose]
        self._pump(place)
        if was_full or len(self._running) == self._max_running - 1:
            for other in list(self._queues):
                self._pump(other)
        if self._waiting < _MOST_WAITING // 2:
            self._claims.look()

    # --- one execution: load, run, finish ---

    async def _run(self, execution: Execution, epoch: Epoch) -> None:
        try:
            if execution.is_cancel_requested:
                await self._finish(execution, epoch, KILLED)
                return
            run = Run(self._recorder, execution, epoch, self._calls)
            try:
                outcome = await self._outcome(run, execution)
            finally:
                await run.close()
            await self._conclude(run, outcome)
        except ClaimGoneError:
            await self._finish_if_cancelled(execution, epoch)
        except StorageError as exc:
            _log.warning("execution_unsaved", execution=execution.id.hex(), reason=exc.message)
            await self._requeue_or_lose(execution, epoch)
        except Exception:  # noqa: BLE001 -- a defect of ours must not leave an execution without its end
            _log.exception("execution_crashed", execution=execution.id.hex())
            failure = Failure(code="LOST", message="The engine failed while it ran this execution.")
            await self._finish(execution, epoch, Lost(failure=failure))

    async def _outcome(self, run: Run, execution: Execution) -> Outcome:
        """Run it; a run that never began (no process could be had) is tried again a few times."""
        journal: tuple[JournalEntry, ...] = ()
        if execution.attempt:
            journal = tuple(await self._archive.journal(execution.id))
            if self._calls is not None and await self._calls.look(execution, journal):
                journal = tuple(await self._archive.journal(execution.id))
            run.retries = sum(entry.op == "retry" for entry in journal)
        try:
            definition = await self._definitions.definition(execution)
            limit = await self._run_limits.of(execution, self._known(execution))
            if limit is not None and limit.timeout_ms <= 0:
                return TimedOut(failure=Failure(code="TIMED_OUT", message=USED_UP, limit=limit.whose))
            job = RunJob(
                execution_id=execution.id,
                kind=execution.kind,
                automation_id=execution.automation_id,
                input=execution.input,
                trigger=execution.trigger,
                private=await self._private(execution),
                definition=definition,
                journal=journal,
                attempt=execution.attempt + 1,
                timeout_ms=None if limit is None else limit.timeout_ms,
                limit="agent" if limit is None else limit.whose,
            )
            async with self._uploads.local(execution.trigger) as trigger:
                return await self._run_job(msgspec.structs.replace(job, trigger=trigger), run)
        except MissingError as exc:
            return Failed(failure=Failure(code="FAILED", message=exc.message))

    async def _run_job(self, job: RunJob, run: Run) -> Outcome:
        for delay in (0.2, 1.0, 5.0, None):
            outcome = await self._runner.run(job, run)
            if not isinstance(outcome, Lost) or outcome.has_started or delay is None or not self._is_open:
                return outcome
            await asyncio.sleep(delay)
        raise AssertionError("unreachable")

    async def _conclude(self, run: Run, outcome: Outcome) -> None:
        execution = run.execution
        failpoints.hit("before_finish")
        if isinstance(outcome, Suspended):
            await self._suspend(run, outcome)
        elif isinstance(outcome, Lost) and self._may_run_again(run, outcome):
            await self._try(Requeue(epoch=run.epoch, execution_id=execution.id))
            self._claims.look()
        elif isinstance(outcome, Failed | TimedOut | Lost) and self._retries_left(run):
            await self._retry_later(run, outcome.failure)
        else:
            await self._finish(execution, run.epoch, outcome, run)

    def _may_run_again(self, run: Run, lost: Lost) -> bool:
        if not lost.has_started and not run.has_begun:
            return not self._is_open  # the node stops: another start is free
        automation = self._known(run.execution)
        return automation is not None and automation.is_resumable and run.attempt < automation.max_attempts

    def _retries_left(self, run: Run) -> bool:
        automation = self._known(run.execution)
        return (
            run.has_begun
            and run.execution.trigger_id is not None
            and automation is not None
            and automation.retry is not None
            and run.retries < automation.retry.max_retries
        )

    async def _retry_later(self, run: Run, failure: Failure) -> None:
        """Let it run again after the rule's wait (PR-18). What it has finished stays finished."""
        automation = self._known(run.execution)
        assert automation is not None
        assert automation.retry is not None
        wake_at = self._clock.now() + automation.retry.delay(run.retries)
        await run.note_retry(failure, wake_at)
        await self._suspend(run, Suspended(waits=(), wake_at=wake_at))

    async def _suspend(self, run: Run, outcome: Suspended) -> None:
        result = await self._committer.commit(
            Suspend(
                epoch=run.epoch,
                execution_id=run.execution.id,
                waits=tuple((wait.name, wait.occurrence) for wait in outcome.waits),
                wake_at=outcome.wake_at,
            )
        )
        if result is False:
            raise ClaimGoneError("The execution belongs to another node now.")
        self._claims.look()

    async def _finish(
        self, execution: Execution, epoch: Epoch, outcome: Outcome, run: Run | None = None
    ) -> None:
        ended = await self._recorder.finish(execution, epoch, outcome, run)
        if ended is not None and self._calls is not None:
            await self._calls.ended(ended)
        if ended is not None and ended.completed_at is not None and ended.status is ExecutionStatus.SUCCEEDED:
            self._history.note(ended.kind, ended.automation_id, ended.completed_at - ended.created_at)

    # --- ending early ---

    async def cancel(self, organization_id: Key, execution_id: Key) -> Execution | None:
        """Ask an execution to end. Returns it as it then stands, or None when there is none."""
        epoch = self._lease.epoch
        result = await self._committer.commit(
            Cancel(epoch=epoch, organization_id=organization_id, execution_id=execution_id)
        )
        if not isinstance(result, Cancelling):
            return None
        if result.is_seized:
            await self._finish(result.execution, epoch, KILLED)
        elif result.holder == epoch:
            await self._cancel_here(result.execution, epoch)
        return await self._archive.execution(execution_id, organization_id=organization_id)

    async def _cancel_here(self, execution: Execution, epoch: Epoch) -> None:
        for queue in self._queues.values():
            for item in queue:
                if item[0].id == execution.id:
                    queue.remove(item)
                    self._waiting -= 1
                    await self._finish(execution, epoch, KILLED)
                    return
        self._runner.cancel(execution.id)

    async def cancel_requested_elsewhere(self) -> None:
        """Another node asked for executions of ours to end."""
        for execution_id in await self._archive.cancel_requested(self._lease.epoch):
            if execution_id in self._running:
                self._runner.cancel(execution_id)

    async def resume(self, organization_id: Key, execution_id: Key, name: str, value: bytes) -> str:
        """Answer a wait: ``resumed``, ``stored``, ``conflict`` or ``missing``."""
        result = await self._committer.commit(
            Resume(
                organization_id=organization_id,
                execution_id=execution_id,
                name=name,
                value=value,
                at=self._clock.now(),
            )
        )
        if result == "resumed":
            self._claims.look()
        return str(result)

    async def _finish_if_cancelled(self, execution: Execution, epoch: Epoch) -> None:
        """A claim that is gone because the execution was cancelled before it began still needs its end."""
        stored = await self._archive.execution(execution.id, organization_id=None)
        if stored is not None and stored.is_cancel_requested and not stored.status.is_terminal:
            await self._finish(stored, epoch, KILLED)

    async def _requeue_or_lose(self, execution: Execution, epoch: Epoch) -> None:
        """The store was away while it ran: what it did may be unknown to us, so it ends as a dead process would."""
        automation = self._known(execution)
        while self._is_open and epoch == self._lease.epoch:
            try:
                stored = await self._archive.execution(execution.id, organization_id=None)
                if stored is None or stored.status.is_terminal:
                    return
                may_run = stored.status is ExecutionStatus.QUEUED or (
                    automation is not None and automation.is_resumable
                )
                if may_run:
                    await self._committer.commit(Requeue(epoch=epoch, execution_id=execution.id))
                    self._claims.look()
                else:
                    failure = Failure(code="LOST", message="The database was away while this execution ran.")
                    await self._finish(stored, epoch, Lost(failure=failure))
            except StorageError:
                await asyncio.sleep(1.0)
            else:
                return

    async def _try(self, write: Write) -> None:
        try:
            await self._committer.commit(write)
        except StorageError as exc:
            _log.warning("write_failed", write=type(write).__name__, reason=exc.message)

    # --- claimed, by this node or by one that died ---

    async def _take(self, claimed: Sequence[Execution], epoch: Epoch) -> None:
        for execution in claimed:
            await self._learn(execution)
            self._enqueue(execution, epoch)

    async def _learn(self, execution: Execution) -> None:
        """Have the facts of its automation at hand; a store that is away leaves it without limits of its own."""
        with suppress(StorageError):
            await self.find(execution.organization_id, execution.kind, execution.automation_id)

    async def adopt(self) -> None:
        """Take over what dead nodes were running: run it again where that is allowed, else end it as lost."""
        epoch = self._lease.epoch
        while self._is_open:
            adopted = await self._committer.commit(AdoptExecutions(epoch=epoch, limit=256))
            assert isinstance(adopted, tuple)
            for execution in adopted:
                await self._settle_adopted(execution, epoch)
            if len(adopted) < 256:
                return

    async def _settle_adopted(self, execution: Execution, epoch: Epoch) -> None:
        await self._learn(execution)
        automation = self._known(execution)
        if execution.is_cancel_requested:
            await self._finish(execution, epoch, KILLED)
        elif execution.status is ExecutionStatus.QUEUED or _may_restart(automation, execution):
            await self._try(Requeue(epoch=epoch, execution_id=execution.id))
            self._claims.look()
        else:
            failure = Failure(code="LOST", message="The node that ran this execution stopped.")
            await self._finish(execution, epoch, Lost(failure=failure))


def _may_restart(automation: Automation | None, execution: Execution) -> bool:
    """Say whether a run whose node died may begin again: it can resume, or failing is retried anyway."""
    if automation is None:
        return False
    retry = automation.retry if execution.trigger_id is not None else None
    return (automation.is_resumable and execution.attempt < automation.max_attempts) or (
        retry is not None and execution.attempt <= retry.max_retries
    )
