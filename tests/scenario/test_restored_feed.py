"""A dump that is restored on another server: its events stay in the feed, in order, and no reader misses one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest
from store_bed import LEASE, ManualClock, event, publish

from hookline.model.ids import new_key
from hookline.stores import rows
from hookline.stores.postgres.store import PostgresStore

if TYPE_CHECKING:
    from hookline.model.ids import Key
    from hookline.testing.postgres import PostgresServer

pytestmark = pytest.mark.asyncio

_AHEAD = 5_000_000
"""Transactions that the server of before has counted more than this one."""


async def _filled(url: str, clock: ManualClock, *organizations: Key) -> None:
    store = PostgresStore(url, clock=clock)
    await store.open()
    epoch = await store.open_node("before", lease=LEASE)
    for number in range(4):
        for organization in organizations:
            await publish(store, epoch, event(organization, clock.now(), own_id=f"old-{number}"))
    await store.close()


async def _moved(url: str) -> list[tuple[int, int]]:
    """Make it look as if another server had written it. Returns the places of the first organization's events."""
    connection = await asyncpg.connect(url)
    await connection.execute(f"UPDATE events SET xid = (xid::text::bigint + {_AHEAD})::text::xid8")
    found = await connection.fetch(
        "SELECT xid::text, seq FROM events WHERE own_id LIKE 'old-%' ORDER BY xid, seq"
    )
    await connection.close()
    return [(int(row[0]), row[1]) for row in found]


async def _read(store: PostgresStore, organization: Key, after: str | None = None) -> tuple[list[str], str]:
    page = await store.events(organization, after=after, limit=100)
    return [one.public_id for one in page.events], page.cursor


async def test_the_feed_of_a_restored_database_is_whole_and_goes_on(postgres_server: PostgresServer) -> None:
    """The feed never skips: what was stored before is told, before what comes now."""
    url, clock, first, second = postgres_server.fresh_database(), ManualClock(), new_key(), new_key()
    await _filled(url, clock, first, second)
    await _moved(url)
    old = [f"old-{number}" for number in range(4)]

    store = PostgresStore(url, clock=clock)
    await store.open()
    epoch = await store.open_node("after", lease=LEASE)
    told, cursor = await _read(store, first)
    assert (told, (await _read(store, second))[0]) == (old, old)
    await publish(store, epoch, event(first, clock.now(), own_id="new"))
    assert (await _read(store, first))[0] == [*old, "new"]
    assert (await _read(store, first, cursor))[0] == ["new"]
    await store.close()


async def test_a_reader_with_a_cursor_of_before_misses_nothing(postgres_server: PostgresServer) -> None:
    """It may get some events twice, which have ids."""
    url, clock, organization = postgres_server.fresh_database(), ManualClock(), new_key()
    await _filled(url, clock, organization)
    places = await _moved(url)
    cursor = rows.cursor_text(f"{places[1][0]}.{places[1][1]}".encode())

    store = PostgresStore(url, clock=clock)
    await store.open()
    epoch = await store.open_node("after", lease=LEASE)
    await publish(store, epoch, event(organization, clock.now(), own_id="new"))
    told, cursor = await _read(store, organization, cursor)
    assert told[-3:] == ["old-2", "old-3", "new"]
    assert await _read(store, organization, cursor) == ([], cursor)
    await store.close()


async def test_a_start_where_nothing_moved_leaves_cursors_as_they_are(
    postgres_server: PostgresServer,
) -> None:
    url, clock, organization = postgres_server.fresh_database(), ManualClock(), new_key()
    await _filled(url, clock, organization)
    cursors = []
    for _ in range(2):
        store = PostgresStore(url, clock=clock)
        await store.open()
        cursors.append((await _read(store, organization))[1])
        assert await _read(store, organization, cursors[0]) == ([], cursors[0])
        await store.close()

    assert cursors[0] == cursors[1]
