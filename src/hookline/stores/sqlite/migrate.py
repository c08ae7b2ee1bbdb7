"""Bring a SQLite file to the newest schema: numbered steps, each in its own transaction, a copy taken first.

Killed at any point, the next start goes on where this one stopped: a step and the note that it ran commit together.
An upgrade copies the file to ``<file>.backup-<old version>`` before its first step; a new file has nothing to copy.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import apsw
import structlog

from hookline import failpoints
from hookline.errors import SettingError
from hookline.stores.migrations import pending, read_migrations
from hookline.stores.rows import to_ms

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

_APPLICATION_ID: Final = 0x686F6F6B
"""``hook`` in ASCII: tells ``file(1)`` and us whose SQLite file this is."""

_TABLE: Final = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        version    INTEGER PRIMARY KEY,
        name       TEXT NOT NULL,
        checksum   TEXT NOT NULL,
        applied_at INTEGER NOT NULL
    )
"""

_log = structlog.get_logger("hookline.sqlite")


def migrate(db: apsw.Connection, folder: Path, *, at: datetime) -> None:
    """Run what is pending. Raises SettingError: newer schema, another history, or not our file."""
    steps = read_migrations(folder)
    applied = _applied(db)
    todo = pending(steps, applied)
    if applied and todo:
        copy_database(db, _backup_path(db, max(applied)))
    # A new file is made by all of them, which is news to nobody.
    tell = _log.info if applied else _log.debug
    for step in todo:
        with _transaction(db):
            db.execute(_TABLE)
            db.execute(step.sql)
            db.execute(
                "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (?, ?, ?, ?)",
                (step.version, step.name, step.checksum, to_ms(at)),
            )
            failpoints.hit("in_migration")
        tell("migrated", version=step.version, name=step.name)


def _applied(db: apsw.Connection) -> dict[int, str]:
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if "schema_migrations" in tables:
        return dict(db.execute("SELECT version, checksum FROM schema_migrations"))
    if tables:
        raise SettingError(
            f"HOOKLINE_DATABASE must name a file of ours or a new one: {db.filename} is another program's database.",
            field="database",
            expected="a database of ours, or none yet",
            received=f"tables {', '.join(sorted(tables)[:3])}",
        )
    db.pragma("application_id", _APPLICATION_ID)
    return {}


class _transaction:  # noqa: N801 -- reads as a keyword where it is used
    """``with`` an apsw connection uses savepoints; a migration is to be a transaction of its own."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._db.execute("COMMIT")
        elif self._db.in_transaction:
            self._db.execute("ROLLBACK")


def _backup_path(db: apsw.Connection, version: int) -> Path:
    from pathlib import Path

    path = Path(db.filename)
    return path.with_name(f"{path.name}.backup-{version}")


def copy_database(source: apsw.Connection, target: Path, *, pages: int = -1) -> None:
    """Copy a consistent snapshot to ``target``, durable and complete when it exists under that name.

    pages: copied in one step, -1 for all; between steps other threads run. The source connection must not be used
    by others meanwhile. One read transaction spans all steps: without it every commit would start the copy anew.
    """
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    copy = apsw.Connection(str(partial))
    try:
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        with copy.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(pages)
    finally:
        copy.close()
        if source.in_transaction:
            source.execute("COMMIT")
    _sync(partial)
    partial.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
