"""Execute: claim executions, hand them to the runner, and see that each ends exactly once.

States move only by guarded writes that carry this node's epoch (record.py), so a node that lost its lease changes
nothing. Here is decided what runs when, and what becomes of a run whose process or database died; of one whose node
died, in adopt.py.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import structlog

from hookline import failpoints
from hookline.core.calling import caller_of
from hookline.engine.adopt import Adopter
from hookline.engine.claim_runs import RunClaimer
from hookline.engine.record import KILLED, ClaimGoneError
from hookline.engine.run import NODE_STOPPED, Run
from hookline.engine.run_limits import USED_UP
from hookline.engine.run_queue import RunQueue
from hookline.errors import MissingError, StorageError
from hookline.model.executions import Execution, Failure
from hookline.model.states import ExecutionStatus
from hookline.ports import Cancel, Cancelling, Requeue, Resume, Suspend
from hookline.ports.runner import Failed, Lost, Suspended, TimedOut

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from hookline.engine.calls import FlowCalls
    from hookline.engine.catalogue import Catalogue, Place
    from hookline.engine.commit import Committer
    from hookline.engine.history import RunTimes
    from hookline.engine.lease import Lease
    from hookline.engine.load_run import RunLoader
    from hookline.engine.record import Recorder
    from hookline.engine.run_queue import Room
    from hookline.engine.uploads import Uploads
    from hookline.model.executions import Automation
    from hookline.model.ids import Key
    from hookline.model.states import Kind
    from hookline.ports import Archive, Clock, Epoch
    from hookline.ports.runner import Outcome, RunJob, Runner

_log = structlog.get_logger("hookline.execute")


class Executor:
    """One per node."""

    def __init__(
        self,
        *,
        runner: Runner,
        catalogue: Catalogue,
        loader: RunLoader,
        committer: Committer,
        archive: Archive,
        recorder: Recorder,
        lease: Lease,
        clock: Clock,
        history: RunTimes,
        room: Room,
        uploads: Uploads,
    ) -> None:
        self._runner = runner
        self._catalogue = catalogue
        self._loader = loader
        self._committer = committer
        self._archive = archive
        self._recorder = recorder
        self._lease = lease
        self._clock = clock
        self._history = history
        self._uploads = uploads
        self._queue = RunQueue(catalogue, room)
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._claims = RunClaimer(
            committer=committer,
            archive=archive,
            lease=lease,
            clock=clock,
            room=lambda: self._queue.room,
            kinds=lambda: catalogue.kinds,
            take=self._take,
        )
        self.adopter = Adopter(
            committer=committer,
            archive=archive,
            catalogue=catalogue,
            lease=lease,
            clock=clock,
            finish=self._finish,
            give_back=self._give_back,
        )
        self._is_open = False
        self._calls: FlowCalls | None = None

    def __repr__(self) -> str:
        return f"Executor({self._queue!r})"

    def connect(self, calls: FlowCalls) -> None:
        """Say who starts what running ones call, and ends it with them."""
        self._calls = calls

    # --- life ---

    async def start(self, *, takes_work: bool = True) -> None:
        """Start the runner and the claimer. Raises SettingError when the user's code cannot be loaded.

        takes_work: False for a node that only needs to know what can run.
        """
        await self._runner.start()
        self._catalogue.fill(self._runner.automations)
        if takes_work:
            self._is_open = True
            self.adopter.open()
            self._claims.start()

    async def close(self, grace: float) -> None:
        """Take nothing new, let what runs end within ``grace`` seconds, give the rest back to the queue."""
        self._is_open = False
        self.adopter.close()
        self._claims.close()
        for execution, epoch in self._queue.clear():
            await self._requeue(execution, epoch)
        await self._runner.close(grace)
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=5)

    def forget(self) -> None:
        """The lease is lost: end what runs here, others have taken it over."""
        self._queue.clear()
        for execution_id in self._running:
            self._runner.cancel(execution_id)

    # --- room ---

    def reserve(self, automation: Automation | None) -> bool:
        """Promise room for an execution that is about to be committed as claimed by this node.

        automation: as the catalogue has it.
        """
        if automation is None or not self._is_open or not self._lease.is_held():
            return False
        return self._queue.reserve()

    def conclude(self, execution: Execution, epoch: Epoch, *, is_stored: bool) -> None:
        """Take a reserved execution that is now stored, or free its room."""
        self._queue.free()
        if is_stored:
            self._enqueue(execution, epoch)

    def expect(self) -> None:
        """The table holds something to run: look soon."""
        self._claims.look()

    def holds(self, execution_id: Key) -> bool:
        """Say whether an execution runs here or waits here for its turn."""
        return execution_id in self._running or self._queue.holds(execution_id)

    def census(self) -> Counter[tuple[Kind, str]]:
        """How many executions this node has in its hands, by kind and ``running`` or ``waiting``."""
        return self._queue.census()

    @property
    def processes(self) -> Mapping[tuple[str, str], int]:
        """How many child processes run user code here, by sort and state."""
        return self._runner.processes

    def _enqueue(self, execution: Execution, epoch: Epoch) -> None:
        self._pump(self._queue.put(execution, epoch))

    def _pump(self, place: Place) -> None:
        """Start what may run now."""
        while self._is_open and (held := self._queue.take(place)) is not None:
            execution, epoch = held
            task = asyncio.create_task(self._run(execution, epoch))
            self._running[execution.id] = task
            task.add_done_callback(partial(self._ended, execution, place))

    def _ended(self, execution: Execution, place: Place, _: asyncio.Task[None]) -> None:
        self._running.pop(execution.id, None)
        for freed in self._queue.ended(execution, place):
            self._pump(freed)
        if self._queue.has_drained:
            self._claims.look()

    # --- one execution: load, run, finish ---

    async def _run(self, execution: Execution, epoch: Epoch) -> None:
        try:
            if execution.is_cancel_requested or await self._is_left_behind(execution):
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

    async def _is_left_behind(self, execution: Execution) -> bool:
        return self._calls is not None and await self._calls.is_left_behind(execution)

    async def _outcome(self, run: Run, execution: Execution) -> Outcome:
        try:
            job = await self._loader.load(execution)
            run.look_back(job.journal)
            if job.timeout_ms is not None and job.timeout_ms <= 0:
                return TimedOut(failure=Failure(code="TIMED_OUT", message=USED_UP, limit=job.limit))
            async with self._uploads.local(execution.trigger) as trigger:
                return await self._run_job(msgspec.structs.replace(job, trigger=trigger), run)
        except MissingError as exc:
            return Failed(failure=Failure(code="FAILED", message=exc.message))

    async def _run_job(self, job: RunJob, run: Run) -> Outcome:
        """Run it; a run that never began (no process could be had) is tried again a few times."""
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
            if run.has_begun:
                await run.note_cut_off("Its process ended." if self._is_open else NODE_STOPPED)
            await self._give_back(execution, run.epoch)
        elif isinstance(outcome, Failed | TimedOut | Lost) and self._retries_left(run):
            await self._retry_later(run, outcome.failure)
        else:
            await self._finish(execution, run.epoch, outcome, run)

    def _may_run_again(self, run: Run, lost: Lost) -> bool:
        if not lost.has_started and not run.has_begun:
            return not self._is_open  # the node stops: another start is free
        automation = self._catalogue.known(run.execution)
        return automation is not None and automation.is_resumable and run.attempt < automation.max_attempts

    def _retries_left(self, run: Run) -> bool:
        automation = self._catalogue.known(run.execution)
        return (
            run.has_begun
            and run.execution.trigger_id is not None
            and automation is not None
            and automation.retry is not None
            and run.retries < automation.retry.max_retries
        )

    async def _retry_later(self, run: Run, failure: Failure) -> None:
        """Let it run again after the rule's wait (PR-18). What it has finished stays finished."""
        automation = self._catalogue.known(run.execution)
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
        if self._calls is not None and (run is None or run.has_children):
            await self._calls.release(execution)
        ended = await self._recorder.finish(execution, epoch, outcome, run)
        if ended is not None and caller_of(ended) is not None:
            self._claims.look()  # who waited for it may go on
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
        if self._queue.remove(execution.id):
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
        automation = self._catalogue.known(execution)
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

    async def _give_back(self, execution: Execution, epoch: Epoch) -> None:
        """Let it run again, here or elsewhere."""
        await self._requeue(execution, epoch)
        self._claims.look()

    async def _requeue(self, execution: Execution, epoch: Epoch) -> None:
        try:
            await self._committer.commit(Requeue(epoch=epoch, execution_id=execution.id))
        except StorageError as exc:
            _log.warning("execution_not_given_back", execution=execution.id.hex(), reason=exc.message)

    async def _take(self, claimed: Sequence[Execution], epoch: Epoch) -> None:
        for execution in claimed:
            await self._catalogue.learn(execution)
            self._enqueue(execution, epoch)
