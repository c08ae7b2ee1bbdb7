"""What PostgreSQL and its nodes can do to us: stop, restart, freeze, race, refuse (PROMISES section 3)."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

import asyncpg
import pytest
from store_bed import (
    LEASE,
    ManualClock,
    accept,
    attempt,
    claim,
    delivery,
    event,
    execution,
    publish,
    succeeded,
)

from hookline.errors import ConflictError, RowError, SettingError, StorageError
from hookline.model.configuration import Organization
from hookline.model.ids import Key, new_key
from hookline.model.states import AttemptOutcome, DeliveryState, ExecutionStatus
from hookline.ports import Await, Cancel, Finish, NewEvent, Publish, Wake
from hookline.stores.postgres import schema
from hookline.stores.postgres.store import PostgresStore
from hookline.testing.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from hookline.ports import Epoch

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        yield running


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.fresh_database()


@asynccontextmanager
async def opened(url: str, *, is_relaxed: bool = False) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url, clock=ManualClock(), is_relaxed=is_relaxed)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def epoch_of(store: PostgresStore) -> Epoch:
    return await store.open_node("node", lease=LEASE)


async def until(is_so: Callable[[], Awaitable[object]]) -> None:
    """Wait for what another process does and nobody signals."""
    async with asyncio.timeout(20):
        while not await is_so():  # noqa: ASYNC110 -- another process, so nothing to wait on
            await asyncio.sleep(0.02)


async def until_answered(store: PostgresStore) -> None:
    """Wait for a store that mends itself."""

    async def answers() -> bool:
        try:
            await store.ping()
            async with store._writer.use():
                return True
        except StorageError:
            return False

    await until(answers)


# --- the server goes away -----------------------------------------------------------------------------------


async def test_what_was_acknowledged_survives_an_immediate_stop_under_load(
    server: PostgresServer, url: str
) -> None:
    """Publishers see StorageError or an answer; everything answered is there after the restart, by itself."""
    async with opened(url) as store:
        epoch, org, numbers = await epoch_of(store), new_key(), count()
        acknowledged: list[str] = []
        failures: list[StorageError] = []
        is_over = False

        async def publisher() -> None:
            while not is_over:
                own_ids = [f"event-{next(numbers)}" for _ in range(5)]
                news = [NewEvent(event=event(org, store._clock.now(), own_id=own_id)) for own_id in own_ids]
                try:
                    await store.commit([Publish(epoch=epoch, events=(new,)) for new in news])
                except StorageError as exc:
                    failures.append(exc)
                    await asyncio.sleep(0.005)
                else:
                    acknowledged.extend(own_ids)

        publishers = [asyncio.create_task(publisher()) for _ in range(8)]
        for _ in range(2):
            before = len(acknowledged)

            async def has_more(before: int = before) -> bool:
                return len(acknowledged) >= before + 100

            await until(has_more)
            await asyncio.to_thread(server.restart, "immediate")
        await until_answered(store)
        is_over = True
        await asyncio.gather(*publishers)

        assert failures
        assert not any(isinstance(failure, RowError) for failure in failures)
        stored = {found.own_id for found in await store.recent_events(org, before=None, limit=100_000)}
        assert set(acknowledged) <= stored


async def test_calls_fail_at_once_while_the_server_is_away(server: PostgresServer, url: str) -> None:
    """Each call says StorageError within two seconds, whatever seam it is of."""
    async with opened(url) as store:
        epoch, org = await epoch_of(store), new_key()
        await asyncio.to_thread(server.stop, "immediate")
        try:
            for call in (
                lambda: publish(store, epoch, event(org, store._clock.now())),
                lambda: store.renew(epoch),
                lambda: store.recover(epoch),
                store.version,
                store.waiting,
                store.ping,
                lambda: store.execution(new_key(), organization_id=org),
            ):
                began = time.monotonic()
                with pytest.raises(StorageError) as caught:
                    await call()
                assert time.monotonic() - began < 2.0
                assert not isinstance(caught.value, RowError)
                assert store._door.dsn.split("@")[0].split(":")[-1] not in caught.value.message
        finally:
            await asyncio.to_thread(server.start)
        await until_answered(store)
        await publish(store, epoch, event(org, store._clock.now()))


async def test_a_frozen_server_is_given_up_after_the_time_for_a_command(
    server: PostgresServer, url: str
) -> None:
    """A server that neither answers nor hangs up must not hold a caller for ever."""
    async with opened(url) as store:
        epoch, org = await epoch_of(store), new_key()
        pid = store._writer.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(StorageError):
                await publish(store, epoch, event(org, store._clock.now()))
            assert time.monotonic() - began < 4.5
        finally:
            os.kill(pid, signal.SIGCONT)
        await until_answered(store)
        await publish(store, epoch, event(org, store._clock.now()))


async def test_a_session_ended_by_the_operator_is_replaced(server: PostgresServer, url: str) -> None:
    async with opened(url) as store:
        epoch, org = await epoch_of(store), new_key()
        server.execute(f"SELECT pg_terminate_backend({store._writer.pid})")

        async def is_lost() -> bool:
            try:
                await publish(store, epoch, event(org, store._clock.now()))
            except StorageError:
                return True
            return False

        await until(is_lost)
        await until_answered(store)
        await publish(store, epoch, event(org, store._clock.now()))


async def test_a_cancelled_commit_leaves_no_half_of_it_behind(url: str) -> None:
    """Whoever waits may leave; the next commit finds a clean connection."""
    async with opened(url) as store:
        epoch, org = await epoch_of(store), new_key()
        for steps in range(8):
            news = [event(org, store._clock.now()), event(org, store._clock.now())]
            owed = [delivery(one, new_key()) for one in news]
            writes = [
                Publish(epoch=epoch, events=(NewEvent(event=one, deliveries=(due,)),))
                for one, due in zip(news, owed, strict=True)
            ]
            task = asyncio.create_task(store.commit(writes))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await until_answered(store)
            stored = [await store.event(org, one.public_id) is not None for one in news]
            kept = [await store.delivery(due.id, organization_id=org) is not None for due in owed]
            assert len({*stored, *kept}) == 1


# --- rows and settings that cannot be -----------------------------------------------------------------------


async def test_a_row_that_cannot_be_stored_says_so_and_spoils_nothing(url: str) -> None:
    """RowError lets the engine find the offender by halves; the connection stays as it was."""
    async with opened(url) as store:
        epoch, org = await epoch_of(store), new_key()
        pid = store._writer.pid
        good, bad = event(org, store._clock.now()), event(org, store._clock.now(), type="nul\0")
        writes = [Publish(epoch=epoch, events=(NewEvent(event=one),)) for one in (good, bad)]
        with pytest.raises(RowError):
            await store.commit(writes)
        assert await store.event(org, good.public_id) is None
        with pytest.raises(RowError):
            await publish(store, epoch, event(org, store._clock.now(), sequence=2**40))
        await publish(store, epoch, good)
        assert store._writer.pid == pid


async def test_a_server_that_may_lose_commits_is_refused() -> None:
    """P1: weaker settings stop the start unless durability is relaxed."""
    with PostgresServer(settings={"fsync": "off"}) as careless:
        url = careless.fresh_database()
        with pytest.raises(SettingError, match="fsync must be on, got off"):
            await PostgresStore(url, clock=ManualClock()).open()
        async with opened(url, is_relaxed=True) as store:
            assert await store.version() == 0


async def test_commits_wait_for_the_disk_even_where_the_database_says_otherwise(
    server: PostgresServer, url: str
) -> None:
    """P1: a default of synchronous_commit=off is lifted for our sessions."""
    name = url.rsplit("/", 1)[1]
    server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    async with opened(url) as store:
        for link in (store._writer, store._control):
            async with link.use() as connection:
                assert await connection.fetchval("SHOW synchronous_commit") == "on"


@pytest.mark.parametrize("database", ["missing_database", "postgres?statement_cache_size=many"])
async def test_a_wrong_url_is_told_without_its_password(server: PostgresServer, database: str) -> None:

    async def start() -> None:
        store = PostgresStore(server.url_of(database), clock=ManualClock())
        assert password not in repr(store)
        await store.open()

    password = server.url.split(":")[2].split("@")[0]
    with pytest.raises((StorageError, SettingError)) as caught:
        await start()
    assert password not in str(caught.value)


async def test_without_a_statement_cache_everything_works(url: str) -> None:
    """As behind a PgBouncer that shares sessions."""
    async with opened(url + "?statement_cache_size=0") as store:
        epoch, org, hook = await epoch_of(store), new_key(), new_key()
        happened = event(org, store._clock.now())
        owed = delivery(happened, hook, state=DeliveryState.IN_FLIGHT)
        await publish(store, epoch, happened, owed)
        assert await store.commit([succeeded(owed, epoch, store._clock.now())]) == [True]


# --- migrations ---------------------------------------------------------------------------------------------


async def test_several_nodes_may_start_at_once_on_an_empty_database(url: str) -> None:
    stores = [PostgresStore(url, clock=ManualClock()) for _ in range(5)]
    await asyncio.gather(*(store.open() for store in stores))
    epochs = await asyncio.gather(*(epoch_of(store) for store in stores))
    await asyncio.gather(*(store.close() for store in stores))

    assert len(set(epochs)) == 5


async def test_a_migration_cut_off_in_the_middle_is_run_again(
    server: PostgresServer, url: str, tmp_path: Path
) -> None:
    """P23: what was half done is rolled back, the next start goes on from the last whole step."""
    folder = tmp_path / "migrations"
    shutil.copytree(schema.FOLDER, folder)
    newest = len(list(folder.glob("*.sql")))
    slow = folder / f"{newest + 1:04}_slow.sql"
    slow.write_text("CREATE TABLE half (a int); SELECT pg_sleep(30); CREATE TABLE whole (a int)")
    connection = await asyncpg.connect(url)
    running = asyncio.create_task(schema.migrate(connection, folder=folder))
    active = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"

    async def sleeps() -> bool:
        return server.execute(active) != "0"

    await until(sleeps)
    server.execute(f"SELECT pg_terminate_backend({connection.get_server_pid()})")
    with pytest.raises(StorageError):
        await running

    assert (
        server.execute("SELECT to_regclass('half'), max(version) FROM schema_migrations", url=url)
        == f"|{newest}"
    )
    slow.write_text("CREATE TABLE half (a int); CREATE TABLE whole (a int)")
    connection = await asyncpg.connect(url)
    await schema.migrate(connection, folder=folder)
    await connection.close()
    assert server.execute("SELECT max(version) FROM schema_migrations", url=url) == f"{newest + 1}"
    with pytest.raises(SettingError, match="newer version"):
        await PostgresStore(url, clock=ManualClock()).open()


# --- nodes beside each other --------------------------------------------------------------------------------


async def test_two_nodes_never_claim_the_same_delivery(url: str) -> None:
    async with opened(url) as one, opened(url) as two:
        epochs = [await epoch_of(one), await epoch_of(two)]
        org, hook, now = new_key(), new_key(), one._clock.now()
        news = []
        for _ in range(300):
            happened = event(org, now)
            news.append(NewEvent(event=happened, deliveries=(delivery(happened, hook),)))
        await one.commit([Publish(epoch=epochs[0], events=tuple(news))])

        async def claim_all(store: PostgresStore, epoch: Epoch) -> list[Key]:
            claimed = []
            while found := await claim(
                store, epoch, hook, now + timedelta(hours=1), limit=random.randint(1, 9)
            ):
                claimed += [owed.delivery.id for owed in found]
            return claimed

        shares = await asyncio.gather(claim_all(one, epochs[0]), claim_all(two, epochs[1]))

        assert all(shares)
        assert sorted(shares[0] + shares[1]) == sorted(new.deliveries[0].id for new in news)


async def test_claims_and_settles_of_many_nodes_do_not_lock_each_other_out(url: str) -> None:
    """Nodes publish events of the same own ids in opposite order and settle beside it: no error, none twice."""
    async with opened(url) as one, opened(url) as two:
        epochs = [await epoch_of(one), await epoch_of(two)]
        org, hook = new_key(), new_key()
        own_ids = [f"event-{number}" for number in range(200)]

        async def publish_all(store: PostgresStore, epoch: Epoch, ids: list[str]) -> int:
            new = 0
            for start in range(0, len(ids), 20):
                writes = []
                for own_id in ids[start : start + 20]:
                    happened = event(org, store._clock.now(), own_id=own_id)
                    owed = delivery(happened, hook, state=DeliveryState.IN_FLIGHT)
                    writes.append(
                        Publish(epoch=epoch, events=(NewEvent(event=happened, deliveries=(owed,)),))
                    )
                results = await store.commit(writes)
                new += sum(result.is_new[0] for result in results)  # type: ignore[attr-defined]
            return new

        new = await asyncio.gather(
            publish_all(one, epochs[0], own_ids), publish_all(two, epochs[1], own_ids[::-1])
        )

        assert sum(new) == 200
        assert (await one.backlog()).in_flight == 200


async def test_the_result_of_a_frozen_node_is_refused_after_its_lease(url: str) -> None:
    """SIGSTOP beyond the lease, then SIGCONT: the late settle writes nothing, and the node learns why."""
    async with opened(url) as store:
        epoch, org = await epoch_of(store), new_key()
        zombie = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _ZOMBIE, url, org.hex(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert zombie.stdin is not None
        assert zombie.stdout is not None
        delivery_id = bytes.fromhex((await zombie.stdout.readline()).decode())
        zombie.send_signal(signal.SIGSTOP)
        await until(lambda: store.recover(epoch))
        zombie.send_signal(signal.SIGCONT)
        said, _ = await zombie.communicate(b"settle\n")

        assert said.decode().split() == ["False", "False"]
        found = await store.delivery(delivery_id, organization_id=org)
        assert found is not None
        assert found.state is DeliveryState.PENDING
        assert (found.attempts_made, found.interruptions, found.failures) == (1, 1, 0)
        assert [one.outcome for one in await store.attempts(delivery_id)] == [AttemptOutcome.INTERRUPTED]


_ZOMBIE = """
import asyncio, sys
from datetime import timedelta
from hookline.model.events import Attempt, Delivery, Event
from hookline.model.ids import new_key
from hookline.model.states import AttemptOutcome, DeliveryState, ExecutionStatus
from hookline.engine.clock import SystemClock
from hookline.ports import NewEvent, Publish, Settle
from hookline.stores.postgres.store import PostgresStore

