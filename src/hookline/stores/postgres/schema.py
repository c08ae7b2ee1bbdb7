"""Bring the database to this version's schema: numbered files, forward only, each in its own transaction.

An advisory lock, freed with the transaction, lets one of several starting nodes do it while the others wait. A kill
at any step leaves the last whole migration; the next start goes on from there. There is no backup first, as on
SQLite: ``pg_dump`` is the operator's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from hookline import failpoints
from hookline.stores.migrations import pending, read_migrations
from hookline.stores.postgres.connection import renamed

if TYPE_CHECKING:
    from hookline.stores.migrations import Migration
    from hookline.stores.postgres.connection import Connection

FOLDER: Final = Path(__file__).parent / "migrations"

_LOCK_NUMBER: Final = 0x686F6F6B6C696E65  # "hookline": advisory locks share one space with other programs'
_MIGRATION_SECONDS: Final = 3_600.0
"""Another node may be rebuilding a large table meanwhile."""

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_ADD: Final = "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)"


async def migrate(connection: Connection, *, folder: Path = FOLDER) -> None:
    """Raises SettingError for a schema that a newer or another version wrote, StorageError."""
    known = read_migrations(folder)
    while await _migrate_once(connection, known):
        pass


async def _migrate_once(connection: Connection, known: tuple[Migration, ...]) -> bool:
    """Run the next migration if there is one. Returns whether there may be more."""
    with renamed():
        async with connection.transaction():
            await connection.execute(
                "SELECT pg_advisory_xact_lock($1)", _LOCK_NUMBER, timeout=_MIGRATION_SECONDS
            )
            if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
                await connection.execute(_TABLE)
            found = await connection.fetch("SELECT version, checksum FROM schema_migrations")
            missing = pending(known, {row[0]: row[1] for row in found})
            if not missing:
                return False
            await connection.execute(missing[0].sql, timeout=_MIGRATION_SECONDS)
            failpoints.hit("in_migration")
            await connection.execute(_ADD, missing[0].version, missing[0].name, missing[0].checksum)
    return len(missing) > 1
