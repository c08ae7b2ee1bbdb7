"""Registry: documents with revisions, unique names, and a feed of changes without gaps."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from store_bed import ManualClock, changed, organization

from hookline.errors import ConflictError
from hookline.model.configuration import (
    ApiKey,
    Member,
    Organization,
    RetryPolicy,
    Stored,
    Trigger,
    TriggerAuth,
    Webhook,
)
from hookline.model.ids import new_key
from hookline.model.states import Kind, Origin, Scope, WebhookStatus
from hookline.ports import Change

if TYPE_CHECKING:
    from hookline.model.ids import Key
    from hookline.ports import Store

pytestmark = pytest.mark.asyncio


async def _add(
    store: Store, clock: ManualClock, org: Key, name: str = "Acme", **names: str
) -> Stored[Organization]:
    return await store.add(
        Organization,
        id=new_key(),
        organization_id=org,
        document=organization(name),
        names=list(names.items()),
        at=clock.now(),
    )


def _documents(clock: ManualClock) -> list[Any]:
    return [
        Organization(name="Größe", external_id="x"),
        Member(name="Ada", email="ada@example.com"),
        ApiKey(
            name="k",
            digest=bytes(range(32)),
            hint="hk_1",
            scopes=(Scope.READ, Scope.TRIGGER),
            expires_at=clock.now(),
        ),
        Trigger(
            name="t",
            automation_kind=Kind.AGENT,
            automation_id="a",
            profile="native",
            auth=TriggerAuth(
                type="token", digests=(b"\xff" * 32,), options={"n": 1, "f": 1.5, "l": [None, True]}
            ),
            settings={"a": {"b": []}},
        ),
        Webhook(
            name="w",
            url="https://example.com",
            events=("a.*", "b"),
            origin=Origin.CALLBACK,
            status=WebhookStatus.PAUSED,
            status_changed_at=clock.now(),
            sealed_secret=b"\x00\xff",
            sealed_previous_secret=b"",
            previous_secret_until=clock.now(),
            retry_policy=RetryPolicy(max_retries=6, backoff_multiplier=1.5),
            include_fields=("a", "b"),
            headers={"X": "ü"},
            rate_per_second=0.5,
        ),
    ]


@pytest.mark.parametrize("place", range(5))
async def test_a_document_comes_back_as_it_was_given(
    store: Store, clock: ManualClock, org: Key, place: int
) -> None:
    """Bytes, instants, enums and nested values of every kind of document."""
    document = _documents(clock)[place]
    id_ = new_key()

    added = await store.add(
        type(document), id=id_, organization_id=org, document=document, names=(), at=clock.now()
    )

    assert added == Stored(
        id=id_,
        organization_id=org,
        revision=1,
        created_at=clock.now(),
        updated_at=clock.now(),
        document=document,
    )
    assert await store.get(type(document), id_, organization_id=org) == added
    assert await store.get(type(document), id_, organization_id=None) == added
    assert await store.get_revision(type(document), id_, 1) == document


async def test_a_document_is_of_one_organization_and_one_kind(
    store: Store, clock: ManualClock, org: Key
) -> None:
    """P14: a foreign one and a missing one look the same."""
    added = await _add(store, clock, org)

    assert await store.get(Organization, added.id, organization_id=new_key()) is None
    assert await store.get(Organization, new_key(), organization_id=org) is None
    assert await store.get(Member, added.id, organization_id=org) is None
    assert await store.delete(Organization, added.id, organization_id=new_key(), at=clock.now()) is False


async def test_names_find_a_document(store: Store, clock: ManualClock, org: Key) -> None:
    """Unique per kind and space over all organizations."""
    added = await _add(store, clock, org, digest="abc", external_id="x 1")

    assert await store.find(Organization, "digest", "abc") == added
    assert await store.find(Organization, "external_id", "x 1") == added
    assert await store.find(Organization, "digest", "x 1") is None
    assert await store.find(Member, "digest", "abc") is None
    with pytest.raises(ConflictError):
        await _add(store, clock, new_key(), digest="abc")
    await _add(store, clock, org, other="abc")


async def test_a_refused_document_leaves_nothing(store: Store, clock: ManualClock, org: Key) -> None:
    """Neither document, nor its other names, revision or change."""
    await _add(store, clock, org, digest="abc")
    id_ = new_key()

    with pytest.raises(ConflictError):
        await store.add(
            Organization,
            id=id_,
            organization_id=org,
            document=organization(),
            names=[("fresh", "1"), ("digest", "abc")],
            at=clock.now(),
        )

    assert await store.get(Organization, id_, organization_id=None) is None
    assert await store.get_revision(Organization, id_, 1) is None
    assert await store.find(Organization, "fresh", "1") is None
    assert await store.version() == 1


async def test_an_id_is_taken_once(store: Store, clock: ManualClock, org: Key) -> None:
    added = await _add(store, clock, org)

    with pytest.raises(ConflictError):
        await store.add(
            Organization,
            id=added.id,
            organization_id=org,
            document=organization("B"),
            names=(),
            at=clock.now(),
        )

    assert await store.get(Organization, added.id, organization_id=org) == added


async def test_putting_makes_a_revision(store: Store, clock: ManualClock, org: Key) -> None:
    """Older ones can still be read; the names stay unless new ones are given."""
    added = await _add(store, clock, org, "one", digest="abc")
    at = clock.move(timedelta(seconds=1))

    put = await store.put(changed(added, document=organization("two")), at=at)

    assert put == changed(added, document=organization("two"), revision=2, updated_at=at)
    assert await store.get(Organization, added.id, organization_id=org) == put
    assert await store.find(Organization, "digest", "abc") == put
    assert await store.get_revision(Organization, added.id, 1) == organization("one")
    assert await store.get_revision(Organization, added.id, 2) == organization("two")
    assert await store.get_revision(Organization, added.id, 3) is None
    assert await store.revision_at(Organization, added.id, added.created_at) == 1
    assert await store.revision_at(Organization, added.id, added.created_at - timedelta(seconds=1)) is None
    assert await store.revision_at(Organization, added.id, added.created_at + timedelta(days=1)) == 2
    assert await store.revision_at(Organization, new_key(), added.created_at) is None


async def test_putting_replaces_names_when_given(store: Store, clock: ManualClock, org: Key) -> None:
    """Its own old ones may be kept; another's are a conflict that changes nothing."""
    added = await _add(store, clock, org, a="1", b="1")
    other = await _add(store, clock, org, a="2")

    put = await store.put(added, names=[("a", "1"), ("c", "1")], at=clock.now())
    assert await store.find(Organization, "a", "1") == put
    assert await store.find(Organization, "b", "1") is None
    assert await store.find(Organization, "c", "1") == put

    with pytest.raises(ConflictError):
        await store.put(put, names=[("d", "1"), ("a", "2")], at=clock.now())
    assert await store.find(Organization, "a", "1") == put
    assert await store.find(Organization, "d", "1") is None
    assert await store.find(Organization, "a", "2") == other
    await store.put(put, names=(), at=clock.now())
    assert await store.find(Organization, "a", "1") is None