async def main(url, org):
    clock = SystemClock()
    store = PostgresStore(url, clock=clock)
    await store.open()
    epoch = await store.open_node("zombie", lease=timedelta(milliseconds=500))
    now, key, hook, id = clock.now(), new_key(), new_key(), new_key()
    event = Event(key=key, organization_id=org, type="a", data=b"{}", occurred_at=now, received_at=now)
    owed = Delivery(id=id, organization_id=org, webhook_id=hook, event_key=key, event_type="a",
                    state=DeliveryState.IN_FLIGHT, created_at=now)
    await store.commit([Publish(epoch=epoch, events=(NewEvent(event=event, deliveries=(owed,)),))])
    print(id.hex(), flush=True)
    sys.stdin.readline()
    sent = Attempt(id=new_key(), delivery_id=id, number=1, started_at=now, duration_ms=1,
                   outcome=AttemptOutcome.DELIVERED, status=200)
    settle = Settle(epoch=epoch, delivery_id=id, webhook_id=hook, at=now, attempt=sent, state=DeliveryState.SUCCEEDED)
    print((await store.commit([settle]))[0], await store.renew(epoch), flush=True)
    await store.close()

asyncio.run(main(sys.argv[1], bytes.fromhex(sys.argv[2])))
"""


async def test_a_settle_between_others_does_not_lose_their_counters(url: str) -> None:
    """One claim of a batch is gone: the counters rise by the others' and by no more."""
    async with opened(url) as store:
        epoch, org, hook, now = await epoch_of(store), new_key(), new_key(), store._clock.now()
        owed = []
        for _ in range(3):
            happened = event(org, now)
            owed.append(delivery(happened, hook, state=DeliveryState.IN_FLIGHT))
            await publish(store, epoch, happened, owed[-1])
        settles = [succeeded(one, epoch, now) for one in owed]
        assert await store.commit(settles[:1]) == [True]

        again = succeeded(owed[0], epoch, now, attempt=attempt(owed[0], now, number=2))
        assert await store.commit([again, *settles[1:]]) == [False, True, True]

        assert (await store.totals([hook]))[hook].delivered == 3
        (minute,) = await store.minutes(hook, since=now - timedelta(hours=1), until=now + timedelta(hours=1))
        assert (minute.delivered, minute.attempts) == (3, 3)


