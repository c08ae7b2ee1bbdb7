"""The stores that scenarios run over: both, each in a database of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from hookline.engine.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from model_bed import Bed

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


@pytest.fixture(scope="module")
def models_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    from model_bed import serving

    folder = tmp_path_factory.mktemp("models")
    with serving(f"sqlite:///{folder}/a.db", folder) as made:
        yield made


@pytest.fixture(scope="module")
def models_on_postgres(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> Iterator[Bed]:
    from model_bed import serving

    folder = tmp_path_factory.mktemp("models")
    with serving(postgres_server.fresh_database(), folder) as made:
        yield made


@pytest.fixture
def models(models_on_sqlite: Bed) -> Bed:
    """A node with agents that a model answers for; one for the tests of a module."""
    models_on_sqlite.forget()
    return models_on_sqlite


@pytest.fixture(params=["sqlite", "postgres"])
def models_on_both(request: pytest.FixtureRequest) -> Bed:
    """As ``models``, over either store."""
    made: Bed = request.getfixturevalue(f"models_on_{request.param}")
    made.forget()
    return made
