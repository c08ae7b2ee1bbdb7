"""Files that executions made: the write that keeps one, and what is asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.ports import KeepArtifact
from hookline.stores.artifacts import ARTIFACT, artifact_from, artifact_row
from hookline.stores.postgres.connected import Connected
from hookline.stores.rows import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookline.model.executions import Artifact
    from hookline.model.ids import Key
    from hookline.stores.postgres.batch import Batch
    from hookline.stores.postgres.connection import Connection

# The lock keeps the execution from ending, and being swept away, between the look and the insert.
_IS_HELD: Final = "SELECT 1 FROM executions WHERE id = $1 AND epoch = $2 AND status = 'running' FOR SHARE"
_DROP: Final = """
INSERT INTO dropped_blobs (blob_id)
SELECT blob_id FROM artifacts WHERE execution_id = $1 AND name = $2 AND blob_id <> $3
ON CONFLICT DO NOTHING
"""
_KEEP: Final = f"""
INSERT INTO artifacts ({listed(ARTIFACT)}) VALUES ({", ".join(f"${n}" for n, _ in enumerate(ARTIFACT, 1))})
ON CONFLICT (execution_id, name) DO UPDATE SET
    content_type = excluded.content_type, size = excluded.size, digest = excluded.digest,
    blob_id = excluded.blob_id, created_at = excluded.created_at
"""

_ALL: Final = f'SELECT {listed(ARTIFACT)} FROM artifacts WHERE execution_id = $1 ORDER BY name COLLATE "C"'
_ONE: Final = f"SELECT {listed(ARTIFACT)} FROM artifacts WHERE execution_id = $1 AND name = $2"
_DROPPED: Final = "SELECT blob_id FROM dropped_blobs LIMIT $1"
_DELETED: Final = "DELETE FROM dropped_blobs WHERE blob_id = ANY($1::text[])"


async def keep(connection: Connection, batch: Batch) -> None:
    """One after the other: an execution makes few files, and each was a copy of megabytes before."""
    for place, write in batch.of(KeepArtifact):
        made = write.artifact
        is_held = await connection.fetchval(_IS_HELD, made.execution_id, write.epoch) is not None
        batch.results[place] = is_held
        if is_held:
            await connection.execute(_DROP, made.execution_id, made.name, made.blob_id)
            await connection.execute(_KEEP, *artifact_row(made))


class PostgresArtifacts(Connected):
    """``hookline.ports.Artifacts``."""

    async def artifacts(self, execution_id: Key) -> list[Artifact]:
        async with self._readers.use() as connection:
            return [artifact_from(tuple(row)) for row in await connection.fetch(_ALL, execution_id)]

    async def artifact(self, execution_id: Key, name: str) -> Artifact | None:
        async with self._readers.use() as connection:
            row = await connection.fetchrow(_ONE, execution_id, name)
        return None if row is None else artifact_from(tuple(row))

    async def dropped_blobs(self, *, limit: int) -> list[str]:
        async with self._readers.use() as connection:
            return [row[0] for row in await connection.fetch(_DROPPED, limit)]

    async def blobs_deleted(self, ids: Sequence[str]) -> None:
        async with self._control.use() as connection:
            await connection.execute(_DELETED, list(ids))
