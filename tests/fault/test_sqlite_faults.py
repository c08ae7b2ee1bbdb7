"""What can happen to the SQLite file, and what must hold then: nothing half stored, nothing acknowledged and lost."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import apsw
import pytest
import pytest_asyncio
from store_bed import (
    LEASE,
    ManualClock,
    accept,
    apply,
    attempt,
    changed,
    claim,
    conversation,
    delivery,
    entry,
    event,
    execution,
    failed,
    line,
    once,
    publish,
    request,
    succeeded,
)

from hookline import failpoints
from hookline.errors import RowError, SettingError, StorageError
from hookline.model.ids import new_key
from hookline.model.states import DeliveryState
from hookline.ports import (
    Accept,
    Begin,
    ClaimDeliveries,
    ClaimExecutions,
    FanOut,
    Finish,
    KeepRequest,
    NewEvent,
    Publish,
    Published,
    Record,
    Suspend,
    Want,
)
from hookline.stores.sqlite import lock
from hookline.stores.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from hookline.model.ids import Key
    from hookline.ports import Epoch, Write

CHILD = """
import asyncio, os, sys
from datetime import timedelta
from pathlib import Path
from hookline import failpoints
from hookline.engine.clock import SystemClock
from hookline.model.events import Delivery, Event
from hookline.model.ids import new_key
from hookline.model.states import DeliveryState
from hookline.ports import NewEvent, Publish, Settle
from hookline.stores.sqlite.store import SqliteStore

def say(word):
    os.write(1, word.encode() + b"\\n")

async def main():
    clock = SystemClock()
    store = SqliteStore(Path(sys.argv[1]), clock=clock)
    await store.open()
    epoch = await store.open_node("child", lease=timedelta(seconds=10))
    org, hook = bytes.fromhex(sys.argv[2]), new_key()
    failpoints.arm(sys.argv[4] or None)
    say("open")
    for number in range(int(sys.argv[3])):
        now = clock.now()
        event = Event(
            key=new_key(), organization_id=org, own_id=f"{number}", type="a", data=b"x" * 700, occurred_at=now,
            received_at=now,
        )
        owed = Delivery(
            id=new_key(), organization_id=org, webhook_id=hook, event_key=event.key, state=DeliveryState.IN_FLIGHT,
            created_at=now,
        )
        await store.commit([Publish(epoch=epoch, events=(NewEvent(event=event, deliveries=(owed,)),))])
        say(f"{number}")
    await store.close()

asyncio.run(main())
"""
"""A process that publishes events with own ids 0, 1, 2 … and says each number once it is acknowledged."""


def _child(path: Path, org: Key, events: int, failpoint: str = "") -> list[str]:
    return [sys.executable, "-c", CHILD, str(path), org.hex(), str(events), failpoint]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def org() -> Key:
    return new_key()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hookline.db"


@pytest_asyncio.fixture
async def store(path: Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(path, clock=clock)
    await opened.open()
    yield opened
    failpoints.arm(None)
    await opened.close()


@pytest_asyncio.fixture
async def epoch(store: SqliteStore) -> Epoch:
    return await store.open_node("one", lease=LEASE)


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _writer(store: SqliteStore) -> apsw.Connection:
    writer = store._db._writer
    assert writer is not None
    return writer


def _is_whole(path: Path) -> bool:
    db = apsw.Connection(str(path))
    try:
        return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        db.close()


# --- one process ---


@pytest.mark.asyncio
async def test_a_second_process_is_refused_and_told_who_holds_the_file(
    store: SqliteStore, path: Path, org: Key, clock: ManualClock
) -> None:
    """With the holder's number; the holder notices nothing."""
    second = await asyncio.to_thread(subprocess.run, _child(path, org, 1), capture_output=True, check=False)

    assert second.returncode != 0
    assert b"SettingError" in second.stderr
    assert f"process {os.getpid()}".encode() in second.stderr
    await store.ping()
    with pytest.raises(SettingError):
        await SqliteStore(path, clock=clock).open()