async def test_configuration_versions_never_skip_when_nodes_change_it_at_once(url: str) -> None:
    async with opened(url) as one, opened(url) as two:

        async def add(store: PostgresStore, number: int) -> None:
            names = (("external", f"name-{number % 15}"),)
            key = new_key()
            with suppress(ConflictError):
                await store.add(
                    Organization,
                    id=key,
                    organization_id=key,
                    document=Organization(name="A"),
                    names=names,
                    at=store._clock.now(),
                )

        await asyncio.gather(*(add(store, number) for number in range(20) for store in (one, two)))

        changes = await one.changes(0)
        assert [change.version for change in changes] == list(range(1, 16))
        assert await two.version() == 15


# --- signals ------------------------------------------------------------------------------------------------


async def test_work_of_one_node_wakes_the_others_within_a_second(url: str) -> None:
    async with opened(url) as one, opened(url) as two:
        epoch, org = await epoch_of(one), new_key()
        mine, theirs = _listen(one), _listen(two)
        happened = event(org, one._clock.now())
        await publish(one, epoch, happened, delivery(happened, new_key()))
        assert (await asyncio.wait_for(theirs.get(), 1.0)).topic == "deliveries"

        run = execution(org, one._clock.now())
        await accept(two, await epoch_of(two), run)
        (cancelling,) = await one.commit([Cancel(epoch=epoch, organization_id=org, execution_id=run.id)])
        assert not cancelling.is_seized  # type: ignore[attr-defined]
        told = await asyncio.wait_for(theirs.get(), 1.0)
        assert (told.topic, told.detail) == ("cancel", run.id.hex())
        assert mine.empty()

        claimed = delivery(event(org, one._clock.now()), new_key(), state=DeliveryState.IN_FLIGHT)
        await publish(one, epoch, happened := event(org, one._clock.now()), claimed)
        await asyncio.sleep(0.05)
        assert theirs.empty(), "the fast path signals nothing"


