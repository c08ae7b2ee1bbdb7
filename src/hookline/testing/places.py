"""A database for a measurement that is made for it and removed after it, whatever the user's own is.

``open_place(None)`` is a SQLite file in a temporary folder, ``sqlite:///FILE`` one in a folder beside that
file (so that its disk is the one measured), ``postgresql://…`` a new database on that server, and ``postgres``
a new database on a server that is started for it.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from hookline.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.testing.postgres import PostgresServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one measurement keeps its things.

    url: of the database.  folder: for logs and ledgers; removed with the place.  server: the PostgreSQL that was
    started for it, None when there is none.
    """

    store: str
    url: str
    folder: Path
    server: PostgresServer | None = None

    @property
    def is_sqlite(self) -> bool:
        return self.store == "sqlite"


@contextmanager
def open_place(
    database: str | None, *, purpose: str, server_settings: dict[str, str] | None = None
) -> Iterator[Place]:
    """Make a fresh database and a folder; remove both at the end. Raises SettingError.

    purpose: a word that stands in the database's name, such as ``crashtest``.
    server_settings: for a PostgreSQL that is started for it.
    """
    if database is None or database == "sqlite" or database.startswith("sqlite:"):
        parent = _parent_of(database)
        with _folder(purpose, parent) as folder:
            yield Place(store="sqlite", url=f"sqlite:///{folder / 'hookline.db'}", folder=folder)
    elif database in {"postgres", "postgresql"}:
        from hookline.testing.postgres import PostgresServer

        with _folder(purpose, None) as folder, PostgresServer(settings=server_settings) as server:
            url = server.fresh_database(f"hookline_{purpose}")
            yield Place(store="postgresql", url=url, folder=folder, server=server)
    elif database.startswith(("postgresql://", "postgres://")):
        name = f"hookline_{purpose}_{secrets.token_hex(6)}"
        _execute(database, f'CREATE DATABASE "{name}"')
        try:
            with _folder(purpose, None) as folder:
                yield Place(store="postgresql", url=_with_path(database, name), folder=folder)
        finally:
            _execute(database, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    else:
        raise SettingError(
            f"--database must be sqlite:///FILE, postgresql://… or postgres, got {database!r}",
            field="database",
        )


def _parent_of(database: str | None) -> Path | None:
    path = (database or "").removeprefix("sqlite").removeprefix(":///")
    return Path(path).absolute().parent if path else None


@contextmanager
def _folder(purpose: str, parent: Path | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"hookline-{purpose}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _with_path(url: str, name: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, f"/{name}", parts.query, ""))


def _execute(url: str, sql: str) -> None:
    try:
        import asyncpg
    except ImportError as exc:
        raise SettingError(
            "PostgreSQL needs the extra: pip install 'hookline[postgres]'", field="database"
        ) from exc

    async def run() -> None:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    try:
        asyncio.run(run())
    except (OSError, asyncpg.PostgresError, TimeoutError) as exc:
        raise SettingError(
            f"--database must be a PostgreSQL server on which databases may be made: {exc}", field="database"
        ) from exc
