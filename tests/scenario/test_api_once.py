"""P5 over both stores: the same Idempotency-Key is one thing and one answer, also when many come at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from api_bed import serving

from hookline.engine.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api_bed import Api

    from hookline.ports import Store
    from hookline.testing.postgres import PostgresServer

pytestmark = pytest.mark.asyncio

WEBHOOK = {"url": "https://example.com/", "events": ["*"]}
EVENT = {"type": "order.paid", "data": {"total": 1}}
KEY = {"Idempotency-Key": "once"}


async def test_64_parallel_posts_are_one_event_and_64_equal_answers(store: Store) -> None:
    async with serving(store) as api:
        answers = await asyncio.gather(
            *(api.admin("POST", "/api/v1/events", EVENT, headers=KEY) for _ in range(64))
        )
        feed = await api.admin("GET", "/api/v1/events")

    assert {(answer.status, answer.body) for answer in answers} == {(202, answers[0].body)}
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert len(feed.json["events"]) == 1


async def test_64_parallel_posts_of_one_own_id_are_one_event(store: Store) -> None:
    async with serving(store) as api:
        answers = await asyncio.gather(
            *(api.admin("POST", "/api/v1/events", EVENT | {"id": "order-1"}) for _ in range(64))
        )
        feed = await api.admin("GET", "/api/v1/events")

    assert {answer.json["id"] for answer in answers} == {"order-1"}
    assert sum(not answer.json["duplicate"] for answer in answers) == 1
    assert len(feed.json["events"]) == 1


async def test_parallel_posts_of_a_cold_route_wait_for_the_first_answer(store: Store) -> None:
    """The secret is in each answer, and only sealed in the database."""
    async with serving(store) as api:
        answers = await asyncio.gather(
            *(api.admin("POST", "/api/v1/webhooks", WEBHOOK, headers=KEY) for _ in range(16))
        )
        listed = await api.admin("GET", "/api/v1/webhooks")

    assert {(answer.status, answer.body) for answer in answers} == {(201, answers[0].body)}
    assert answers[0].json["secret"].startswith("whsec_")
    assert len(listed.json["webhooks"]) == 1


async def test_parallel_trigger_requests_of_one_key_are_one_execution(store: Store) -> None:
    async with serving(store) as api:
        path = (await api.trigger())["path"]
        answers = await asyncio.gather(*(api.anyone("POST", path, {}, headers=KEY) for _ in range(32)))
        listed = await api.admin("GET", "/api/v1/executions")

    assert {(answer.status, answer.body) for answer in answers} == {(202, answers[0].body)}
    assert len(listed.json["executions"]) == 1


async def test_another_request_with_the_key_is_a_conflict(store: Store) -> None:
    async with serving(store) as api:
        for path, first, second in (
            ("/api/v1/webhooks", WEBHOOK, WEBHOOK | {"name": "other"}),
            ("/api/v1/events", EVENT, EVENT | {"data": 2}),
        ):
            await api.admin("POST", path, first, headers=KEY)
            answer = await api.admin("POST", path, second, headers=KEY)
            assert (answer.status, answer.code) == (409, "IDEMPOTENCY_KEY_REUSED")


async def test_what_failed_may_be_tried_again_with_the_same_key(store: Store) -> None:
    async with serving(store) as api:
        bad = await api.admin("POST", "/api/v1/webhooks", WEBHOOK | {"url": "nonsense"}, headers=KEY)
        good = await api.admin("POST", "/api/v1/webhooks", WEBHOOK, headers=KEY)

    assert (bad.status, good.status) == (400, 201)


async def test_a_key_belongs_to_its_organization(store: Store) -> None:
    """P14."""
    async with serving(store) as api:
        await api.organization("Other", "other")
        other = api.admin.having(Hookline_Organization="other")
        first = await api.admin("POST", "/api/v1/webhooks", WEBHOOK, headers=KEY)
        second = await other("POST", "/api/v1/webhooks", WEBHOOK, headers=KEY)

    assert first.json["id"] != second.json["id"]


# --- two nodes ----------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def two(postgres_server: PostgresServer) -> AsyncIterator[tuple[Api, Api]]:
    """Two nodes over one database."""
    from hookline.stores.postgres.store import PostgresStore

    url = postgres_server.fresh_database()
    stores = [PostgresStore(url, clock=SystemClock()) for _ in range(2)]
    for store in stores:
        await store.open()
    async with serving(stores[0]) as first, serving(stores[1], key=first.key) as second:
        yield first, second
    for store in stores:
        await store.close()


@pytest.mark.parametrize(
    ("path", "body", "status"), [("/api/v1/events", EVENT, 202), ("/api/v1/webhooks", WEBHOOK, 201)]
)
async def test_two_workers_give_one_answer_to_one_key(
    two: tuple[Api, Api], path: str, body: dict[str, object], status: int
) -> None:
    answers = await asyncio.gather(
        *(two[number % 2].admin("POST", path, body, headers=KEY) for number in range(64))
    )
    listed = await two[0].admin("GET", path)

    assert {(answer.status, answer.body) for answer in answers} == {(status, answers[0].body)}
    assert len(listed.json[path.rpartition("/")[2]]) == 1


async def test_what_one_worker_made_the_other_knows_at_the_next_request(two: tuple[Api, Api]) -> None:
    """Never a 401 for a trigger or key that was just created."""
    first, second = two
    for _ in range(10):
        trigger = await first.trigger()
        assert (await second.anyone("POST", trigger["path"], {})).status == 202


async def test_a_revoked_key_is_refused_by_every_worker_within_a_second(two: tuple[Api, Api]) -> None:
    first, second = two
    made = await first.admin("POST", "/api/v1/keys", {"name": "x", "scopes": ["read"]})
    headers = {"Authorization": f"Bearer {made.json['key']}"}
    assert (await second.anyone("GET", "/api/v1/webhooks", headers=headers)).status == 200
    await first.admin("DELETE", f"/api/v1/keys/{made.json['id']}")
    async with asyncio.timeout(1):
        while (await second.anyone("GET", "/api/v1/webhooks", headers=headers)).status != 401:  # noqa: ASYNC110 -- asks as a caller would
            await asyncio.sleep(0.02)