@pytest.mark.parametrize(
    ("awaits", "is_told"),
    [([], False), (["one"], True), (["two"], False), (["one", "two"], True)],
    ids=["nobody", "another node", "the node that ends it", "both"],
)
async def test_an_end_is_signalled_when_another_node_waits_for_it(
    url: str, awaits: list[str], is_told: bool
) -> None:
    """P20: a signal wakes every node, so it is sent only for an end that one of them waits for."""
    async with opened(url) as one, opened(url) as two:
        epochs = {"one": await epoch_of(one), "two": await epoch_of(two)}
        heard, run = _listen(one), execution(new_key(), one._clock.now())
        await accept(two, epochs["two"], run)
        for name in awaits:
            await one.commit([Await(epoch=epochs[name], execution_id=run.id)])
        finish = Finish(
            epoch=epochs["two"],
            execution_id=run.id,
            status=ExecutionStatus.SUCCEEDED,
            completed_at=two._clock.now(),
        )
        assert await two.commit([finish]) == [True]

        if is_told:
            assert await asyncio.wait_for(heard.get(), 1.0) == Wake("finished", run.id.hex())
        await asyncio.sleep(0.05)
        assert heard.empty()


async def test_after_a_restart_a_node_listens_again_and_expects_the_worst(
    server: PostgresServer, url: str
) -> None:
    async with opened(url) as store:
        heard = _listen(store)
        await asyncio.to_thread(server.restart, "immediate")
        topics = {(await asyncio.wait_for(heard.get(), 10.0)).topic for _ in range(5)}
        assert topics == {"deliveries", "executions", "configuration", "cancel", "finished"}
        server.execute("SELECT pg_notify('hookline', 'executions')", url=url)
        assert (await asyncio.wait_for(heard.get(), 5.0)).topic == "executions"


