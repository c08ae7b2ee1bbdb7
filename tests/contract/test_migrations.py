"""Migrations of the SQLite file: forward only, one transaction each, safe to kill, a copy taken first (P23)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import apsw
import pytest
import pytest_asyncio
from store_bed import LEASE, ManualClock, event, publish

from hookline.errors import SettingError
from hookline.stores.migrations import Migration, pending, read_migrations
from hookline.stores.sqlite.store import MIGRATIONS, SqliteStore

if TYPE_CHECKING:
    from pathlib import Path

    from hookline.model.ids import Key

STEPS = {
    2: "CREATE TABLE second (n INTEGER); INSERT INTO second VALUES (2);",
    3: "CREATE TABLE third (n INTEGER); INSERT INTO third SELECT n + 1 FROM second;",
    4: "ALTER TABLE third ADD COLUMN m INTEGER; UPDATE third SET m = n + 1; DROP TABLE second;",
}
"""What later releases might do."""


def _release(folder: Path, newest: int) -> Path:
    """A folder of migrations as release ``newest`` ships it."""
    shipped = folder / f"release-{newest}"
    shipped.mkdir(exist_ok=True)
    # What this code writes needs all of today's schema: that is release 1 here.
    today = b"\n".join(path.read_bytes() for path in sorted(MIGRATIONS.glob("*.sql")))
    (shipped / "0001_first.sql").write_bytes(today)
    for version in range(2, newest + 1):
        (shipped / f"{version:04}_step.sql").write_text(STEPS[version])
    return shipped


def _versions(path: Path) -> list[int]:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return [
            version for (version,) in db.execute("SELECT version FROM schema_migrations ORDER BY version")
        ]
    finally:
        db.close()


def _tables(path: Path) -> set[str]:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return {str(name) for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    finally:
        db.close()


def _left(folder: Path, pattern: str) -> set[str]:
    return {path.name for path in folder.glob(pattern)}


async def _open(path: Path, release: Path) -> None:
    store = SqliteStore(path, clock=ManualClock(), migrations=release)
    await store.open()
    await store.close()


@pytest_asyncio.fixture
async def old(tmp_path: Path, clock: ManualClock, org: Key) -> Path:
    """A database of release 1 with an event in it."""
    path = tmp_path / "hookline.db"
    store = SqliteStore(path, clock=clock, migrations=_release(tmp_path, 1))
    await store.open()
    await publish(store, await store.open_node("one", lease=LEASE), event(org, clock.now(), own_id="kept"))
    await store.close()
    return path


@pytest.mark.asyncio
async def test_a_new_file_gets_the_newest_schema_and_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "hookline.db"

    await _open(path, _release(tmp_path, 4))

    assert _versions(path) == [1, 2, 3, 4]
    assert not _left(tmp_path, "*.backup-*")
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.asyncio
async def test_an_upgrade_keeps_the_data_and_copies_it_first(tmp_path: Path, old: Path, org: Key) -> None:
    """The copy is the database as the old release left it, and opens with the old release."""
    store = SqliteStore(old, clock=ManualClock(), migrations=_release(tmp_path, 4))
    await store.open()
    assert await store.event(org, "kept") is not None
    await store.close()

    assert _versions(old) == [1, 2, 3, 4]
    copy = tmp_path / "hookline.db.backup-1"
    assert _versions(copy) == [1]
    before = SqliteStore(copy, clock=ManualClock(), migrations=_release(tmp_path, 1))
    await before.open()
    assert await before.event(org, "kept") is not None
    await before.close()


@pytest.mark.asyncio
async def test_each_release_can_be_upgraded_to_each_later_one(tmp_path: Path, old: Path) -> None:
    """One at a time or several at once; opening again changes nothing."""
    for newest in (2, 2, 4, 4):
        await _open(old, _release(tmp_path, newest))
        assert _versions(old) == list(range(1, newest + 1))

    assert _left(tmp_path, "*.backup-*") == {
        "hookline.db.backup-1",
        "hookline.db.backup-2",
    }


@pytest.mark.asyncio
async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path, old: Path) -> None:
    await _open(old, _release(tmp_path, 3))

    with pytest.raises(SettingError, match="newer version"):
        await _open(old, _release(tmp_path, 2))

    assert _versions(old) == [1, 2, 3]


@pytest.mark.asyncio
async def test_a_released_step_never_changes(tmp_path: Path, old: Path) -> None:
    """A database that ran another text under that number is not one of ours."""
    await _open(old, _release(tmp_path, 2))
    other = _release(tmp_path, 3)
    (other / "0002_step.sql").write_text("CREATE TABLE something_else (n);")

    with pytest.raises(SettingError, match="migration 2"):
        await _open(old, other)

    assert _versions(old) == [1, 2]


@pytest.mark.asyncio
async def test_a_step_that_fails_leaves_nothing_of_itself(tmp_path: Path, old: Path) -> None:
    """The steps before it stay; the next start goes on with it."""
    broken = _release(tmp_path, 4)
    (broken / "0003_step.sql").write_text(STEPS[3] + "INSERT INTO nowhere VALUES (1);")
    with pytest.raises(Exception, match="SQLITE_ERROR"):
        await _open(old, broken)

    assert _versions(old) == [1, 2]
    assert "third" not in _tables(old)
    await _open(old, _release(tmp_path, 4))
    assert _versions(old) == [1, 2, 3, 4]


_CHILD = """
import asyncio, sys
from pathlib import Path
from hookline import failpoints
from hookline.engine.clock import SystemClock
from hookline.stores.sqlite.store import SqliteStore
failpoints.arm(sys.argv[3] or None)
async def main():
    store = SqliteStore(Path(sys.argv[1]), clock=SystemClock(), migrations=Path(sys.argv[2]))
    await store.open()
    await store.close()