@pytest.mark.asyncio
async def test_another_name_for_the_file_does_not_help(
    store: SqliteStore, path: Path, clock: ManualClock
) -> None:
    """A symbolic link leads to the same lock."""
    alias = path.with_name("alias.db")
    alias.symlink_to(path)

    with pytest.raises(SettingError):
        await SqliteStore(alias, clock=clock).open()
    await store.ping()


@pytest.mark.asyncio
async def test_the_file_is_free_when_its_holder_is_gone(
    store: SqliteStore, path: Path, clock: ManualClock
) -> None:
    """However it went: the lock is the kernel's, what the lock file says is a hint."""
    await store.close()
    _write(path.with_name(path.name + ".lock"), "process 1\n")

    again = SqliteStore(path, clock=clock)
    await again.open()
    await again.close()


@pytest.mark.asyncio
async def test_a_refused_open_holds_nothing(path: Path, clock: ManualClock) -> None:
    """After a start that failed, the next one is not told that the file is held."""
    _write(path, "not a database " * 100)
    store = SqliteStore(path, clock=clock)
    for _ in range(2):
        with pytest.raises(SettingError, match="not a SQLite database"):
            await store.open()

    await asyncio.to_thread(path.unlink)
    await store.open()
    await store.close()


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ("1 1 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:1 / {} rw - nfs4 host:/x rw\n", "nfs4"),
        ("2 1 0:1 / {} rw - nfs4 host:/x rw\n1 1 8:1 / / rw shared:1 - ext4 /dev/sda rw\n", "nfs4"),
        ("1 1 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:1 / {}x rw - nfs4 host:/x rw\n", "ext4"),
        ("nonsense\n", ""),
    ],
)
def test_the_nearest_mount_says_what_file_system_it_is(tmp_path: Path, mounts: str, expected: str) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(mounts.format(str(tmp_path)))

    assert lock.file_system_of(tmp_path / "hookline.db", mounts=table) == expected


@pytest.mark.asyncio
async def test_a_network_file_system_is_refused(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "file_system_of", lambda _: "nfs4")

    with pytest.raises(SettingError, match="nfs4"):
        await SqliteStore(path, clock=clock).open()


@pytest.mark.asyncio
async def test_a_folder_that_cannot_be_written_is_a_setting(tmp_path: Path, clock: ManualClock) -> None:
    """Not a crash: the message names the file."""
    _write(tmp_path / "file", "")

    with pytest.raises(SettingError, match=r"hookline\.db"):
        await SqliteStore(tmp_path / "file" / "hookline.db", clock=clock).open()


# --- a full disk ---


@contextmanager
def _full(store: SqliteStore) -> Iterator[None]:
    """The file may not grow; SQLite answers as it does on a full disk."""
    writer = _writer(store)
    limit = writer.pragma("max_page_count")
    writer.pragma("max_page_count", writer.pragma("page_count"))
    yield
    writer.pragma("max_page_count", limit)