async def test_putting_an_old_revision_is_a_conflict(store: Store, clock: ManualClock, org: Key) -> None:
    """Also one that is gone, or of another organization: two of us raced."""
    added = await _add(store, clock, org)
    await store.put(added, at=clock.now())

    for stale in (added, changed(added, revision=3), changed(added, revision=2, organization_id=new_key())):
        with pytest.raises(ConflictError):
            await store.put(stale, at=clock.now())
    await store.delete(Organization, added.id, organization_id=org, at=clock.now())
    with pytest.raises(ConflictError):
        await store.put(changed(added, revision=2), at=clock.now())


async def test_of_two_that_put_at_once_one_wins(store: Store, clock: ManualClock, org: Key) -> None:
    added = await _add(store, clock, org)

    results = await asyncio.gather(
        *[store.put(changed(added, document=organization(f"{n}")), at=clock.now()) for n in range(5)],
        return_exceptions=True,
    )

    assert sum(isinstance(result, ConflictError) for result in results) == 4
    assert await store.version() == 2


async def test_deleting_keeps_the_revisions(store: Store, clock: ManualClock, org: Key) -> None:
    """Retries of its deliveries still need to know how it was; its names are free again."""
    added = await _add(store, clock, org, digest="abc")

    assert await store.delete(Organization, added.id, organization_id=org, at=clock.now()) is True
    assert await store.delete(Organization, added.id, organization_id=org, at=clock.now()) is False

    assert await store.get(Organization, added.id, organization_id=org) is None
    assert await store.find(Organization, "digest", "abc") is None
    assert await store.list(Organization, organization_id=org) == []
    assert await store.get_revision(Organization, added.id, 1) == added.document
    await _add(store, clock, org, digest="abc")


async def test_lists_are_newest_first_and_paged(store: Store, clock: ManualClock, org: Key) -> None:
    """Of one organization, or of all for the engine itself."""
    mine = [await _add(store, clock, org, f"{n}") for n in range(5)][::-1]
    foreign = await _add(store, clock, new_key())

    assert await store.list(Organization, organization_id=org) == mine
    assert await store.list(Organization, organization_id=org, limit=2) == mine[:2]
    assert await store.list(Organization, organization_id=org, before=mine[1].id, limit=2) == mine[2:4]
    assert await store.list(Organization, organization_id=org, before=mine[-1].id) == []
    assert await store.list(Organization, organization_id=None) == [foreign, *mine]
    assert await store.list(Organization, organization_id=None, before=foreign.id, limit=1) == mine[:1]
    assert await store.list(Member, organization_id=org) == []


async def test_every_change_has_the_next_version(store: Store, clock: ManualClock, org: Key) -> None:
    """The feed skips nothing and shows nothing that was refused."""
    assert await store.version() == 0
    assert await store.changes(0) == []
    added = await _add(store, clock, org, digest="abc")
    put = await store.put(added, at=clock.now())
    with pytest.raises(ConflictError):
        await store.put(added, at=clock.now())
    await store.delete(Organization, put.id, organization_id=org, at=clock.now())
    await store.delete(Organization, put.id, organization_id=org, at=clock.now())
    other = await _add(store, clock, org)

    expected = [
        Change(version=version, kind="organization", id=id_, organization_id=org)
        for version, id_ in enumerate((added.id, added.id, added.id, other.id), start=1)
    ]
    assert await store.version() == 4
    assert await store.changes(0) == expected
    assert await store.changes(1, limit=2) == expected[1:3]
    assert await store.changes(4) == []


async def test_versions_never_skip_when_many_write(store: Store, clock: ManualClock, org: Key) -> None:
    await asyncio.gather(*[_add(store, clock, org) for _ in range(30)])

    assert [change.version for change in await store.changes(0)] == list(range(1, 31))


async def test_meta_keeps_small_values(store: Store) -> None:
    assert await store.meta("key_check") is None

    await store.set_meta("key_check", b"\x00\xff")
    assert await store.meta("key_check") == b"\x00\xff"
    await store.set_meta("key_check", b"2")
    assert await store.meta("key_check") == b"2"
    assert await store.meta("other") is None
