"""Numbered migrations as both adapters read them: files in order, with checksums, and what is still to do.

Migrations move forward only. Each file is one transaction of the adapter that runs it; what a file says never
changes once it was released, which its checksum proves. Nothing here touches a database.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_NAME: Final = re.compile(r"(?P<version>[0-9]{4})_(?P<name>[a-z0-9_]+)\.sql", re.ASCII)


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the schema. version: 1 for the first, without gaps.  checksum: SHA-256 of the file, hex."""

    version: int
    name: str
    sql: str
    checksum: str


def read_migrations(folder: Path) -> tuple[Migration, ...]:
    """All migrations of a folder, ascending. Raises ValueError for a gap: a release was packed wrongly."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path.name} is not named like 0001_first.sql")
        content = path.read_bytes()
        found.append(
            Migration(
                version=int(match["version"]),
                name=match["name"],
                sql=content.decode("utf-8"),
                checksum=hashlib.sha256(content).hexdigest(),
            )
        )
    if [one.version for one in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the migrations in {folder} are not numbered 1, 2, 3 …")
    return tuple(found)


def pending(known: Sequence[Migration], applied: Mapping[int, str]) -> tuple[Migration, ...]:
    """The migrations to run. applied: version to checksum, as the database remembers.

    Raises SettingError when the database was written by a newer version, or by another history of this one.
    """
    newest = max(applied, default=0)
    if newest > len(known):
        raise SettingError(
            f"The database must have a schema this version knows, up to {len(known)}, got {newest}: it was "
            "written by a newer version. Install that version or restore the backup taken before the upgrade.",
            field="database",
            expected=f"a schema up to {len(known)}",
            received=str(newest),
        )
    for migration in known[:newest]:
        if applied.get(migration.version) != migration.checksum:
            raise SettingError(
                f"The database must have migration {migration.version} as this version ships it, got another one: "
                "it was not written by a release of this program.",
                field="database",
                expected=migration.checksum,
                received=str(applied.get(migration.version)),
            )
    return tuple(known[newest:])
