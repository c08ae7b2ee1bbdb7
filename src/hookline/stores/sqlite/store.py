"""The store over one SQLite file: all seams of ``ports.Store`` over one ``Database``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hookline.stores.sqlite.alerts import SqliteAlerts
from hookline.stores.sqlite.artifacts import SqliteArtifacts
from hookline.stores.sqlite.database import Database
from hookline.stores.sqlite.figures import SqliteFigures
from hookline.stores.sqlite.keeping import SqliteKeeping
from hookline.stores.sqlite.leases import SqliteLeases
from hookline.stores.sqlite.ledger import SqliteLedger
from hookline.stores.sqlite.onces import SqliteOnces
from hookline.stores.sqlite.registry import SqliteRegistry
from hookline.stores.sqlite.sealed import SqliteSealed

if TYPE_CHECKING:
    from hookline.ports import Clock

MIGRATIONS: Final = Path(__file__).parent / "migrations"


class SqliteStore(
    SqliteLedger,
    SqliteLeases,
    SqliteRegistry,
    SqliteOnces,
    SqliteSealed,
    SqliteAlerts,
    SqliteFigures,
    SqliteArtifacts,
    SqliteKeeping,
):
    """ports.Store. One process holds the file; a second is refused.

    path: the database file; made when there is none.  migrations: where the schema's steps are read from.
    """

    def __init__(self, path: Path, *, clock: Clock, migrations: Path = MIGRATIONS) -> None:
        self._db = Database(path, clock=clock, migrations=migrations)
        self._pruners = {}
        self._paces = {}
        self._closed = asyncio.Event()

    def __repr__(self) -> str:
        return f"SqliteStore({self._db!r})"

    def _opened(self) -> None:
        self._closed.clear()
        self._read_last_seq()
