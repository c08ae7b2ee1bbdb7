"""Files of executions in the ledger, the blobs they leave behind, and claims of some kinds only."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from store_bed import accept, apply, changed, execution

from hookline.model.executions import Artifact
from hookline.model.ids import new_key
from hookline.model.states import ExecutionStatus, Kind
from hookline.ports import Begin, ClaimExecutions, Finish, KeepArtifact

if TYPE_CHECKING:
    from store_bed import ManualClock

    from hookline.model.executions import Execution
    from hookline.model.ids import Key
    from hookline.ports import Epoch, Store

pytestmark = pytest.mark.asyncio


def made(of: Execution, **changes: Any) -> Artifact:
    values: dict[str, Any] = {
        "name": "video.mp4",
        "content_type": "video/mp4",
        "size": 3 << 32,
        "digest": "0f" * 32,
        "blob_id": new_key().hex(),
    }
    return Artifact(execution_id=of.id, created_at=of.created_at, **(values | changes))


async def running(store: Store, epoch: Epoch, org: Key, clock: ManualClock) -> Execution:
    given = execution(org, clock.now(), kind=Kind.RENDER)
    await accept(store, epoch, given)
    begin = Begin(epoch=epoch, execution_id=given.id, started_at=clock.now(), launch_ms=1)
    assert await apply(store, begin) is True
    return given


async def test_a_file_is_kept_with_all_that_is_said_of_it(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    of = await running(store, epoch, org, clock)
    first, second = made(of, name="b.png", content_type="image/png"), made(of, name="a.mp4")
    results = await store.commit(
        [KeepArtifact(epoch=epoch, artifact=first), KeepArtifact(epoch=epoch, artifact=second)]
    )

    assert results == [True, True]
    assert await store.artifacts(of.id) == [second, first]
    assert await store.artifact(of.id, "b.png") == first
    assert await store.artifact(of.id, "c.png") is None
    assert await store.artifacts(new_key()) == []


async def test_the_same_name_again_replaces_the_file_and_drops_its_blob(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    of = await running(store, epoch, org, clock)
    old, new = made(of), made(of, size=5)
    for artifact in (old, new, new):  # the last as after a commit of unknown outcome
        assert await apply(store, KeepArtifact(epoch=epoch, artifact=artifact)) is True

    assert await store.artifacts(of.id) == [new]
    assert await store.dropped_blobs(limit=10) == [old.blob_id]


async def test_a_claim_that_is_gone_keeps_nothing(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """Another epoch's, one that has ended, one that is not there."""
    of = await running(store, epoch, org, clock)
    assert await apply(store, KeepArtifact(epoch=epoch + 1, artifact=made(of))) is False
    missing = changed(made(of), execution_id=new_key())
    assert await apply(store, KeepArtifact(epoch=epoch, artifact=missing)) is False
    finish = Finish(
        epoch=epoch, execution_id=of.id, status=ExecutionStatus.SUCCEEDED, completed_at=clock.now()
    )
    assert await apply(store, finish) is True
    assert await apply(store, KeepArtifact(epoch=epoch, artifact=made(of))) is False

    assert await store.artifacts(of.id) == []


async def test_files_go_with_their_execution_and_their_blobs_are_told(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    old, young = await running(store, epoch, org, clock), await running(store, epoch, org, clock)
    gone, stays = made(old), made(young)
    for artifact in (gone, stays):
        await apply(store, KeepArtifact(epoch=epoch, artifact=artifact))
    await apply(
        store,
        Finish(epoch=epoch, execution_id=old.id, status=ExecutionStatus.FAILED, completed_at=clock.now()),
    )
    clock.move(timedelta(days=1))
    while await store.prune(before=clock.now(), limit=10):
        pass

    assert await store.artifacts(old.id) == []
    assert await store.artifacts(young.id) == [stays]
    assert await store.dropped_blobs(limit=10) == [gone.blob_id]
    await store.blobs_deleted([gone.blob_id, "not there"])
    assert await store.dropped_blobs(limit=10) == []


async def test_a_node_claims_only_the_kinds_that_it_runs(
    store: Store, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """A node without an app leaves workflows to the others, due sleepers too."""
    script = execution(org, clock.now(), kind=Kind.SCRIPT)
    robot = execution(org, clock.now(), kind=Kind.ROBOT, status=ExecutionStatus.WAITING, wake_at=clock.now())
    flow = execution(org, clock.now())
    sleeper = execution(org, clock.now(), status=ExecutionStatus.WAITING, wake_at=clock.now())
    for given in (script, robot, flow, sleeper):
        await accept(store, epoch, given, is_claimed=False)

    async def claim(kinds: tuple[Kind, ...] | None) -> set[Key]:
        write = ClaimExecutions(epoch=epoch, limit=10, now=clock.now(), kinds=kinds)
        claimed = await apply(store, write)
        assert isinstance(claimed, tuple)
        return {one.id for one in claimed}

    assert await claim((Kind.RENDER,)) == set()
    assert await claim((Kind.SCRIPT, Kind.ROBOT)) == {script.id, robot.id}
    assert await claim(None) == {flow.id, sleeper.id}
