"""A PostgreSQL store that is open for as long as a test needs it: one for each node of the test."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from hookline.engine.clock import SystemClock
from hookline.stores.postgres.store import PostgresStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url, clock=SystemClock())
    await store.open()
    try:
        yield store
    finally:
        await store.close()
