"""A PgBouncer in transaction mode between the nodes and PostgreSQL: it works, or the start says what is missing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from engine_bed import ORDERS, running
from pooler import pooled, through

from hookline.engine.clock import SystemClock
from hookline.errors import SettingError
from hookline.model.states import DeliveryState
from hookline.ports.runner import Succeeded
from hookline.stores.postgres.store import PostgresStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from hookline.ports.runner import Outcome, RunJob, RunListener
    from hookline.testing.postgres import PostgresServer

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.needs("pgbouncer"),
]


@pytest.fixture(scope="module")
def port(postgres_server: PostgresServer) -> Iterator[int]:
    with pooled(postgres_server) as found:
        yield found


@pytest.fixture
def url(postgres_server: PostgresServer) -> str:
    """A fresh database, of PostgreSQL itself, whose role is not set up for a pooler."""
    found = postgres_server.fresh_database()
    postgres_server.execute("ALTER ROLE postgres IN DATABASE " + found.rpartition("/")[2] + " RESET ALL")
    return found


async def open_and_close(url: str, direct: str | None) -> None:
    store = PostgresStore(url, direct_url=direct, clock=SystemClock())
    await store.open()
    await store.close()


async def mended(server: PostgresServer, port: int, url: str) -> None:
    """Do what the refused start asks for."""
    with pytest.raises(SettingError) as refused:
        await open_and_close(through(url, port), url)
    sql = refused.value.message.partition("reconnect: ")[2]
    database = url.rpartition("/")[2]
    server.execute(sql.replace('"postgres" SET', f'"postgres" IN DATABASE {database} SET'))
    server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")


@asynccontextmanager
async def node_store(url: str, port: int) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(through(url, port), direct_url=url, clock=SystemClock())
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def test_a_pooler_that_was_not_named_is_noticed_before_anything_is_done(port: int, url: str) -> None:
    with pytest.raises(SettingError, match="HOOKLINE_DATABASE_DIRECT") as refused:
        await open_and_close(through(url, port), None)

    assert refused.value.field == "database_direct"


async def test_a_role_that_is_not_set_up_is_refused_with_the_sql_that_mends_it(
    postgres_server: PostgresServer, port: int, url: str
) -> None:
    await mended(postgres_server, port, url)

    await open_and_close(through(url, port), url)


async def test_a_direct_url_that_hears_nothing_is_refused(
    postgres_server: PostgresServer, port: int, url: str
) -> None:
    """It leads through the pooler too, or to another database: nodes would not hear of each other."""
    await mended(postgres_server, port, url)
    for deaf in (through(url, port), postgres_server.fresh_database()):
        with pytest.raises(SettingError, match="must lead to the same database") as refused:
            await open_and_close(through(url, port), deaf)
        assert refused.value.field == "database_direct"


async def succeed(_: RunJob, __: RunListener) -> Outcome:
    return Succeeded(output=b"1")


async def test_nodes_with_more_connections_than_the_pooler_has_sessions_do_everything_once(
    postgres_server: PostgresServer, port: int, url: str
) -> None:
    """Issue 6, point 5: signals, advisory locks, claims and turns hold; three nodes have a role each."""
    await mended(postgres_server, port, url)
    async with (
        node_store(url, port) as one,
        node_store(url, port) as two,
        node_store(url, port) as three,
        running(one, work={ORDERS: succeed}, roles=("receive",)) as receiver,
        running(
            two, work={ORDERS: succeed}, roles=("execute",), organization_id=receiver.organization_id
        ) as executor,
        running(three, roles=("deliver",), organization_id=receiver.organization_id) as deliverer,
    ):
        await receiver.webhook(events=("workflow.execution.completed",))
        await receiver.webhook(events=("order.paid",), is_ordered=True)
        await asyncio.gather(*[receiver.start() for _ in range(40)])
        for number in range(60):
            await receiver.publish(data=b"%d" % number, ordering_key="k")
        await receiver.until_deliveries(
            lambda found: len(found) == 100 and all(d.state is DeliveryState.SUCCEEDED for d in found),
            within=30,
        )
        sent = [request.body for request in deliverer.sender.sent]
        numbers = [int(body) for body in sent if body.isdigit()]

    assert len(sent) == len(set(sent)) == 100
    assert numbers == sorted(numbers)
    assert len(executor.runner.started) == 40
