"""Opening, proving, copying and pruning the file itself."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import apsw

from hookline.errors import SettingError, StorageError
from hookline.stores.rows import to_ms
from hookline.stores.sqlite.database import storage_error
from hookline.stores.sqlite.migrate import copy_database
from hookline.stores.sqlite.prune import Pruner
from hookline.stores.sqlite.strip import strip

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path

    from hookline.model.ids import Key
    from hookline.ports import Stripped, Wake
    from hookline.stores.sqlite.database import Database

_PING: Final = "INSERT OR REPLACE INTO meta (name, value) VALUES ('ping', ?)"

_USED: Final = """
    SELECT (p.page_count - f.freelist_count) * s.page_size
    FROM pragma_page_count AS p, pragma_freelist_count AS f, pragma_page_size AS s
"""

_BACKUP_PAGES: Final = 2_000
"""Pages copied between two looks at whether somebody else wants to run: 8 MB."""


class SqliteKeeping:
    """ports.Keeping."""

    _db: Database
    _pruners: dict[Key | None, Pruner]
    _closed: asyncio.Event

    async def open(self) -> None:
        self._db.open()
        self._opened()

    def _opened(self) -> None:
        """Called once the file is open and migrated."""

    async def close(self) -> None:
        self._closed.set()
        await self._db.close()

    async def ping(self) -> None:
        stamp = str(self._db.now_ms()).encode("ascii")
        await self._db.write(lambda cursor: cursor.execute(_PING, (stamp,)))

    async def backup(self, target: Path) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="hookline-backup") as thread:
            done = asyncio.get_running_loop().run_in_executor(thread, self._copy, target)
            await asyncio.wait((done,))
            done.result()

    def _copy(self, target: Path) -> None:
        if target.exists():
            raise SettingError(f"The backup must go to a new file: {target} exists already.", field="target")
        try:
            source = self._db.connect_reader()
            try:
                copy_database(source, target, pages=_BACKUP_PAGES)
            finally:
                source.close()
        except apsw.Error as exc:
            raise storage_error(exc) from exc
        except OSError as exc:
            raise StorageError(f"The backup could not be written: {exc.strerror}.") from exc

    async def wakes(self) -> AsyncIterator[Wake]:
        await self._closed.wait()
        nobody: tuple[Wake, ...] = ()
        for wake in nobody:
            yield wake

    async def prune(self, *, before: datetime, limit: int, organization_id: Key | None = None) -> int:
        pruner = self._pruners.get(organization_id)
        if pruner is None:
            pruner = self._pruners[organization_id] = Pruner(self._db, organization_id)
        return await pruner.prune(to_ms(before), limit)

    async def strip(self, organization_id: Key, *, after: Key, before: datetime, limit: int) -> Stripped:
        return await self._db.write(
            lambda cursor: strip(cursor, organization_id, after, to_ms(before), limit)
        )

    async def stored_bytes(self) -> int:
        (row,) = self._db.read(_USED)
        return int(row[0])
