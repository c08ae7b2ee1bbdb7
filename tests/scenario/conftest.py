"""The stores that scenarios run over: both, each in a database of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from hookline.engine.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from hookline.ports import Store
    from hookline.testing.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    from hookline.testing.postgres import PostgresServer

    with PostgresServer() as server:
        yield server


@pytest_asyncio.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened: Store
    if request.param == "sqlite":
        from hookline.stores.sqlite.store import SqliteStore

        opened = SqliteStore(tmp_path / "hookline.db", clock=SystemClock())
    else:
        from hookline.stores.postgres.store import PostgresStore

        server: PostgresServer = request.getfixturevalue("postgres_server")
        opened = PostgresStore(server.fresh_database(), clock=SystemClock())
    await opened.open()
    yield opened
    await opened.close()