def _listen(store: PostgresStore) -> asyncio.Queue[Wake]:
    """What a store hears from now on. The task ends with the store."""
    heard: asyncio.Queue[Wake] = asyncio.Queue()

    async def listen() -> None:
        async for wake in store.wakes():
            heard.put_nowait(wake)

    heard.task = asyncio.create_task(listen())  # type: ignore[attr-defined]  # kept alive with the queue
    return heard


# --- the feed -----------------------------------------------------------------------------------------------


async def test_the_feed_never_skips_what_commits_late(url: str) -> None:
    """Sixteen writers hold their transactions open for a while; a reader that follows misses and repeats none."""
    async with opened(url) as store:
        org, per_writer, writers = new_key(), 12, 16
        insert = """
            INSERT INTO events (key, organization_id, type, data, occurred_at, received_at, sequence)
            VALUES ($1, $2, 'a', '', 0, 0, 0)
        """

        async def write() -> list[Key]:
            connection = await asyncpg.connect(url)
            keys = []
            for _ in range(per_writer):
                async with connection.transaction():
                    for _ in range(random.randint(1, 3)):
                        keys.append(new_key())
                        await connection.execute(insert, keys[-1], org)
                    await asyncio.sleep(random.uniform(0, 0.03))
            await connection.close()
            return keys

        tasks = [asyncio.create_task(write()) for _ in range(writers)]
        read: list[Key] = []
        cursor: str | None = None
        while True:
            is_over = all(task.done() for task in tasks)
            page = await store.events(org, after=cursor, limit=7)
            read += [one.key for one in page.events]
            cursor = page.cursor
            if is_over and not page.events:
                break

        written = [key for task in tasks for key in task.result()]
        assert sorted(read) == sorted(written)