asyncio.run(main())
"""


def _start(path: Path, release: Path, failpoint: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, path, release, failpoint], check=False, capture_output=True
    )
    return done.returncode


@pytest.mark.parametrize("passing", [1, 2, 3])
def test_a_start_that_is_killed_in_a_step_is_gone_on_with(tmp_path: Path, old: Path, passing: int) -> None:
    """P23, K10: killed after a step's statements and before its number, the next start does that step again."""
    release = _release(tmp_path, 4)

    assert _start(old, release, f"in_migration:kill@{passing}") == -signal.SIGKILL

    assert _versions(old) == list(range(1, passing + 1))
    assert _versions(tmp_path / "hookline.db.backup-1") == [1]
    assert _start(old, release, "") == 0
    assert _versions(old) == [1, 2, 3, 4]
    db = apsw.Connection(str(old))
    assert db.execute("SELECT n, m FROM third").fetchall() == [(3, 4)]
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


@pytest.mark.parametrize("passing", [1, 2])
def test_a_first_start_that_is_killed_is_gone_on_with(tmp_path: Path, passing: int) -> None:
    path, release = tmp_path / "hookline.db", _release(tmp_path, 2)

    assert _start(path, release, f"in_migration:kill@{passing}") == -signal.SIGKILL
    assert _start(path, release, "") == 0

    assert _versions(path) == [1, 2]


@pytest.mark.asyncio
async def test_an_unfinished_copy_is_made_anew(tmp_path: Path, old: Path) -> None:
    """Killed while copying: what is there under the final name is always whole."""
    (tmp_path / "hookline.db.backup-1.partial").write_bytes(os.urandom(5_000))

    await _open(old, _release(tmp_path, 2))

    assert _versions(tmp_path / "hookline.db.backup-1") == [1]
    assert not _left(tmp_path, "*.partial")


@pytest.mark.asyncio
async def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """Nothing is written to it."""
    path = tmp_path / "other.db"
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE recipes (id INTEGER)")
    db.close()

    with pytest.raises(SettingError, match="another program"):
        await _open(path, MIGRATIONS)

    assert _tables(path) == {"recipes"}


@pytest.mark.asyncio
async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 1_000)

    with pytest.raises(SettingError, match="not a SQLite database"):
        await _open(path, MIGRATIONS)

    assert path.read_text().startswith("not a database")


# --- the shared parts ---


def test_shipped_migrations_can_be_read() -> None:
    """Numbered from 1 without gaps."""
    assert [step.version for step in read_migrations(MIGRATIONS)][:1] == [1]


@pytest.mark.parametrize(
    "names", [("0002_late.sql",), ("0001_a.sql", "0003_b.sql"), ("0001_a.sql", "one.sql")]
)
def test_a_badly_numbered_folder_is_a_packing_mistake(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")

    with pytest.raises(ValueError, match=r"numbered|named"):
        read_migrations(tmp_path)


def test_what_is_pending_follows_from_what_was_applied() -> None:
    steps = tuple(Migration(version=n, name="x", sql="", checksum=f"c{n}") for n in (1, 2, 3))

    assert pending(steps, {}) == steps
    assert pending(steps, {1: "c1", 2: "c2"}) == steps[2:]
    assert pending(steps, {1: "c1", 2: "c2", 3: "c3"}) == ()
    with pytest.raises(SettingError):
        pending(steps, {1: "c1", 2: "c2", 3: "c3", 4: "c4"})
    with pytest.raises(SettingError):
        pending(steps, {1: "c1", 2: "else"})
    with pytest.raises(SettingError):
        pending(steps, {2: "c2"})