@pytest.mark.asyncio
async def test_a_full_disk_stores_nothing_and_recovers_by_itself(
    store: SqliteStore, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """StorageError, not RowError: running the batch by halves would not help. Reads go on."""
    kept = event(org, clock.now(), own_id="kept")
    await publish(store, epoch, kept)
    wide = Publish(
        epoch=epoch,
        events=tuple(NewEvent(event=event(org, clock.now(), data=b"x" * 10_000)) for _ in range(50)),
    )

    with _full(store):
        for _ in range(3):
            with pytest.raises(StorageError, match="disk is full") as failure:
                await store.commit([wide])
            assert not isinstance(failure.value, RowError)
        assert await store.event(org, "kept") == kept
        assert (await store.events(org, after=None, limit=99)).events == (kept,)

    assert await apply(store, wide) == Published((True,) * 50)
    assert len((await store.events(org, after=None, limit=99)).events) == 51


@pytest.mark.asyncio
async def test_a_value_that_cannot_be_stored_is_its_writers_own_fault(
    store: SqliteStore, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """RowError: the neighbours can be stored without it."""
    for value in ({"type": "\ud800"}, {"sequence": 2**70}, {"type": None}, {"type": object()}):
        bad = Publish(epoch=epoch, events=(NewEvent(event=event(org, clock.now(), **value)),))
        with pytest.raises(RowError):
            await store.commit([bad])

    await publish(store, epoch, event(org, clock.now()))


@pytest.mark.asyncio
async def test_a_file_that_may_not_be_written_is_said_to_be_so(
    store: SqliteStore, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    _writer(store).pragma("query_only", True)
    with pytest.raises(StorageError, match="cannot be written"):
        await publish(store, epoch, event(org, clock.now()))
    with pytest.raises(StorageError):
        await store.ping()
    _writer(store).pragma("query_only", False)
    await store.ping()


@pytest.mark.asyncio
async def test_another_program_that_locks_the_file_is_an_error_in_time(
    store: SqliteStore, epoch: Epoch, clock: ManualClock, org: Key, path: Path
) -> None:
    """Never a frozen loop; when it lets go, writing goes on."""
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")

    began = asyncio.get_running_loop().time()
    with pytest.raises(StorageError, match="locks the file"):
        await publish(store, epoch, event(org, clock.now()))
    assert asyncio.get_running_loop().time() - began < 1

    other.execute("ROLLBACK")
    other.close()
    await publish(store, epoch, event(org, clock.now()))


# --- the nth statement fails ---


async def _batch(store: SqliteStore, epoch: Epoch, clock: ManualClock, org: Key) -> list[Write]:
    """A batch with a write of most kinds, each of which changes something."""
    now, hook = clock.now(), new_key()
    happened = event(org, now)
    flying = [delivery(happened, new_key(), state=DeliveryState.IN_FLIGHT) for _ in range(2)]
    waiting = delivery(happened, hook)
    await publish(store, epoch, happened, *flying, waiting, fanout_after=new_key())
    runs = [execution(org, now) for _ in range(4)]
    for one in runs[:3]:
        await accept(store, epoch, one)
    for one in runs[1:3]:
        await apply(store, Begin(epoch=epoch, execution_id=one.id, started_at=now, launch_ms=1))
    talk = conversation(org, now)
    new = NewEvent(event=event(org, now, own_id="new"), deliveries=(delivery(happened, new_key()),))
    new = changed(new, deliveries=(changed(new.deliveries[0], event_key=new.event.key),))
    fan = delivery(happened, new_key())
    return [
        Publish(epoch=epoch, events=(new,), once=once(org, "k", now + timedelta(days=1))),
        Accept(epoch=epoch, execution=runs[3], request=request(org, now), conversation=talk),
        KeepRequest(request=request(org, now)),
        Begin(epoch=epoch, execution_id=runs[0].id, started_at=now, launch_ms=1),
        Record(
            epoch=epoch, execution_id=runs[1].id, entries=(entry("step", "a", now),), logs=(line(0, now),)
        ),
        Suspend(epoch=epoch, execution_id=runs[1].id, wake_at=now),
        Finish(
            epoch=epoch,
            execution_id=runs[2].id,
            status=execution(org, now).status.__class__("succeeded"),
            completed_at=now,
            conversation=changed(talk, id=new_key()),
            events=(NewEvent(event=event(org, now), fanout_after=new_key()),),
        ),
        ClaimExecutions(epoch=epoch, limit=1, now=now),
        ClaimDeliveries(
            epoch=epoch, wants=(Want(webhook_id=hook, lane=waiting.lane, limit=1, revision=1),), now=now
        ),
        FanOut(epoch=epoch, event_key=happened.key, deliveries=(fan,), after=None),
        succeeded(flying[0], epoch, now),
        failed(flying[1], epoch, now),
    ]


def _dump(store: SqliteStore) -> dict[str, list[Any]]:
    """Every row of every table."""
    tables = [str(name) for (name,) in store._db.read("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {table: store._db.read(f"SELECT * FROM {table}") for table in tables}


@pytest.mark.asyncio
async def test_a_failure_at_any_statement_leaves_nothing_of_the_batch(
    store: SqliteStore, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """Fail the first, the second, … the last: the file is as before each time, and then the batch is stored."""
    batch = await _batch(store, epoch, clock, org)
    before = _dump(store)
    writer = _writer(store)
    nth = 0
    results: list[object] | None = None
    while results is None:
        nth += 1
        _fail_at(writer, nth)
        try:
            results = await store.commit(batch)
        except StorageError:
            assert not writer.in_transaction
            assert _dump(store) == before, nth
    writer.set_exec_trace(None)

    assert nth > 30
    assert False not in results
    assert _dump(store) != before


def _fail_at(writer: apsw.Connection, nth: int) -> None:
    """Let the nth statement from now on fail as a broken disk would let it."""
    turns = iter(range(nth))

    def trace(_cursor: object, _sql: str, _bindings: object) -> bool:
        if next(turns, None) == nth - 1:
            raise apsw.IOError("injected")
        return True

    writer.set_exec_trace(trace)


@pytest.mark.asyncio
@pytest.mark.parametrize("point", ["in_transaction", "in_settle"])
async def test_a_crash_of_our_own_code_inside_the_transaction_leaves_nothing(
    store: SqliteStore, epoch: Epoch, clock: ManualClock, org: Key, point: str
) -> None:
    """K2, K9: between the rows of an outcome and its attempt, and before COMMIT."""
    batch = await _batch(store, epoch, clock, org)
    before = _dump(store)
    failpoints.arm(f"{point}:raise")

    with pytest.raises(failpoints.FailpointError):
        await store.commit(batch)

    failpoints.arm(None)
    assert _dump(store) == before
    assert False not in await store.commit(batch)


@pytest.mark.asyncio
async def test_a_failed_fsync_ends_writing_until_a_restart(
    store: SqliteStore, epoch: Epoch, clock: ManualClock, org: Key, path: Path
) -> None:
    """Nobody knows what is on the disk then: a second fsync that succeeds proves nothing."""
    broken = apsw.IOError("injected")
    vars(broken).update(result=apsw.SQLITE_IOERR, extendedresult=apsw.SQLITE_IOERR_FSYNC)

    def fail(_cursor: object, sql: str, _bindings: object) -> bool:
        if sql == "COMMIT":
            raise broken
        return True

    _writer(store).set_exec_trace(fail)
    with pytest.raises(StorageError, match="IOERR_FSYNC"):
        await publish(store, epoch, event(org, clock.now()))
    _writer(store).set_exec_trace(None)

    for _ in range(2):
        with pytest.raises(StorageError, match="IOERR_FSYNC"):
            await publish(store, epoch, event(org, clock.now()))
    with pytest.raises(StorageError):
        await store.ping()
    await store.close()
    await store.open()
    assert (await store.events(org, after=None, limit=9)).events == ()
    await store.ping()
    assert _is_whole(path)


# --- slow disks ---


@pytest.mark.asyncio
async def test_a_slow_commit_leaves_the_loop(
    store: SqliteStore, epoch: Epoch, clock: ManualClock, org: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a thread: others run meanwhile, commits stay in order, and a caller that leaves loses nothing."""
    from hookline.stores.sqlite import database

    seconds = 0.1

    def commit(db: apsw.Connection) -> float:
        db.execute("COMMIT")
        return seconds

    monkeypatch.setattr(database, "_timed_commit", commit)
    await publish(store, epoch, event(org, clock.now()))
    assert store._db._is_threaded
    (first,) = (await store.events(org, after=None, limit=99)).events
    given = [event(org, clock.now(), own_id=f"{n}") for n in range(20)]
    writes = [Publish(epoch=epoch, events=(NewEvent(event=one),)) for one in given]
    tasks = [asyncio.create_task(store.commit([write])) for write in writes]
    await asyncio.sleep(0)
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [[Published((True,))]] * 19
    found = (await store.events(org, after=None, limit=99)).events
    assert found in ((first, *given), (first, *given[1:]))

    seconds = 0.0001
    for _ in range(60):
        await publish(store, epoch, event(org, clock.now()))
    assert not store._db._is_threaded  # this disk is fast after all


@pytest.mark.asyncio
async def test_the_log_begins_anew_under_steady_writing(
    store: SqliteStore,
    epoch: Epoch,
    clock: ManualClock,
    org: Key,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Copied back beside the commits, it does not grow with what was written; K10: a crash there loses nothing."""
    from hookline.stores.sqlite import database

    monkeypatch.setattr(database, "_CHECKPOINT_PAGES", 200)
    store._db._checkpoint_at = 200
    written = 0
    for _ in range(60):
        events = tuple(NewEvent(event=event(org, clock.now(), data=b"x" * 20_000)) for _ in range(20))
        await store.commit([Publish(epoch=epoch, events=events)])
        written += 20 * 20_000
        if store._db._checkpointing is not None:
            await store._db._checkpointing

    log = path.with_name(path.name + "-wal").stat().st_size
    assert log < written / 4
    failpoints.arm("in_checkpoint:raise")
    for _ in range(10):
        await publish(store, epoch, event(org, clock.now(), data=b"x" * 400_000))
    await asyncio.sleep(0.05)
    failpoints.arm(None)
    assert len((await store.events(org, after=None, limit=5_000)).events) == 1_210


# --- kills and fsync ---


@pytest.mark.parametrize("failpoint", ["in_transaction:kill@30", "in_checkpoint:kill@1", ""])
def test_what_was_acknowledged_survives_a_kill(
    path: Path, org: Key, clock: ManualClock, failpoint: str
) -> None:
    """P1, K2, K10: every number the process said is there, at most one more is, and the file is whole."""
    with subprocess.Popen(_child(path, org, 100_000, failpoint), stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        words = [child.stdout.readline() for _ in range(200)] if not failpoint else []
        if not failpoint:
            child.send_signal(signal.SIGKILL)
        words += child.stdout.readlines()
    said = [int(word) for word in words if word.strip().isdigit()]
    assert child.returncode == -signal.SIGKILL

    async def look() -> int:
        store = SqliteStore(path, clock=clock)
        await store.open()
        second = await store.open_node("two", lease=LEASE)
        found = (await store.events(org, after=None, limit=200_000)).events
        assert [one.own_id for one in found] == [f"{n}" for n in range(len(found))]
        recovered = 0
        while step := await store.recover(second):
            recovered += step
        assert recovered == len(found)
        await store.close()
        return len(found)

    stored = asyncio.run(look())
    last = said[-1] if said else stored - 1
    assert last + 1 <= stored <= last + 2
    assert _is_whole(path)


@pytest.mark.needs("strace")
def test_every_acknowledgement_follows_an_fsync_of_the_log(path: Path, org: Key, tmp_path: Path) -> None:
    """P1: between any two acknowledgements the log was written and then synced."""
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-y", "-e", "trace=write,pwrite64,fsync,fdatasync", "-o", str(trace)]

    subprocess.run([*command, *_child(path, org, 25)], check=True, capture_output=True)

    calls = trace.read_text()
    said = [match.start() for match in re.finditer(r"write\(1<[^>]*>, \"\d+\\n\"", calls)]
    assert len(said) == 25
    begin = calls.index('"open\\n"')
    for end in said:
        part = calls[begin:end]
        written = part.rindex("-wal>, ") if "-wal>, " in part else -1
        synced = [match.start() for match in re.finditer(r"f(?:data)?sync\(\d+<[^>]*-wal>\)", part)]
        assert written >= 0
        assert synced
        assert synced[-1] > written
        begin = end


@pytest.mark.asyncio
async def test_numbers_of_attempts_go_on_after_a_crash(
    store: SqliteStore, epoch: Epoch, clock: ManualClock, org: Key
) -> None:
    """K6: shown as interrupted, then sent as the next attempt."""
    happened = event(org, clock.now())
    owed = delivery(happened, new_key(), state=DeliveryState.IN_FLIGHT)
    await publish(store, epoch, happened, owed)
    second = await store.open_node("two", lease=LEASE)
    assert await store.recover(second) == 1
    (taken,) = await claim(store, second, owed.webhook_id, clock.now(), owed.lane)
    sent = attempt(taken.delivery, clock.now())

    assert await apply(store, succeeded(taken.delivery, second, clock.now(), attempt=sent)) is True

    assert [one.number for one in await store.attempts(owed.id)] == [1, 2]