_BURN = """
DO $$ BEGIN
    PERFORM set_config('synchronous_commit', 'off', false);
    WHILE pg_current_xact_id()::text::bigint < %d LOOP COMMIT; END LOOP;
END $$
"""


async def test_the_feed_follows_transactions_by_number_not_by_their_digits(
    server: PostgresServer, url: str
) -> None:
    """A page ends before transaction 999 and goes on with 1000."""
    async with opened(url) as store:
        epoch, org = await epoch_of(store), new_key()
        now = int(server.execute("SELECT pg_current_xact_id()", url=url))
        server.execute(_BURN % (10 ** len(str(now)) - 10), url=url)
        written = [event(org, store._clock.now()) for _ in range(30)]
        for one in written:
            await publish(store, epoch, one)

        read: list[Key] = []
        cursor: str | None = None
        while (page := await store.events(org, after=cursor, limit=4)).events:
            read += [one.key for one in page.events]
            cursor = page.cursor

        assert read == [one.key for one in written]


async def test_who_leaves_in_the_middle_of_a_statement_leaves_the_others_a_connection(url: str) -> None:
    """A cancelled caller's connection cannot be used again; the server is there, so nobody is told that it is not."""
    async with opened(url) as store:
        other = await asyncpg.connect(url)
        try:
            async with other.transaction():
                await other.execute("LOCK TABLE nodes")
                leaving = asyncio.create_task(epoch_of(store))

                async def is_waiting() -> object:
                    return await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")

                await until(is_waiting)
                leaving.cancel()
                with suppress(asyncio.CancelledError):
                    await leaving
            epoch = await epoch_of(store)
        finally:
            await other.close()

    assert epoch > 0
