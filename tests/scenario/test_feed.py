"""``GET /api/v1/events?after=``: whoever follows the feed misses nothing and sees nothing twice (issue 4, point 10)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from api_bed import Api, serving
from engine_bed import running
from opened import opened

from hookline.engine.publish import EventDraft
from hookline.model.configuration import Webhook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine_bed import Bed

    from hookline.ports import Store
    from hookline.testing.postgres import PostgresServer

pytestmark = pytest.mark.asyncio

WRITERS = 32
ROUNDS = 8


async def write(bed: Bed, writer: int) -> list[str]:
    """Publish one, two or three at a time, as fast as they are stored."""
    ids: list[str] = []
    for round_ in range(ROUNDS):
        drafts = [
            EventDraft(type="order.paid", data=b"{}", own_id=f"{writer}.{round_}.{place}")
            for place in range(1 + (writer + round_) % 3)
        ]
        published = await bed.node.publish(bed.organization_id, drafts)
        assert isinstance(published, list)
        ids += [one.public_id for one in published]
    return ids


async def follow(api: Api, writing: asyncio.Future[list[list[str]]]) -> list[str]:
    """Read from the beginning while others write, until all is written and nothing follows."""
    seen: list[str] = []
    after = ""
    while True:
        is_over = writing.done()
        answer = await api.admin("GET", f"/api/v1/events?limit=7{after}")
        page = answer.json["events"]
        seen += [one["id"] for one in page]
        if is_over and not page:
            return seen
        after = f"&after={answer.json['next']}" if answer.json["next"] else after


async def own_organization(api: Api) -> None:
    """Let the bed publish to the organization whose key the follower has."""
    await api.webhook(events=["none"])
    (webhook,) = await api.bed.node.store.list(Webhook, organization_id=None)
    api.bed.organization_id = webhook.organization_id


def check(seen: Sequence[str], written: list[list[str]]) -> None:
    assert len(seen) == len(set(seen))
    assert set(seen) == {id_ for ids in written for id_ in ids}
    for ids in written:  # what one writer was told of first stands first
        assert [id_ for id_ in seen if id_ in set(ids)] == ids


async def test_a_follower_misses_nothing_of_32_writers(store: Store) -> None:
    async with serving(store) as api:
        await own_organization(api)
        writing = asyncio.gather(*[write(api.bed, writer) for writer in range(WRITERS)])
        seen = await follow(api, writing)
        check(seen, await writing)


async def test_a_follower_of_one_node_misses_nothing_that_two_nodes_write(
    postgres_server: PostgresServer,
) -> None:
    """Sequence order is not commit order: what a slow transaction holds back is waited for."""
    url = postgres_server.fresh_database()
    async with opened(url) as one, opened(url) as two, serving(one) as api:
        await own_organization(api)
        async with running(two, organization_id=api.bed.organization_id) as other:
            beds = (api.bed, other)
            writing = asyncio.gather(*[write(beds[writer % 2], writer) for writer in range(WRITERS)])
            seen = await follow(api, writing)
            check(seen, await writing)
