"""The store over PostgreSQL 15 or newer: any number of nodes, one database.

Against SQLite it needs a server, a commit costs network round trips, and a copy is ``pg_dump``'s work. For that,
nodes share the work, and one can die without the others stopping. A node keeps one connection for its writer, one
for leases and configuration, one that listens, and up to four for reads; retention opens one when it has work.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from hookline.errors import SettingError
from hookline.stores import rows
from hookline.stores.postgres import pooler, strip
from hookline.stores.postgres.alerts import PostgresAlerts
from hookline.stores.postgres.archive import PostgresArchive
from hookline.stores.postgres.artifacts import PostgresArtifacts
from hookline.stores.postgres.blobs import PostgresBlobs
from hookline.stores.postgres.connection import Link, Readers, check_durability, door, part, renamed
from hookline.stores.postgres.figures import PostgresFigures
from hookline.stores.postgres.leases import PostgresLeases
from hookline.stores.postgres.ledger import PostgresLedger
from hookline.stores.postgres.moved import settle_in
from hookline.stores.postgres.onces import PostgresOnces
from hookline.stores.postgres.registry import PostgresRegistry
from hookline.stores.postgres.retention import prune
from hookline.stores.postgres.retention_own import OwnPruner
from hookline.stores.postgres.schema import migrate
from hookline.stores.postgres.sealed import PostgresSealed
from hookline.stores.postgres.signals import Signals
from hookline.stores.postgres.watch import PostgresWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime
    from pathlib import Path

    from hookline.model.ids import Key
    from hookline.ports import Clock, Stripped, Wake
    from hookline.stores.postgres.connection import Connection

_MOST_READERS: Final = 4

# Writes and commits, because only that shows that a write can be stored.
_PING: Final = """
INSERT INTO meta (name, value) VALUES ('ping', '') ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


class PostgresStore(
    PostgresLedger,
    PostgresLeases,
    PostgresRegistry,
    PostgresOnces,
    PostgresSealed,
    PostgresArchive,
    PostgresAlerts,
    PostgresArtifacts,
    PostgresWatch,
    PostgresFigures,
):
    """``hookline.ports.Store``.

    url: as libpq takes it.  direct_url: of PostgreSQL itself, where ``url`` leads through a pooler that shares sessions
    (``pooler``); None for no pooler.
    is_relaxed: accept a server that may lose what it acknowledged (``durability=relaxed``).
    """

    def __init__(
        self, url: str, *, clock: Clock, direct_url: str | None = None, is_relaxed: bool = False
    ) -> None:
        self._clock = clock
        self._era = 0
        self._door = door(url, is_relaxed=is_relaxed, is_shared=direct_url is not None)
        self._direct = self._door if direct_url is None else door(direct_url, is_relaxed=is_relaxed)
        self._writer = Link(self._door.writer)
        self._control = Link(self._door.writer)
        self._readers = Readers(self._door, most=_MOST_READERS)
        self._signals = Signals(is_own=self._is_own)
        self._listener = Link(self._direct.reader, on_open=self._signals.listen)
        self._own_pruners: dict[Key, OwnPruner] = {}

    @property
    def blobs(self) -> PostgresBlobs:
        """Large data, in this database too."""
        return PostgresBlobs(self._control, self._readers, self._clock)

    def __repr__(self) -> str:
        return f"PostgresStore(writer={self._writer!r})"

    async def open(self) -> None:
        try:
            if not self._door.is_shared:
                async with _passing(self._door.visitor) as connection:
                    await pooler.refuse_pooler(connection)
            await self._control.open()
            async with self._control.use() as connection:
                await check_durability(connection, is_relaxed=self._door.is_relaxed)
                if self._door.is_shared:
                    await pooler.check_role(connection)
            async with _passing(self._direct.writer) as connection:
                await migrate(connection)
                self._era = await settle_in(connection)
            await self._writer.open()
            await self._listener.open()
            if self._door.is_shared:
                async with self._listener.use() as listening, self._control.use() as connection:
                    await pooler.check_echo(listening, connection)
            self._readers.open()
        except BaseException:
            await self.close()
            raise
        self._signals.start(self._listener)

    async def close(self) -> None:
        await self._signals.close()
        for link in (self._listener, self._writer, self._control):
            await link.close()
        await self._readers.close()

    async def ping(self) -> None:
        async with self._control.use() as connection:
            await connection.execute(_PING)

    async def backup(self, target: Path) -> None:
        raise SettingError(
            f"PostgreSQL copies itself: run pg_dump --format=custom --file={target} against the database, "
            "or take a base backup with pg_basebackup.",
            field="database",
        )

    def wakes(self) -> AsyncIterator[Wake]:
        return self._signals.wakes()

    async def prune(self, *, before: datetime, limit: int, organization_id: Key | None = None) -> int:
        now_ms, before_ms = rows.to_ms(self._clock.now()), rows.to_ms(before)
        async with _passing(self._direct.sweeper) as connection:
            with renamed():
                if organization_id is None:
                    return await prune(connection, before_ms=before_ms, now_ms=now_ms, limit=limit)
                pruner = self._own_pruners.get(organization_id)
                if pruner is None:
                    pruner = self._own_pruners[organization_id] = OwnPruner(organization_id)
                return await pruner.prune(connection, before_ms=before_ms, limit=limit)

    async def strip(self, organization_id: Key, *, after: Key, before: datetime, limit: int) -> Stripped:
        async with self._control.use() as connection:
            return await strip.strip(connection, organization_id, after, rows.to_ms(before), limit)

    async def stored_bytes(self) -> int:
        async with self._readers.use() as connection:
            return await strip.stored_bytes(connection)

    def _is_own(self, pid: int) -> bool:
        return pid in {self._writer.pid, self._control.pid}


@asynccontextmanager
async def _passing(connect: Callable[[], Awaitable[Connection]]) -> AsyncIterator[Connection]:
    """A connection for this once."""
    connection = await connect()
    try:
        yield connection
    finally:
        await part(connection)
