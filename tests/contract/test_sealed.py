"""Sealed values are rewritten in place: row by row, in bounded steps, with nothing else changed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from store_bed import changed, once

from hookline.model.configuration import Member
from hookline.model.ids import new_key

if TYPE_CHECKING:
    from store_bed import ManualClock

    from hookline.model.ids import Key
    from hookline.ports import Epoch, Store

pytestmark = pytest.mark.asyncio


def shout(value: bytes) -> bytes | None:
    return value.replace(b"ann", b"BOB") if b"ann" in value else None


async def walk(store: Store, table: str, *, limit: int) -> list[tuple[int, int]]:
    """Every step's rows seen and changed."""
    steps, after = [], None
    while True:
        step = await store.reseal(table, after=after, limit=limit, change=shout)
        steps.append((step.seen, step.changed))
        if step.after is None:
            return steps
        after = step.after


async def test_documents_and_all_their_revisions_are_rewritten(
    store: Store, org: Key, clock: ManualClock
) -> None:
    """A delivery may still be worded by an old revision."""
    ids = [new_key() for _ in range(5)]
    for number, id in enumerate(ids):
        member = Member(name="ann" if number % 2 else "joe", email=f"{number}@example.com")
        stored = await store.add(
            Member, id=id, organization_id=org, document=member, names=(), at=clock.now()
        )
        await store.put(
            changed(stored, document=changed(member, email=f"new{number}@example.com")), at=clock.now()
        )
    before = [await store.get(Member, id, organization_id=org) for id in ids]
    version = await store.version()

    assert await walk(store, "documents", limit=2) == [(2, 1), (2, 1), (1, 0)]
    assert sum(count for _, count in await walk(store, "document_revisions", limit=3)) == 4
    assert await walk(store, "documents", limit=100) == [(5, 0)]
    for number, (id, old) in enumerate(zip(ids, before, strict=True)):
        name = "BOB" if number % 2 else "joe"
        assert old is not None
        assert await store.get(Member, id, organization_id=org) == changed(
            old, document=changed(old.document, name=name)
        )
        first = await store.get_revision(Member, id, 1)
        assert first == Member(name=name, email=f"{number}@example.com")
    assert await store.version() == version


async def test_remembered_answers_are_rewritten_and_reservations_left_alone(
    store: Store, org: Key, epoch: Epoch, clock: ManualClock
) -> None:
    later = clock.now() + timedelta(hours=1)
    kept, reserved = once(org, "POST /a", later), once(org, "POST /b", later)
    for one in (kept, reserved):
        assert await store.reserve(one, epoch) is True
    await store.finish(changed(kept, answer=b"ann"), epoch)

    assert await walk(store, "onces", limit=1) == [(1, 1), (0, 0)]
    repeat = await store.reserve(kept, epoch)
    assert not isinstance(repeat, bool)
    assert repeat.answer == b"BOB"
    assert await store.reserve(reserved, epoch) is False


async def test_a_step_that_fails_changes_nothing(store: Store, org: Key, clock: ManualClock) -> None:
    for _ in range(3):
        await store.add(
            Member,
            id=new_key(),
            organization_id=org,
            document=Member(name="ann", email="a@example.com"),
            names=(),
            at=clock.now(),
        )
    calls = 0

    def fail(value: bytes) -> bytes | None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise ValueError("not this one")
        return shout(value)

    with pytest.raises(ValueError, match="not this one"):
        await store.reseal("documents", after=None, limit=10, change=fail)

    assert await walk(store, "documents", limit=10) == [(3, 3)]
